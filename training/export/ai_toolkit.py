"""ai-toolkit: videos with captions beside them, and a folder of control images for each place in the order.

    clips/000000.mp4  clips/000000.txt
    control_1/000000.png  control_2/000000.png ...
    dataset.yaml      the entry for `datasets` in a job's config

The k-th control image of a clip is the file of the clip's name in the k-th folder of `control_path`; a clip with fewer
images has no file in the later ones. Source: toolkit/config_modules.py and dataloader_mixins.py (August 2026).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lumosx_core.errors import LumosXError
from lumosx_core.files.atomic_file import atomic_file

from .formats import ExportedSample, write_image

MOST_IN_PAGE = 3  # control folders that its page has fields for


class AiToolkit:
    """See the module."""

    name = "ai-toolkit"
    videos = "clips"
    lost = "Its control images are an ordered list: whose each image is, and which words name it, is not in it."

    def write_sample(self, root: Path, exported: ExportedSample) -> Mapping[str, Any]:
        if not exported.images:
            raise LumosXError("The scene has no reference image, so ai-toolkit has nothing to control it with.")
        for number, image in enumerate(exported.images, 1):
            folder = root / f"control_{number}"
            folder.mkdir(exist_ok=True)
            write_image(folder / f"{exported.name}.png", image.image)
        with atomic_file(root / self.videos / f"{exported.name}.txt") as file:
            file.write(exported.caption.encode())
        return {"images": len(exported.images)}

    def write_index(self, root: Path, entries: Sequence[Mapping[str, Any]]) -> list[Path]:
        most = max((entry["images"] for entry in entries), default=0)
        folders = [str(root / f"control_{number}") for number in range(1, most + 1)]
        lines = [
            "# An entry for `datasets` in the config of a job.",
            f"- folder_path: {json.dumps(str(root / self.videos), ensure_ascii=False)}",
            '  caption_ext: "txt"',
            "  control_path:",
            *(f"    - {json.dumps(folder, ensure_ascii=False)}" for folder in folders),
        ]
        if most > MOST_IN_PAGE:
            lines.insert(1, f"# Its page has fields for {MOST_IN_PAGE} control folders only: use this file.")
        path = root / "dataset.yaml"
        with atomic_file(path) as file:
            file.write(("\n".join(lines) + "\n").encode())
        return [path]
