"""Shared fixtures of the training tests."""

import shutil

import pytest

from lumosx_core.models.lumosx.tiny import tiny_files


@pytest.fixture(scope="session")
def files(tiny_models):
    """The tiny preset's files."""
    return tiny_files(tiny_models)


@pytest.fixture(scope="session")
def built(files, tmp_path_factory):
    """A cache of four clips, made by `PLAIN`. Do not change it."""
    from toy_source import PLAIN, ToySource

    from lumosx_training.cache import build_cache

    directory = tmp_path_factory.mktemp("cache")
    build_cache(ToySource(), directory, files, PLAIN)
    return directory


@pytest.fixture
def copied(built, tmp_path):
    """A copy of that cache to do damage to."""
    return shutil.copytree(built, tmp_path / "cache")
