"""Both networks together, and what they refuse."""

import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_faces import write_arcface, write_tiny_face_encoder
from tiny_networks import write_face_detector
from torch.nn import functional as F

from lumosx_core.errors import LumosXError, MissingPackageError
from lumosx_core.models.ingredients.faces.arcface import ArcFace
from lumosx_core.models.ingredients.faces.eva_clip import EvaClip
from lumosx_core.models.ingredients.faces.face_encoder import ARCFACE, EVA_CLIP, FaceEncoder

pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_face_encoder(tmp_path_factory.mktemp("hub") / "face_encoder")


@pytest.fixture
def copied(folder, tmp_path):
    """To be damaged."""
    return Path(shutil.copytree(folder, tmp_path / "face_encoder"))


def crop(seed: int) -> torch.Tensor:
    small = torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(small, size=(512, 512), mode="bilinear")[0].permute(1, 2, 0)


@pytest.mark.slow
def test_features_are_those_of_arcface_then_those_of_clip(folder):
    encoder = FaceEncoder.load(folder)
    crops = [crop(0), crop(1), crop(2)]
    features = encoder.encode(crops)
    states, pooled = EvaClip.load(folder / EVA_CLIP).encode(crops)
    assert len(features) == 3
    assert features.id_cond.shape == (3, encoder.id_width) == (3, 44)
    assert features.id_vit_hidden.shape == (3, *encoder.states) == (3, 5, 17, 48)
    assert torch.equal(features.id_cond[:, :20], ArcFace.load(folder / ARCFACE).encode(crops))
    assert torch.equal(features.id_cond[:, 20:], pooled)
    assert torch.equal(features.id_vit_hidden, states)


def test_only_the_features_of_clip_have_length_one(folder, golden_ingredients):
    """As recorded: the length of ArcFace's vector says how clear a face is."""
    features = FaceEncoder.load(folder).encode([crop(0)]).id_cond
    assert features[0, 20:].norm() == pytest.approx(1.0, abs=1e-5)
    assert features[0, :20].norm() > 1.5
    recorded = load_file(golden_ingredients / "vision" / "golden.safetensors")
    both = torch.cat([recorded["arcface_raw"], F.normalize(recorded["pooled"], dim=-1)], dim=-1)
    assert torch.allclose(both, recorded["id_cond"], atol=1e-6)


def test_arcface_sees_a_crop_of_112_pixels_in_whole_255ths_without_a_filter(tmp_path):
    path = write_arcface(tmp_path / "glintr100.onnx")
    face = crop(0)
    # Two neighbours of each of the 112 x 112 points, 512 / 112 apart, mixed by their distance.
    at = (torch.arange(112) + 0.5) * 512 / 112 - 0.5
    below, part = at.long(), at - at.floor()
    rows = face[below] * (1 - part)[:, None, None] + face[below + 1] * part[:, None, None]
    small = rows[:, below] * (1 - part)[:, None] + rows[:, below + 1] * part[:, None]
    pixels = ((small * 255).round() - 127.5) / 127.5
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"input.1": pixels.permute(2, 0, 1)[None].numpy()})
    assert torch.allclose(ArcFace.load(path).encode([face]), torch.from_numpy(expected), atol=2e-3)


@pytest.mark.slow
def test_drawn_faces_are_told_apart_by_the_miniature(folder):
    """Other tests count on it: features of random weights that hardly depend on the image would prove nothing."""
    encoder = FaceEncoder.load(folder)
    faces = encoder.encode([crop(number) for number in range(4)])
    again = encoder.encode([(crop(number) * 0.9 + 0.05) for number in range(4)])
    for first, second in ((faces.id_cond, again.id_cond), (faces.id_vit_hidden, again.id_vit_hidden)):
        nearest = torch.cdist(first.flatten(1), second.flatten(1)).argmin(dim=1)
        assert nearest.tolist() == [0, 1, 2, 3]


def test_the_miniature_is_the_same_each_time_and_another_for_another_seed(folder, tmp_path):
    again = write_tiny_face_encoder(tmp_path / "again")
    other = write_tiny_face_encoder(tmp_path / "other", seed=1)
    assert all((again / name).read_bytes() == (folder / name).read_bytes() for name in (ARCFACE, EVA_CLIP))
    assert not any((other / name).read_bytes() == (folder / name).read_bytes() for name in (ARCFACE, EVA_CLIP))
    assert sum(file.stat().st_size for file in again.rglob("*") if file.is_file()) < 3e6


@pytest.mark.parametrize("name", [ARCFACE, EVA_CLIP])
def test_a_missing_file_is_named(copied, name):
    (copied / name).unlink()
    with pytest.raises(LumosXError, match=f"lacks {name}. Give the folder face_encoder"):
        FaceEncoder.load(copied)


def test_a_folder_that_is_not_there_lacks_both(tmp_path):
    with pytest.raises(LumosXError, match=f"lacks {ARCFACE} and {EVA_CLIP}"):
        FaceEncoder.load(tmp_path / "missing")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_bytes(b"not a network"), "damaged, or not an onnx file"),
        (write_face_detector, r"is another network: it takes input.1 .* and gives 0_8 .* and 6 more"),
        (lambda path: write_arcface(path, side=96), r"another network: it takes input.1 \['None', 3, 96, 96\]"),
        (lambda path: write_arcface(path, features=5000), r"float32 of shape \(1, 5000\), expected one float32 vector"),
    ],
)
def test_what_is_not_a_recogniser_is_refused_when_it_is_loaded(copied, write, message):
    write(copied / ARCFACE)
    with pytest.raises(LumosXError, match=message) as error:
        FaceEncoder.load(copied)
    assert "Expected: glintr100.onnx" in str(error.value)


@pytest.mark.parametrize(
    ("face", "message"),
    [
        (
            torch.zeros(256, 256, 3),
            r"Face 2 has shape \(256, 256, 3\), expected an aligned crop of shape \(512, 512, 3\)",
        ),
        (torch.zeros(512, 512, 3, dtype=torch.uint8), "torch.uint8, expected float of 0..1. Divide bytes by 255"),
        (torch.full((512, 512, 3), float("nan")), "values that are not numbers"),
        (torch.full((512, 512, 3), 255.0), "values of 255 to 255, expected 0 to 1"),
    ],
)
def test_what_is_not_an_aligned_crop_is_refused(folder, face, message):
    with pytest.raises(LumosXError, match=message):
        FaceEncoder.load(folder).encode([crop(0), face])


def test_no_crop_at_all_is_refused(folder):
    with pytest.raises(LumosXError, match="no face to encode"):
        FaceEncoder.load(folder).encode([])


def test_without_onnxruntime_the_message_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingPackageError, match=r"glintr100\.onnx\) needs the package 'onnxruntime'"):
        FaceEncoder.load(folder)
