"""FaceSim and the metrics of Ingredients against loops."""

from itertools import permutations

import numpy as np
import pytest
import torch
from coloured_world import FacesByColour, MeanColour, blank, case_of, cosine, paint

from lumosx_core.auto_scene.cutouts.regions import Face
from lumosx_core.errors import LumosXError
from lumosx_core.evaluation.measured_video import Protocol, Video
from lumosx_core.evaluation.metrics.face_crops import ALIGNED_LANDMARKS, aligned_face
from lumosx_core.evaluation.metrics.face_similarity import face_similarity
from lumosx_core.evaluation.metrics.ingredients_metrics import clip_frames, face_frames, ingredients_metrics

FACES = ((1.0, 0.1, 1.0), (0.1, 0.9, 1.0))
ARC, CUR, DINO = (MeanColour(seed) for seed in (1, 2, 3))


def film(*frames) -> Video:
    """Each frame a list of (left, width, colour) of faces of 12 rows."""
    images = []
    for faces in frames:
        image = blank(100, 200)
        for left, width, colour in faces:
            paint(image, (left, 30, left + width, 42), colour)
        images.append(image)
    return Video(torch.stack(images), 16)


def crop(frame: np.ndarray, left: int, width: int) -> np.ndarray:
    return frame[28:42, left : left + width]  # 17 % of 12 above, 3 % below


FRAMES = [
    [(20, 10, FACES[0]), (80, 12, FACES[1])],
    [(20, 10, (0.8, 0.3, 1.0)), (80, 12, (0.2, 0.7, 1.0)), (150, 4, FACES[0])],  # the small one is not looked at
    [],
    [(80, 12, (0.15, 0.85, 1.0))],
]


def test_each_person_has_the_mean_over_the_frames_that_show_them():
    video, case = film(*FRAMES), case_of(FACES)
    scores = face_similarity(video, case.scene, FacesByColour(), ARC, CUR, DINO)
    frames = video.frames.numpy()
    for person, (left, width, seen) in enumerate(((20, 10, (0, 1)), (80, 12, (0, 1, 3)))):
        reference = case.scene.subjects[person].face.image
        for network, score in ((ARC, scores.persons[person].arc), (CUR, scores.persons[person].cur)):
            values = [max(0, cosine(network.one(crop(frames[f], left, width)), network.one(reference))) for f in seen]
            assert score == pytest.approx(sum(values) / len(values), abs=1e-5)
        assert scores.persons[person].recall == len(seen) / 4
    assert scores.arc == pytest.approx(sum(each.arc for each in scores.persons) / 2)
    assert scores.recall == pytest.approx((0.5 + 0.75) / 2) and scores.frames == (0, 1, 2, 3)


def test_with_one_reference_the_largest_face_counts_right_or_wrong():
    video, case = film(FRAMES[0]), case_of(FACES[:1])
    scores = face_similarity(video, case.scene, FacesByColour(), ARC)
    wrong = max(0, cosine(ARC.one(crop(video.frames[0].numpy(), 80, 12)), ARC.one(case.scene.subjects[0].face.image)))
    assert scores.arc == pytest.approx(wrong, abs=1e-5) and scores.cur is None and scores.consistency is None


def test_cosines_below_0_count_0_and_faceless_frames_not_at_all():
    class Opposite(MeanColour):
        def one(self, image):
            return np.array([1.0, 0]) if len(image) == 20 else np.array([-1.0, 0])

    scores = face_similarity(film([(20, 10, FACES[0])], []), case_of(FACES[:1]).scene, FacesByColour(), Opposite())
    assert (scores.arc, scores.recall) == (0.0, 0.5)
    hidden = face_similarity(film([], []), case_of(FACES[:1]).scene, FacesByColour(), ARC, CUR, DINO)
    assert (hidden.arc, hidden.cur, hidden.recall, hidden.consistency) == (None, None, 0.0, None)


def test_consistency_is_that_of_the_figures():
    steady = film(*[FRAMES[0]] * 3)
    scores = face_similarity(steady, case_of(FACES).scene, FacesByColour(), ARC, dino=DINO)
    assert [each.consistency for each in scores.persons] == pytest.approx([1.0, 1.0], abs=1e-5)
    once = face_similarity(film(FRAMES[0], []), case_of(FACES).scene, FacesByColour(), ARC, dino=DINO)
    assert once.consistency is None


def test_of_a_long_video_32_frames_are_looked_at():
    video = film(*[FRAMES[0]] * 40)
    assert face_similarity(video, case_of(FACES).scene, FacesByColour(), ARC).frames == tuple(
        round(i * 39 / 31) for i in range(32)
    )


def test_an_aligned_face_has_its_landmarks_where_the_network_expects_them():
    """Coloured dots at the landmarks of a turned face of another size arrive at the template's positions."""
    template = np.array(ALIGNED_LANDMARKS)
    turn, scale = 0.3, 1.7
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = (template - 56) @ matrix.T + (150, 130)
    image = torch.zeros(260, 300, 3)
    for x, y in points:
        image[round(y) - 2 : round(y) + 3, round(x) - 2 : round(x) + 3] = 1
    face = Face(FacesByColour().find(image)[0].box, 1.0, tuple(map(tuple, points)))
    aligned = aligned_face(image, face)[..., 0].numpy()
    assert aligned.shape == (112, 112)
    for x, y in template:
        rows, columns = np.mgrid[round(y) - 6 : round(y) + 7, round(x) - 6 : round(x) + 7]
        weights = aligned[rows, columns]
        centre = (weights * columns).sum() / weights.sum(), (weights * rows).sum() / weights.sum()
        assert centre == pytest.approx((x, y), abs=0.6)


def test_landmarks_in_one_place_leave_the_box():
    image = paint(blank(), (10, 20, 30, 40), FACES[0])
    face = Face(FacesByColour().find(image)[0].box, 1.0, ((15.0, 25.0),) * 5)
    assert aligned_face(image, face).shape == (24, 20, 3)  # 17 % of 20 above and 3 % below, rounded


# Ingredients


def by_hand(video, case, count):
    """Largest and matched similarity and least distance, over all assignments."""
    references = [subject.face.image for subject in case.scene.subjects]
    largest, apart, matched = [], [], [0.0] * len(references)
    chosen = [int(index) for index in np.linspace(0, len(video) - 1, 24, dtype=int)]
    for index in chosen:
        faces = sorted(FRAMES[index], key=lambda face: -face[1])[:count]
        crops = [crop(video.frames[index].numpy(), left, width) for left, width, _ in faces]
        table = [[cosine(ARC.one(a), ARC.one(b)) for b in references] for a in crops]
        largest.append(max((value for row in table for value in row), default=0.0))
        size = min(len(crops), len(references))
        pairings = [
            list(zip(rows, columns, strict=True))
            for rows in permutations(range(len(crops)), size)
            for columns in permutations(range(len(references)), size)
        ]
        for row, column in max(pairings, key=lambda pairs: sum(table[r][c] for r, c in pairs)):
            matched[column] += table[row][column] / 24
        if crops:
            apart.append(min(((10 * CUR.raw(a) - 10 * CUR.raw(b)) ** 2).sum() for a in crops for b in references))
    return 100 * sum(largest) / 24, [100 * each for each in matched], sum(apart) / len(apart)


@pytest.mark.parametrize(("protocol", "references", "count"), [("clean", 1, 1), ("clean", 2, 2), ("reference", 1, 2)])
def test_scores_of_ingredients(protocol, references, count):
    video, case = film(*FRAMES), case_of(FACES[:references])
    scores = ingredients_metrics(
        video, case.scene, "two men", FacesByColour(), ARC, clip=DINO, inception=CUR, protocol=Protocol(protocol)
    )
    largest, matched, fid = by_hand(video, case, count)
    assert scores.face_sim == pytest.approx(largest, abs=1e-3)
    assert scores.matched_of == pytest.approx(matched, abs=1e-3)
    assert scores.matched == pytest.approx(sum(matched) / references, abs=1e-3)
    assert scores.fid == pytest.approx(fid, rel=1e-4)
    frames = [video.frames[int(i * 4 / 24)] for i in range(24)]
    frames = [frame.flip(-1) for frame in frames] if protocol == "reference" else frames
    expected = sum(cosine(DINO.one(frame), DINO.text("two men")) for frame in frames) / 24
    assert scores.clip_score == pytest.approx(100 * expected, abs=1e-3)


def test_a_lost_person_lowers_the_matched_score_alone():
    both, one = film(FRAMES[0]), film(FRAMES[0][:1])
    before, after = (ingredients_metrics(v, case_of(FACES).scene, "men", FacesByColour(), ARC) for v in (both, one))
    assert after.face_sim >= before.face_sim - 1 and after.matched < 0.6 * before.matched
    assert after.matched_of[1] == 0 and after.clip_score is None and after.fid is None


def test_the_frames_are_those_of_the_release():
    for number in range(1, 300):
        assert clip_frames(number) == [int(i * number / 24) for i in range(24)]
        assert face_frames(number) == np.linspace(0, number - 1, 24, dtype=int).tolist()


def test_without_any_face_there_is_no_distance():
    scores = ingredients_metrics(film([]), case_of(FACES).scene, "men", FacesByColour(), ARC, inception=CUR)
    assert (scores.face_sim, scores.matched, scores.fid) == (0, 0, None)
    with pytest.raises(LumosXError, match="No subject has a face image"):
        ingredients_metrics(film([]), case_of([None]).scene, "men", FacesByColour(), ARC)
