"""musubi-tuner: a JSONL of videos with ordered `references`, as its MiniMax-H3 Ref2VA training reads it.

    videos/000000.mp4  references/000000/1.png ...
    ref2va.jsonl    {"video_path": ..., "caption": ..., "references": [{"type": "image", "path": ...}, ...]}

Relative paths are resolved from the folder of the JSONL. Source: its docs/minimax_h3.md (September 2026).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lumosx_core.errors import LumosXError

from .formats import ExportedSample, write_image, write_lines

MOST_IMAGES = 9  # of one record


class MusubiTuner:
    """See the module."""

    name = "musubi-tuner"
    videos = "videos"
    lost = "Its references are an ordered list: whose each image is, and which words name it, is not in it."

    def write_sample(self, root: Path, exported: ExportedSample) -> Mapping[str, Any]:
        if not 1 <= len(exported.images) <= MOST_IMAGES:
            raise LumosXError(
                f"The scene has {len(exported.images)} reference images, but musubi-tuner takes 1 to {MOST_IMAGES}. "
                f"Remove some of them from the sample."
            )
        folder = root / "references" / exported.name
        folder.mkdir(parents=True, exist_ok=True)
        references = []
        for number, image in enumerate(exported.images, 1):
            write_image(folder / f"{number}.png", image.image)
            references.append({"type": "image", "path": f"references/{exported.name}/{number}.png"})
        return {"video_path": exported.video, "caption": exported.caption, "references": references}

    def write_index(self, root: Path, entries: Sequence[Mapping[str, Any]]) -> list[Path]:
        return [write_lines(root / "ref2va.jsonl", entries)]
