"""Stage 2: from a video to the clips of its shots."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lumosx_core.errors import LumosXError
from lumosx_core.files.file_hash import sha256_of

from ..cutting.clip_files import Part, write_parts
from ..cutting.cut_detectors import Range, check_transnet, load_transnet, new_detector
from ..cutting.parts import parts_of
from ..cutting.transitions import Looks
from ..settings import CutSettings, settings_hash
from ..stage import Outcome, Task
from ..video_frames import Timeline, read_timeline, video_frames

CLIPS = "clips"
_SHORT_SIDE = 192  # pixels in which shots are looked for


@dataclass(frozen=True)
class Cut:
    """Children are clips: the file `clips/NNNN.mp4` of the source's folder, `start` and `end` in seconds of the source.

    A video without a shot that is long enough is rejected as "short".
    """

    settings: CutSettings
    name: str = "cut"
    after: str | None = "probe"
    batch_size: int = 1
    gpus: float = 0

    def version(self) -> str:
        weights = self.settings.weights
        return settings_hash(1, self.settings, sha256_of(weights) if weights and Path(weights).is_file() else "")

    def check(self) -> None:
        if self.settings.detector == "transnetv2":
            check_transnet(self.settings.weights)
        else:
            new_detector(self.settings)

    def open(self) -> Cutter:
        needs_network = self.settings.detector == "transnetv2"
        return Cutter(self.settings, load_transnet(self.settings.weights) if needs_network else None)


class Cutter:
    """Cuts videos.

    Args:
        transnet: TransNetV2, if the settings ask for it.
    """

    def __init__(self, settings: CutSettings, transnet=None):
        self._settings, self._transnet = settings, transnet

    def __call__(self, tasks: Sequence[Task]) -> list[Outcome]:
        return [self._cut(task) for task in tasks]

    def _cut(self, task: Task) -> Outcome:
        source = Path(task.facts["source"]["path"])
        timeline = read_timeline(source)
        shots = self.shots(source, timeline)
        parts = parts_of(shots, timeline, self._settings)
        facts = {
            "shots": [[round(timeline.times[first], 6), round(timeline.end_of(end), 6)] for first, end in shots],
            "clips": len(parts),
        }
        if not parts:
            return Outcome("short", facts)
        folder = task.output / CLIPS
        folder.mkdir()
        paths = [folder / f"{number:04d}.mp4" for number in range(len(parts))]
        write_parts(source, timeline, parts, paths, self._settings.quality)
        children = {}
        for part, path in zip(parts, paths, strict=True):
            start, end = round(timeline.times[part.start], 6), round(timeline.end_of(part.end), 6)
            children[_child_id(task.id, part, self._settings)] = {
                "file": f"{CLIPS}/{path.name}",
                "start": start,
                "end": end,
                "seconds": round(end - start, 6),
                "frames": part.end - part.start,
                "frames_per_second": round((part.end - part.start) / (end - start), 6),
            }
        return Outcome("", facts, children)

    def shots(self, source: Path, timeline: Timeline) -> list[Range]:
        """The shots of a video, transitions left out.

        Raises:
            LumosXError: the video cannot be read.
        """
        detector = new_detector(self._settings, self._transnet)
        looks = Looks(timeline)
        count = 0
        for frame in video_frames(source, _SHORT_SIDE):
            detector.add(frame)
            looks.add(frame)
            count += 1
        if count != len(timeline.times):
            raise LumosXError(
                f"The video {source} gave {count} frames where its index has {len(timeline.times)}. It changed, or is "
                f"damaged: get it again."
            )
        shots = detector.shots()
        return looks.without_transitions(shots, self._settings) if self._settings.dissolves else shots


def clip_path(task: Task) -> Path:
    """The file of a clip, for the stages behind this one."""
    return task.folders["cut"] / task.facts["cut"]["file"]


def _child_id(source: str, part: Part, settings: CutSettings) -> str:
    digest = hashlib.sha256(f"{source} {part.start} {part.end} {settings_hash(settings)}".encode()).hexdigest()
    return f"{source}-{digest[:10]}"
