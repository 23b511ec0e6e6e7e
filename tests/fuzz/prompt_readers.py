"""Prompts with phrases, plans, and what a language model answers."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from fuzz.inputs import STRINGS, edited_bytes, edited_text, edited_tree
from fuzz.reader import Make, Reader
from hypothesis import strategies as st

from lumosx_core.auto_scene.boxed_plan import plan_of_boxes
from lumosx_core.auto_scene.cutouts.regions import Box
from lumosx_core.auto_scene.plan.english_rules import read_prompt
from lumosx_core.auto_scene.plan.language_model import plan_from_model
from lumosx_core.auto_scene.plan.plan import check_plan, format_plan, parse_plan
from lumosx_core.bridges.fitting_images import LEAVE_OUT
from lumosx_core.bridges.minimax_h3 import HEADINGS
from lumosx_core.bridges.scene_for_model import MODELS, scene_for_model
from lumosx_core.models.lumosx.tiny import tiny_files
from lumosx_core.models.wan.umt5 import TextEncoder
from lumosx_core.prompt.highlight import mark_prompt
from lumosx_core.prompt.phrase_mask import (
    clean_prompt,
    match_phrases_in_text,
    phrase_mask,
    phrase_mistake,
    prompt_spans,
    words_meant,
)
from lumosx_core.prompt.readings import without_weights
from lumosx_core.prompt.scene_warnings import scene_warnings
from lumosx_core.scene.scene import Reference, Scene, Subject
from lumosx_training.prepare.stages.caption import clean_caption

PROMPTS = (
    "A man in a denim jacket and a woman in a red hat dance in a cozy room beside a white lamp.",
    "One person, a young man, stands on the left; the other wears black trousers, white sneakers and a scarf.",
    "Anna, wearing a red coat, hands her brother a cup of tea. They laugh. The camera slowly zooms in.",
    "Two women and a man (in suits) walk their dogs through a park, {at night|in the rain}. // the end",
    "男人穿着牛仔夹克，女人戴着红帽子，在舒适的房间里跳舞。",
    "Ein Mann mit Brille trägt eine Jeansjacke; die Frau neben ihm hält einen Regenschirm.",
)
PHRASES = (
    "man",
    "woman",
    "denim jacket",
    "red hat",
    "white lamp",
    "cozy room",
    "shrit",
    "man#2",
    "jackets",
    "牛仔夹克",
)
_PROMPTS = edited_text(PROMPTS, words=PHRASES)
_PHRASES = st.one_of(st.sampled_from(PHRASES), STRINGS, edited_text(PHRASES))


def _scene(phrases: tuple) -> Scene:
    people, objects, background = phrases

    def named(phrase: str) -> Reference:
        return Reference(phrase, torch.ones(1, 1, 3))

    subjects = [Subject(named(face), tuple(map(named, attributes))) for face, attributes in people]
    return Scene(tuple(subjects), tuple(map(named, objects)), None if background is None else named(background))


_SCENES = st.tuples(
    st.lists(st.tuples(_PHRASES, st.lists(_PHRASES, max_size=3)), max_size=3),
    st.lists(_PHRASES, max_size=3),
    st.none() | _PHRASES,
)


def _typed() -> Reader:
    def read(value, folder: Path) -> None:
        prompt, phrases, dynamic = value
        scene = _scene(phrases)
        mark_prompt(prompt, scene, dynamic=dynamic)
        match_phrases_in_text(prompt, scene)

    return Reader(st.tuples(_PROMPTS, _SCENES, st.booleans()), read)


def _phrase_masks() -> Reader:
    encoder = TextEncoder(tiny_files().text_encoder)

    def read(value, folder: Path) -> None:
        prompt, phrases = value
        scene, prompt = _scene(phrases), clean_prompt(prompt)
        for label, reference in scene.labelled():
            phrase_mistake(reference.phrase, label, prompt)
        scene_warnings(scene, prompt)
        ids = encoder.tokenize_prompt(prompt)
        mask = phrase_mask(ids, scene, encoder.tokenize, pieces=encoder.pieces, prompt=prompt, text_len=512)
        prompt_spans(list(zip(ids, encoder.pieces(ids), strict=True)), scene, mask)

    return Reader(st.tuples(_PROMPTS, _SCENES), read)


def _other_models() -> Reader:
    def read(value, folder: Path) -> None:
        prompt, (people, objects, background), every, sound, model = value
        plain = without_weights(prompt)

        def wanted(phrase: str | None) -> bool:  # a phrase that does not occur ends the work at once
            return every or (phrase is not None and bool(words_meant(phrase, plain)))

        people = [(face, [*filter(wanted, attributes)]) for face, attributes in people if wanted(face)]
        scene = _scene((people, [*filter(wanted, objects)], background if wanted(background) else None))
        made = scene_for_model(
            scene, prompt, model, width=96, height=64, too_many=LEAVE_OUT, soundscape=sound, music=sound
        )
        assert made.prompt and made.report and made.canvases.shape[1:] == (64, 96, 3)
        if model == "MiniMax H3":
            lines = made.prompt.splitlines()
            assert [line for line in lines if line in {f"{each}:" for each in HEADINGS}] == [f"{h}:" for h in HEADINGS]

    return Reader(st.tuples(_PROMPTS, _SCENES, st.booleans(), STRINGS, st.sampled_from(MODELS)), read)


def _rules() -> Reader:
    def read(value: str, folder: Path) -> None:
        prompt = clean_prompt(value)
        plan = read_prompt(prompt)
        check_plan(plan, prompt)
        assert parse_plan(format_plan(plan)) == plan

    return Reader(_PROMPTS, read)


def _plans() -> Reader:
    plans = ("man: denim jacket, white shirt | woman: sweater || lamp || cozy room", "man | woman: red hat", "|| cup")

    def read(value: tuple[str, str], folder: Path) -> None:
        plan = parse_plan(value[0])
        check_plan(plan, clean_prompt(value[1]))
        format_plan(plan)

    return Reader(st.tuples(edited_text(plans, words=("|", "||", ":", ",", *PHRASES)), _PROMPTS), read)


def _answers() -> Reader:
    answer = {
        "people": [{"word": "man", "attributes": ["denim jacket"]}, {"word": "woman", "attributes": ["red hat"]}],
        "objects": ["white lamp"],
        "background": "cozy room",
    }
    text = json.dumps(answer)
    tree = edited_tree([answer], least=0)
    fenced = tree.map(lambda each: f"```json\n{each}\n```")
    damaged = edited_bytes([text.encode()]).map(lambda each: each.decode("utf-8", "replace"))
    other = edited_text([text, f"Here it is: {text}", "I am sorry, but I see no man."])

    def read(value: tuple[list[str], str], folder: Path) -> None:
        answers = iter(value[0])
        plan = plan_from_model(lambda images, messages: next(answers), [torch.ones(4, 4, 3)], value[1])
        format_plan(plan)

    two = st.one_of(tree, tree, fenced, damaged, other)
    return Reader(st.tuples(st.lists(two, min_size=2, max_size=2), st.sampled_from(PROMPTS) | _PROMPTS), read)


def _boxed_answers() -> Reader:
    answer = {
        "people": [
            {"box": 1, "word": "man", "attributes": ["denim jacket"]},
            {"box": [30, 1, 60, 60], "word": "woman", "attributes": ["red hat"]},
        ],
        "objects": ["white lamp"],
        "background": "cozy room",
    }
    boxes = [Box(0, 0, 30, 60), Box(30, 0, 60, 60)]

    def read(value: tuple[str, str], folder: Path) -> None:
        boxed = plan_of_boxes(lambda images, messages: value[0], torch.ones(64, 64, 3), boxes, value[1], repairs=0)
        assert len(set(boxed.boxes)) == len(boxed.plan.people) and set(boxed.boxes) <= {0, 1}

    return Reader(st.tuples(edited_tree([answer], least=0), st.sampled_from(PROMPTS) | _PROMPTS), read)


def _captions() -> Reader:
    texts = ("Sure! Here is the description: **A man in a hat.**", '```\n"A woman walks."\n```', "I'm sorry, I can't.")

    def read(value: str, folder: Path) -> None:
        caption = clean_caption(value, 300)
        assert caption == caption.strip() and 0 < len(caption) <= 300

    return Reader(edited_text(texts), read)


READERS: dict[str, Make] = {
    "typed prompts": _typed,
    "phrase masks": _phrase_masks,
    "scenes for other models": _other_models,
    "reading by rules": _rules,
    "plans": _plans,
    "answers of a model": _answers,
    "answers about boxes": _boxed_answers,
    "captions of a model": _captions,
}
