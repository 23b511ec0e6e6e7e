"""Faces of photos: which is taken, what is said about it, and images that are crops already."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lumosx_core.auto_scene.cutouts.regions import Box, Face
from lumosx_core.auto_scene.networks.face_detector import FaceDetector
from lumosx_core.errors import LumosXError
from lumosx_core.models.ingredients.faces.align import BORDER, TEMPLATE, aligned_crop
from lumosx_core.models.ingredients.faces.photo import AlignedFace, aligned_faces, fitted_crop


def photo(height: int = 600, width: int = 1000) -> Tensor:
    small = torch.rand(1, 3, 12, 20, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(small, size=(height, width), mode="bilinear")[0].permute(1, 2, 0)


def face_at(x: float, y: float, size: float, score: float = 0.9, *, landmarks: bool = True) -> Face:
    """A face of so many pixels whose middle is there."""
    scale = size / 200
    points = tuple((x + scale * (px - 256), y + scale * (py - 310)) for px, py in TEMPLATE)
    box = Box(x - size / 2, y - size / 2, x + size / 2, y + size / 2)
    return Face(box, score, points if landmarks else None)


def finder(*faces: Face):
    return lambda image: list(faces)


def aligned(*faces: Face, which="best", image: Tensor | None = None) -> tuple[list[AlignedFace], list[str]]:
    warnings: list[str] = []
    shown = photo() if image is None else image
    return aligned_faces(shown, finder(*faces), which=which, name="Photo 1", warn=warnings.append), warnings


LEFT, MIDDLE, RIGHT = face_at(200, 300, 150, 0.8), face_at(500, 300, 150, 0.95), face_at(800, 300, 150, 0.9)


def test_the_only_face_is_aligned_and_nothing_is_said():
    (face,), warnings = aligned(MIDDLE)
    assert torch.equal(face.crop, aligned_crop(photo(), MIDDLE.landmarks))
    assert face.box == (425, 225, 575, 375)
    assert (face.score, face.landmarks) == (0.95, MIDDLE.landmarks)
    assert warnings == []


def test_of_several_faces_the_surest_is_taken_and_the_choice_is_named():
    (face,), warnings = aligned(RIGHT, LEFT, MIDDLE)
    assert face.box == (425, 225, 575, 375)
    (warning,) = warnings
    assert warning.startswith("Photo 1 shows 3 faces (from the left 1: 150x150 pixels, score 0.80; 2: ")
    assert "Face 2, which the detector is surest of, is used. Choose another by its number" in warning


def test_of_two_equally_sure_faces_the_larger_one_is_taken():
    (face,), _ = aligned(face_at(200, 300, 150), face_at(600, 300, 300))
    assert face.box[2] - face.box[0] == 300


def test_faces_are_numbered_from_the_left():
    boxes = [aligned(RIGHT, LEFT, MIDDLE, which=number)[0][0].box[0] for number in (1, 2, 3)]
    assert boxes == [125, 425, 725]
    every, warnings = aligned(RIGHT, LEFT, MIDDLE, which="all")
    assert [face.box[0] for face in every] == boxes
    assert warnings == []


@pytest.mark.parametrize(
    ("which", "message"),
    [
        (4, r"Photo 1 has no face 4: the detector finds 3 \(from the left 1: .*Use a number from 1 to 3"),
        (0, "has no face 0"),
        (-1, "has no face -1"),
        (True, "Face 'True' of a photo is not a choice"),
        ("left", """Face 'left' of a photo is not a choice. Use "best", "all", or a number from 1 on"""),
    ],
)
def test_a_face_that_is_not_there_is_refused(which, message):
    with pytest.raises(LumosXError, match=message):
        aligned(RIGHT, LEFT, MIDDLE, which=which)


def test_a_photo_without_a_face_is_refused():
    with pytest.raises(LumosXError, match=r"Photo 1 shows no face that the detector finds\. Use a photo"):
        aligned()


def test_a_face_without_landmarks_is_refused_only_if_it_is_meant():
    without = face_at(800, 300, 150, 0.5, landmarks=False)
    assert len(aligned(LEFT, without)[0]) == 1
    with pytest.raises(LumosXError, match="Photo 1, face 2 from the left: the detector gives no landmarks"):
        aligned(LEFT, without, which="all")


def test_a_face_that_cannot_be_aligned_is_named():
    broken = Face(RIGHT.box, 0.9, ((1.0, 1.0),) * 5)
    with pytest.raises(LumosXError, match=r"Photo 1 cannot be aligned\. The landmarks .* all in one place"):
        aligned(broken)


@pytest.mark.parametrize("broken", [Face(Box(0, 0, float("inf"), 9)), Face(RIGHT.box, float("nan"))])
def test_what_a_broken_detector_gives_is_refused(broken):
    with pytest.raises(LumosXError, match="Photo 1: the detector gives a box or a score that is not a number"):
        aligned(LEFT, broken)


def test_a_large_photo_is_shrunk_for_the_detector_and_boxes_are_those_of_the_photo():
    seen = []

    def find(image: Tensor) -> list[Face]:
        seen.append(tuple(image.shape))
        return [face_at(500, 300, 150)]

    (face,) = aligned_faces(photo(1200, 2048), find)
    assert seen == [(600, 1024, 3)]
    assert face.box == (850, 450, 1150, 750)
    assert face.landmarks[2] == pytest.approx((1000.951, 606.029), abs=0.001)


def test_a_small_face_is_blurred_and_that_is_said():
    assert aligned(face_at(500, 300, 112))[1] == []
    assert aligned(face_at(500, 300, 100))[1] == [
        "Photo 1: the face has only 100 pixels, so its crop is blurred. Use one in which it has 112 or more."
    ]
    (warning,) = aligned(face_at(500, 300, 60), image=photo(1200, 2000))[1]
    assert "once the photo of 2000x1200 is shrunk to 1024x614" in warning
    assert "Crop the photo around the head" in warning


def test_a_photo_that_ends_at_the_face_gives_a_grey_crop_and_that_is_said():
    (face,), (warning,) = aligned(face_at(100, 110, 150), image=photo(220, 200))
    assert "Photo 1: the photo ends so near to the face that it covers only 30% of the crop" in warning
    grey = (face.crop - torch.tensor(BORDER) / 255).abs().amax(dim=-1) < 1e-3
    assert 0.65 < grey.float().mean() < 0.75


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(64, 64), r"Photo 1 is \(64, 64\), expected an RGB image"),
        (torch.zeros(64, 64, 4), r"Photo 1 is \(64, 64, 4\), expected an RGB image"),
        (torch.zeros(64, 8, 3), "8x64 pixels, expected 16 or more"),
        (torch.zeros(64, 64, 3, dtype=torch.uint8), "torch.uint8, expected float"),
        (torch.full((64, 64, 3), torch.inf), "not numbers"),
        (torch.full((64, 64, 3), 128.0), "values of 128 to 128, expected 0 to 1"),
    ],
)
def test_what_is_not_a_photo_is_refused(image, message):
    with pytest.raises(LumosXError, match=message):
        aligned(MIDDLE, image=image)
    with pytest.raises(LumosXError, match=message):
        fitted_crop(image, "Photo 1")


def test_a_square_crop_is_resized_and_one_of_the_right_size_stays():
    crop = (photo(512, 512) * 255).round() / 255
    assert torch.equal(fitted_crop(crop), crop)
    larger = fitted_crop(photo(256, 256))
    assert larger.shape == (512, 512, 3)
    assert (larger[::2, ::2] - photo(256, 256)).abs().max() < 0.05


def test_an_image_that_is_not_square_is_fitted_whole_onto_the_border_colour():
    crop = fitted_crop(torch.ones(300, 200, 3))
    assert torch.allclose(crop[:, :85], torch.tensor(BORDER) / 255)
    assert torch.equal(crop[:, 86:426], torch.ones(512, 340, 3))
    with pytest.raises(LumosXError, match="The image has 1000x200 pixels, expected about a square"):
        fitted_crop(torch.ones(200, 1000, 3))


@pytest.mark.slow
def test_a_released_detector_brings_the_faces_of_a_case_into_place(shared_cases, real_networks):
    """Its landmarks in the crop are near the template's: it is shown the crop again. Noses differ in length."""
    pytest.importorskip("insightface", reason="insightface is not installed")
    from lumosx_core.media.images import read_picture

    detector = FaceDetector.load(real_networks / "scrfd_500m_kps.onnx")
    image = read_picture(next((shared_cases / "man_and_woman_outfits").rglob("face_man.png")))
    (face,) = aligned_faces(image, detector.find, warn=lambda _: None)
    (again,) = detector.find(face.crop)
    apart = (torch.tensor(again.landmarks) - torch.tensor(TEMPLATE)).norm(dim=1)
    assert apart[[0, 1, 3, 4]].max() < 12, apart
    assert apart[2] < 40, apart
