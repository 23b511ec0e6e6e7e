"""What the tests of workflows share: an input folder with the images that their workflows name."""

import pytest
from workflow_graphs import write_picture


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("input")
    for name in ("man", "jacket", "woman", "hat", "room", "lamp"):
        write_picture(folder / f"{name}.png")
    return folder
