"""Ingredients (CogVideoX) in miniature: random weights in the layout of the release, for tests.

model_index.json  scheduler/  tokenizer/  text_encoder/ (two shards)  vae/  transformer/ (two shards)  face_encoder/

Everything is computed from the seed: two miniatures of one seed are the same. 80 x 64 pixels, 9 frames, 226 tokens.
"""

from __future__ import annotations

import io
import json
import shutil
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import save_file

from lumosx_core.models.ingredients.config import IngredientsConfig
from lumosx_core.models.ingredients.model import IngredientsModel
from lumosx_core.models.t5.t5_network import T5Network, T5Sizes

WIDTH, HEIGHT, FRAMES = 80, 64, 9
TEXT_DIM = 64

TRANSFORMER_CONFIG = {
    "_class_name": "ConsisIDTransformer3DModel",
    "_diffusers_version": "0.32.0.dev0",
    "activation_fn": "gelu-approximate",
    "attention_bias": True,
    "attention_head_dim": 16,
    "cross_attn_dim_head": 16,
    "cross_attn_interval": 2,
    "cross_attn_num_heads": 4,
    "dropout": 0.0,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 32,
    "is_kps": False,
    "is_train_face": True,
    "LFE_depth": 10,
    "LFE_dim_head": 12,
    "LFE_ff_mult": 4,
    "LFE_id_dim": 44,
    "LFE_num_heads": 4,
    "LFE_num_id_token": 5,
    "LFE_num_querie": 8,
    "LFE_output_dim": 48,
    "LFE_vit_dim": 48,
    "local_face_scale": 1.0,
    "max_text_seq_length": 226,
    "norm_elementwise_affine": True,
    "norm_eps": 1e-05,
    "num_attention_heads": 4,
    "num_layers": 4,
    "out_channels": 16,
    "patch_size": 2,
    "sample_frames": FRAMES,
    "sample_height": HEIGHT // 8,
    "sample_width": WIDTH // 8,
    "spatial_interpolation_scale": 1.875,
    "temporal_compression_ratio": 4,
    "temporal_interpolation_scale": 1.0,
    "text_embed_dim": TEXT_DIM,
    "time_embed_dim": 32,
    "timestep_activation_fn": "silu",
    "use_learned_positional_embeddings": True,
    "use_rotary_positional_embeddings": True,
    "router": {"inner_dim": 40},  # the release has no such section: its sizes are those of the code
}
SCHEDULER_CONFIG = {
    "_class_name": "CogVideoXDPMScheduler",
    "_diffusers_version": "0.32.0.dev0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "clip_sample_range": 1.0,
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "sample_max_value": 1.0,
    "set_alpha_to_one": True,
    "snr_shift_scale": 1.0,
    "steps_offset": 0,
    "timestep_spacing": "trailing",
    "trained_betas": None,
}
VAE_CONFIG = {
    "_class_name": "AutoencoderKLCogVideoX",
    "_diffusers_version": "0.32.0.dev0",
    "act_fn": "silu",
    "block_out_channels": [4, 8, 8, 8],
    "down_block_types": ["CogVideoXDownBlock3D"] * 4,
    "force_upcast": True,
    "in_channels": 3,
    "invert_scale_latents": False,
    "latent_channels": 16,
    "latents_mean": None,
    "latents_std": None,
    "layers_per_block": 1,
    "norm_eps": 1e-06,
    "norm_num_groups": 4,
    "out_channels": 3,
    "sample_height": 480,
    "sample_width": 720,
    "scaling_factor": 0.7,
    "shift_factor": None,
    "temporal_compression_ratio": 4,
    "up_block_types": ["CogVideoXUpBlock3D"] * 4,
    "use_post_quant_conv": False,
    "use_quant_conv": False,
}
T5_SIZES = T5Sizes(width=TEXT_DIM, inner=64, heads=4, feed_forward=96, blocks=2, buckets=32, one_table=True)
_SENTENCES = (
    "Two men talk at a table in front of a window, and both of them smile.",
    "A woman in a red dress and a man in a dark suit walk along the beach.",
    "Three people sit in a cafe; the camera moves slowly from left to right.",
    "The first person wears glasses, the second person a hat, a denim jacket and white shirts.",
    "A young man with a beard stands next to an old woman who holds a cup of coffee.",
)


def write_miniature(folder: Path, seed: int = 0) -> Path:
    """Write the whole release; returns the folder."""
    # Here, not above: it needs onnx, which the other parts do not.
    from tiny_faces import write_tiny_face_encoder

    folder.mkdir(parents=True, exist_ok=True)
    write_json(
        folder / "model_index.json",
        {
            "_class_name": "ConsisIDPipeline",
            "_diffusers_version": "0.32.0.dev0",
            "scheduler": ["diffusers", "CogVideoXDPMScheduler"],
            "text_encoder": ["transformers", "T5EncoderModel"],
            "tokenizer": ["transformers", "T5Tokenizer"],
            "transformer": ["diffusers", "ConsisIDTransformer3DModel"],
            "vae": ["diffusers", "AutoencoderKLCogVideoX"],
        },
    )
    write_json(folder / "scheduler" / "scheduler_config.json", SCHEDULER_CONFIG)
    write_tokenizer(folder / "tokenizer")
    write_text_encoder(folder / "text_encoder", seed)
    write_vae(folder / "vae", seed)
    write_transformer(folder / "transformer", seed)
    write_tiny_face_encoder(folder / "face_encoder", seed)
    return folder


def write_single_files(miniature: Path, models: Path) -> Path:
    """The same networks as `lumosx download --ingredients` places them in a models folder; returns that folder."""
    from lumosx_core.models.ingredients.weights.convert import convert_network, convert_text_encoder, convert_vae
    from lumosx_core.models.ingredients.weights.files import FACE_ENCODER_FOLDER

    for name in ("diffusion_models", "text_encoders", "vae"):
        (models / name).mkdir(parents=True, exist_ok=True)
    convert_network(miniature, models / "diffusion_models" / "ingredients_bf16.safetensors")
    convert_text_encoder(miniature, models / "text_encoders" / "ingredients_t5xxl_bf16.safetensors")
    convert_vae(miniature, models / "vae" / "cogvideox_vae.safetensors")
    shutil.copytree(miniature / "face_encoder", models / FACE_ENCODER_FOLDER)
    return models


@cache
def tokenizer_bytes() -> bytes:
    """A sentencepiece model of T5's kind: unigram, nmt_nfkc, unknown letters become one token."""
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(_SENTENCES * 20),
        model_writer=model,
        model_type="unigram",
        vocab_size=220,
        hard_vocab_limit=False,
        normalization_rule_name="nmt_nfkc",
        required_chars="".join(map(chr, range(33, 127))),
        character_coverage=1.0,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    return model.getvalue()


def write_tokenizer(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spiece.model").write_bytes(tokenizer_bytes())
    special = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    write_json(folder / "special_tokens_map.json", special)
    write_json(folder / "tokenizer_config.json", {**special, "tokenizer_class": "T5Tokenizer", "extra_ids": 0})


def text_encoder_state(seed: int = 0) -> dict[str, torch.Tensor]:
    """The encoder's tensors under Hugging Face's names."""
    import sentencepiece

    words = sentencepiece.SentencePieceProcessor(model_proto=tokenizer_bytes()).get_piece_size()
    state = {f"encoder.{name}": tensor for name, tensor in random_state(T5Network(T5_SIZES), seed).items()}
    state["shared.weight"] = torch.randn(-(-words // 32) * 32, TEXT_DIM, generator=generator(seed + 1))
    return state


def write_text_encoder(folder: Path, seed: int = 0) -> None:
    state = text_encoder_state(seed)
    write_json(
        folder / "config.json",
        {
            "architectures": ["T5EncoderModel"],
            "d_ff": T5_SIZES.feed_forward,
            "d_kv": T5_SIZES.inner // T5_SIZES.heads,
            "d_model": T5_SIZES.width,
            "feed_forward_proj": "gated-gelu",
            "model_type": "t5",
            "num_heads": T5_SIZES.heads,
            "num_layers": T5_SIZES.blocks,
            "relative_attention_num_buckets": T5_SIZES.buckets,
            "vocab_size": len(state["shared.weight"]),
        },
    )
    write_shards(folder, "model", state)


def write_vae(folder: Path, seed: int = 0) -> None:
    from diffusers import AutoencoderKLCogVideoX

    with torch.device("meta"):
        sizes = {key: value for key, value in VAE_CONFIG.items() if not key.startswith("_")}
        network = AutoencoderKLCogVideoX(**sizes)
    write_json(folder / "config.json", VAE_CONFIG)
    save_file(random_state(network, seed), folder / "diffusion_pytorch_model.safetensors")


def network_config() -> IngredientsConfig:
    return IngredientsConfig.from_dict(TRANSFORMER_CONFIG)


def network_state(seed: int = 0) -> dict[str, torch.Tensor]:
    """The transformer's tensors under their released names."""
    return random_state(IngredientsModel(network_config(), device="meta"), seed)


def write_transformer(folder: Path, seed: int = 0) -> None:
    write_json(folder / "config.json", TRANSFORMER_CONFIG)
    write_shards(folder, "diffusion_pytorch_model", network_state(seed))


def random_state(network: torch.nn.Module, seed: int) -> dict[str, torch.Tensor]:
    """Random tensors that neither vanish nor grow on their way through a network: norms about 1, matrices by inputs."""
    random = generator(seed)
    state = {}
    for name, empty in network.state_dict().items():
        values = torch.randn(empty.shape, generator=random)
        if empty.ndim > 1:
            values /= empty[0].numel() ** 0.5
        else:
            values *= 0.1
            if name.endswith("weight"):
                values += 1
        state[name] = values
    return state


def write_shards(folder: Path, name: str, state: dict[str, torch.Tensor]) -> None:
    """Two shards of about the same number of tensors, and their index."""
    names = sorted(state)
    half = len(names) // 2
    weight_map = {}
    for number, part in enumerate((names[:half], names[half:]), 1):
        file = f"{name}-{number:05d}-of-00002.safetensors"
        save_file({each: state[each].contiguous() for each in part}, folder / file)
        weight_map |= dict.fromkeys(part, file)
    size = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    write_json(folder / f"{name}.safetensors.index.json", {"metadata": {"total_size": size}, "weight_map": weight_map})


def write_json(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
