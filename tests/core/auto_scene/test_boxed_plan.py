"""Plans whose people are boxes of an image."""

from __future__ import annotations

import json

import pytest
import torch

from lumosx_core.auto_scene.boxed_plan import from_qwen_pixels, numbered_boxes, plan_of_boxes
from lumosx_core.auto_scene.cutouts.regions import Box
from lumosx_core.auto_scene.plan.plan import PersonPlan, ScenePlan
from lumosx_core.errors import LumosXError

IMAGE = torch.full((240, 320, 3), 0.5)
BOXES = [Box(20, 40, 120, 230), Box(180, 30, 300, 235)]
CAPTION = "A man in a shirt and a man in a red hat stand in a café beside a lamp."


def answer(*people, objects=("lamp",), background="café"):
    listed = [{"box": box, "word": word, "attributes": list(attributes)} for box, word, *attributes in people]
    return json.dumps({"people": listed, "objects": list(objects), "background": background})


GOOD = answer((2, "man#1", "shirt"), (1, "man#2", "red hat"))


class Model:
    def __init__(self, *answers):
        self.answers = list(answers)
        self.questions: list[str] = []

    def __call__(self, images, messages):
        self.images = images
        self.questions.append(messages[-1]["content"])
        return self.answers.pop(0)


def test_people_get_the_words_of_the_box_that_the_model_names():
    model = Model(GOOD)
    boxed = plan_of_boxes(model, IMAGE, BOXES, CAPTION)
    assert boxed.boxes == (1, 0)
    assert boxed.plan == ScenePlan(
        (PersonPlan("man#1", ("shirt",)), PersonPlan("man#2", ("red hat",))), ("lamp",), "café"
    )
    assert (
        '"at": [20, 40, 120, 230]' in model.questions[0]
        and json.dumps(CAPTION, ensure_ascii=False) in model.questions[0]
    )


def test_the_boxes_are_drawn_into_the_image():
    drawn = numbered_boxes(IMAGE, BOXES)
    assert drawn.shape == IMAGE.shape
    changed = (drawn - IMAGE).abs().amax(-1) > 0.1
    for box in BOXES:
        assert changed[int(box.top) + 60, int(box.left)] and changed[int(box.top) + 3, int(box.left) + 3]
        assert not changed[int(box.centre[1]), int(box.centre[0])]
    assert max(numbered_boxes(torch.zeros(1200, 2400, 3), []).shape) == 1024


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (answer((3, "man#1", "shirt")), "number of a box, 1 to 2"),
        (answer((0, "man#1", "shirt")), "number of a box, 1 to 2"),
        (answer((True, "man#1", "shirt")), "number of a box, 1 to 2"),
        (answer((1, "man#1"), (1, "man#2")), "both have box 1"),
        (answer((1, "man"), (2, "man")), "bound to the same words"),
        (answer((1, "man#1", "shirt"), (2, "man#2", "shirt")), "bound to the same words"),
        (answer((1, "man#1", "shirt"), objects=["shirt"]), '"shirt" of object 1 and "shirt" of person 1'),
        (answer((1, "man#1"), objects=["man"]), '"man" of object 1 and "man#1" of person 1'),
        (answer((1, "man#1"), objects=["lamp", "lamp#1"]), '"lamp#1" of object 2 and "lamp" of object 1'),
        (answer((1, "man#2", "red hat"), background="red hat"), '"red hat" of background and "red hat" of person 1'),
        (answer((1, "woman")), '"woman"'),
        (answer((1, "man#3")), "man#3"),
        (answer((1, "man#1"), objects=["a lamp/"]), "lamp/"),
        ('{"people": [{"box": 1, "word": "man#1"', "not JSON alone"),
        (answer((1, "man#1")).replace('"box": 1, ', ""), "box"),
        ("I cannot help with that.", "not JSON alone"),
    ],
)
def test_a_wrong_answer_is_sent_back_and_the_next_one_counts(wrong, reason):
    model, said = Model(wrong, GOOD), []
    assert plan_of_boxes(model, IMAGE, BOXES, CAPTION, say=said.append).boxes == (1, 0)
    assert reason in model.questions[1] and reason in said[0]


@pytest.mark.parametrize(
    ("people", "said"),
    [
        ([(1, "man#1", "shirt")], ["Box 2 of 2 got no words."]),
        ([], ["Boxes 1, 2 of 2 got no words."]),
        ([(2, "man#1", "shirt"), (1, "man#2", "red hat")], []),
    ],
)
def test_people_who_get_no_words_are_noted(people, said):
    notes: list[str] = []
    plan_of_boxes(Model(answer(*people)), IMAGE, BOXES, CAPTION, say=notes.append)
    assert notes == said


def test_an_object_may_be_part_of_the_background():
    boxed = plan_of_boxes(
        Model(answer((1, "man#1"), background="café beside a lamp")), IMAGE, BOXES, CAPTION, repairs=0
    )
    assert boxed.plan.objects == ("lamp",)


def test_the_number_of_repairs_is_a_limit():
    model = Model("no", "no", "no", GOOD)
    with pytest.raises(LumosXError, match="in 3 tries"):
        plan_of_boxes(model, IMAGE, BOXES, CAPTION, repairs=2)
    assert len(model.questions) == 3
    with pytest.raises(LumosXError, match="in one try"):
        plan_of_boxes(Model("no"), IMAGE, BOXES, CAPTION, repairs=0)


def test_a_model_that_answers_coordinates_means_the_box_that_fits():
    """40 x 44 pixels are 28 x 56 to Qwen2.5-VL: its coordinates are rescaled before they are compared."""
    image, boxes = torch.full((40, 44, 3), 0.5), [Box(2, 2, 18, 38), Box(24, 2, 42, 38)]
    seen = boxes[1].scaled(56 / 44, 28 / 40)
    corners = [round(edge) for edge in (seen.left, seen.top, seen.right + 9, seen.bottom + 9)]  # they overshoot
    boxed = plan_of_boxes(Model(answer((corners, "man#1", "shirt"))), image, boxes, CAPTION, repairs=0)
    assert boxed.boxes == (1,)
    back = from_qwen_pixels(Box(0, 0, 99, 99), (40, 44), 40, 44)
    assert (back.right, back.bottom) == (44, 40)
    between = answer(([100, 40, 200, 230], "man#1"))
    with pytest.raises(LumosXError, match="number of a box"):
        plan_of_boxes(Model(between), IMAGE, BOXES, CAPTION, repairs=0)


@pytest.mark.parametrize(
    ("caption", "person", "refused"),
    [
        ('A man with the shirt "Ça va?"', (1, "man", 'shirt "Ça va?"'), ""),
        ("Ein Mann mit Mütze.", (1, "Mann", "Mütze"), ""),
        ("一位男子穿着红色外套。", (1, "男子", "红色外套"), ""),
        ("A man with an AC/DC shirt.", (1, "man", "AC/DC shirt"), "file name"),
        ("A man in " + "very " * 30 + "long coat.", (1, "man", "very " * 30 + "long coat"), "1 to 100 characters"),
    ],
)
def test_phrases_of_every_kind_are_read_or_refused_with_the_reason(caption, person, refused):
    reply = answer(person, objects=[], background=None)
    if refused:
        with pytest.raises(LumosXError, match=refused):
            plan_of_boxes(Model(reply), IMAGE, BOXES, caption, repairs=0)
    else:
        plan = plan_of_boxes(Model(reply), IMAGE, BOXES, caption, repairs=0).plan
        assert plan.people == (PersonPlan(person[1], (person[2],)),)
