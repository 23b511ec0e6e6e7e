import os
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from lumosx_core import Reference, Scene, Subject
from lumosx_core.prompt.highlight import phrases_only
from lumosx_core.prompt.phrase_mask import words_meant
from lumosx_core.prompt.scene_warnings import scene_warnings
from lumosx_core.scene.case_folder import read_case

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/caption.txt"))


def image(phrase, pixels=None):
    return Reference(phrase, torch.ones(40, 30, 3) * 0.5 if pixels is None else pixels)


def people(*phrases):
    """A scene with a subject for each tuple of phrases: face first, then garments."""
    return Scene(tuple(Subject(image(face), tuple(map(image, rest))) for face, *rest in phrases))


def standing_person(height=400, width=200, colour=1.0):
    """A figure from head to foot on a plain background."""
    picture = torch.full((height, width, 3), float(colour))
    middle = width // 2
    for top, bottom, half in ((0.02, 0.14, 0.06), (0.14, 0.55, 0.18), (0.55, 0.98, 0.13)):
        rows = slice(int(top * height), int(bottom * height))
        picture[rows, int(middle - half * height / 2) : int(middle + half * height / 2)] = 0.3
    return picture


def with_face(face, height=600, width=400, face_height=75):
    """A photo in which a real face is small, as in a whole-body photo, before a wall that is not plain."""
    picture = torch.rand(1, 3, height // 20, width // 20) * 0.3 + 0.4
    picture = F.interpolate(picture, size=(height, width), mode="bicubic")[0].permute(1, 2, 0).clamp(0, 1)
    face_width = round(face_height * face.shape[1] / face.shape[0])
    small = F.interpolate(face.permute(2, 0, 1)[None], size=(face_height, face_width), mode="area")[0]
    left = (width - face_width) // 2
    picture[30 : 30 + face_height, left : left + face_width] = small.permute(1, 2, 0)
    return picture


@pytest.fixture(scope="module")
def face_detector():
    pytest.importorskip("insightface")
    path = Path(os.environ.get("LUMOSX_WEIGHTS", ROOT.parent / "shared/weights")) / "scrfd_500m_kps.onnx"
    if not path.is_file():
        pytest.skip(f"no face detector at {path}")
    from lumosx_core.auto_scene.networks.face_detector import FaceDetector

    return FaceDetector.load(path)


def test_a_good_scene_has_no_warnings():
    assert (
        scene_warnings(
            people(("man", "white shirt"), ("woman", "red hat")), "A man in a white shirt, a woman in a red hat."
        )
        == []
    )


def test_an_empty_prompt_is_named_and_an_unknown_one_is_not():
    scene = people(("man",))
    for empty in ("", "  \n"):
        assert ["The prompt is empty" in each for each in scene_warnings(scene, empty)] == [True]
    assert scene_warnings(scene, None) == []


def test_a_scene_without_any_phrase_is_bound_to_nothing():
    (message,) = scene_warnings(people(("", ""), ("",)), "a man")
    assert message.startswith("All phrases are empty") and "subject 1 (face) first" in message
    (message,) = scene_warnings(Scene(background=image(" ")), "a man")
    assert "the background first" in message


def test_one_person_without_phrases_is_named_and_one_image_without_is_fine():
    (message,) = scene_warnings(people(("man", ""), ("", "")), "a man")
    assert message.startswith("Subject 2 has no phrase")


def test_the_same_words_for_two_people_are_named_with_numbers_as_the_fix():
    prompt = "a man in a shirt and a woman in a shirt"
    (message,) = scene_warnings(people(("man", "shirt"), ("woman", "shirt")), prompt)
    assert message == (
        'The phrase "shirt" belongs to subject 1 (attribute 1) and to subject 2 (attribute 1), so it does not say '
        'whose it is. Write "shirt#1" for the one and "shirt#2" for the other.'
    )
    assert scene_warnings(people(("man", "shirt#1"), ("woman", "shirt#2")), prompt) == []


def test_the_same_words_once_in_the_prompt_need_other_words():
    (message,) = scene_warnings(people(("man", "shirts"), ("woman", "shirts")), "a man and a woman in shirts")
    assert "Describe each in different words in the prompt" in message


def test_the_same_number_twice_names_a_free_one():
    (message,) = scene_warnings(people(("man#1",), ("man#1",)), "a man greets a man")
    assert '"man#1" is used for subject 1 (face) and for subject 2 (face)' in message and '"man#2"' in message
    (message,) = scene_warnings(people(("man#2",), ("man#2",)), "a man greets a man")
    assert '"man#1"' in message


def test_a_number_and_every_occurrence_overlap():
    (message,) = scene_warnings(people(("man",), ("man#2",)), "a man greets a man")
    assert 'means every "man" of the prompt, also "man#2" of subject 2 (face)' in message
    assert message.endswith('Write "man#1" for subject 1 (face).')


def test_a_phrase_within_the_longer_one_of_someone_else_is_named_with_its_number():
    prompt = "a man in a white shirt and a woman in a shirt"
    (message,) = scene_warnings(people(("man", "white shirt"), ("woman", "shirt")), prompt)
    assert '"shirt" of subject 2 (attribute 1) is also part of "white shirt" of subject 1' in message
    assert 'Write "shirt#2"' in message
    assert scene_warnings(people(("man", "white shirt"), ("woman", "shirt#2")), prompt) == []


def test_a_number_that_the_prompt_contains_belongs_to_the_words():
    scene = people(("player #3",), ("player #7",))
    assert scene_warnings(scene, "player #3 passes to player #7") == []


def test_images_of_one_person_may_share_a_phrase():
    assert scene_warnings(people(("man", "man", "hat", "hat")), "a man in a hat") == []


@pytest.mark.parametrize("colour", [1.0, 0.0, 0.5])
def test_a_whole_body_on_a_plain_background_is_recognised_by_its_outline(colour):
    scene = Scene((Subject(image("man")), Subject(image("woman", standing_person(colour=colour)))))
    (message,) = scene_warnings(scene, "a man and a woman")
    assert message.startswith("The face image of subject 2 is probably a whole body")
    assert "judged by its outline" in message and "Crop it to the face" in message


def test_a_whole_body_on_a_wide_canvas_and_one_that_fills_its_image_are_recognised_too():
    wide = torch.ones(400, 900, 3)
    wide[:, 350:550] = standing_person()
    for pixels in (wide, torch.rand(400, 150, 3), standing_person()[:390]):
        assert len(scene_warnings(Scene((Subject(image("man", pixels)),)), "a man")) == 1


def test_a_garment_may_be_tall_and_a_single_pixel_says_nothing():
    scene = Scene((Subject(image("man"), (image("coat", standing_person()),)),))
    assert scene_warnings(scene, "a man in a coat") == []
    tall = Scene((Subject(image("man", standing_person())),))
    assert scene_warnings(phrases_only(tall), "a man") == []


@pytest.mark.parametrize("case", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_have_no_warnings(case, face_detector):
    case = read_case(case)
    assert scene_warnings(case.scene, case.prompt) == []
    assert scene_warnings(case.scene, case.prompt, faces=face_detector) == []


def test_photos_of_faces_have_no_warnings(shared_cases, face_detector):
    for folder in sorted(path.parent for path in shared_cases.glob("*/caption.txt")):
        case = read_case(folder)
        assert scene_warnings(case.scene, case.prompt) == [], folder
        assert scene_warnings(case.scene, case.prompt, faces=face_detector) == [], folder


def test_a_small_face_in_a_photo_is_measured(shared_cases, face_detector):
    torch.manual_seed(0)
    face = read_case(shared_cases / "man_and_woman_outfits").scene.subjects[1].face.image
    scene = Scene((Subject(image("woman", with_face(face))),))
    (message,) = scene_warnings(scene, "a woman", faces=face_detector)
    assert "shows a face of 1." in message and "% of its area, less than 5%" in message
    # By the outline alone nothing is known of it, so nothing is said.
    assert scene_warnings(scene, "a woman") == []
    half_figure = Scene((Subject(image("woman", with_face(face, face_height=300))),))
    assert scene_warnings(half_figure, "a woman", faces=face_detector) == []


def test_the_suggested_numbers_are_in_the_prompt():
    prompt = "a man in a white shirt and a woman in a shirt"
    (message,) = scene_warnings(people(("man", "white shirt"), ("woman", "shirt")), prompt)
    suggestion = message.split('Write "')[1].split('"')[0]
    assert words_meant(suggestion, prompt) == [(prompt.rindex("shirt"), len(prompt))]
