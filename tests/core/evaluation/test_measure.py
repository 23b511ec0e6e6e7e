"""All metrics of one video, what is skipped and why; and the misbinding matrix on coloured people."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from coloured_world import FacesByColour, MeanColour, ThingsByColour, blank, case_of, cosine, paint

from lumosx_core.auto_scene.cutouts.regions import Box, Detection
from lumosx_core.errors import LumosXError, MissingPackageError, OutOfMemory
from lumosx_core.evaluation.measure import METRICS, measure
from lumosx_core.evaluation.measured_video import MeasuredVideo, Networks, Protocol, Video
from lumosx_core.evaluation.misbinding.calibrate_videos import calibrate_videos
from lumosx_core.evaluation.misbinding.calibration import Calibration
from lumosx_core.evaluation.misbinding.measure_misbinding import measure_misbinding
from lumosx_core.evaluation.networks import NetworkNote
from lumosx_core.evaluation.results import Label

FACES = ((0.05, 0.9, 1.0), (0.9, 0.3, 1.0))
SHIRTS = {"jacket": (0.8, 0.1, 0.2), "dress": (0.1, 0.7, 0.2)}
OTHER = (0.4, 0.05, 0.75)
BODY = (0.3, 0.3, 0.3)
PEOPLE = {"man": BODY}
LOOK = MeanColour(3)


def draw(*people, size=(100, 120)):
    """People side by side, each a face and a shirt, or None for nobody there."""
    image = blank(*size)
    for number, person in enumerate(people):
        left = 8 + 36 * number
        if person is None:
            continue
        face, shirt = person
        paint(image, (left, 10, left + 24, 90), BODY)
        if face is not None:
            paint(image, (left + 7, 16, left + 17, 28), face)
        if shirt is not None:
            paint(image, (left + 3, 40, left + 21, 64), shirt)
    return image


class PeopleByColour(ThingsByColour):
    """Bodies are "man"; "jacket" finds the jacket only, as a good detector does."""


def networks(words=None, **others):
    finder = PeopleByColour(PEOPLE | SHIRTS | (words or {}))
    return replace(Networks(faces=FacesByColour(), phrases=finder, things=finder, arc=LOOK, dino=LOOK), **others)


def case(attributes=({"jacket": SHIRTS["jacket"]}, {"dress": SHIRTS["dress"]})):
    described = case_of(FACES, attributes)
    for subject in described.scene.subjects:
        object.__setattr__(subject.face, "phrase", "man")
    return described


RIGHT = ((FACES[0], SHIRTS["jacket"]), (FACES[1], SHIRTS["dress"]))


def filmed(*people, frames=9):
    return Video(draw(*people)[None].repeat(frames, 1, 1, 1), 16)


def misbinding(*people, truth=RIGHT, described=None, given=None, **options):
    video = MeasuredVideo("1", "1.mp4", described or case(), filmed(*people), filmed(*truth) if truth else None)
    scores, skipped = measure_misbinding(video, given or networks(), **options)
    return {each.dimension: each for each in scores}, skipped


def labels(scores):
    return [each.label.value for each in scores.labels]


def test_the_matrices_are_cosines_minus_those_of_the_ground_truth():
    scores, skipped = misbinding((FACES[1], SHIRTS["jacket"]), (FACES[0], SHIRTS["dress"]))
    assert skipped == {} and list(scores) == ["face", "person", "attributes"]
    images = [subject.attributes[0].image for subject in case().scene.subjects]
    shirts = scores["attributes"]
    for i in range(2):
        for j in range(2):
            shown = LOOK.one(torch.tensor(list(SHIRTS.values())[1 - i]))  # subject i is found by its face
            truth = cosine(LOOK.one(torch.tensor(list(SHIRTS.values())[i])), LOOK.one(images[j]))
            assert shirts.frames[0].similarity[i][j] == pytest.approx(cosine(shown, LOOK.one(images[j])), abs=1e-5)
            assert shirts.truth[i][j] == pytest.approx(truth, abs=1e-5)
            assert shirts.frames[0].difference[i][j] == pytest.approx(
                shirts.frames[0].similarity[i][j] - truth, abs=1e-5
            )
    assert shirts.frames[0].boxes == (Box(47, 40, 65, 64), Box(11, 40, 29, 64))
    assert [(slot.subject, slot.phrase, slot.reference) for slot in shirts.slots] == [(0, "jacket", 1), (1, "dress", 3)]
    assert [slot.reference for slot in scores["face"].slots] == [0, 2]
    person, crop = scores["person"], draw(*[(FACES[1], SHIRTS["jacket"]), (FACES[0], SHIRTS["dress"])])[10:90, 44:68]
    expected = [cosine(LOOK.one(crop), LOOK.one(each.image)) for each in case().scene.subjects[1].references]
    assert person.frames[0].similarity[0][1] == pytest.approx(sum(expected) / 2, abs=1e-5)


def test_exchanged_faces_are_a_swap_in_both_dimensions_and_moved_people_in_none():
    scores, _ = misbinding((FACES[1], SHIRTS["jacket"]), (FACES[0], SHIRTS["dress"]))
    assert labels(scores["face"]) == labels(scores["attributes"]) == ["swap", "swap"]
    assert [each.other for each in scores["face"].labels] == [1, 0]
    scores, _ = misbinding(*RIGHT[::-1])
    assert labels(scores["face"]) == labels(scores["attributes"]) == labels(scores["person"]) == ["ok", "ok"]
    assert scores["face"].all_ok and len(scores["face"].frames) == 8


def test_clothes_of_another_are_found_by_their_own_words():
    """Nobody wears the dress: its words find nothing in the second person's box, but those of the jacket do."""
    scores, _ = misbinding((FACES[0], SHIRTS["jacket"]), (FACES[1], SHIRTS["jacket"]))
    assert labels(scores["attributes"]) == ["ok", "dominance"] and scores["attributes"].labels[1].other == 0


def test_one_thing_is_not_two_of_a_persons_attributes():
    """The first person's hat is missing; what the second one's hat is called is the jacket that is found already."""
    attributes = ({"jacket": SHIRTS["jacket"], "hat": OTHER}, {"dress": SHIRTS["dress"], "cap": OTHER})
    found = networks({"cap": SHIRTS["jacket"], "hat": OTHER})
    scores, _ = misbinding(
        *RIGHT,
        described=case(attributes),
        given=found,
        truth=None,
        calibrations=dict.fromkeys(("face", "person", "attributes"), Calibration(matched=0.9)),
    )
    assert [scores["attributes"].slots[i].phrase for i in range(4)] == ["jacket", "hat", "dress", "cap"]
    assert labels(scores["attributes"])[1] == "missing"


def test_another_colour_is_drift_and_nothing_is_missing():
    calibrations = dict.fromkeys(("face", "person", "attributes"), Calibration(0.1, 0.99))
    blue = (0.0, 0.0, 0.9)  # no nearer to the dress than the jacket is
    given = networks({"jacket": blue})
    scores, _ = misbinding((FACES[0], blue), RIGHT[1], given=given, truth=None, calibrations=calibrations)
    assert labels(scores["attributes"]) == ["drift", "ok"]
    scores, _ = misbinding((FACES[0], None), RIGHT[1])
    assert labels(scores["attributes"]) == ["missing", "ok"]
    scores, _ = misbinding(RIGHT[0], None)
    assert labels(scores["attributes"]) == labels(scores["face"]) == labels(scores["person"]) == ["ok", "missing"]
    assert scores["face"].frames[0].similarity[1] == (None, None) and scores["face"].frames[0].boxes[1] is None


def test_a_stranger_is_nobody_of_the_scene():
    """The Hungarian assignment would give the stranger to the subject that is left over."""

    class ThreeFaces(MeanColour):
        def one(self, image):
            image = torch.as_tensor(image)
            green = float(image[image[..., 2] > 0.99][:, 1].mean())
            return np.eye(3)[0 if green > 0.8 else 1 if green > 0.2 else 2]

    given = networks(arc=ThreeFaces())
    scores, _ = misbinding(((0.5, 0.1, 1.0), SHIRTS["jacket"]), RIGHT[1], given=given)
    assert labels(scores["attributes"]) == ["missing", "ok"]
    assert labels(scores["face"]) == ["drift", "ok"]  # known by the clothes, with a face that is nobody's


def test_without_attributes_faces_are_known_by_their_position():
    bare = case(({}, {}))
    scores, skipped = misbinding(*RIGHT, described=bare)
    assert labels(scores["face"]) == ["ok", "ok"] and "No subject has an attribute" in skipped["attributes"]
    scores, _ = misbinding(*RIGHT[::-1], described=bare)
    assert labels(scores["face"]) == ["swap", "swap"]
    scores, skipped = misbinding(*RIGHT, described=bare, truth=None, calibrations={"face": Calibration(matched=0.9)})
    assert "faces have no slots" in skipped["face"] and "calibrate" in skipped["person"]


def test_without_a_ground_truth_references_are_compared_with_each_other():
    given = dict.fromkeys(("face", "person", "attributes"), Calibration(0.2, 0.97, 5))
    scores, skipped = misbinding(*RIGHT, truth=None, calibrations=given)
    images = [LOOK.one(subject.attributes[0].image) for subject in case().scene.subjects]
    assert skipped == {} and scores["attributes"].threshold == 0.2
    assert scores["attributes"].truth[0][0] == pytest.approx(0.97)
    assert scores["attributes"].truth[0][1] == pytest.approx(cosine(*images), abs=1e-5)
    assert labels(scores["attributes"]) == ["ok", "ok"]


def test_who_is_not_in_the_ground_truth_needs_the_calibration():
    _, skipped = misbinding(*RIGHT, truth=(RIGHT[0], None))
    assert "does not show dress" in skipped["attributes"]
    given = dict.fromkeys(("face", "person", "attributes"), Calibration(matched=0.95))
    scores, _ = misbinding(*RIGHT, truth=(RIGHT[0], None), calibrations=given)
    assert scores["attributes"].truth[1][1] == pytest.approx(0.95) and scores["attributes"].truth[0][0] != 0.95


def test_a_subject_without_a_face_is_left_out_and_says_so():
    attributes = [{"jacket": SHIRTS["jacket"]}, {"dress": SHIRTS["dress"]}, {"coat": OTHER}]
    described = case_of([*FACES, None], attributes)
    _, skipped = misbinding(*RIGHT, described=described, given=networks({"person": BODY}))
    assert "no face image" in skipped["attributes of coat"]


def test_one_person_cannot_be_mixed_up():
    with pytest.raises(LumosXError, match="two or more"):
        misbinding(RIGHT[0], described=case_of(FACES[:1]))
    with pytest.raises(LumosXError, match="No network for arc"):
        misbinding(*RIGHT, given=networks(arc=None))


def test_a_persons_box_is_searched_once_for_both_uses_of_clothes():
    finder = PeopleByColour(PEOPLE | SHIRTS)
    misbinding(*RIGHT, given=networks(things=finder, phrases=PeopleByColour(PEOPLE)))
    people, frames, words = 2, 8, 2
    assert len(finder.asked) == 2 * people * frames * words  # in the video and in its ground truth


def test_dimensions_can_be_chosen():
    scores, _ = misbinding(*RIGHT, dimensions=("face",))
    assert list(scores) == ["face"]


def test_real_videos_calibrate_their_networks():
    """Frames alternate between two shades: t is what the cosines differ by between them."""
    light = [(FACES[0], (0.85, 0.15, 0.2)), (FACES[1], SHIRTS["dress"])]
    frames = torch.stack([draw(*RIGHT), draw(*light)])
    truth = Video(frames, 16)
    given = networks(things=PeopleByColour(PEOPLE | SHIRTS, tolerance=0.06))
    videos = [
        MeasuredVideo("1", "1.mp4", case(), filmed(*RIGHT[::-1]), truth),
        MeasuredVideo("2", "2.mp4", case(), filmed(*RIGHT)),
        MeasuredVideo("3", "3.mp4", case_of(FACES[:1]), filmed(RIGHT[0]), truth),
    ]
    steps = []
    found = calibrate_videos(videos, given, step=steps.append)
    assert steps == [0, 1, 2] and set(found) == {"face", "person", "attributes"}
    images = [LOOK.one(subject.attributes[0].image) for subject in case().scene.subjects]
    shown = [
        [LOOK.one(torch.tensor(colour)) for colour in (SHIRTS["jacket"], light[0][1])],
        [LOOK.one(SHIRTS["dress"])],
    ]
    changes = [abs(cosine(shown[0][0], image) - cosine(shown[0][1], image)) for image in images] + [0, 0]
    assert found["attributes"].threshold == pytest.approx(np.percentile(changes, 95), abs=1e-5)
    own = [cosine(one, images[0]) for one in shown[0]] + [cosine(shown[1][0], images[1])] * 2
    assert found["attributes"].matched == pytest.approx(np.median(own), abs=1e-5)
    assert found["attributes"].videos == 1
    with pytest.raises(LumosXError, match="nothing can be calibrated"):
        calibrate_videos(videos[1:], given)


# All metrics


class Bright:
    note = NetworkNote("bright", "none", False)

    def embed_video(self, frames):
        return torch.nn.functional.normalize(frames.mean(dim=(0, 1, 2)), dim=0)

    def embed_text(self, text):
        return torch.tensor([1.0, 0.0, 0.0])

    def flow(self, first, second):
        return torch.zeros(2, *first.shape[:2])


def everything():
    return networks(cur=MeanColour(8), clip=MeanColour(9), video=Bright(), flow=Bright(), inception=MeanColour(7))


def test_all_metrics_of_a_video():
    steps = []
    video = MeasuredVideo("1", "1.mp4", case(), filmed(*RIGHT), filmed(*RIGHT))
    given = networks({"man with jacket": BODY, "man with dress": BODY})
    finders = {"phrases": given.phrases, "things": given.things}
    scores = measure(video, replace(everything(), **finders), step=steps.append)
    assert steps == list(METRICS) and scores.skipped == {}
    assert all(getattr(scores, metric) for metric in METRICS)
    assert scores.consistency.video == pytest.approx(1.0, abs=1e-5) and not scores.dynamic.dynamic
    assert scores.identity.missed == (0, 0) and scores.people == 2


def test_what_cannot_be_measured_is_skipped_with_its_reason():
    video = MeasuredVideo("1", "1.mp4", case_of([None]), filmed(RIGHT[0], frames=3))
    scores = measure(video, everything())
    assert "No subject has a face" in scores.skipped["identity"] and scores.identity is None
    assert "has 3 frames" in scores.skipped["dynamic"] and "3 frames to embed" in scores.skipped["consistency"]
    assert "two or more" in scores.skipped["misbinding"]
    scores = measure(video, Networks(), protocol=Protocol.REFERENCE)
    assert set(scores.skipped) == set(METRICS) and scores.skipped["dynamic"] == "No network for flow."


def test_a_short_ground_truth_costs_no_other_score():
    video = MeasuredVideo("1", "1.mp4", case(), filmed(*RIGHT), filmed(*RIGHT, frames=4))
    scores = measure(video, everything(), metrics=["consistency"])
    assert scores.consistency.text == measure(replace(video, truth=None), everything()).consistency.text
    assert scores.consistency.video is None and "4 frames" in scores.skipped["consistency with the ground truth"]


def test_only_the_chosen_metrics_are_measured():
    video = MeasuredVideo("1", "1.mp4", case(), filmed(*RIGHT))
    scores = measure(video, everything(), metrics=["consistency"])
    assert scores.identity is None and scores.consistency.video is None
    assert list(scores.skipped) == ["consistency with the ground truth"]
    with pytest.raises(LumosXError, match="no metric 'faces'"):
        measure(video, everything(), metrics=["faces"])


@pytest.mark.parametrize("error", [OutOfMemory("full"), MissingPackageError("scipy", "Matching", ImportError("no"))])
def test_errors_of_the_machine_are_not_reasons_to_skip(error):
    class Failing(MeanColour):
        def embed(self, images):
            raise error

    video = MeasuredVideo("1", "1.mp4", case(), filmed(*RIGHT))
    for metric in ("identity", "misbinding"):
        with pytest.raises(type(error)):
            measure(video, networks(arc=Failing()), metrics=[metric])


def test_detections_below_the_least_score_are_not_worn():
    class Unsure(ThingsByColour):
        def find(self, image, phrases):
            return [[Detection(each.box, 0.05) for each in boxes] for boxes in super().find(image, phrases)]

    found = networks(things=Unsure(PEOPLE | SHIRTS))
    given = dict.fromkeys(("face", "person", "attributes"), Calibration(matched=0.95))
    scores, _ = misbinding(*RIGHT, given=found, calibrations=given)
    assert {each.label for each in scores["attributes"].labels} == {Label.MISSING}
