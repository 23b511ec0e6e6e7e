"""Files of weights in every format: networks, LoRAs, VAE, text encoder, folders of the hub."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from fuzz.inputs import Files, edited_bytes, edited_files, edited_tree, json_bytes
from fuzz.reader import Make, Reader, put, put_one
from fuzz.seeds import files_below
from hypothesis import strategies as st
from safetensors.torch import save

from lumosx_core import LumosXConfig, LumosXModel
from lumosx_core.models.lumosx.tiny import tiny_files
from lumosx_core.models.lumosx.weights.convert import convert
from lumosx_core.models.lumosx.weights.load import build_model, open_network
from lumosx_core.models.lumosx.weights.origin import origin_of

CONFIG = LumosXConfig(dim=128, ffn_dim=16, num_heads=1, num_layers=1, text_dim=16, freq_dim=16)
ENDINGS = (".safetensors", ".sft", ".pt", ".pth", ".ckpt", ".bin", "")


@cache
def network() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {name: tensor.to(torch.bfloat16) for name, tensor in LumosXModel(CONFIG).state_dict().items()}


def edited_safetensors(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Files whose header was edited as JSON and fits into the file, or whose bytes were."""
    parts = []
    for seed in seeds:
        start = 8 + int.from_bytes(seed[:8], "little")
        parts.append((json.loads(seed[8:start]), seed[start:]))
    headers = st.sampled_from(parts).flatmap(
        lambda part: edited_tree([part[0]]).map(lambda text: _with_header(json_bytes(text), part[1]))
    )
    return headers | edited_bytes(seeds)


def _with_header(header: bytes, data: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header + data


def torch_file(content: Any, **options) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def _torch_seeds() -> list[bytes]:
    plain = network()
    few = dict(list(plain.items())[:4])
    some = torch.ones(4, 4)
    odd = {
        "sparse": some.to_sparse(),
        "complex": some.to(torch.complex64),
        "view": torch.ones(1).expand(1000, 1000),
        "scalar": torch.tensor(1.0),
        "number": 1,
        "meta": torch.empty(3, device="meta"),
        "none": None,
        "list": [some, {"x": some}],
    }
    return [
        torch_file(plain),
        torch_file({"state_dict": plain, "epoch": 3}),
        torch_file({"ema": {"model": few}, "step": 10**30}),
        torch_file(odd),
        torch_file(some),
        torch_file(few, _use_new_zipfile_serialization=False),
    ]


def _open(path: Path, folder: Path) -> None:
    origin_of(path)
    network = open_network(path)
    build_model(network)
    convert(path, folder / "converted.safetensors")


def _safetensors() -> Reader:
    plain = network()
    fp8 = {name: tensor.to(torch.float8_e4m3fn) if tensor.ndim == 2 else tensor for name, tensor in plain.items()} | {
        f"{name.removesuffix('.weight')}.scale_weight": torch.tensor(1.0) for name in plain if name.endswith("q.weight")
    }
    wrapped = {f"model.diffusion_model.{name}": tensor for name, tensor in plain.items()}
    seeds = [save(plain, {"format": "pt", "lumosx_source": "x.pt"}), save(fp8), save(wrapped)]

    def read(value, folder: Path) -> None:
        _open(put_one(folder, f"network{value[1]}", value[0]), folder)

    return Reader(st.tuples(edited_safetensors(seeds), st.sampled_from(ENDINGS[:2])), read)


def _torch_files() -> Reader:
    def read(value, folder: Path) -> None:
        _open(put_one(folder, f"network{value[1]}", value[0]), folder)

    return Reader(st.tuples(edited_bytes(_torch_seeds()), st.sampled_from(ENDINGS)), read)


def _shards() -> Reader:
    names = list(network())
    parts = {f"network-{i:05d}-of-00002.safetensors": names[i - 1 :: 2] for i in (1, 2)}
    index = {"metadata": {"total_size": 1}, "weight_map": {name: file for file, each in parts.items() for name in each}}
    seed = {file: save({name: network()[name] for name in each}) for file, each in parts.items()}
    seed["network.safetensors.index.json"] = json.dumps(index).encode()

    def read(value, folder: Path) -> None:
        files, name = value
        put(folder / "network", files)
        _open(folder / "network" / name, folder)

    names_of = st.sampled_from(("", "network.safetensors.index.json", "network-00001-of-00002.safetensors"))
    return Reader(st.tuples(edited_files([seed], texts=lambda name: name.endswith(".json")), names_of), read)


def _dcp() -> Reader:
    import torch.distributed.checkpoint as dcp

    seeds = []
    for content in ({"ema": network()}, dict(list(network().items())[:3])):
        with tempfile.TemporaryDirectory() as folder:
            dcp.save(content, checkpoint_id=Path(folder) / "all", no_dist=True)
            seeds.append(files_below(Path(folder)))

    return Reader(edited_files(seeds), lambda value, folder: _open(put(folder / "network", value), folder))


def _lora_seeds() -> list[bytes]:
    def pair(rank: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.ones(rank, CONFIG.dim), torch.ones(CONFIG.dim, rank)

    layers = [f"blocks.0.{part}_attn.{matrix}" for part in ("self", "cross") for matrix in "qkvo"]
    down, up = pair()
    seeds = []
    for prefix, first, second, alpha in (
        ("diffusion_model.", "lora_down.weight", "lora_up.weight", "alpha"),
        ("base_model.model.", "lora_A.weight", "lora_B.weight", None),
        ("", "lora_A.default.weight", "lora_B.default.weight", None),
    ):
        tensors = {}
        for layer in layers:
            tensors |= {f"{prefix}{layer}.{first}": down.clone(), f"{prefix}{layer}.{second}": up.clone()}
            if alpha:
                tensors[f"{prefix}{layer}.{alpha}"] = torch.tensor(4.0)
        seeds.append(save(tensors, {"format": "pt", "ss_network_dim": "2", "ss_network_alpha": "4"}))
    kohya = {f"lora_unet_{layer.replace('.', '_')}": layer for layer in layers}
    tensors = {f"{name}.lora_down.weight": down.clone() for name in kohya}
    tensors |= {f"{name}.lora_up.weight": up.clone() for name in kohya}
    tensors |= {f"{name}.alpha": torch.tensor(2.0) for name in kohya}
    seeds.append(save(tensors))
    seeds.append(save({f"diffusion_model.{layers[0]}.diff": torch.ones(CONFIG.dim, CONFIG.dim)}))
    return seeds


def _loras() -> Reader:
    from lumosx_training.lora.export import read_any_lora
    from lumosx_training.lora.merge import merge_lora

    shapes = {name: tensor.shape for name, tensor in network().items()}
    base = save(network())
    seeds = _lora_seeds()
    small = torch_file({f"diffusion_model.blocks.0.self_attn.q.lora_{x}.weight": torch.ones(2, 2) for x in "AB"})

    def read(value, folder: Path) -> None:
        path = put_one(folder, f"lora{value[1]}", value[0])
        file = read_any_lora(path)
        file.check(shapes)
        file.write(folder / "copy.safetensors")
        merge_lora(put_one(folder, "base.safetensors", base), path, folder / "merged.safetensors")

    contents = st.one_of(edited_safetensors(seeds), edited_safetensors(seeds), edited_bytes([*seeds, small]))
    return Reader(st.tuples(contents, st.sampled_from(ENDINGS)), read)


def _lora_folders() -> Reader:
    from lumosx_training.lora.export import export_lora

    peft = {
        "peft_type": "LORA",
        "lora_alpha": 4,
        "r": 2,
        "alpha_pattern": {"q": 8},
        "rank_pattern": {},
        "use_rslora": True,
    }
    trained = {"step": 3, "base_sha256": "0" * 64, "config": {"lora": {"rank": 2, "alpha": 4.0}}}
    seeds: list[Files] = [
        {"adapter_config.json": json.dumps(peft).encode(), "adapter_model.safetensors": _lora_seeds()[1]},
        {"run.json": json.dumps(trained).encode(), "model.safetensors": _lora_seeds()[2]},
    ]

    def read(value, folder: Path) -> None:
        source = put(folder / "lora", value[0])
        export_lora(source, folder / value[1])

    inputs = edited_files(seeds, texts=lambda name: name.endswith(".json"))
    return Reader(st.tuples(inputs, st.sampled_from(("copy.safetensors", "copy"))), read)


def _vaes() -> Reader:
    from lumosx_core.models.wan.vae import WanVae

    seed = tiny_files().vae.read_bytes()

    def read(value, folder: Path) -> None:
        WanVae.load(put_one(folder, f"vae{value[1]}", value[0]))

    return Reader(st.tuples(edited_safetensors([seed]), st.sampled_from(ENDINGS)), read)


def _text_encoders() -> Reader:
    from safetensors.torch import load_file

    from lumosx_core.models.wan.umt5 import TextEncoder

    whole = load_file(tiny_files().text_encoder)
    seed = save(whole)
    name = next(each for each in whole if "spiece" in each)
    model = bytes(whole[name].numpy().tobytes())

    # Small tables: what is drawn is held in memory, and the tokeniser is looked at before the network.
    rest = {each: tensor[..., :8].clone() for each, tensor in whole.items() if each != name}

    def with_tokeniser(data: bytes) -> bytes:
        return save({**rest, name: torch.frombuffer(bytearray(data or b"\0"), dtype=torch.uint8)})

    tokenisers = edited_bytes([model]).map(with_tokeniser)

    def read(value, folder: Path) -> None:
        encoder = TextEncoder(put_one(folder, "encoder.safetensors", value))
        encoder.pieces(encoder.tokenize("A man in a denim jacket, 男人."))
        encoder.encode("A man in a denim jacket.")

    return Reader(edited_safetensors([seed]) | tokenisers, read)


def _photo_networks() -> Reader:
    """Folders and files of the networks that photos are read with, as far as we read them ourselves."""
    from tiny_networks import write_grounding_dino, write_hub_sam

    return _network_folders([("grounding-dino/tiny", write_grounding_dino), ("sams/hub", write_hub_sam)])


def _sam_checkpoints() -> Reader:
    from tiny_networks import write_sam

    return _network_folders([("sams/sam_vit_b.pth", write_sam)])


def _network_folders(writers: list[tuple[str, Callable[[Path], object]]]) -> Reader:
    from lumosx_core.auto_scene.networks.find import choose_model, find_models
    from lumosx_core.auto_scene.networks.grounding_dino import GroundingDino
    from lumosx_core.auto_scene.networks.sam import load_segmenter

    seeds = []
    for name, write in writers:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / name).parent.mkdir(exist_ok=True)
            write(Path(folder) / name)
            seeds.append(files_below(Path(folder)))

    def read(value: Files, folder: Path) -> None:
        put(folder, value)
        for kind in ("faces", "phrases", "masks", "language"):
            find_models(kind, [folder])
        if any("grounding" in name for name in value):
            GroundingDino.load(choose_model("phrases", None, [folder]))
        else:
            load_segmenter(choose_model("masks", None, [folder]))

    return Reader(edited_files(seeds, texts=lambda name: name.endswith(".json")), read)


def _face_detectors() -> Reader:
    from tiny_networks import write_face_detector

    from lumosx_core.auto_scene.networks.face_detector import FaceDetector

    with tempfile.TemporaryDirectory() as folder:
        seed = write_face_detector(Path(folder) / "detector.onnx").read_bytes()

    def read(value: bytes, folder: Path) -> None:
        FaceDetector.load(put_one(folder, "detector.onnx", value))

    return Reader(edited_bytes([seed]), read)


READERS: dict[str, Make] = {
    "safetensors": _safetensors,
    "torch files": _torch_files,
    "sharded networks": _shards,
    "DCP folders": _dcp,
    "LoRA files": _loras,
    "LoRA folders": _lora_folders,
    "VAEs": _vaes,
    "text encoders": _text_encoders,
    "networks for photos": _photo_networks,
    "SAM 1 checkpoints": _sam_checkpoints,
    "face detectors": _face_detectors,
}
