"""Captions: what is cleaned, what is refused, and that a clip never gets an empty one."""

from __future__ import annotations

import pytest

pytest.importorskip("av", reason="av is not installed")

from glyph_clips import answering, first_task

from lumosx_core.errors import LumosXError
from lumosx_training.glyph_world import GlyphSource
from lumosx_training.prepare.key_frames import key_frames_of, read_key_frames
from lumosx_training.prepare.scene_settings import CaptionSettings, ChatSettings
from lumosx_training.prepare.stages.caption import Captioning, CaptionWorker, clean_caption
from lumosx_training.prepare.stages.cut import clip_path

TEXT = "A man in a red hat walks on a beach."


@pytest.mark.parametrize(
    "answer",
    [
        TEXT,
        f'"{TEXT}"',
        f"“{TEXT}”",
        f"```\n{TEXT}\n```",
        f"```text\n{TEXT}```",
        f"Caption: {TEXT}",
        f"**Caption:** {TEXT}",
        f"Sure! Here is the description: {TEXT}",
        f"Here's a caption for the video:\n\n{TEXT}",
        "  A man in a red\n hat walks\ton a beach. ",
    ],
)
def test_what_a_model_adds_to_a_caption_is_removed(answer):
    assert clean_caption(answer, 200) == TEXT


@pytest.mark.parametrize(
    "text",
    [
        'A sign says "Open" and a man says "Hi"',
        "Sure-footed goats climb.",
        "一位男子戴着红色帽子。",
        "Description of a landscape: hills.",
        "Two men; one wears a hat.",
    ],
)
def test_a_caption_that_is_clean_stays_as_it_is(text):
    assert clean_caption(text, 200) == text


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "no words"),
        ("   \n", "no words"),
        ('""', "no words"),
        ("%%% 123", "no words"),
        ("Caption:", "no words"),
        ("I'm sorry, but I can't help with that.", "refusal"),
        ("Sorry, I cannot describe people.", "refusal"),
        ('{"caption": "A man"}', "data"),
        ("A man. " * 60, "at most 200"),
        ("A man \ud800", "half a surrogate"),
    ],
)
def test_what_is_no_caption_is_refused(answer, reason):
    with pytest.raises(LumosXError, match=reason):
        clean_caption(answer, 200)


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return first_task(GlyphSource(3, 1).sample("glyphs-3-0"), tmp_path_factory.mktemp("clip"))


def test_key_frames_are_at_5_50_and_95_per_cent(task):
    frames = key_frames_of(clip_path(task))
    assert frames == [1, 12, 22]  # of 24
    images = read_key_frames(clip_path(task), frames)
    assert [tuple(image.shape) for image in images] == [(512, 640, 3)] * 3
    assert not images[0].equal(images[2])


def test_the_model_sees_the_key_frames_and_a_bad_answer_is_asked_for_again(task):
    asked = []
    ask = answering("", "I'm sorry, I can't.", TEXT)

    def recording(images, messages):
        asked.append((len(images), messages[0]["content"]))
        return ask(images, messages)

    (outcome,) = CaptionWorker(recording, CaptionSettings(tries=3))([task])
    assert outcome.facts == {"text": TEXT, "frames": [1, 12, 22], "tries": 3}
    assert [count for count, _ in asked] == [3, 3, 3]
    assert "no words" in asked[1][1] and "refusal" in asked[2][1] and "could not be used" not in asked[0][1]


def test_a_clip_without_a_usable_caption_is_an_error_and_not_an_empty_caption(task):
    with pytest.raises(LumosXError, match="no usable caption in 2 tries.*no words"):
        CaptionWorker(answering(""), CaptionSettings(tries=2))([task])


def test_a_server_that_moved_answers_as_before_and_another_model_does_not():
    def version(**settings):
        chat = ChatSettings(**{"method": "endpoint", "base_url": "http://a/v1", "model": "m", **settings})
        return Captioning(chat, CaptionSettings()).version()

    assert version() == version(base_url="http://b:8001/v1", timeout_seconds=9.0, retries=0, key_variable="KEY")
    versions = [version(), version(model="n"), version(max_tokens=99), version(method="transformers", folder="m")]
    assert len(set(versions)) == 4
