"""DiffSynth-Studio: a CSV for models with one reference image, and a JSON for models with a list of them.

    videos/000000.mp4  sheets/000000.png  references/000000/1.png ...
    metadata.csv   video, prompt, vace_reference_image: the sheet, since VACE takes one image
    metadata.json  video, prompt, references: [{"type": "image", "image": ...}, ...], as for MiniMax-H3

Paths are relative to --dataset_base_path. Source: diffsynth/core/data/unified_dataset.py (August 2026).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lumosx_core.errors import LumosXError
from lumosx_core.files.atomic_file import atomic_file

from .formats import ExportedSample, write_image
from .sheet import draw_sheet
from .video_facts import video_facts

# Its reader of CSV files is pandas, which takes these for a missing value.
MISSING_VALUES = {
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA"),
    *("NULL", "NaN", "None", "n/a", "nan", "null"),
}


class DiffSynth:
    """See the module."""

    name = "diffsynth"
    videos = "videos"
    lost = "Neither file says whose an image is or which words name it; on the sheet, a subject's images share a row."

    def write_sample(self, root: Path, exported: ExportedSample) -> Mapping[str, Any]:
        if not exported.images:
            raise LumosXError("The scene has no reference image, so DiffSynth-Studio has none to train with.")
        if _read_as_no_text(exported.caption):
            raise LumosXError(
                f"The caption {exported.caption!r} is read from a CSV as a number or as missing. Write a sentence."
            )
        facts = video_facts(root / exported.video)
        sheet = f"sheets/{exported.name}.png"
        (root / "sheets").mkdir(exist_ok=True)
        write_image(root / sheet, draw_sheet(exported.images, facts.width, facts.height, ground="white"))
        folder = root / "references" / exported.name
        folder.mkdir(parents=True, exist_ok=True)
        references = []
        for number, image in enumerate(exported.images, 1):
            write_image(folder / f"{number}.png", image.image)
            references.append({"type": "image", "image": f"references/{exported.name}/{number}.png"})
        return {
            "video": exported.video,
            "prompt": exported.caption,
            "vace_reference_image": sheet,
            "references": references,
        }

    def write_index(self, root: Path, entries: Sequence[Mapping[str, Any]]) -> list[Path]:
        columns = ("video", "prompt", "vace_reference_image")
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(entries)
        listed = [{name: entry[name] for name in ("video", "prompt", "references")} for entry in entries]
        written = {"metadata.csv": text.getvalue(), "metadata.json": json.dumps(listed, ensure_ascii=False, indent=1)}
        for name, content in written.items():
            with atomic_file(root / name) as file:
                file.write(content.encode())
        return [root / name for name in written]


def _read_as_no_text(caption: str) -> bool:
    if caption in MISSING_VALUES or caption.strip().lower() in ("true", "false"):
        return True
    try:
        float(caption)
    except ValueError:
        return False
    return True
