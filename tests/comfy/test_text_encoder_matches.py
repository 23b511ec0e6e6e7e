"""Headless and ComfyUI read the same prompt as the same numbers: token ids and UMT5 embeddings."""

import json
import subprocess

import pytest
import torch
from safetensors.torch import load_file, save_file

from lumosx_core.models.lumosx.tiny import tiny_files
from lumosx_core.models.wan.umt5 import TextEncoder

PROMPTS = [
    "A man in a denim jacket and a woman in a light brown sweater sit in a cozy, warmly lit room.",
    "static, blurred details 静态，细节模糊不清",
    "",
]

LINEAR = tuple(f".{layer}.weight" for layer in ("q", "k", "v", "o", "wi_0", "wi_1", "wo"))

ENCODE_IN_COMFYUI = """
import json, sys, torch
path, output, sizes, prompts = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), json.loads(sys.argv[4])
sys.argv = [sys.argv[0], "--cpu"]
import comfy.options
comfy.options.enable_args_parsing()
import comfy.sd
from safetensors.torch import save_file
clip = comfy.sd.load_clip([path], clip_type=comfy.sd.CLIPType.WAN, model_options={"umt5xxl_model_config": sizes})
tensors = {}
for i, prompt in enumerate(prompts):
    tokens = clip.tokenize(prompt)
    tensors[f"{i}.ids"] = torch.tensor([token for token, _ in tokens["umt5xxl"][0]])
    tensors[f"{i}.embeddings"] = clip.encode_from_tokens(tokens, return_pooled=False)[0].float().contiguous()
save_file(tensors, output)
"""


def encode_in_comfyui(comfyui, path, output, sizes):
    command = [comfyui.python, "-c", ENCODE_IN_COMFYUI, path, output, json.dumps(sizes), json.dumps(PROMPTS)]
    run = subprocess.run(list(map(str, command)), cwd=comfyui.path, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    return load_file(output)


def tiny_sizes(path):
    weights = load_file(path)
    gates = [name for name in weights if name.endswith("DenseReluDense.wi_0.weight")]
    return {
        "num_layers": len(gates),
        "num_heads": weights["encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"].shape[1],
        "d_ff": weights[gates[0]].shape[0],
        "vocab_size": weights["shared.weight"].shape[0],
    }


def scaled_fp8_copy(path, destination):
    """The same encoder as a scaled-fp8 file, as published for ComfyUI."""
    weights = {}
    for name, tensor in load_file(path).items():
        if name.endswith(LINEAR) and ".23." not in name:
            scale = tensor.float().abs().max() / 448
            weights[name] = (tensor.float() / scale).to(torch.float8_e4m3fn)
            weights[name.removesuffix("weight") + "scale_weight"] = scale
        else:
            weights[name] = tensor
    weights["scaled_fp8"] = torch.zeros(2, dtype=torch.float8_e4m3fn)
    save_file(weights, destination)
    return destination


MARKER = "encoder.block.23.layer.1.DenseReluDense.wi_1.weight"


def marked_copy(path, destination):
    """The same encoder with the tensor by which ComfyUI's own loader knows UMT5 XXL: 0.8.0 by its width, later ones by
    its height."""
    weights = load_file(path)
    weights[MARKER] = torch.zeros(10240, 4096, dtype=torch.float8_e4m3fn)
    save_file(weights, destination)
    return destination


@pytest.mark.parametrize("storage", ["bfloat16", "scaled fp8"])
def test_ids_and_embeddings_equal_those_of_comfyui(comfyui, tiny_models, tmp_path, storage):
    path = marked_copy(tiny_files(tiny_models).text_encoder, tmp_path / "marked.safetensors")
    if storage == "scaled fp8":
        path = scaled_fp8_copy(path, tmp_path / "scaled.safetensors")
    theirs = encode_in_comfyui(comfyui, path, tmp_path / "comfyui.safetensors", tiny_sizes(path))

    for i, (ids, embeddings) in enumerate(TextEncoder(path).encode_all(PROMPTS)):
        assert theirs[f"{i}.ids"].tolist() == ids + [0] * (512 - len(ids))
        expected = theirs[f"{i}.embeddings"]
        assert embeddings.std() > 0.5  # the comparison is not one of zeros
        assert (expected[len(ids) :] == 0).all()
        difference = (embeddings - expected[: len(ids)]).abs().max().item()
        print(f"{storage}, prompt {i}: largest difference {difference:.1e}")
        assert difference <= 1e-4
