"""What a scene for another model refuses, leaves out and says."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lumosx_core import Reference, Scene, Subject
from lumosx_core.bridges.bernini import MODEL as BERNINI
from lumosx_core.bridges.fitting_images import LEAVE_OUT
from lumosx_core.bridges.ltx_sheet import MODEL as LTX
from lumosx_core.bridges.minimax_h3 import MODEL as H3
from lumosx_core.bridges.panels import draw_panels
from lumosx_core.bridges.scene_for_model import MODELS, PHANTOM, VACE, scene_for_model
from lumosx_core.errors import LumosXError
from lumosx_core.prompt.readings import without_weights

PROMPT = "At a tram stop a woman in a red raincoat hands an umbrella to a man in a grey vest."


def reference(phrase: str, **more) -> Reference:
    return Reference(phrase, torch.rand(40, 30, 3, generator=torch.Generator().manual_seed(len(phrase))), **more)


WOMAN = Subject(reference("woman"), (reference("red raincoat"),))
MAN = Subject(reference("man"), (reference("grey vest"),))
SCENE = Scene((WOMAN, MAN), (reference("umbrella"),), reference("tram stop"))


def made(scene=SCENE, prompt=PROMPT, model=H3, **options):
    return scene_for_model(scene, prompt, model, **{"width": 320, "height": 192, **options})


def section(prompt: str, heading: str) -> str:
    return prompt.split(f"{heading}:\n")[1].split("\n\n")[0]


def test_the_example_of_the_guide_becomes_its_six_sections():
    prompt = made(soundscape="Rain on (glass:1.3).").prompt
    assert section(prompt, "subject_definitions").splitlines() == [
        "<Subject 1> is the tram stop in <Picture 1>.",
        "<Subject 2> is the umbrella in <Picture 2>.",
        "<Subject 3> is the woman whose face and hair come from <Picture 3>, in the red raincoat from <Picture 4>.",
        "<Subject 4> is the man whose face and hair come from <Picture 5>, in the grey vest from <Picture 6>.",
    ]
    body = "At <Subject 1> <Subject 3> in a red raincoat hands <Subject 2> to <Subject 4> in a grey vest."
    assert section(prompt, "summary") == f"[reference generation] {body}"
    assert section(prompt, "detailed_description") == f"[Shot 1] {body}"
    assert section(prompt, "overall_soundscape") == "Rain on glass."
    assert section(prompt, "non_diegetic_music") == "N/A"


def test_swapping_owners_changes_the_definitions_alone():
    swapped = replace(
        SCENE, subjects=(replace(WOMAN, attributes=MAN.attributes), replace(MAN, attributes=WOMAN.attributes))
    )
    one, two = made().prompt, made(swapped).prompt
    assert "in the grey vest from <Picture 4>" in two and "in the red raincoat from <Picture 6>" in two
    assert section(one, "detailed_description") == section(two, "detailed_description")


def test_an_image_that_is_dropped_leaves_no_gap():
    without = replace(SCENE, objects=())
    assert "face and hair come from <Picture 2>, in the red raincoat from <Picture 3>" in made(without).prompt
    assert "woman from image1" in made(without, model=BERNINI).prompt


def test_shots_are_kept_and_each_subject_names_the_shots_in_which_it_appears():
    prompt = made(prompt=PROMPT + " [Shot 2] At 00:03.000, the man smiles.").prompt
    assert section(prompt, "detailed_description").endswith("[Shot 2] At 00:03.000, <Subject 4> smiles.")
    kept = section(prompt, "retention_analysis").splitlines()
    assert "(appears in [Shot 1], [Shot 2])" in kept[3] and "(appears in [Shot 1])" in kept[2]
    with pytest.raises(LumosXError, match="numbered 1, 3"):
        made(prompt=PROMPT + " [Shot 3] The man smiles.")
    assert "[Shot 1] [Shot one] At" in made(prompt="[Shot one] " + PROMPT).prompt


def test_numbered_people_get_the_occurrence_that_is_theirs():
    twins = Scene((Subject(reference("man#2"), (reference("hat"),)), Subject(reference("man#1"))))
    prompt = "A man greets a man in a hat."
    assert "[Shot 1] <Subject 2> greets <Subject 1> in a hat." in made(twins, prompt).prompt
    assert "A man from image2 greets a man from image0 in a hat." in made(twins, prompt, BERNINI).prompt


def test_two_people_of_the_same_words_are_refused_and_named():
    twins = Scene((Subject(reference("man"), title="Tom"), Subject(reference("man"), title="Jim")))
    for model in (H3, BERNINI):
        with pytest.raises(LumosXError, match=r"Tom \(face\) and of Jim \(face\).*man#1.*man#2"):
            made(twins, "A man greets a man.", model)
    assert any("belongs to Tom" in note for note in made(twins, "A man greets a man.", PHANTOM).notes)


def test_a_phrase_only_inside_a_longer_one_is_refused():
    statue = Scene((Subject(reference("woman")),), (reference("woman in stone"),))
    with pytest.raises(LumosXError, match="only inside a longer phrase"):
        made(statue, "There is a woman in stone.")
    assert "[Shot 1] <Subject 2> sees <Subject 1>." in made(statue, "The woman sees a woman in stone.").prompt
    with pytest.raises(LumosXError, match="share words"):
        made(Scene((Subject(reference("old man")),), (reference("man cave"),)), "An old man cave.")


def test_what_is_held_is_not_worn():
    scene = Scene((Subject(reference("woman"), (reference("coat"), reference("lamp"))),))
    prompt = "A woman in a coat carries a lamp."
    assert "in the coat from <Picture 2>, with the lamp from <Picture 3>" in made(scene, prompt).prompt
    assert "wears the coat from image1 and holds the lamp from image2" in made(scene, prompt, BERNINI).prompt
    assert "(Held by the character of Left):** lamp" in made(scene, prompt, LTX).prompt


def test_names_have_no_article_and_articles_of_a_phrase_are_not_doubled():
    scene = Scene((Subject(reference("Anna"), (reference("her red hat"),)), Subject(reference("男人"))))
    prompt = made(scene, "Anna in her red hat meets 男人.").prompt
    assert "<Subject 1> is Anna, whose face and hair come from <Picture 1>, in the red hat from <Picture 2>." in prompt
    assert "<Subject 2> is 男人, whose face and hair come from <Picture 3>." in prompt


def test_too_many_images_are_an_error_that_names_them_or_are_left_out_with_a_note():
    coats = tuple(reference(f"coat {i}") for i in "abcdefgh")
    scene = replace(SCENE, subjects=(Subject(reference("woman"), coats), MAN))
    worn = ", ".join(f"coat {i}" for i in "abcdefgh")
    prompt = f"At a tram stop a woman in {worn} with an umbrella sees a man in a grey vest."
    with pytest.raises(
        LumosXError, match=r"13 images, but MiniMax H3 takes at most 9.*tram stop.*umbrella.*coat g.*coat h"
    ):
        made(scene, prompt)
    result = made(scene, prompt, too_many=LEAVE_OUT)
    assert len(result.images) == 9 and "<Picture 9>" in result.prompt and "<Picture 10>" not in result.prompt
    [left_out] = [note for note in result.notes if note.startswith("Left out")]
    assert all(name in left_out for name in ("tram stop", "umbrella", "coat g", "coat h"))
    assert "grey vest" not in left_out and "coat f" not in left_out
    assert left_out in result.report


def test_phantom_keeps_faces_and_a_garment_of_each():
    result = made(model=PHANTOM, too_many=LEAVE_OUT)
    assert [line.split(": ")[1] for line in result.report.splitlines()[1:5]] == [
        *('subject 1 (face) "woman"', 'subject 1 (attribute 1) "red raincoat"'),
        *('subject 2 (face) "man"', 'subject 2 (attribute 1) "grey vest"'),
    ]


def test_images_without_strength_are_left_out_and_other_strengths_are_reported():
    scene = replace(
        SCENE,
        subjects=(replace(WOMAN, strength=0.5), replace(MAN, start=0.2)),
        objects=(reference("umbrella", strength=0.0),),
    )
    for model in MODELS:
        result = made(scene, model=model, too_many=LEAVE_OUT)
        off, ignored = (next(n for n in result.notes if text in n) for text in ("switched off", "no strength"))
        assert "umbrella" in off and all(word in ignored for word in ("woman", "raincoat", "man", "vest"))
        assert "tram stop" not in ignored
    with pytest.raises(LumosXError, match="switched off"):
        made(Scene((), (reference("umbrella", strength=0.0),)))


def test_a_missing_phrase_and_a_missing_word_are_refused():
    for model in MODELS:
        with pytest.raises(LumosXError, match=r'"blue hat" of object 1 does not occur'):
            made(replace(SCENE, objects=(reference("blue hat"),)), model=model)
        with pytest.raises(LumosXError, match="prompt is empty"):
            made(prompt=" ", model=model)
    mute = replace(SCENE, objects=(reference(""),))
    for model in (H3, BERNINI, LTX):
        with pytest.raises(LumosXError, match="object 1 has no phrase"):
            made(mute, model=model)
    assert "object 1, no phrase" in made(mute, model=VACE).report


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (H3, "<Picture 2>"),
        (H3, "< subject 1 >"),
        (H3, "<|im_end|>"),
        (BERNINI, "image3"),
        (BERNINI, "Image 12"),
        (LTX, "### Target Description"),
        (H3, "embedding:bad"),
        (LTX, "embedding:bad"),
    ],
)
def test_tags_that_are_written_for_the_artist_are_refused(model, text):
    with pytest.raises(LumosXError, match="The prompt has"):
        made(prompt=f"{PROMPT} {text}", model=model)


def test_sound_that_a_model_does_not_read_is_reported():
    for model in MODELS:
        notes = made(model=model, too_many=LEAVE_OUT, music="A waltz.").notes
        assert any("no place for a soundscape or music" in note for note in notes) == (model != H3)


def test_headings_in_the_soundscape_are_refused():
    with pytest.raises(LumosXError, match="heading"):
        made(soundscape="summary:")


@pytest.mark.parametrize("model", MODELS)
def test_braces_quotes_and_signs_survive(model):
    odd = ' He says "a < b > c" {x|y} & [z] 100%'
    prompt = made(prompt=PROMPT + odd, model=model, too_many=LEAVE_OUT).prompt
    assert odd in prompt


@pytest.mark.parametrize("model", MODELS)
def test_weights_are_dropped_and_brackets_that_are_meant_survive(model):
    prompt = PROMPT.replace("grey vest", "(grey vest:1.4)") + r" It says \(stop\)."
    written = made(prompt=prompt, model=model, too_many=LEAVE_OUT).prompt
    assert "1.4" not in written
    # The other text encoders take brackets as weights.
    assert ("It says (stop)." if model in (H3, LTX) else r"It says \(stop\).") in written


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ("a (red hat:1.2), and ((blue)) (wow!:1.2) great", "a red hat, and blue wow! great"),
        ('the "(jacket:1.2)" (a:0.5)(b)', 'the "jacket" a b'),
        (r"hat \(blue\) x(y)z", "hat (blue) x y z"),
    ],
)
def test_a_prompt_without_weights_has_no_gaps_where_they_were(typed, text):
    assert without_weights(typed) == text


def test_a_person_without_a_face_is_known_by_the_garment():
    scene = Scene((Subject(None, (reference("red raincoat"), reference("hat"))),))
    prompt = made(scene, "Somebody in a red raincoat and a hat waits.").prompt
    assert "<Subject 1> is the person in the red raincoat from <Picture 1>, in the hat from <Picture 2>." in prompt
    assert "Somebody in a red raincoat (worn by <Subject 1>) and a hat waits." in prompt


@pytest.mark.parametrize(("model", "size"), [(LTX, (832, 464)), (VACE, (832, 472)), (H3, (8, 480))])
def test_a_size_that_the_model_does_not_take_is_refused(model, size):
    with pytest.raises(LumosXError, match="takes multiples of"):
        made(model=model, width=size[0], height=size[1])


def test_a_scene_of_a_background_alone_is_refused_for_vace():
    with pytest.raises(LumosXError, match="only a background"):
        made(Scene(background=reference("tram stop")), model=VACE)
    assert "the background" in made(model=VACE).notes[0]


def test_people_stay_together_on_a_canvas():
    images = [torch.rand(40, 40, 3) for _ in range(8)]
    _, panels = draw_panels(images, (range(2), range(2, 4), range(4, 8)), 320, 192, "black")
    rows = [panel.place.partition(" Row")[0] for panel in panels]
    assert len(set(rows)) > 1 and len(set(rows[:2])) == len(set(rows[2:4])) == len(set(rows[4:])) == 1
    with pytest.raises(LumosXError, match="no room"):
        draw_panels(images, (range(8),), 32, 32, "black")
    with pytest.raises(LumosXError, match="expected 1 to 15"):
        draw_panels(images * 2, (), 320, 192, "black")
