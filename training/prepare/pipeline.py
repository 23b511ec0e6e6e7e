"""The stages of `lumosx prepare`, in the order in which they run."""

from __future__ import annotations

from .settings import PrepareSettings
from .stage import Gathering, Stage
from .stages.cut import Cut
from .stages.probe import Probe

LAST = "sample"
"""The stage whose results are the samples."""


def build_stages(settings: PrepareSettings) -> list[Stage | Gathering]:
    """All stages, each with its settings. Nothing is loaded before a stage is opened."""
    return [Probe(settings.probe), Cut(settings.cut)]
