"""Small sample folders and videos for the tests of the data readers."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

from lumosx_core import Reference, Scene, Subject
from lumosx_core.media.video import write_video
from lumosx_core.scene.case_folder import Case
from lumosx_training.data.clips import ClipSettings
from lumosx_training.data.samples import RawSample, SampleSettings, write_sample

STEP = 4  # of brightness from frame to frame, so that a frame tells which one it is
SHORT = SampleSettings(ClipSettings(frames=(5,)))
CAPTION = "A man in a denim jacket lifts a red cup in a bright kitchen."


def ramp(frames: int, height: int = 32, width: int = 48) -> torch.Tensor:
    """(F, H, W, 3) uint8: frame i is grey of brightness STEP * i."""
    return (torch.arange(frames) * STEP).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, height, width, 3).contiguous()


def numbers(video: torch.Tensor) -> list[int]:
    """Which frames of `ramp` these are."""
    return (video.float().mean(dim=(1, 2, 3)) / STEP).round().int().tolist()


def noise(frames: int, height: int = 32, width: int = 48) -> torch.Tensor:
    """Frames that do not compress, so that a cut anywhere in the file cuts through them."""
    return torch.randint(0, 256, (frames, height, width, 3), dtype=torch.uint8, generator=torch.manual_seed(0))


def picture(phrase: str, seed: int = 0) -> Reference:
    values = torch.randint(0, 256, (6, 5, 3), generator=torch.Generator().manual_seed(seed))
    return Reference(phrase, values / 255)


def scene() -> Scene:
    man = Subject(picture("man", 1), (picture("denim jacket", 2),))
    return Scene((man,), (picture("red cup", 3),), picture("bright kitchen", 4))


def make_sample(folder: Path, frames: int = 9, prompt: str = CAPTION) -> Path:
    """A good sample folder."""
    write_sample(folder, RawSample(folder.name, Case("clip", prompt, scene()), ramp(frames)))
    return folder


def make_video(path: Path, frames: torch.Tensor, fps: float = 16) -> Path:
    return write_video(path, frames, fps)


def make_picture(path: Path, size: tuple[int, int] = (5, 6), colour: object = (200, 10, 10), mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)
    return path


def truncate(path: Path, share: float = 0.5) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def assert_same_case(case: Case, other: Case) -> None:
    assert (case.name, case.prompt) == (other.name, other.prompt)
    assert case.scene.layout == other.scene.layout
    for (label, one), (same, two) in zip(case.scene.labelled(), other.scene.labelled(), strict=True):
        assert (label, one.phrase) == (same, two.phrase)
        assert torch.equal((one.image * 255).round(), (two.image * 255).round())
