"""LTX trainer: IC-LoRA on reference sheets, as its Ingredients LoRA was made.

    videos/000000.mp4  sheets/000000.mp4
    dataset.jsonl  {"video": ..., "caption": ..., "reference_video": ...}

The sheet is a still video of the clip's own size and number of frames: black ground, no text, one row for each subject.
Its description opens the caption, with the owner of each panel in words; this is the only format that keeps owners.
Source: packages/ltx-trainer/docs/dataset-preparation.md (August 2026) and the Ingredients LoRA's form of prompts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lumosx_core.errors import LumosXError
from lumosx_core.media.video import write_video

from .formats import ExportedSample, write_lines
from .owned_images import OwnedImage
from .sheet import draw_sheet, rows_of
from .video_facts import video_facts


class Ltx:
    """See the module."""

    name = "ltx"
    videos = "videos"
    lost = "Owners are in the words of the caption and in the rows of the sheet; the trainer itself knows none."

    def write_sample(self, root: Path, exported: ExportedSample) -> Mapping[str, Any]:
        if not exported.images:
            raise LumosXError("The scene has no reference image, so there is no sheet.")
        facts = video_facts(root / exported.video)
        sheet = draw_sheet(exported.images, facts.width, facts.height, ground="black")
        (root / "sheets").mkdir(exist_ok=True)
        path = f"sheets/{exported.name}.mp4"
        write_video(root / path, sheet[None].expand(facts.frames, -1, -1, -1), facts.frames_per_second)
        caption = f"Reference sheet: {describe_sheet(exported.images)} Generated video: {exported.caption}"
        return {"video": exported.video, "caption": caption, "reference_video": path}

    def write_index(self, root: Path, entries: Sequence[Mapping[str, Any]]) -> list[Path]:
        return [write_lines(root / "dataset.jsonl", entries)]


def describe_sheet(images: Sequence[OwnedImage]) -> str:
    """The rows of the sheet in words, such as "Row 1 (character): man, face; denim jacket.".

    A subject's images share a row, so that the words say whose each is.
    """
    sentences = []
    for number, row in enumerate(rows_of(images), 1):
        kind = "props and place" if row[0].owner is None else "character"
        sentences.append(f"Row {number} ({kind}): {'; '.join(map(_panel, row))}.")
    return " ".join(sentences)


def _panel(image: OwnedImage) -> str:
    words = image.words or "no name"
    return f"{words}, face" if image.role == "face" else f"{words}, location" if image.role == "background" else words
