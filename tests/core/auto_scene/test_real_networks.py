"""A real face detector and a real segmenter on a photo of six people that insightface brings along."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from needs import missing
from PIL import Image
from torch.nn import functional as F

pytest.importorskip("insightface")
pytest.importorskip("segment_anything")
pytest.importorskip("timm")
pytest.importorskip("scipy")

from lumosx_core.auto_scene.assemble import build_scene
from lumosx_core.auto_scene.cutouts.faces import crop_face
from lumosx_core.auto_scene.cutouts.regions import Box, Detection
from lumosx_core.auto_scene.face_search import find_faces, small_faces, turned_faces
from lumosx_core.auto_scene.networks.face_detector import FaceDetector
from lumosx_core.auto_scene.networks.sam import load_segmenter
from lumosx_core.auto_scene.plan.plan import PersonPlan, ScenePlan
from lumosx_core.auto_scene.settings import AutoSettings, Finders

pytestmark = pytest.mark.slow

# Of the photo: a man, and a woman behind him whose box is nearly his.
MAN, WOMAN = Box(338, 218, 680, 645), Box(262, 100, 690, 640)
SHIRT = Box(338, 340, 596, 642)


@pytest.fixture(scope="module")
def photo():
    path = Path(importlib.util.find_spec("insightface").origin).parent / "data" / "images" / "t1.jpg"
    if not path.exists():
        missing(f"this insightface has no photo {path}")
    return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).float() / 255


@pytest.fixture(scope="module")
def faces(real_networks):
    return FaceDetector.load(real_networks / "scrfd_500m_kps.onnx")


@pytest.fixture(scope="module")
def masks(real_networks):
    return load_segmenter(real_networks / "mobile_sam.pt")


class KnownBoxes:
    """A phrase finder that knows the answers for the whole photo and for parts of it."""

    def __init__(self, photo, **boxes):
        self.photo, self.boxes = photo, boxes

    def find(self, image, phrases):
        offset = (image.data_ptr() - self.photo.data_ptr()) // self.photo.element_size() // 3
        top, left = divmod(offset, self.photo.shape[1])
        found = [self.boxes.get(phrase.replace(" ", "_")) for phrase in phrases]
        return [[Detection(box.moved(-left, -top), 0.6)] if box else [] for box in found]


def resized(image, height, width):
    planes = F.interpolate(image.permute(2, 0, 1)[None], size=(height, width), mode="bilinear", antialias=True)
    return planes[0].permute(1, 2, 0).contiguous()


def face_within(faces, box):
    [face] = [face for face in faces if face.box.share_in(box) > 0.9]
    return face


@pytest.mark.parametrize("mirrored", [False, True])
def test_people_whose_boxes_are_nearly_one_keep_their_faces(photo, faces, mirrored):
    his, hers = MAN, WOMAN
    if mirrored:
        photo = photo.flip(1).contiguous()
        his, hers = (Box(1280 - box.right, box.top, 1280 - box.left, box.bottom) for box in (MAN, WOMAN))
    assert his.iou(hers) > 0.6
    finder = KnownBoxes(photo, man=his, woman=hers)
    plan = ScenePlan((PersonPlan("man"), PersonPlan("woman")))
    finders = Finders(lambda: faces, lambda: finder, lambda: pytest.fail("no mask is needed"))
    man, woman = build_scene([photo], plan, finders, AutoSettings("none")).scene.subjects
    seen = faces.find(photo)
    middle = his.centre[0] + (30 if mirrored else -30), 340
    expected = min(seen, key=lambda face: abs(face.box.centre[0] - middle[0]) + abs(face.box.centre[1] - middle[1]))
    assert torch.equal(man.face.image, crop_face(photo, expected))
    assert woman.face.image.shape != man.face.image.shape or not torch.equal(woman.face.image, man.face.image)


def test_his_shirt_is_cut_out_of_two_people_without_a_face(photo, faces, masks):
    finder = KnownBoxes(photo, man=MAN, woman=WOMAN, grey_shirt=SHIRT)
    plan = ScenePlan((PersonPlan("man", ("grey shirt",)), PersonPlan("woman")))
    found = build_scene([photo], plan, Finders(lambda: faces, lambda: finder, lambda: masks), AutoSettings("none"))
    [mark] = [mark for mark in found.marks[0] if mark.label.startswith("grey shirt")]
    assert mark.region.box.iou(SHIRT) > 0.8 and mark.region.quality.stability > 0.9
    his = face_within(faces.find(photo), MAN.grown(bottom=-0.5))
    x, y = his.box.centre
    assert float(mark.region.mask(886, 1280)[int(y), int(x)]) == 0
    assert not any("uncertain" in note for note in found.warnings)


def test_small_faces_are_found_in_tiles(photo, faces):
    large = torch.full((4000, 6000, 3), 0.5)
    small = resized(photo, 380, 550)  # faces of about 60 pixels
    places = [(300, 400), (2100, 4700), (3300, 200), (900, 2600)]
    for top, left in places:
        large[top : top + 380, left : left + 550] = small
    assert faces.find(large) == []
    found = small_faces(faces, large, [])
    for top, left in places:
        assert sum(face.box.share_in(Box(left, top, left + 550, top + 380)) > 0.9 for face in found) == 6


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_faces_of_a_turned_photo_are_found(photo, faces, turns):
    upright = faces.find(photo)
    turned = photo.rot90(turns, (0, 1))
    found = turned_faces(faces, turned, Box(0, 0, turned.shape[1], turned.shape[0]))
    for face in upright:
        there = face.turned(turns, *photo.shape[:2]).box
        assert max(there.iou(other.box) for other in found) > 0.7


def test_where_nobody_is_no_face_is_found(faces):
    generator = torch.Generator().manual_seed(0)
    for cells in (3, 12, 40):
        noise = resized(torch.rand(cells, cells, 3, generator=generator), 500, 700)
        assert find_faces(faces, noise) == []
