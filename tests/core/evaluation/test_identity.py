"""ArcSim and CurSim against loops over frames and all assignments."""

from itertools import permutations

import numpy as np
import pytest
import torch
from coloured_world import FacesByColour, MeanColour, blank, case_of, cosine, paint

from lumosx_core.errors import LumosXError
from lumosx_core.evaluation.measured_video import Protocol, Video
from lumosx_core.evaluation.metrics.identity import identity

FACES = ((1.0, 0.1, 1.0), (0.1, 0.9, 1.0), (0.5, 0.4, 1.0))
ARC, CUR = MeanColour(1), MeanColour(2)


def film(*frames) -> Video:
    """Each frame a list of (left, top, right, bottom, colour)."""
    images = []
    for faces in frames:
        image = blank()
        for *box, colour in faces:
            paint(image, box, colour)
        images.append(image)
    return Video(torch.stack(images), 16)


FILM = film(
    [(5, 20, 15, 32, FACES[1]), (30, 20, 40, 32, FACES[0]), (60, 10, 70, 20, FACES[2])],
    [(5, 20, 15, 32, (0.2, 0.8, 1.0)), (30, 20, 45, 32, (0.9, 0.2, 1.0))],
    [],
    [(5, 20, 15, 32, FACES[0]), (20, 20, 30, 32, FACES[0]), (40, 20, 50, 32, FACES[1]), (60, 20, 70, 32, FACES[2])],
)


def crops(frame: np.ndarray, below: float, channel: int = 2) -> list[np.ndarray]:
    """Faces of a frame with a margin of 17 % above and `below` under them, by another way than the code's."""
    found = []
    columns = (frame[..., channel] > 0.99).any(axis=0)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], columns, [False]]).astype(int)))
    for left, right in zip(edges[::2], edges[1::2], strict=True):
        rows = np.flatnonzero((frame[:, left:right, channel] > 0.99).any(axis=1))
        top, bottom = rows[0], rows[-1] + 1
        height = bottom - top
        found.append(frame[round(top - 0.17 * height) : round(bottom + below * height), left:right])
    return found


def by_hand(video: Video, references, below: float = 0.03, channel: int = 2):
    """The score by trying all assignments."""
    arc_sum = cur_sum = 0.0
    for frame in video.frames.numpy():
        found = crops(frame, below, channel)
        n = max(len(found), len(references))
        best = None
        for order in permutations(range(n), len(references)):
            pairs = [(f, r) for r, f in enumerate(order) if f < len(found)]
            arc = [cosine(ARC.one(found[f]), ARC.one(references[r])) for f, r in pairs]
            cost = sum(1 - value for value in arc) + 10 * (min(len(found), len(references)) - len(pairs))
            if best is None or cost < best[0]:
                best = cost, sum(arc), sum(cosine(CUR.one(found[f]), CUR.one(references[r])) for f, r in pairs)
        arc_sum, cur_sum = arc_sum + best[1], cur_sum + best[2]
    count = len(video) * len(references)
    return arc_sum / count, cur_sum / count


@pytest.mark.parametrize("number", [1, 2, 3])
def test_scores_are_those_of_the_best_of_all_assignments(number):
    case = case_of(FACES[:number])
    scores = identity(FILM, case.scene, FacesByColour(), ARC, CUR)
    arc, cur = by_hand(FILM, [subject.face.image.numpy() for subject in case.scene.subjects])
    assert scores.arc == pytest.approx(arc, abs=1e-5)
    assert scores.cur == pytest.approx(cur, abs=1e-5)


def test_each_subject_has_its_part_and_its_misses():
    case = case_of(FACES)
    scores = identity(FILM, case.scene, FacesByColour(), ARC, CUR)
    assert scores.missed == (0.25, 0.25, 0.5)
    assert sum(scores.arc_of) / 3 == pytest.approx(scores.arc)
    assert [sorted(each.subject for each in frame) for frame in scores.frames] == [[0, 1, 2], [0, 1], [], [0, 1, 2]]
    [match] = [each for each in scores.frames[0] if each.subject == 0]
    assert (match.box.left, match.box.top, match.box.right, match.box.bottom) == (30, 18, 40, 32)


def test_negative_cosines_count_as_they_are():
    class Opposite(MeanColour):
        def one(self, image):
            return np.array([1.0, 0]) if len(image) == 20 else np.array([-1.0, 0])

    scores = identity(film([(5, 20, 15, 32, FACES[0])]), case_of(FACES[:1]).scene, FacesByColour(), Opposite())
    assert scores.arc == -1 and scores.cur is None and scores.cur_of == (None,)


def test_uncertain_and_double_boxes_are_left_out():
    video = film([(5, 20, 15, 32, FACES[0]), (40, 20, 50, 32, FACES[0])])
    scores = identity(video, case_of(FACES[:2]).scene, FacesByColour(scores=[0.19, 0.2]), ARC)
    assert [each.box.left for each in scores.frames[0]] == [40]

    class Twice(FacesByColour):
        def __init__(self, shift):
            super().__init__()
            self.shift = shift

        def find(self, image):
            return [face.moved(x, 0) for face in super().find(image) for x in (0, self.shift)]

    def found(shift):
        video = film([(5, 20, 15, 32, FACES[0])])
        return len(identity(video, case_of(FACES[:2]).scene, Twice(shift), ARC).frames[0])

    assert (found(4), found(5)) == (1, 2)  # 6 of 14 columns in common are .43, 5 of 15 .33


def test_the_face_of_a_reference_is_searched_for():
    image = paint(blank(40, 40), (10, 10, 30, 30), FACES[0])
    case = case_of([FACES[0]])
    object.__setattr__(case.scene.subjects[0].face, "image", image)
    video = film([(30, 20, 40, 32, FACES[1])])
    clean = identity(video, case.scene, FacesByColour(), ARC)
    whole = identity(video, case.scene, FacesByColour(channel=0), ARC, protocol=Protocol.REFERENCE)
    face = crops(video.frames[0].numpy(), 0.03)[0]
    assert clean.arc == pytest.approx(cosine(ARC.one(face), ARC.one(crops(image.numpy(), 0.03)[0])), abs=1e-5)
    assert whole.arc == pytest.approx(cosine(ARC.one(face), ARC.one(image)), abs=1e-5)


def test_reference_shows_the_detector_exchanged_channels_and_takes_its_margin_of_the_higher_box():
    """It embeds RGB; only the detector sees BGR, so that blue is its channel 0."""
    case = case_of(FACES[1:2])
    video = Video(paint(blank(200, 80), (10, 40, 30, 150), FACES[1])[None], 16)
    assert identity(video, case.scene, FacesByColour(2), ARC, protocol=Protocol.REFERENCE).frames == ((),)
    scores = identity(video, case.scene, FacesByColour(0), ARC, protocol=Protocol.REFERENCE)
    arc, _ = by_hand(video, [case.scene.subjects[0].face.image.numpy()], below=0.035)
    assert scores.arc == pytest.approx(arc, abs=1e-6)
    assert scores.frames[0][0].box.bottom == 154  # 3.5 % of 110 below 150; 3 % would be 153
    assert identity(video, case.scene, FacesByColour(2), ARC).frames[0][0].box.bottom == 153


def test_subjects_without_a_face_are_no_references():
    scores = identity(FILM, case_of([None, FACES[1]]).scene, FacesByColour(), ARC)
    assert scores.subjects == (1,) and {each.subject for frame in scores.frames for each in frame} == {1}
    with pytest.raises(LumosXError, match="face"):
        identity(FILM, case_of([None]).scene, FacesByColour(), ARC)


def test_a_network_that_returns_nonsense_is_named():
    class Broken(MeanColour):
        def one(self, image):
            return np.full(3, np.nan)

    with pytest.raises(LumosXError, match="broken returned values that are not numbers"):
        identity(FILM, case_of(FACES).scene, FacesByColour(), Broken(name="broken"))
