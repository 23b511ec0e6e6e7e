"""The stages of `lumosx prepare`, in the order in which they run."""

from __future__ import annotations

from typing import Literal

from .filters.all_filters import FilterNetworks
from .models.finders import FinderLoader, FindersOnDisk
from .settings import PrepareSettings
from .stage import Gathering, Stage
from .stages.background import EmptyPlaces
from .stages.caption import Captioning
from .stages.cut import Cut
from .stages.duplicates import Duplicates
from .stages.filter import Filter
from .stages.people import PeopleSearch
from .stages.probe import Probe
from .stages.references import ReferenceCuts
from .stages.sample import SampleFolder
from .stages.words import OwnerWords

LAST = "sample"
"""The stage whose results are the samples."""


def build_stages(
    settings: PrepareSettings, networks: FilterNetworks | None = None, finders: FinderLoader | None = None
) -> list[Stage | Gathering]:
    """All stages, each with its settings. Nothing is loaded before a stage is opened.

    Args:
        networks: of the filters, in the place of those that the settings name.
        finders: of people and things, likewise.
    """
    finders = finders or FindersOnDisk(settings.finders)
    searching = _gpus(settings.finders.device)
    asking = _gpus(settings.chat.device) if settings.chat.method == "transformers" else 0.0
    painting = _gpus(settings.background.device) if settings.background.method == "diffusers" else 0.0
    return [
        Probe(settings.probe),
        Cut(settings.cut),
        Filter(settings.filter, networks or FilterNetworks()),
        Duplicates(settings.duplicates),
        Captioning(settings.chat, settings.caption, gpus=asking),
        PeopleSearch(finders, settings.people, gpus=searching),
        OwnerWords(settings.chat, settings.words, gpus=asking),
        ReferenceCuts(finders, settings.references, gpus=searching),
        EmptyPlaces(settings.background, gpus=painting),
        SampleFolder(settings.sample),
    ]


def _gpus(device: Literal["cpu", "cuda"]) -> float:
    """Of one process: a whole one, because its networks take as much memory as they need."""
    return 1.0 if device == "cuda" else 0.0
