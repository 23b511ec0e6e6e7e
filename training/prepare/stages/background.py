"""The background of each key frame, without people and things (paper: FLUX inpainting)."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lumosx_core.media.images import read_mask, to_pil

from ..key_frames import read_key_frames
from ..models.inpainting import Inpaint, check_inpainting, open_inpainting
from ..scene_settings import BackgroundSettings
from ..settings import settings_hash
from ..stage import Outcome, Task
from .cut import clip_path
from .references import HIDDEN, image_name, mask_name

_VERSION = 1
BACKGROUND = "background"


@dataclass(frozen=True)
class EmptyPlaces:
    """The stage; see `stage.Stage`.

    Args:
        open_model: gives another inpainting, to be used in its place.
    """

    settings: BackgroundSettings
    open_model: Callable[[BackgroundSettings], Inpaint] = open_inpainting
    name: str = BACKGROUND
    after: str | None = "references"
    batch_size: int = 4
    gpus: float = 0.0

    def version(self) -> str:
        return settings_hash(_VERSION, self.settings)

    def check(self) -> None:
        if self.open_model is open_inpainting:
            check_inpainting(self.settings)

    def open(self) -> BackgroundWorker:
        wanted = self.settings.method != "none"
        return BackgroundWorker(self.open_model(self.settings) if wanted else None, self.settings)


@dataclass(frozen=True)
class BackgroundWorker:
    """The stage at work."""

    inpaint: Inpaint | None
    settings: BackgroundSettings

    def __call__(self, tasks: Sequence[Task]) -> list[Outcome]:
        return [self._outcome(task) for task in tasks]

    def _outcome(self, task: Task) -> Outcome:
        """Facts: the `frames` that have a background, and `notes` about those that have none."""
        frames: list[int] = []
        notes: list[str] = []
        if self.inpaint is not None and task.facts["words"]["background"] is not None:
            for key, hidden in task.facts["references"]["hidden"].items():
                if hidden <= self.settings.max_hidden:
                    frames.append(int(key))
                else:
                    notes.append(f"Frame {key}: people and things hide {hidden:.0%} of the background.")
            for frame, image in zip(frames, read_key_frames(clip_path(task), frames) if frames else (), strict=True):
                mask = read_mask(task.folders["references"] / mask_name(HIDDEN, frame))
                filled = self.inpaint(image, mask, zlib.crc32(f"{task.id} {frame}".encode()))
                to_pil(filled).save(task.output / image_name(BACKGROUND, frame))
        return Outcome(facts={"frames": frames, "notes": notes})
