"""Clips of the glyph world as the stages behind the cut get them, and a chain of those stages without a runner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from glyph_endpoint import Known
from glyph_finders import GlyphFinders

from lumosx_core.auto_scene.plan.language_model import Ask
from lumosx_core.media.video import write_video
from lumosx_training.glyph_world import GlyphSource
from lumosx_training.glyph_world.clip import film
from lumosx_training.glyph_world.source import GlyphSample
from lumosx_training.prepare.scene_settings import (
    BackgroundSettings,
    CaptionSettings,
    ChatSettings,
    ChoiceSettings,
    PeopleSettings,
    ReferenceSettings,
    WordSettings,
)
from lumosx_training.prepare.stage import Outcome, Stage, Task
from lumosx_training.prepare.stages.background import EmptyPlaces
from lumosx_training.prepare.stages.caption import Captioning
from lumosx_training.prepare.stages.people import PeopleSearch
from lumosx_training.prepare.stages.references import ReferenceCuts
from lumosx_training.prepare.stages.sample import SampleFolder
from lumosx_training.prepare.stages.words import OwnerWords

SCALE = 8  # pixels of a clip to one of the glyph world
FRAMES = 24


def write_clip(sample: GlyphSample, path: Path, frames: int = FRAMES) -> None:
    """A sample's scene as a video of 512 x 640 pixels."""
    pixels = film(sample.scene, frames).frames
    write_video(path, pixels.repeat_interleave(SCALE, 1).repeat_interleave(SCALE, 2), 16)


def known_scenes(source: GlyphSource) -> list[Known]:
    return [Known(sample.scene, sample.caption) for sample in map(source.sample, source.keys())]


def stages(chat: ChatSettings, **settings: Any) -> list[Stage]:
    """The stages, with miniature finders; each setting by the name of its stage."""
    loader = GlyphFinders(SCALE)
    return [
        Captioning(chat, settings.get("caption", CaptionSettings())),
        PeopleSearch(loader, settings.get("people", PeopleSettings())),
        OwnerWords(chat, settings.get("words", WordSettings())),
        ReferenceCuts(loader, settings.get("references", ReferenceSettings())),
        EmptyPlaces(settings.get("background", BackgroundSettings())),
        SampleFolder(settings.get("sample", ChoiceSettings())),
    ]


def first_task(sample: GlyphSample, folder: Path) -> Task:
    """The task of the first stage behind the cut."""
    folder.mkdir(parents=True, exist_ok=True)
    write_clip(sample, folder / "clip.mp4")
    facts = {"source": {"path": str(folder / "clip.mp4")}, "cut": {"file": "clip.mp4"}}
    return Task(sample.key, facts, {"cut": folder}, folder)


def through(task: Task, chain: Sequence[Stage], root: Path) -> tuple[Outcome, Path, Mapping[str, Mapping[str, Any]]]:
    """Send one clip through stages; ends where it is rejected.

    Returns: the last outcome, the folder of its stage, and all facts.
    """
    for stage in chain:
        output = root / stage.name / task.id
        output.mkdir(parents=True)
        task = Task(task.id, task.facts, task.folders, output)
        (outcome,) = stage.open()([task])
        task = Task(task.id, {**task.facts, stage.name: outcome.facts}, {**task.folders, stage.name: output}, output)
        if outcome.rejected:
            break
    return outcome, output, task.facts


def answering(*answers: str) -> Ask:
    """A model that gives these answers, one after the other, and then the last one for ever."""
    left = list(answers)
    return lambda images, messages: left.pop(0) if len(left) > 1 else left[0]
