"""Samples for the exports: each reference image has a colour of its own, and words that no file name could hold."""

from __future__ import annotations

import torch
from sample_files import ramp

from lumosx_core import Reference, Scene, Subject
from lumosx_core.scene.case_folder import Case
from lumosx_training.data.samples import RawSample

CAPTION = 'Ein Mann in "Öl/Jacke.neu", 男人と; a lamp.'


def flat(phrase: str, colour: tuple[float, float, float], size: tuple[int, int] = (8, 6)) -> Reference:
    return Reference(phrase, torch.tensor(colour, dtype=torch.float32).expand(*size, 3).clone())


def couple() -> Scene:
    man = Subject(flat("man#1", (1, 0, 0)), (flat("Öl/Jacke.neu", (0, 1, 0)),))
    woman = Subject(flat("woman", (0, 0, 1)))
    return Scene((man, woman), (flat("lamp", (1, 1, 0)),), flat("男人", (0, 1, 1)))


class Made:
    """A source without files."""

    def __init__(self, *samples: RawSample):
        self.samples = {sample.key: sample for sample in samples}

    def keys(self) -> list[str]:
        return list(self.samples)

    def load(self, key: str) -> RawSample:
        return self.samples[key]


def sample(key: str = "a/b.c d", scene: Scene | None = None, caption: str = CAPTION) -> RawSample:
    return RawSample(key, Case(None, caption, scene or couple()), ramp(9))
