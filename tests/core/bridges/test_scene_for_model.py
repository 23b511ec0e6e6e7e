"""Scenes for other models: every image, its order, its owner and its words come back out of what is made."""

from __future__ import annotations

import random
import re
from dataclasses import replace

import pytest
import torch

from lumosx_core import Reference, Scene, Subject
from lumosx_core.bridges.bernini import MODEL as BERNINI
from lumosx_core.bridges.bernini import SYSTEM
from lumosx_core.bridges.fitting_images import LEAVE_OUT
from lumosx_core.bridges.ltx_sheet import MODEL as LTX
from lumosx_core.bridges.minimax_h3 import HEADINGS, LICENCE
from lumosx_core.bridges.minimax_h3 import MODEL as H3
from lumosx_core.bridges.scene_for_model import MODELS, PHANTOM, VACE, scene_for_model
from lumosx_core.errors import LumosXError
from lumosx_core.media.images import fit_on_canvas

SIZE = {"width": 320, "height": 192}
PEOPLE = ("woman", "man", "old sailor", "girl", "dancer", 'woman called "Eve"', "boy {x}", "robot <b>")
CLOTHES = ("red raincoat", "grey vest", "top hat", "denim jacket", "silk scarf", "coat (torn)", "boots & spurs", "kilt")
OBJECTS = ("umbrella", "lamp", "brass clock", "bicycle", "tin {a|b}")
LOCATIONS = ("tram stop", "cozy, warmly lit room", "beach")


def image(number: int, height: int = 60, width: int = 40) -> torch.Tensor:
    """An image of one colour that no other number has, and that 8 bit keep exactly."""
    colour = torch.tensor([(number * 37) % 200, (number * 91) % 200, (number + 20) % 200]) / 255
    return colour.expand(height, width, 3).clone()


def random_scene(seed: int) -> tuple[Scene, str]:
    """A scene of one to four people, some twice under the same word, and its prompt with weights."""
    rng = random.Random(seed)
    number = iter(range(1, 100))

    def picture(phrase: str) -> Reference:
        return Reference(phrase, image(next(number), rng.randint(30, 90), rng.randint(30, 90)))

    background = picture(rng.choice(LOCATIONS)) if rng.random() < 0.7 else None
    objects = tuple(picture(name) for name in rng.sample(OBJECTS, rng.randint(0, 2)))
    count = rng.randint(1, 3)
    twins = count > 1 and rng.random() < 0.4
    names = [f"man#{i + 1}" for i in range(count)] if twins else rng.sample(PEOPLE, count)
    clothes = rng.sample(CLOTHES, 2 * count)
    subjects, sentences = [], []
    for i, name in enumerate(names):
        own = clothes[2 * i : 2 * i + rng.randint(0, 2)]
        faceless = not twins and own and rng.random() < 0.2
        views = [] if faceless or rng.random() < 0.7 else [picture(name)]
        face = None if faceless else picture(name)
        subjects.append(Subject(face, (*views, *(picture(each) for each in own))))
        words = name.partition("#")[0]
        worn = " and ".join(f"(a {typed(each)}:1.2)" if rng.random() < 0.3 else f"a {typed(each)}" for each in own)
        sentences.append(
            f"{'Somebody' if faceless else 'A ' + typed(words)}{' wearing ' + worn if worn else ''} waits."
        )
    rng.shuffle(order := [f"There is a {each.phrase}." for each in objects])
    place = f"It is at the {background.phrase}." if background else ""
    return Scene(tuple(subjects), objects, background), " ".join([*sentences, *order, place])


def typed(phrase: str) -> str:
    return phrase.replace("(", r"\(").replace(")", r"\)")


def expected(scene: Scene) -> list[tuple[int, str]]:
    """Owner (0: nobody) and words of each image."""
    owners = [0] * len(scene.standalone) + [n for n, s in enumerate(scene.subjects, 1) for _ in s.references]
    return [(o, r.phrase.partition("#")[0]) for o, r in zip(owners, scene.references, strict=True)]


def read_h3(prompt: str) -> list[tuple[int, str]]:
    """Owner and words of <Picture 1>, <Picture 2>, ..., from the definitions alone."""
    definitions = re.findall(r"^<Subject \d+> is (.*)\.$", prompt.split("\n\n")[0], re.MULTILINE)
    found, people = {}, 0
    for text in definitions:
        tags = [(m.start(), m.end(), int(m[1])) for m in re.finditer(r"<Picture (\d+)>", text)]
        parts, at = [], 0
        for start, end, number in tags:
            parts.append((text[at:start], number))
            at = end
        person = " come from " in text or text.startswith("the person ")
        people += person
        words = ""
        for before, number in parts:
            if before != " and ":
                words = re.sub(r" (whose face and hair come from|from|in) $", "", before)
                words = re.sub(r"^(the person |, )?((in|with) )?(the )?", "", words)
            found[number] = (people if person else 0, words)
    return [found[number] for number in sorted(found)]


def read_bernini(prompt: str) -> dict[int, tuple[str, str]]:
    """Of each numbered image its words and, for what is worn, those of its owner, from the binding sentence."""
    text = prompt.rpartition(" Generate a video where ")[2].removesuffix(".")
    owners = {}
    for part in text.split(", while "):
        if match := re.match(r"(.*?) wears (.*)", part):
            for words, images in re.findall(r"(?:^|, )the (.+?) from (image\d+(?: and image\d+)*)(?=, |$)", match[2]):
                owners |= {int(number): (words, match[1]) for number in re.findall(r"image(\d+)", images)}
    return owners


def read_sheet(prompt: str) -> list[tuple[str, str, str]]:
    """Place, role and words of each panel."""
    return re.findall(r"^\*\*(.+?) \((.+?)\):\*\* (.+)$", prompt.split("\n\n")[0], re.MULTILINE)


SCENES = [random_scene(seed) for seed in range(50)]
each_scene = pytest.mark.parametrize(("scene", "prompt"), SCENES, ids=range(50))


def made(scene, prompt, model, **options):
    return scene_for_model(scene, prompt, model, **{**SIZE, **options})


@each_scene
def test_h3_names_each_image_in_order_with_owner_and_words(scene, prompt):
    if len(scene.references) > 9:
        with pytest.raises(LumosXError, match="at most 9"):
            made(scene, prompt, H3)
        return
    result = made(scene, prompt, H3)
    assert read_h3(result.prompt) == expected(scene)
    assert [line for line in result.prompt.splitlines() if line.removesuffix(":") in HEADINGS] == [
        f"{heading}:" for heading in HEADINGS
    ]
    subjects = len(scene.standalone) + len(scene.subjects)
    retained = re.findall(r"^<Subject (\d+)> \(appears in \[Shot 1\]\): fully_preserved", result.prompt, re.MULTILINE)
    assert retained == [str(n) for n in range(1, subjects + 1)]
    body = result.prompt.split("detailed_description:\n")[1].split("\n\n")[0]
    assert {int(n) for n in re.findall(r"<Subject (\d+)>", body)} == set(range(1, subjects + 1))
    assert ":1.2" not in result.prompt and "\\" not in result.prompt
    assert all(torch.equal(a, b.image) for a, b in zip(result.images, scene.references, strict=True))
    assert result.notes[0] == LICENCE


@each_scene
def test_bernini_names_each_image_with_its_owner(scene, prompt):
    if len(scene.references) > 8:
        with pytest.raises(LumosXError, match="at most 8"):
            made(scene, prompt, BERNINI)
        return
    result = made(scene, prompt, BERNINI)
    assert result.prompt.startswith(f"{SYSTEM} ")
    plain = result.prompt.replace("\\", "")
    assert {int(n) for n in re.findall(r"image(\d+)", plain)} == set(range(len(scene.references)))
    owners = read_bernini(plain)
    index = len(scene.standalone)
    for subject in scene.subjects:
        numbers = {r.phrase: [] for r in subject.references}
        for position, reference in enumerate(subject.references, index):
            numbers[reference.phrase].append(f"image{position}")
        face = subject.face.phrase if subject.face else None
        owner = f"the {face.partition('#')[0]} from {' and '.join(numbers[face])}" if face else "someone"
        for position, reference in enumerate(subject.references, index):
            if reference.phrase == face:
                assert f"{face.partition('#')[0]} from {' and '.join(numbers[face])}" in plain
            else:
                assert owners[position] == (reference.phrase, owner)
        index += len(subject.references)
    for position, reference in enumerate(scene.standalone):
        assert f"{reference.phrase} from image{position}" in plain
    assert all(torch.equal(a, b.image) for a, b in zip(result.images, scene.references, strict=True))


@each_scene
def test_the_sheet_shows_each_image_where_its_text_says(scene, prompt):
    result = made(scene, prompt, LTX)
    rows = read_sheet(result.prompt)
    assert len(rows) == len(scene.references) == len({place for place, _, _ in rows})
    assert [words for _, _, words in rows] == [words for _, words in expected(scene)]
    anchors: dict[int, str] = {}
    for (owner, _), (place, role, _) in zip(expected(scene), rows, strict=True):
        anchor = anchors.setdefault(owner, place)
        if owner == 0:
            assert role in ("Prop", "Location")
        elif place == anchor:
            assert role in ("Character", "Outfit of a character")
        else:
            assert role in (f"Same as {anchor}", f"Worn by the character of {anchor}")
    [sheet] = result.images
    boxes = [check_panel(sheet, reference.image) for reference in scene.references]
    check_disjoint(sheet, boxes, 0)
    check_places(boxes, [place for place, _, _ in rows])


@each_scene
def test_the_vace_canvas_shows_all_but_the_background_on_white(scene, prompt):
    result = made(scene, prompt, VACE)
    [canvas] = result.images
    shown = replace(scene, background=None).references
    boxes = [check_panel(canvas, reference.image) for reference in shown]
    check_disjoint(canvas, boxes, 1)
    assert boxes == sorted(boxes, key=lambda box: (box[4], box[0]))  # in their order, row by row
    assert all(typed(words) in result.prompt for _, words in expected(scene))
    assert ("background" in result.notes[0]) == (scene.background is not None) if result.notes else True


@each_scene
def test_phantom_gets_a_batch_of_canvases_in_order(scene, prompt):
    if len(scene.references) > 4:
        with pytest.raises(LumosXError, match="at most 4"):
            made(scene, prompt, PHANTOM)
    result = made(scene, prompt, PHANTOM, too_many=LEAVE_OUT)
    assert result.canvases.shape == (min(4, len(scene.references)), 192, 320, 3)
    canvases = [fit_on_canvas(reference.image, 192, 320) for reference in scene.references]
    sent = [next(i for i, each in enumerate(canvases) if torch.equal(each, canvas)) for canvas in result.canvases]
    assert sent == sorted(sent)
    left_out = [scene.references[i].phrase for i in range(len(canvases)) if i not in sent]
    assert all(any(phrase in note and note.startswith("Left out") for note in result.notes) for phrase in left_out)
    assert not any(tag in result.prompt for tag in ("image0", "<Picture"))


def check_panel(sheet: torch.Tensor, picture: torch.Tensor) -> tuple[int, int, int, int, int]:
    """The box in which an image of one colour is on a sheet, with its proportions; the last number is its row."""
    inside = ((sheet - picture[0, 0]).abs().amax(-1) < 1e-6).nonzero()
    (top, left), (bottom, right) = inside.amin(0).tolist(), (inside.amax(0) + 1).tolist()
    assert len(inside) == (bottom - top) * (right - left) > 0
    assert (right - left) / (bottom - top) == pytest.approx(picture.shape[1] / picture.shape[0], rel=0.12)
    return left, top, right, bottom, round((top + bottom) / 2 / sheet.shape[0] * 12)


def check_disjoint(sheet: torch.Tensor, boxes, ground: int) -> None:
    covered = torch.zeros(sheet.shape[:2], dtype=torch.int)
    for left, top, right, bottom, _ in boxes:
        covered[max(0, top - 2) : bottom + 2, max(0, left - 2) : right + 2] += 1
        assert 0 < left < right < sheet.shape[1] and 0 < top < bottom < sheet.shape[0]
    assert covered.max() == 1
    for left, top, right, bottom, _ in boxes:
        covered[top:bottom, left:right] = 7
    assert (sheet[covered < 7] == ground).all()


def check_places(boxes, places) -> None:
    """Places in words agree with the middles of the boxes."""
    rows = {"Top": [], "Middle": [], "Bottom": []}
    for (left, top, right, bottom, _), place in zip(boxes, places, strict=True):
        row = next((name for name in rows if place.startswith(f"{name} Row")), None)
        if row:
            rows[row].append((top + bottom) // 20)  # rounded: odd heights move it by half a pixel
        middle = (left + right) / 2 / SIZE["width"]
        assert ("Left" not in place or middle < 0.5) and ("Right" not in place or middle > 0.5)
        assert "Center" not in place or middle == pytest.approx(0.5, abs=0.01)
    middles = [middle for name in rows for middle in rows[name]]
    assert middles == sorted(middles)


@each_scene
def test_runs_are_identical(scene, prompt):
    for model in MODELS:
        one, two = (made(scene, prompt, model, too_many=LEAVE_OUT) for _ in range(2))
        assert (one.prompt, one.report, one.notes) == (two.prompt, two.report, two.notes)
        assert torch.equal(one.canvases, two.canvases)
        assert len(one.images) == len(two.images) and all(map(torch.equal, one.images, two.images))
