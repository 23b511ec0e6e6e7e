import pytest
import torch
from PIL import ImageColor

from lumosx_core import Reference, Scene, Subject
from lumosx_core.case_folder import read_case
from lumosx_core.contact_sheet import COLOURS, WARNING, draw_contact_sheet, group_colour
from lumosx_core.phrases import PromptSpan, match_phrases_in_text

FACE, JACKET, LAMP, ROOM = (10, 20, 30), (200, 0, 90), (0, 120, 60), (90, 90, 200)


def picture(phrase, colour=FACE, height=40, width=30):
    return Reference(phrase, (torch.tensor(colour) / 255).expand(height, width, 3))


def sheet(scene, prompt):
    return draw_contact_sheet(scene, match_phrases_in_text(prompt, scene))


def box_of(image, colour):
    """Left, top, right and bottom of what has exactly this colour; None if nothing has."""
    colour = ImageColor.getrgb(colour) if isinstance(colour, str) else colour
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).reshape(image.height, image.width, 3)
    rows, columns = (pixels == torch.tensor(colour)).all(-1).nonzero(as_tuple=True)
    return (int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())) if len(rows) else None


def test_a_subject_is_a_row_with_its_face_first_and_the_rest_below():
    scene = Scene(
        (Subject(picture("man"), (picture("jacket", JACKET),)),), (picture("lamp", LAMP),), picture("room", ROOM)
    )
    image = sheet(scene, "a man in a jacket by a lamp in a room")
    face, jacket, lamp, room = (box_of(image, colour) for colour in (FACE, JACKET, LAMP, ROOM))
    assert face[2] < jacket[0] and face[1] == jacket[1] and face[3] == jacket[3]
    assert jacket[3] < lamp[1] and lamp[3] < room[1]
    assert face[2] - face[0] + 1 == 142 and face[3] - face[1] + 1 == 190


def test_every_group_has_its_own_colour_and_all_of_them_return():
    scene = Scene((Subject(picture("a")),) * 3, (picture("b"),) * 3, picture("c"))
    colours = [group_colour(scene, group) for group in range(7)]
    assert sorted(colours) == sorted(COLOURS)
    assert colours[4:] == list(COLOURS[:3])
    assert group_colour(Scene((Subject(picture("a")),) * 8), 7) == COLOURS[0]


def test_the_words_of_a_group_are_in_its_colour():
    scene = Scene((Subject(picture("man")), Subject(picture("woman"))))
    with_words = sheet(scene, "a man and a woman")
    without = draw_contact_sheet(scene, [PromptSpan("a man and a woman")])
    for group, colour in enumerate(COLOURS[:2]):
        words, title = box_of(with_words, colour), box_of(without, colour)
        assert words[3] > title[3] + 50, f"group {group} is not marked in the prompt"
        prompt = with_words.crop((0, with_words.height - 70, with_words.width, with_words.height))
        _, top, _, bottom = box_of(prompt, colour)
        assert bottom - top > 10, "only the underline has the colour, not the words"
    assert box_of(with_words, COLOURS[2]) is None


def test_words_of_two_groups_are_underlined_in_both_colours():
    scene = Scene((Subject(None, (picture("jacket"),)), Subject(None, (picture("jacket", JACKET),))))
    image = sheet(scene, "jacket")
    assert abs(box_of(image, COLOURS[0])[3] - box_of(image, COLOURS[1])[3]) <= 1


def test_a_phrase_that_the_prompt_does_not_contain_is_marked():
    scene = Scene((Subject(picture("man"), (picture("hat#2"), picture("", JACKET))),))
    assert box_of(sheet(scene, "a man with a hat and a hat"), WARNING) is None
    assert box_of(sheet(scene, "a man with a cap"), WARNING) is not None
    assert box_of(sheet(scene, ""), WARNING) is None


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 3000), (3000, 1), (2000, 2000), (190, 338)])
def test_the_sheet_has_the_same_size_for_pictures_of_any_size(height, width):
    image = sheet(Scene(objects=(picture("lamp", LAMP, height, width),)), "a lamp")
    assert image.size == sheet(Scene(objects=(picture("lamp"),)), "a lamp").size
    assert box_of(image, LAMP)


def test_any_number_of_pictures_and_subjects_gives_a_sheet_of_bounded_size():
    assert sheet(Scene(), "").height < 200
    assert sheet(Scene((Subject(None),)), "").height < 300
    crowd = sheet(Scene(tuple(Subject(picture("man")) for _ in range(300))), "a man")
    assert crowd.height < 20_000
    assert crowd.height < sheet(Scene((Subject(picture("man")),) * 60), "a man").height + 200
    objects = [sheet(Scene(objects=(picture("lamp", LAMP),) * count), "a lamp").height for count in (60, 300)]
    assert objects[1] < objects[0] + 200
    assert sheet(Scene((Subject(None),) * 300), "").height < 20_000


def test_long_words_scripts_the_font_lacks_and_long_prompts_are_drawn():
    phrases = ["x" * 400, "a phrase of many words " * 40, "穿牛仔夹克的男人", "👩‍🚀 رجل", "t\u0301"]
    scene = Scene(objects=tuple(picture(phrase) for phrase in phrases))
    image = sheet(scene, " ".join(phrases) + " word" * 5000)
    assert image.width == 1080
    assert image.height < 4000
    background = image.getpixel((0, 0))
    assert image.crop((1052, 0, 1080, image.height)).getcolors() == [(28 * image.height, background)]


def test_a_released_case_marks_all_its_phrases(shared_cases):
    case = read_case(shared_cases / "man_and_woman_outfits")
    image = sheet(case.scene, case.prompt)
    assert box_of(image, WARNING) is None
    prompt_top = image.height - 340
    assert all(box_of(image, colour)[3] > prompt_top for colour in COLOURS[:5])
