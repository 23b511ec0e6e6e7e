"""The family protocol is enough: a second, made-up model family runs through the pipeline, a scene and all."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from toy_family import TOY, TOY_SPEC

from lumosx_core import LumosXError, Reference, Scene, Subject
from lumosx_core.files.model_files import ModelFiles
from lumosx_core.models.lumosx.lumosx_family import LUMOSX
from lumosx_core.models.lumosx.pipeline import Settings
from lumosx_core.models.video_pipeline import VideoPipeline, VideoSettings


@dataclass(frozen=True)
class ToySettings(VideoSettings):
    """A toy video."""

    family = TOY

    width: int = TOY_SPEC.width
    height: int = TOY_SPEC.height
    frames: int = TOY_SPEC.frames
    batch: int = 1
    steps: int = TOY_SPEC.steps
    shift: float = TOY_SPEC.shift
    cfg: float = 1.0
    seed: int = 0
    negative_prompt: str = ""
    negative_references: str = "kept"
    options: dict = None


@pytest.fixture
def toy_files(tmp_path):
    paths = [tmp_path / name for name in ("toy.pt", "vae.pt", "text.pt")]
    torch.save({"gain": torch.ones(())}, paths[0])
    for path in paths[1:]:
        path.write_bytes(b"toy")
    return ModelFiles(*paths)


def red_scene(phrase="hat", strength=1.0):
    red = torch.zeros(8, 8, 3)
    red[..., 0] = 1
    return Scene((Subject(Reference(phrase, red, strength)),))


def generated(files, scene, prompt="a hat", **changes):
    settings = ToySettings(**{"options": TOY.options, "width": 8, "height": 8} | changes)
    return VideoPipeline(files, TOY, device="cpu").generate(scene, prompt, settings)


def test_another_family_makes_a_video_of_its_own_size_from_the_scene(toy_files):
    videos = generated(toy_files, red_scene(), batch=2, frames=7)
    assert videos.shape == (2, 7, 8, 8, 3)
    red, green, blue = videos.float().mean(dim=(0, 1, 2, 3))
    assert red > 230 and green < 60 and blue < 60


def test_its_strengths_text_length_and_sizes_are_its_own(toy_files):
    plain = generated(toy_files, red_scene(strength=0.0))
    assert plain.float().mean(dim=(0, 1, 2, 3)).std() < 5  # nothing red about it: the image is not there
    with pytest.raises(LumosXError, match="has 120 tokens.*reads 48"):
        VideoPipeline(toy_files, TOY, device="cpu").generate(
            red_scene(), "a hat " * 20, ToySettings(options=TOY.options)
        )
    with pytest.raises(LumosXError, match=r"2n \+ 1. Use 3 or 5"):
        ToySettings(frames=4)
    with pytest.raises(LumosXError, match="multiple of 4. Use 4 or 8"):
        ToySettings(width=6)


def test_each_familys_files_are_refused_by_the_other(toy_files, tiny_models):
    with pytest.raises(LumosXError, match="not a toy|cannot be used|damaged"):
        LUMOSX.open(toy_files.diffusion_model)
    assert Settings().family is LUMOSX


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 16 * 10**6}, "at most 8192 pixels"),
        ({"height": 16 * 10**30}, "at most 8192 pixels"),
        ({"frames": 4 * 10**9 + 1}, "at most 8193 are possible"),
        ({"steps": 10**9}, "at most 10000"),
        ({"shift": 1e300}, "expected 0.001 to 1000"),
        ({"shift": 1e-300}, "expected 0.001 to 1000"),
        ({"cfg": -1e300}, "at most 1000"),
        ({"batch": 10**30}, "at most 4096 videos"),
        ({"width": 8192, "height": 8192, "frames": 8193}, "billion pixels"),
    ],
    ids=str,
)
def test_numbers_beyond_their_limits_are_refused_before_any_work(changes, message):
    with pytest.raises(LumosXError, match=message):
        Settings(**changes)
