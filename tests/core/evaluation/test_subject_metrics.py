"""Subject metrics against crops that are cut by hand, and what counts 0 or is skipped."""

import pytest
import torch
from coloured_world import FacesByColour, MeanColour, ThingsByColour, blank, case_of, cosine, paint, plain

from lumosx_core.auto_scene.cutouts.regions import Box, Detection
from lumosx_core.errors import LumosXError
from lumosx_core.evaluation.measured_video import Protocol, Video
from lumosx_core.evaluation.metrics.subject_metrics import subject_metrics
from lumosx_core.scene.scene import Reference, Scene

BODY, FACE, JACKET, CAP = (0.3, 0.3, 0.3), (0.2, 0.9, 1.0), (0.8, 0.1, 0.2), (0.1, 0.6, 0.3)
BODY_2, FACE_2, DRESS = (0.5, 0.5, 0.2), (0.9, 0.3, 1.0), (0.7, 0.7, 0.1)
LAMP = (0.25, 0.2, 0.6)
WORDS = {
    "man 0 with jacket and cap": BODY,
    "man 1 with dress": BODY_2,
    "jacket": JACKET,
    "cap": CAP,
    "dress": DRESS,
    "lamp": LAMP,
}
CLIP, DINO, ARC, CUR = (MeanColour(seed) for seed in range(1, 5))
PARTS = {  # by (top, bottom, left, right)
    "jacket": (50, 70, 12, 28),
    "cap": (20, 26, 14, 26),
    "dress": (50, 72, 52, 70),
    "lamp": (70, 90, 84, 92),
    # 17 % of 12 rows above, 3 % below, rounded
    "face": (26, 40, 15, 25),
    "face 2": (24, 40, 55, 65),
    "body 2": (10, 80, 50, 72),
}


def frame():
    image = blank(100, 100)
    paint(image, (10, 10, 30, 80), BODY)
    paint(image, (14, 20, 26, 26), CAP)
    paint(image, (15, 28, 25, 40), FACE)
    paint(image, (12, 50, 28, 70), JACKET)
    paint(image, (50, 10, 72, 80), BODY_2)
    paint(image, (55, 26, 65, 40), FACE_2)
    paint(image, (52, 50, 70, 72), DRESS)
    return paint(image, (84, 70, 92, 90), LAMP)


def case(objects=True):
    attributes = [{"jacket": (0.9, 0.2, 0.2), "cap": (0.2, 0.7, 0.4)}, {"dress": (0.8, 0.6, 0.2)}]
    lamp = (Reference("lamp", plain((0.3, 0.3, 0.5))),) if objects else ()
    return case_of([(0.3, 0.8, 0.9), (0.8, 0.4, 0.9)], attributes, objects=lamp)


def measure(image=None, words=WORDS, scene=None, protocol=Protocol.CLEAN, **networks):
    middle = frame() if image is None else image
    video = Video(torch.stack([torch.zeros_like(middle)] * 2 + [middle] + [torch.zeros_like(middle)]), 16)
    finder = ThingsByColour(words)
    given = {"faces": FacesByColour(), "clip": CLIP, "dino": DINO, "arc": ARC, "cur": CUR} | networks
    return subject_metrics(video, scene or case().scene, phrases=finder, things=finder, protocol=protocol, **given)


def part(name, image=None):
    top, bottom, left, right = PARTS[name]
    return (frame() if image is None else image)[top:bottom, left:right]


def expected(network, name, reference):
    return cosine(network.one(part(name)), network.one(reference))


def mean(*values):
    return sum(values) / len(values)


def test_scores_are_means_over_attributes_then_subjects_then_both_branches():
    scores, scene = measure(), case().scene
    (jacket, cap), (dress,) = (subject.attributes for subject in scene.subjects)
    things = [(jacket, "jacket"), (cap, "cap"), (dress, "dress"), (scene.objects[0], "lamp")]
    for name, network in (("clip_i", CLIP), ("dino_i", DINO)):
        j, c, d, lamp = (expected(network, words, reference.image) for reference, words in things)
        assert getattr(scores, name) == pytest.approx(mean(mean(mean(j, c), d), lamp), abs=1e-5)
    j, c, d, lamp = (cosine(CLIP.one(part(words)), CLIP.text(words)) for _, words in things)
    assert scores.clip_t == pytest.approx(mean(mean(mean(j, c), d), lamp), abs=1e-5)
    assert scores.frame == 2 and scores.subjects[0].query == "man 0 with jacket and cap"


def test_faces_are_those_in_the_box_of_their_subject():
    scores, scene = measure(), case().scene
    for name, network in (("arc", ARC), ("cur", CUR)):
        faces = [
            expected(network, words, subject.face.image)
            for words, subject in zip(("face", "face 2"), scene.subjects, strict=True)
        ]
        assert getattr(scores, name) == pytest.approx(mean(*faces), abs=1e-5)
    assert scores.subjects[0].face == Box(15, 26, 25, 40)


def test_without_a_face_the_whole_crop_counts():
    image = frame()
    image[24:40, 55:65] = 0.5
    scores, scene = measure(image), case().scene
    assert scores.subjects[1].face is None
    whole = cosine(ARC.one(part("body 2", image)), ARC.one(scene.subjects[1].face.image))
    assert scores.subjects[1].arc == pytest.approx(whole, abs=1e-5)


def test_a_subject_without_a_box_counts_0_and_is_skipped_in_cursim():
    everything = measure()
    scores = measure(words={key: value for key, value in WORDS.items() if key != "man 1 with dress"})
    first = everything.subjects[0]
    assert (scores.subjects[1].box, scores.subjects[1].arc, scores.subjects[1].cur) == (None, 0.0, None)
    assert scores.arc == pytest.approx(first.arc / 2) and scores.cur == pytest.approx(first.cur)
    [dress] = scores.subjects[1].attributes
    assert (dress.box, dress.clip_t, dress.clip_i, dress.dino_i) == (None, 0.0, 0.0, 0.0)
    attributes = mean(*(each.clip_i for each in first.attributes))
    assert scores.clip_i == pytest.approx(mean(attributes / 2, scores.objects[0].clip_i))


def test_an_attribute_or_object_that_is_not_found_counts_0():
    everything = measure()
    scores = measure(words={key: value for key, value in WORDS.items() if key not in ("cap", "lamp")})
    jacket, dress = everything.subjects[0].attributes[0], everything.subjects[1].attributes[0]
    assert scores.dino_i == pytest.approx(mean(mean(jacket.dino_i / 2, dress.dino_i), 0))


def test_attributes_are_searched_for_in_the_crop_and_need_a_tenth():
    class Unsure(ThingsByColour):
        def find(self, image, phrases):
            found = super().find(image, phrases)
            return [
                [Detection(each.box, {"jacket": 0.1, "cap": 0.09}.get(phrase, 1.0)) for each in boxes]
                for phrase, boxes in zip(phrases, found, strict=True)
            ]

    finder = Unsure(WORDS)
    video = Video(frame()[None], 16)
    scores = subject_metrics(video, case().scene, phrases=finder, things=finder, clip=CLIP)
    assert [each.box is not None for each in scores.subjects[0].attributes] == [True, False]
    assert ((70, 20), "jacket") in finder.asked and ((100, 100), "lamp") in finder.asked
    assert scores.arc is None and scores.dino_i is None and scores.subjects[0].attributes[1].dino_i is None


def test_the_best_of_several_boxes_of_an_attribute_counts():
    class Two(ThingsByColour):
        def find(self, image, phrases):
            return [[Detection(Box(0, 0, 5, 5), 0.3), Detection(Box(5, 5, 9, 9), 0.4)] for _ in phrases]

    scores = subject_metrics(
        Video(frame()[None], 16), case().scene, phrases=ThingsByColour(WORDS), things=Two({}), clip=CLIP
    )
    assert scores.subjects[0].attributes[0].box == Box(15, 15, 19, 19)


class ZeroArea(ThingsByColour):
    def find(self, image, phrases):
        return [[Detection(Box(7, 7, 7, 9), 0.9)] for _ in phrases]


def test_a_box_without_area_is_none_and_under_reference_everything():
    video, given = Video(frame()[None], 16), {"faces": FacesByColour(), "arc": ARC, "clip": CLIP}
    clean = subject_metrics(video, case().scene, phrases=ZeroArea({}), things=ZeroArea({}), **given)
    assert clean.subjects[0].box is None and clean.objects[0].box is None and clean.clip_i == 0
    given["faces"] = FacesByColour(0)
    quirk = subject_metrics(
        video, case().scene, phrases=ThingsByColour(WORDS), things=ZeroArea({}), protocol=Protocol.REFERENCE, **given
    )
    assert quirk.subjects[0].attributes[0].box == Box(10, 10, 30, 80) and quirk.objects[0].box == Box(0, 0, 100, 100)
    quirk = subject_metrics(
        video, case().scene, phrases=ZeroArea({}), things=ZeroArea({}), protocol=Protocol.REFERENCE, **given
    )
    assert quirk.subjects[0].box == Box(0, 0, 100, 100)


def test_reference_embeds_faces_in_bgr():
    scores = measure(protocol=Protocol.REFERENCE, faces=FacesByColour(0))
    face, reference = part("face"), case().scene.subjects[0].face.image
    assert scores.subjects[0].arc == pytest.approx(
        cosine(ARC.one(face.flip(-1)), ARC.one(reference.flip(-1))), abs=1e-5
    )
    assert measure().subjects[0].arc == pytest.approx(cosine(ARC.one(face), ARC.one(reference)), abs=1e-5)


def test_branches_that_a_scene_lacks():
    only_faces = case_of([(0.3, 0.8, 0.9)]).scene
    assert measure(words={"man 0": BODY}, scene=only_faces).clip_i is None
    assert measure(words={"man 0": BODY}, scene=only_faces, protocol=Protocol.REFERENCE).clip_i == 0
    only_lamp = Scene((), case().scene.objects)
    scores = measure(scene=only_lamp)
    assert scores.clip_i == pytest.approx(expected(CLIP, "lamp", only_lamp.objects[0].image), abs=1e-5)
    assert scores.arc is None and measure(scene=only_lamp, protocol=Protocol.REFERENCE).arc == 0
    only_things = case_of([None], [{"jacket": (0.9, 0.2, 0.2)}]).scene
    assert measure(words={"jacket": JACKET}, scene=only_things).subjects[0].query == "jacket"
    with pytest.raises(LumosXError, match="no subject and no object"):
        measure(scene=Scene((), (), Reference("park", plain((0.0, 0.0, 0.0)))))


def test_numbers_of_phrases_are_not_searched_for():
    scene = case_of([(0.3, 0.8, 0.9)], [{"jacket#2": (0.9, 0.2, 0.2)}]).scene
    scores = measure(words={"man 0 with jacket": BODY, "jacket": JACKET}, scene=scene)
    assert scores.subjects[0].attributes[0].box is not None
