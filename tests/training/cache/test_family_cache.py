"""The cache serves any model family: a made-up one, with its own channels, strides and text length."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from toy_family import TOY, TOY_SPEC
from toy_source import FRAMES, HEIGHT, WIDTH, ToySource

from lumosx_core import LumosXError
from lumosx_core.files.model_files import ModelFiles
from lumosx_training.cache import CacheSettings, LatentCache, build_cache


@pytest.fixture
def cached(tmp_path):
    files = ModelFiles(Path(os.devnull), tmp_path / "vae", tmp_path / "text")
    for path in (files.vae, files.text_encoder):
        path.write_bytes(b"toy")
    source = ToySource(3)
    settings = CacheSettings(frames=(FRAMES,), sizes=((HEIGHT, WIDTH),), augment="none", dtype="float32", family=TOY)
    build_cache(source, tmp_path / "cache", files, settings, device="cpu")
    return source, settings, files, tmp_path / "cache"


def test_clips_are_cached_as_the_family_encodes_them(cached):
    _, settings, _, directory = cached
    cache = LatentCache(directory, family=TOY)
    assert len(cache) == 3
    item = cache.item(0)
    height, width = settings.sizes[0]
    assert item.video.shape == (3, 5, height // 4, width // 4)
    assert item.scene.references.shape[1] == 3 and item.scene.phrase_mask.shape[1] == TOY_SPEC.text_len
    assert cache.bucket(0).frames == FRAMES and (cache.bucket(0).height, cache.bucket(0).width) == (height, width)


def test_a_cache_of_another_family_is_refused(cached):
    directory = cached[-1]
    with pytest.raises(LumosXError, match="made for Toy, not for LumosX"):
        LatentCache(directory)
