"""A source of small clips made from their keys, which worker processes can build too."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from lumosx_core.scene.case_folder import Case
from lumosx_core.scene.scene import Reference, Scene, Subject
from lumosx_training.cache import CacheSettings
from lumosx_training.cache.files import packs_of
from lumosx_training.data.samples import BadSample, RawSample

FRAMES, HEIGHT, WIDTH = 9, 32, 48
PLAIN = CacheSettings(frames=(FRAMES,), sizes=(), augment="none")


def picture(seed: int, height: int = 40, width: int = 30) -> torch.Tensor:
    return torch.rand(height, width, 3, generator=torch.Generator().manual_seed(seed))


def clip_pack(directory: Path) -> Path:
    """The only pack of clips in a cache."""
    [path] = packs_of(directory / "clips")
    return path


@dataclass
class ToySource:
    """Clips "clip-0", "clip-1", ... of a man in a shirt; every third has a hat too, every second the same caption.

    Args:
        bad: keys of samples that cannot be loaded.
        broken: keys at which something unforeseen happens.
        changed: fingerprints that are not "0".
        loaded: keys that were asked for in this process.
        slow: seconds that loading takes.
    """

    count: int = 4
    bad: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    changed: dict[str, str] = field(default_factory=dict)
    loaded: list[str] = field(default_factory=list)
    slow: float = 0.0

    def keys(self) -> list[str]:
        return [f"clip-{number}" for number in range(self.count)]

    def fingerprint(self, key: str) -> str:
        return self.changed.get(key, "0")

    def load(self, key: str) -> RawSample:
        self.loaded.append(key)
        time.sleep(self.slow)
        number = int(key.removeprefix("clip-"))
        if key in self.bad:
            raise BadSample(f"/data/{key}", "The video is truncated.", "The caption is empty.")
        if key in self.broken:
            raise RuntimeError("what no one thought of")
        seed = number + 1000 * len(self.changed.get(key, ""))
        attributes = (Reference("shirt", picture(seed + 1)),)
        if number % 3 == 0:
            attributes += (Reference("hat", picture(seed + 2)),)
        caption = "A man in a shirt and a hat." if number % 2 else f"A man in a shirt and a hat, number {number}."
        scene = Scene((Subject(Reference("man", picture(seed)), attributes),), background=None)
        video = torch.rand(FRAMES, HEIGHT, WIDTH, 3, generator=torch.Generator().manual_seed(seed))
        return RawSample(key, Case(key, caption, scene), video, place=f"/data/{key}")


class DeadlySource(ToySource):
    """Kills the process that it is sent to."""

    def __setstate__(self, _):
        os.kill(os.getpid(), signal.SIGKILL)
