import pytest
import torch

from lumosx_core import Reference, Scene, Subject
from lumosx_core.errors import LumosXError
from lumosx_core.prompt.highlight import MOST_LETTERS, mark_prompt, phrases_only
from lumosx_core.prompt.phrase_mask import match_phrases_in_text


def picture(phrase, size=1):
    return Reference(phrase, torch.zeros(size, size, 3))


SCENE = Scene(
    subjects=(Subject(picture("man"), (picture("jacket"),)), Subject(picture("woman"), (picture("red hat"),))),
    objects=(picture("lamp"),),
    background=picture("room"),
)
ROOM, LAMP, MAN, WOMAN = range(4)  # groups: background, objects, subjects


def marks(typed, scene=SCENE, **options):
    spans = mark_prompt(typed, scene, **options).spans
    assert "".join(span.text for span in spans) == typed
    return [(span.text, *span.groups) for span in spans if span.groups]


def missing(typed, scene=SCENE, **options):
    return {(each.group, each.phrase): each.message for each in mark_prompt(typed, scene, **options).missing}


def test_marks_of_a_plain_prompt_are_those_of_the_preview():
    prompt = "A man in a jacket, a woman in a red hat, a lamp in a room."
    assert list(mark_prompt(prompt, SCENE).spans) == match_phrases_in_text(prompt, SCENE)


def test_every_letter_that_was_typed_stays():
    assert marks("  A  man,\n in a\tjacket  ") == [("man", MAN), ("jacket", MAN)]


def test_a_phrase_is_marked_with_the_space_within_it_and_without_what_is_between():
    assert marks("a red\n  hat, a (red:1.2) hat, a red (hat)") == [
        ("red\n  hat", WOMAN),
        ("red", WOMAN),
        ("hat", WOMAN),
        ("red", WOMAN),
        ("hat", WOMAN),
    ]


def test_words_of_two_groups_have_both():
    scene = Scene((Subject(picture("man"), (picture("denim jacket"),)), Subject(None, (picture("jacket"),))))
    assert marks("man in denim jacket", scene) == [("man", 0), ("denim ", 0), ("jacket", 0, 1)]


def test_words_side_by_side_of_one_group_are_one_span_and_of_two_groups_two():
    scene = Scene((Subject(picture("tall"), (picture("man"),)), Subject(picture("woman"))))
    assert marks("tall man woman", scene) == [("tall man", 0), ("woman", 1)]


def test_a_number_marks_one_occurrence():
    assert marks("a man, a man", Scene((Subject(picture("man#2")),))) == [("man", 0)]
    assert mark_prompt("a man, a man", Scene((Subject(picture("man#2")),))).spans[0].text == "a man, a "


def test_all_that_is_missing_is_told_with_its_group_and_what_is_wrong():
    found = missing("A man in a Jacket by a lamp")
    assert list(found) == [(ROOM, "room"), (MAN, "jacket"), (WOMAN, "woman"), (WOMAN, "red hat")]
    assert 'Phrase "jacket" of subject 1 (attribute 1) does not occur' in found[MAN, "jacket"]
    assert 'The prompt writes it "Jacket".' in found[MAN, "jacket"]


def test_a_phrase_with_weights_around_it_is_not_missing():
    assert missing("man, (jacket:1.2), ((woman)), (red:0.9) hat, lamp, room") == {}


def test_two_pictures_of_one_thing_are_told_once():
    scene = Scene((Subject(picture("man"), (picture("hat"), picture("hat"))),))
    assert [each.phrase for each in mark_prompt("a man", scene).missing] == ["hat"]


def test_a_phrase_in_each_choice_is_fine_and_one_in_some_choices_is_told():
    scene = Scene((Subject(picture("man"), (picture("hat"),)),))
    assert missing("a {man in a hat|hat on a man}", scene, dynamic=True) == {}
    found = missing("a man in a {red hat|coat}", scene, dynamic=True)
    assert list(found) == [(0, "hat")]
    assert "of subject 1 (attribute 1) occurs only with some of the choices in {...|...}" in found[0, "hat"]
    assert marks("a man in a {red hat|coat}", scene, dynamic=True) == [("man", 0), ("hat", 0)]


def test_a_phrase_that_only_a_draw_makes_is_marked_in_its_parts():
    scene = Scene((Subject(picture("red hat")),))
    assert marks("a {red|blue} hat", scene, dynamic=True) == [("red", 0), ("hat", 0)]


def test_words_in_comments_count_for_nothing():
    scene = Scene((Subject(picture("man")),))
    assert marks("a // man", scene, dynamic=True) == []
    assert list(missing("a // man", scene, dynamic=True)) == [(0, "man")]


def test_an_empty_phrase_and_an_empty_scene_ask_for_nothing():
    assert missing("a man", Scene((Subject(picture("")),))) == {}
    assert mark_prompt("a man", Scene()).missing == ()
    assert mark_prompt("", SCENE).spans == ()


def test_a_prompt_of_a_book_is_refused_and_one_of_pages_is_not():
    mark_prompt("man " * (MOST_LETTERS // 4), SCENE)
    with pytest.raises(LumosXError, match=f"The prompt has {MOST_LETTERS + 1} letters.*Shorten it"):
        mark_prompt("x" * (MOST_LETTERS + 1), SCENE)


def test_a_scene_of_phrases_only_keeps_its_words_groups_and_strengths():
    scene = Scene(
        (Subject(picture("man", 9), (Reference("hat", torch.zeros(9, 9, 3), 0.5),), 2.0, 0.1, 0.9),),
        (picture("lamp", 9),),
        picture("room", 9),
    )
    bare = phrases_only(scene)
    assert [reference.phrase for reference in bare.references] == ["room", "lamp", "man", "hat"]
    assert {tuple(reference.image.shape) for reference in bare.references} == {(1, 1, 3)}
    assert (bare.layout, bare.strengths) == (scene.layout, scene.strengths)
