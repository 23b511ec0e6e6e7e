"""Raw glyph videos: which there are depends on the seed alone, and there are some of every kind."""

from __future__ import annotations

from raw_world import KINDS, make_up


def test_the_videos_depend_on_the_seed_alone():
    videos = make_up(300, seed=3)
    assert videos == make_up(300, seed=3) and videos[:100] == make_up(100, seed=3)
    assert videos != make_up(300, seed=4)
    assert {video.kind for video in videos} == set(KINDS)
    for video in videos:
        assert video.of < 0 or videos[video.of].kind == "good"
