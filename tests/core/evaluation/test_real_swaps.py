"""Real faces, degraded and exchanged on purpose: dlib's small network finds every exchange."""

from __future__ import annotations

import itertools

import pytest
import torch
from needs import existing
from real_faces import DEGRADED, degraded, heads, photos, side_by_side

from lumosx_core.auto_scene.networks.face_detector import FaceDetector
from lumosx_core.evaluation.embedders.dlib_face import DlibFace
from lumosx_core.evaluation.measure import measure
from lumosx_core.evaluation.measured_video import MeasuredVideo, Networks, Video
from lumosx_core.evaluation.metrics.face_crops import face_area, faces_in
from lumosx_core.evaluation.misbinding.slot_labels import label_slots
from lumosx_core.evaluation.results import Label
from lumosx_core.scene.case_folder import Case
from lumosx_core.scene.scene import Reference, Scene, Subject

for package in ("insightface", "onnxruntime", "scipy"):
    pytest.importorskip(package)

pytestmark = pytest.mark.slow

THRESHOLD = 0.1
LEAST = 15  # people; more where more packages with photos are installed


@pytest.fixture(scope="module")
def networks(real_networks):
    existing(real_networks / "face_recognition_model.bin", "dlib's network for faces", "Set LUMOSX_NETWORKS.")
    return Networks(
        faces=FaceDetector.load(real_networks / "scrfd_500m_kps.onnx", threshold=0.2), arc=DlibFace.load(real_networks)
    )


@pytest.fixture(scope="module")
def people(networks, shared_cases):
    """The head of each person."""
    found = heads(networks.faces, photos(shared_cases))
    assert len(found) >= LEAST
    return found


def vectors(networks, images):
    """As the misbinding matrix embeds faces."""
    crops = []
    for image in images:
        face = max(faces_in(networks.faces, image), key=lambda face: face.box.area)
        crops.append(face_area(face.box, *image.shape[:2]).crop(image))
    return networks.arc.embed(crops)


@pytest.fixture(scope="module")
def references(networks, people):
    return vectors(networks, people)


@pytest.mark.parametrize("how", DEGRADED)
def test_every_exchange_of_two_is_called_a_swap_and_nothing_else_is(networks, people, references, how):
    """All pairs of people, each degraded in this way: as they are, and each in the other's place."""
    seen = vectors(networks, [degraded(image, how) for image in people])
    similarity, truth = seen @ references.T, references @ references.T
    assert similarity.argmax(dim=1).tolist() == list(range(len(people)))  # the nearest is the right one
    for one, other in itertools.combinations(range(len(people)), 2):
        pair = [one, other]
        expected = truth[pair][:, pair].tolist()
        right = label_slots(similarity[pair][:, pair].tolist(), expected, THRESHOLD)
        exchanged = label_slots(similarity[pair[::-1]][:, pair].tolist(), expected, THRESHOLD)
        assert [each.label for each in exchanged] == [Label.SWAP, Label.SWAP], (how, pair)
        assert not {each.label for each in right} & {Label.SWAP, Label.DOMINANCE, Label.MISSING}, (how, pair)


@pytest.mark.parametrize("pair", [(0, 4), (3, 5), (6, 7), (8, 9)])
def test_an_exchange_within_a_frame_is_found_through_detector_slots_and_matrix(networks, people, pair):
    one, other = (people[index] for index in pair)
    scene = Scene(tuple(Subject(Reference(word, image)) for word, image in (("man", one), ("woman", other))))
    truth = Video(side_by_side(one, other)[None], 16.0)
    poor = [degraded(image, "JPEG 20") for image in (one, other)]
    # A face that JPEG has spoiled may have drifted from its reference; it must not look like the other's.
    for images, expected in ((poor, {Label.OK, Label.DRIFT}), (poor[::-1], {Label.SWAP})):
        video = Video(side_by_side(*images)[None].expand(3, -1, -1, -1), 16.0)
        measured = MeasuredVideo("case", "case.mp4", Case(None, "A man and a woman.", scene), video, truth)
        scores = measure(measured, networks, metrics=("misbinding",))
        [faces] = [each for each in scores.misbinding if each.dimension == "face"]
        assert {each.label for each in faces.labels} <= expected


def test_two_photos_of_different_people_are_far_from_each_other(references):
    strangers = (references @ references.T)[~torch.eye(len(references), dtype=torch.bool)]
    assert float(strangers.mean()) < 0.2 and float(strangers.max()) < 0.7
