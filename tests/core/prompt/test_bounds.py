"""Work on prompts is bounded, whatever is typed: searches are counted or end, and what is too long is refused."""

from __future__ import annotations

import pytest
import torch

from lumosx_core.errors import LumosXError
from lumosx_core.prompt import messages
from lumosx_core.prompt.highlight import mark_prompt
from lumosx_core.prompt.phrase_mask import MOST_LETTERS, clean_prompt, phrase_mistake
from lumosx_core.prompt.scene_warnings import scene_warnings
from lumosx_core.scene.scene import MOST_IMAGES, Reference, Scene, Subject

PROMPTS = [
    "x" * MOST_LETTERS,
    "shirt " * 3300,
    "가" * MOST_LETTERS,
    "a" + " " * 19_000 + "b",
    "(" * MOST_LETTERS,
    "a#1 " * 4900,
]
PHRASES = ["shrit", "가", "a " * 5000, "x" * 10_000, "word#3", "man#" + "9" * 5000]


def people(phrases: list[str]) -> Scene:
    return Scene(tuple(Subject(Reference(phrase, torch.ones(1, 1, 3))) for phrase in phrases))


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: prompt[:6])
def test_a_long_prompt_is_searched_and_its_message_is_short(prompt):
    for phrase in PHRASES:
        mistake = phrase_mistake(phrase, "face of subject 1", prompt)
        assert mistake is None or len(mistake) < 1500
    assert mark_prompt(prompt, people(["shirt", "man#2"])).spans
    assert len(scene_warnings(people(["shirt", "a", "shirt shirt", "가"] * 40), prompt)) <= 25


@pytest.mark.parametrize("text", ["x" * 50_000, "x " * 25_000, "&#" + "9" * 5000 + ";"])
def test_what_no_encoder_reads_is_refused(text):
    with pytest.raises(LumosXError):
        clean_prompt(text)


def test_a_thousand_subjects_are_refused():
    with pytest.raises(LumosXError, match=f"has 1000 images, expected at most {MOST_IMAGES}"):
        mark_prompt("a shirt", people(["shirt"] * 1000))


def test_only_some_missing_phrases_are_compared_with_the_prompt(monkeypatch):
    asked: list[str] = []
    monkeypatch.setattr(messages, "near_miss", lambda words, prompt: asked.append(words))
    marked = mark_prompt("a man in a shirt", people([f"missing {number}" for number in range(150)]))
    assert len(marked.missing) == 150 and len(asked) == 10
