"""Weight files of Ingredients (CogVideoX): networks, text encoders, VAEs, schedules, released folders."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path

import torch
from fuzz.inputs import Files, edited_bytes, edited_files, edited_text, edited_tree
from fuzz.reader import Make, Reader, put, put_one
from fuzz.seeds import files_below
from fuzz.weight_readers import ENDINGS, edited_safetensors, torch_file
from hypothesis import strategies as st
from safetensors.torch import save

# As small as a network can be: hypothesis holds what it draws.
CONFIG = {
    "_class_name": "ConsisIDTransformer3DModel",
    "num_attention_heads": 1,
    "attention_head_dim": 16,
    "in_channels": 4,
    "out_channels": 2,
    "time_embed_dim": 4,
    "text_embed_dim": 4,
    "num_layers": 2,
    "sample_width": 2,
    "sample_height": 2,
    "sample_frames": 1,
    "max_text_seq_length": 2,
    "cross_attn_interval": 2,
    "cross_attn_dim_head": 2,
    "cross_attn_num_heads": 1,
    "LFE_depth": 5,
    "LFE_dim_head": 2,
    "LFE_ff_mult": 1,
    "LFE_id_dim": 4,
    "LFE_num_heads": 1,
    "LFE_num_id_token": 1,
    "LFE_num_querie": 2,
    "LFE_output_dim": 4,
    "LFE_vit_dim": 4,
    "use_rotary_positional_embeddings": True,
    "use_learned_positional_embeddings": True,
    "is_train_face": True,
    "is_kps": False,
    "local_face_scale": 1.0,
    "router": {"inner_dim": 4},
}
PROMPTS = ["Two men talk.", "a </s> b <extra_id_0>", "x" * 300, "日本 🙂\u200b", "\ud800", "\0"]


@cache
def network() -> dict[str, torch.Tensor]:
    from miniature import random_state

    from lumosx_core.models.ingredients.config import IngredientsConfig
    from lumosx_core.models.ingredients.model import IngredientsModel

    return random_state(IngredientsModel(IngredientsConfig.from_dict(CONFIG), device="meta"), 0)


def _open(path: Path, folder: Path) -> None:
    from lumosx_core.models.conversion import convert_any
    from lumosx_core.models.ingredients.weights.convert import convert_network
    from lumosx_core.models.ingredients.weights.load import build_model, open_network

    build_model(open_network(path))
    convert_network(path, folder / "converted.safetensors")
    convert_any(path, folder / "again.safetensors")


def _networks() -> Reader:
    from lumosx_core.models.ingredients.config import IngredientsConfig
    from lumosx_core.models.ingredients.weights.load import CONFIG as KEY

    facts = {"format": "pt", KEY: json.dumps(IngredientsConfig.from_dict(CONFIG).to_dict())}
    plain = network()
    fp8 = {name: tensor.to(torch.float8_e4m3fn) if tensor.ndim == 2 else tensor for name, tensor in plain.items()}
    fp8["transformer_blocks.0.attn1.to_q.scale_weight"] = torch.tensor(1.0)
    wrapped = {f"model.diffusion_model.{name}": tensor for name, tensor in plain.items()}
    seeds = [save(plain, facts), save(fp8, facts), save(wrapped, facts), save(plain)]
    configs = edited_tree([json.loads(facts[KEY])]).map(lambda text: _saved(plain, {KEY: text}))
    others = edited_bytes([torch_file(plain)])

    def read(value, folder: Path) -> None:
        _open(put_one(folder, f"network{value[1]}", value[0]), folder)

    contents = st.one_of(edited_safetensors(seeds), configs, others)
    return Reader(st.tuples(contents, st.sampled_from(ENDINGS)), read)


def _saved(tensors: dict[str, torch.Tensor], facts: dict[str, str]) -> bytes:
    """A file, without the facts that the library does not write, such as halves of letters."""
    try:
        return save(tensors, facts)
    except (UnicodeEncodeError, ValueError):
        return save(tensors)


def _network_folders() -> Reader:
    from miniature import write_shards

    with tempfile.TemporaryDirectory() as folder:
        inner = Path(folder) / "transformer"
        inner.mkdir()
        write_shards(inner, "diffusion_pytorch_model", network())
        (inner / "config.json").write_text(json.dumps(CONFIG))
        seed = files_below(Path(folder))

    def read(value: tuple[Files, str], folder: Path) -> None:
        put(folder / "release", value[0])
        _open(folder / "release" / value[1], folder)

    inside = st.sampled_from(("", "transformer", "transformer/diffusion_pytorch_model-00001-of-00002.safetensors"))
    return Reader(st.tuples(edited_files([seed], texts=lambda name: name.endswith(".json")), inside), read)


def _text_encoders() -> Reader:
    from miniature import tokenizer_bytes, write_text_encoder, write_tokenizer

    from lumosx_core.models.cogvideox.t5 import T5Encoder

    with tempfile.TemporaryDirectory() as folder:
        write_text_encoder(Path(folder) / "text_encoder")
        write_tokenizer(Path(folder) / "tokenizer")
        seed = files_below(Path(folder))
    model = tokenizer_bytes()

    def with_tokeniser(data: bytes) -> Files:
        return {**seed, "tokenizer/spiece.model": data}

    def read(value: Files, folder: Path) -> None:
        encoder = T5Encoder(put(folder / "release", value))
        encoder.pieces(encoder.tokenize("Two men, 男人."))
        encoder.encode_all(["Two men."])

    texts = edited_files([seed], texts=lambda name: name.endswith(".json"))
    return Reader(st.one_of(texts, edited_bytes([model]).map(with_tokeniser)), read)


def _prompts() -> Reader:
    from miniature import write_text_encoder, write_tokenizer

    from lumosx_core.models.cogvideox.t5 import T5Encoder

    with tempfile.TemporaryDirectory() as folder:
        write_text_encoder(Path(folder) / "text_encoder")
        write_tokenizer(Path(folder) / "tokenizer")
        seed = files_below(Path(folder))

    def read(value: str, folder: Path) -> None:
        [(ids, states)] = T5Encoder(put(folder / "release", seed)).encode_all([value])
        assert ids[-1] == 1 and states.shape[0] == 226 and states.isfinite().all()

    return Reader(edited_text(PROMPTS, words=["</s>", "<pad>", "<extra_id_7>", "man"]), read)


def _vaes() -> Reader:
    from miniature import VAE_CONFIG, write_vae

    from lumosx_core.models.cogvideox.vae import CogVideoXVae
    from lumosx_core.models.ingredients.weights.convert import convert_vae

    with tempfile.TemporaryDirectory() as folder:
        write_vae(Path(folder) / "vae")
        seed = files_below(Path(folder))
    weights = seed["vae/diffusion_pytorch_model.safetensors"]
    configs = edited_tree([VAE_CONFIG]).map(lambda text: {**seed, "vae/config.json": text.encode(errors="replace")})
    headers = edited_safetensors([weights]).map(lambda data: {**seed, "vae/diffusion_pytorch_model.safetensors": data})

    def read(value: Files, folder: Path) -> None:
        put(folder / "release", value)
        CogVideoXVae.load(folder / "release")
        convert_vae(folder / "release", folder / "converted.safetensors")

    return Reader(st.one_of(configs, headers, edited_files([seed], texts=lambda name: name.endswith(".json"))), read)


def _schedules() -> Reader:
    from miniature import SCHEDULER_CONFIG

    from lumosx_core.models.cogvideox.dpm import CogVideoXSchedule

    def read(value: tuple[str, int], folder: Path) -> None:
        try:
            config = json.loads(value[0])
        except (ValueError, RecursionError):
            return
        schedule = CogVideoXSchedule.from_dict(config)
        steps = schedule.steps(value[1])
        assert all(step.keep >= 0 for step in steps)

    steps = st.sampled_from((1, 2, 8, 50, 61, 999, 1000, 0, -1, 10**6))
    return Reader(st.tuples(edited_tree([SCHEDULER_CONFIG]), steps), read)


def _folders_of_files() -> Reader:
    from lumosx_core.models.ingredients.weights.files import find_ingredients_files

    released = {
        "transformer/config.json": b"{}",
        "vae/config.json": b"{}",
        "text_encoder/config.json": b"{}",
        "tokenizer/spiece.model": b"",
        "face_encoder/models/antelopev2/glintr100.onnx": b"",
    }
    models = {
        "diffusion_models/ingredients_bf16.safetensors": b"",
        "diffusion_models/lumosx_bf16.safetensors": b"",
        "vae/cogvideox_vae.safetensors": b"",
        "text_encoders/ingredients_t5xxl_bf16.safetensors": b"",
        "ingredients_face_encoder/EVA02_CLIP_L_336_psz14_s6B.pt": b"",
    }

    def read(value: tuple[Files, str], folder: Path) -> None:
        put(folder / "models", value[0])
        find_ingredients_files(folder / "models" / value[1]).check()

    inside = st.sampled_from(("", "transformer", "vae", "\0", "x" * 300, "../models"))
    return Reader(st.tuples(edited_files([released, models]), inside), read)


READERS: dict[str, Make] = {
    "Ingredients networks": _networks,
    "Ingredients folders": _network_folders,
    "T5 encoders": _text_encoders,
    "prompts for T5": _prompts,
    "CogVideoX VAEs": _vaes,
    "CogVideoX schedules": _schedules,
    "files of Ingredients": _folders_of_files,
}
