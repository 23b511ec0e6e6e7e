"""Each data set is read by the trainer's own classes, where its checkout is at hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from export_samples import CAPTION, Made, sample
from needs import existing, missing

from lumosx_training.export.export import export
from lumosx_training.export.formats import trainer_format

READERS = {
    "musubi-tuner": (
        "musubi-tuner/src",
        """
from musubi_tuner.dataset.datasources import VideoJsonlDatasource
source = VideoJsonlDatasource(root + "/ref2va.jsonl")
found = {"samples": len(source), "caption": source.get_caption(0)[1], "images": len(source.data[0]["references"])}
""",
    ),
    "ai-toolkit": (
        "ai-toolkit",
        """
import yaml
from toolkit.config_modules import DatasetConfig
from toolkit.data_transfer_object.data_loader import FileItemDTO
config = DatasetConfig(**yaml.safe_load(open(root + "/dataset.yaml"))[0], num_frames=9)
items = [
    FileItemDTO(
        path=f"{config.folder_path}/{number:06d}.mp4", dataset_config=config, size_database={}, dataset_root=root
    )
    for number in range(2)
]
items[0].load_caption({})
found = {"samples": len(items), "caption": items[0].raw_caption, "images": len(items[0].control_path)}
""",
    ),
    "diffsynth": (
        "DiffSynth-Studio",
        """
from diffsynth.core.data.unified_dataset import UnifiedDataset
video = UnifiedDataset.default_video_operator(root, height=32, width=48, num_frames=9, frame_rate=16)
columns = ("video", "vace_reference_image")
data = UnifiedDataset(root, root + "/metadata.csv", data_file_keys=columns, main_data_operator=video)
assert len(data[0]["video"]) == 9 and data[0]["vace_reference_image"][0].size == (48, 32)
from diffsynth.utils.data.minimax_h3 import MiniMaxH3ReferenceLoader
load = MiniMaxH3ReferenceLoader(base_path=root, height=32, width=32)
listed = UnifiedDataset(
    root, root + "/metadata.json", data_file_keys=("references",), special_operator_map={"references": load}
)
found = {"samples": len(data), "caption": data[0]["prompt"], "images": len(listed[0]["references"])}
""",
    ),
    "ltx": (
        "LTX-2/packages/ltx-trainer/scripts",
        """
for package in ("ltx-trainer", "ltx-core", "ltx-pipelines"):
    sys.path.append(f"{trainers}/LTX-2/packages/{package}/src")
from process_videos import MediaDataset, _load_paths_from_dataset
data = MediaDataset(root + "/dataset.jsonl", "video", "reference_video", [(9, 32, 32)])
assert data[0]["video"].shape == (3, 9, 32, 32)
assert data[0]["main_media_relative_path"] == "videos/000000.mp4"
import json
caption = json.loads(open(root + "/dataset.jsonl", encoding="utf-8").readline())["caption"]
found = {"samples": len(data), "caption": caption.partition("Generated video: ")[2], "images": 5}
""",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_the_trainer_itself_reads_the_data_set(name, tmp_path):
    folder, program = READERS[name]
    trainers = os.environ.get("LUMOSX_TRAINERS")
    if not trainers:
        missing(f"no checkout of the trainer for {name}. Set LUMOSX_TRAINERS to a folder of checkouts of trainers.")
    existing(Path(trainers) / folder, f"the checkout for {name}", "Put it there.")
    root = tmp_path / "set"
    export(Made(sample(), sample("two")), root, trainer_format(name))
    start = (
        f"import json, sys\ntrainers, root = {trainers!r}, {str(root)!r}\nsys.path.insert(0, '{trainers}/{folder}')\n"
    )
    result = subprocess.run(
        [os.environ.get("LUMOSX_TRAINERS_PYTHON", sys.executable), "-c", f"{start}{program}\nprint(json.dumps(found))"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=300,
    )
    if "ModuleNotFoundError" in result.stderr:
        missing(f"a package that the trainer for {name} needs: {result.stderr.strip().splitlines()[-1]}")
    assert result.returncode == 0, result.stderr[-3000:]
    assert json.loads(result.stdout.splitlines()[-1]) == {"samples": 2, "caption": CAPTION, "images": 5}
