"""Stage 1: which source videos can be read to their end, and what they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lumosx_core.errors import LumosXError, MissingPackageError, ran_out_of_memory
from lumosx_core.media.video_file import opened_video

from ..required import require_package
from ..settings import ProbeSettings, settings_hash
from ..stage import Outcome, Task
from ..video_frames import read_timeline, video_frames


@dataclass(frozen=True)
class Probe:
    """Decodes each video to its end.

    A file that is no video, has no frames, only sound, or is damaged is rejected as "broken", with the `reason`. One
    that is not there is an error instead: the next run may find it.
    """

    settings: ProbeSettings
    name: str = "probe"
    after: str | None = None
    batch_size: int = 1
    gpus: float = 0

    def version(self) -> str:
        return settings_hash(1, self.settings)

    def check(self) -> None:
        require_package("av", "Reading videos")

    def open(self) -> Probe:
        return self

    def __call__(self, tasks: Sequence[Task]) -> list[Outcome]:
        """The outcome of each video.

        Raises:
            LumosXError: a file does not exist.
            MissingPackageError: av (PyAV) is not installed.
        """
        return [self._probe(Path(task.facts["source"]["path"])) for task in tasks]

    def _probe(self, path: Path) -> Outcome:
        if not path.exists():
            raise LumosXError(f"The video {path} is no longer there. Put it back, or take it out of the run.")
        try:
            facts = describe_video(path)
        except MissingPackageError:
            raise
        except LumosXError as error:
            if ran_out_of_memory(error):
                raise
            return Outcome("broken", {"reason": str(error)})
        if min(facts["width"], facts["height"]) < self.settings.min_short_side:
            return Outcome("small", facts)
        if facts["seconds"] < self.settings.min_seconds:
            return Outcome("short", facts)
        return Outcome("", facts)


def describe_video(path: Path) -> dict[str, Any]:
    """Size as shown, duration, frames and codec of a video, after decoding all of it.

    Raises:
        LumosXError: it is not a video, has no frames, or is truncated or damaged.
    """
    timeline = read_timeline(path)
    decoded, height, width = 0, 0, 0
    for frame in video_frames(path):
        decoded += 1
        height, width = frame.shape[:2]
    if decoded < len(timeline.times):
        raise LumosXError(
            f"The video {path} is truncated or damaged: {decoded} of its {len(timeline.times)} frames can be decoded. "
            f"Get the file again."
        )
    with opened_video(path) as container:
        codec = container.streams.video[0].codec_context.name
        sound = len(container.streams.audio) > 0
    return {
        "width": width,
        "height": height,
        "frames": decoded,
        "seconds": round(timeline.seconds, 6),
        "frames_per_second": round(timeline.frames_per_second, 6),
        "constant_rate": timeline.is_constant,
        "codec": codec,
        "sound": sound,
        "bytes": path.stat().st_size,
    }
