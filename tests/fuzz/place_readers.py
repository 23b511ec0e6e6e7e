"""Paths at which there is no file, or something that is none: every reader that takes a path says so."""

from __future__ import annotations

import os
from pathlib import Path

from fuzz.reader import Make, Reader
from hypothesis import strategies as st

ENDINGS = (
    *(
        ".png",
        ".mp4",
        ".json",
        ".safetensors",
        ".pt",
        ".toml",
        ".jsonl",
        ".tar",
        ".csv",
        ".parquet",
        ".onnx",
        ".txt",
        "",
    ),
    *("-00001-of-00002.safetensors", ".safetensors.index.json", ".gguf"),
)
PLACES = (
    "pipe",
    "zero",
    "null",
    "random",
    "folder",
    "missing",
    "dangling",
    "circle",
    "long",
    "zero byte",
    "empty",
    "closed",
    "below a file",
)


def _make(folder: Path, place: str, ending: str) -> Path:
    path = folder / f"x{ending}"
    if place == "pipe":
        os.mkfifo(path)
    elif place in ("zero", "null", "random"):
        path.symlink_to(f"/dev/{place}")
    elif place == "folder":
        path.mkdir()
    elif place == "dangling":
        path.symlink_to("nothing")
    elif place == "circle":
        path.symlink_to(path.name)
    elif place == "long":
        return folder / ("x" * 300 + ending)
    elif place == "zero byte":
        return folder / f"x\0{ending}"
    elif place == "empty":
        path.write_bytes(b"")
    elif place == "closed":
        path.write_bytes(b"x")
        path.chmod(0)
    elif place == "below a file":
        (folder / "file").write_bytes(b"x")
        return folder / "file" / path.name
    return path


def _places() -> Reader:
    from fuzz.workflow_readers import evaluate

    from lumosx_core.auto_scene.networks.face_detector import FaceDetector
    from lumosx_core.auto_scene.networks.find import choose_model
    from lumosx_core.auto_scene.networks.grounding_dino import GroundingDino
    from lumosx_core.auto_scene.networks.sam import load_segmenter
    from lumosx_core.files.model_files import find_model_files
    from lumosx_core.media.images import read_picture
    from lumosx_core.media.loaded_image import load_image
    from lumosx_core.models.cogvideox.t5 import T5Encoder
    from lumosx_core.models.conversion import convert_any
    from lumosx_core.models.ingredients.faces.face_encoder import FaceEncoder
    from lumosx_core.models.ingredients.weights.convert import open_vae
    from lumosx_core.models.ingredients.weights.files import find_ingredients_files
    from lumosx_core.models.ingredients.weights.load import open_network as open_ingredients
    from lumosx_core.models.ingredients.weights.load import schedule_of
    from lumosx_core.models.lumosx.weights.load import open_network
    from lumosx_core.models.lumosx.weights.origin import origin_of
    from lumosx_core.models.wan.umt5 import TextEncoder
    from lumosx_core.models.wan.vae import WanVae
    from lumosx_core.scene.case_folder import read_case
    from lumosx_core.scene.subject_file import read_subject
    from lumosx_training.cache import LatentCache
    from lumosx_training.data.clips import ClipSettings, read_clip, read_frames
    from lumosx_training.data.samples import read_sample
    from lumosx_training.data.sources.open_source import open_source
    from lumosx_training.loop.checkpoints.checkpoint import Checkpoint
    from lumosx_training.loop.config import read_config
    from lumosx_training.lora.export import read_any_lora
    from lumosx_training.lora.merge import merge_lora

    readers = {
        "image": read_picture,
        "loaded image": load_image,
        "clip": lambda path: read_clip(path, ClipSettings(frames=(5,))),
        "frames": lambda path: read_frames(path, [0]),
        "case": read_case,
        "subject": read_subject,
        "sample": read_sample,
        "source": lambda path: open_source(str(path)).keys(),
        "workflow": lambda path: evaluate(path, path.parent),
        "network": open_network,
        "origin": origin_of,
        "vae": WanVae.load,
        "text encoder": TextEncoder,
        "lora": read_any_lora,
        "merge": lambda path: merge_lora(path, path, path.parent / "out.safetensors"),
        "config": lambda path: read_config(str(path)),
        "cache": LatentCache,
        "checkpoint": Checkpoint,
        "model files": lambda path: find_model_files(path, path, path),
        "any detector": lambda path: choose_model("faces", str(path), [path]),
        "face detector": FaceDetector.load,
        "phrase detector": GroundingDino.load,
        "segmenter": load_segmenter,
        "Ingredients network": open_ingredients,
        "schedule of Ingredients": schedule_of,
        "files of Ingredients": lambda path: find_ingredients_files(path, path, path, path),
        "face encoder": FaceEncoder.load,
        "T5": T5Encoder,
        "CogVideoX VAE": open_vae,
        "conversion": lambda path: convert_any(path, path.parent / "out.safetensors"),
    }

    def read(value: tuple[str, str, str], folder: Path) -> None:
        name, place, ending = value
        path = _make(folder, place, ending)
        try:
            readers[name](path)
        finally:
            if path.name and place == "closed":
                path.chmod(0o600)

    return Reader(st.tuples(st.sampled_from([*readers]), st.sampled_from(PLACES), st.sampled_from(ENDINGS)), read)


READERS: dict[str, Make] = {"paths without a file": _places}
