import itertools

import pytest
import torch
from PIL import ImageColor

from lumosx_core import Reference, Scene, Subject
from lumosx_core.drawing.contact_sheet import COLOURS, WARNING, draw_contact_sheet, group_colour
from lumosx_core.drawing.fonts import text_length, undrawable
from lumosx_core.prompt.phrase_mask import PromptSpan, match_phrases_in_text
from lumosx_core.scene.case_folder import read_case

FACE, JACKET, LAMP, ROOM = (10, 20, 30), (200, 0, 90), (0, 120, 60), (90, 90, 200)


def picture(phrase, colour=FACE, height=40, width=30):
    return Reference(phrase, (torch.tensor(colour) / 255).expand(height, width, 3))


def sheet(scene, prompt, warnings=()):
    return draw_contact_sheet(scene, match_phrases_in_text(prompt, scene), warnings)


def person(face, *colours):
    return Subject(picture(face), tuple(picture("hat", colour) for colour in colours))


def box_of(image, colour):
    """Left, top, right and bottom of what has exactly this colour; None if nothing has."""
    colour = ImageColor.getrgb(colour) if isinstance(colour, str) else colour
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).reshape(image.height, image.width, 3)
    rows, columns = (pixels == torch.tensor(colour)).all(-1).nonzero(as_tuple=True)
    return (int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())) if len(rows) else None


def test_a_subject_has_its_face_first_and_the_rest_of_the_scene_beside_it():
    scene = Scene(
        (Subject(picture("man"), (picture("jacket", JACKET),)),), (picture("lamp", LAMP),), picture("room", ROOM)
    )
    image = sheet(scene, "a man in a jacket by a lamp in a room")
    face, jacket, lamp, room = (box_of(image, colour) for colour in (FACE, JACKET, LAMP, ROOM))
    assert face[2] < jacket[0] and face[1] == jacket[1] and face[3] == jacket[3]
    assert jacket[2] < lamp[0] and lamp[2] < room[0] and jacket[1] == lamp[1] == room[1]
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
        prompt = with_words.crop((0, with_words.height - 75, with_words.width, with_words.height))
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


@pytest.mark.slow
def test_long_words_scripts_the_font_lacks_and_long_prompts_are_drawn():
    phrases = ["x" * 400, "a phrase of many words " * 40, "穿牛仔夹克的男人", "👩‍🚀 رجل", "t\u0301"]
    scene = Scene(objects=tuple(picture(phrase) for phrase in phrases))
    image = sheet(scene, " ".join(phrases) + " word" * 3500)
    assert image.height < 4000
    background = image.getpixel((0, 0))
    margin = image.crop((image.width - 24, 0, image.width, image.height))
    assert margin.getcolors() == [(24 * image.height, background)]


RED, GREEN, BLUE = (220, 0, 0), (0, 160, 0), (0, 0, 220)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("rest", [False, True])
def test_the_sheet_is_a_landscape_with_people_side_by_side(count, rest):
    colours = [RED, GREEN, BLUE, (120, 60, 0)][:count]
    people = tuple(person("man", colour, FACE, FACE) for colour in colours)
    scene = Scene(people, (picture("lamp", LAMP),) * 3, picture("room", ROOM)) if rest else Scene(people)
    warnings = ["Something about subject 1 that takes a line of text."] if rest else []
    image = sheet(scene, "A man in a hat by a lamp in a room, and some more words about the light. " * 3, warnings)
    assert image.width >= 1.2 * image.height
    boxes = [box_of(image, colour) for colour in colours]
    assert all(one[2] < other[0] and one[1] == other[1] for one, other in itertools.pairwise(boxes))


def test_a_fifth_person_begins_a_second_row():
    colours = [RED, GREEN, BLUE, (120, 60, 0), (9, 99, 99)]
    image = sheet(Scene(tuple(person("man", colour) for colour in colours)), "a man in a hat")
    tops = [box_of(image, colour)[1] for colour in colours]
    assert len(set(tops[:4])) == 1 and tops[4] > tops[0] + 190


def test_warnings_are_written_below_the_prompt():
    scene = Scene((Subject(picture("man")),))
    plain = sheet(scene, "a man")
    warned = sheet(scene, "a man", ["The first warning.", "The second warning."])
    assert box_of(plain, WARNING) is None
    assert warned.height > plain.height + 80
    assert box_of(warned, WARNING)[1] >= plain.height - 30


def test_a_near_miss_says_what_was_meant():
    def height(prompt):
        top, bottom = (box_of(sheet(Scene((Subject(picture("shirts")),)), prompt), WARNING)[i] for i in (1, 3))
        return bottom - top

    assert height("a shirt") > height("a tower") + 20


def test_scripts_that_the_own_font_lacks_are_drawn_with_a_font_of_the_machine_or_said_to_be_missing():
    scene = Scene((Subject(picture("男人")),))
    image = sheet(scene, "一个男人")
    if undrawable("一个男人"):
        assert box_of(image, WARNING) is not None
    else:
        assert box_of(image, WARNING) is None
        assert text_length("男", 20) > 15
    unknown = "\U0003134a"  # a rare letter of an extension that common fonts lack
    if undrawable(unknown):
        assert box_of(sheet(scene, f"一个男人{unknown}"), WARNING) is not None


def test_a_letter_is_drawn_with_its_marks_and_what_no_font_has_is_named():
    assert undrawable("e\u0301 plain") == ""
    assert undrawable("\U0010fffe\U0010fffe") == "\U0010fffe"
    assert text_length("\U0010fffe", 20) == text_length("?", 20)


def test_a_released_case_marks_all_its_phrases(shared_cases):
    case = read_case(shared_cases / "man_and_woman_outfits")
    image = sheet(case.scene, case.prompt)
    assert box_of(image, WARNING) is None
    prompt_top = image.height - 340
    assert all(box_of(image, colour)[3] > prompt_top for colour in COLOURS[:5])
