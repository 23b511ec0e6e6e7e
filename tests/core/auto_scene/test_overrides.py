"""An artist's own images take the place of what would be found, with the strength that they were given."""

import pytest
import torch

from lumosx_core import LumosXError, Reference, Scene, Subject
from lumosx_core.auto_scene.overrides import Overrides
from lumosx_core.auto_scene.plan.plan import parse_plan

PLAN = parse_plan("man: denim jacket | woman: red hat || lamp || room")


def picture(phrase, strength=1.0):
    return Reference(phrase, torch.ones(2, 2, 3), strength)


def test_the_strength_of_subject_and_picture_are_multiplied():
    subject = Subject(picture("man", 2.0), (picture("denim jacket", 0.5),), strength=0.5)
    overrides = Overrides(PLAN, Scene((subject,)))
    assert overrides.face(0).strength == 1.0 and overrides.attribute(0, "denim jacket").strength == 0.25


def test_a_span_is_refused_as_overrides_give_pictures_only():
    with pytest.raises(LumosXError, match="seen from 0.5 to 1 .* Set start_percent to 0"):
        Overrides(PLAN, Scene((Subject(picture("man"), start=0.5),)))


@pytest.mark.parametrize("phrase", ["man", "denim jacket"])
def test_several_pictures_of_one_thing_are_refused(phrase):
    subject = Subject(picture("man"), (picture("denim jacket"), picture(phrase)))
    with pytest.raises(LumosXError, match=f'2 images of "{phrase}", expected one'):
        Overrides(PLAN, Scene((subject,)))
