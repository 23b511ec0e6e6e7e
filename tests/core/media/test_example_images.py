"""The pictures that come with the program."""

import pytest

from lumosx_core import LumosXError
from lumosx_core.media.example_images import EXAMPLES, example_pictures, read_example
from lumosx_core.scene.case_folder import read_case


def test_every_picture_of_the_example_cases_is_there():
    cases = [path.parent for path in EXAMPLES.glob("*/caption.txt")]
    of_cases = [name for name in example_pictures() if not name.startswith("photographs/")]
    assert cases and len(of_cases) == sum(len(read_case(case).scene.references) for case in cases)


def test_an_example_is_a_picture():
    for name in example_pictures():
        image = read_example(name)
        assert image.ndim == 3 and image.shape[-1] == 3 and 0 <= image.min() < image.max() <= 1


@pytest.mark.parametrize("name", ["two_people/subjects/9/face_man.png", "../README.md", "two_people/caption.txt", ""])
def test_another_name_is_refused_with_those_that_are_there(name):
    with pytest.raises(LumosXError, match="two_people/subjects/2/face_man.png"):
        read_example(name)
