"""Converted files in ComfyUI's stock loader: recognised, quantised where they should be, and equal to the source."""

from __future__ import annotations

import json
import subprocess

import pytest
import torch
from graphs import relative
from safetensors.torch import load_file, save_file

from lumosx_core import LumosXConfig, LumosXModel
from lumosx_core.models.lumosx.weights.convert import convert
from lumosx_core.models.lumosx.weights.load import load_model

# ComfyUI takes the width of a text token, the length of a prompt and the width of a head from Wan2.1 itself.
CONFIG = LumosXConfig(dim=256, ffn_dim=512, num_heads=2, num_layers=2)

SCRIPT = """
import json, sys
folder, names = sys.argv[1], sys.argv[2].split(",")
sys.argv = ["main.py", "--cpu"]
import comfy.options
comfy.options.enable_args_parsing()
import torch, comfy.model_management, comfy.sd
from safetensors.torch import load_file, save_file
inputs = load_file(folder + "/inputs.safetensors")
outputs, kinds = {}, {}
for name in names:
    patcher = comfy.sd.load_diffusion_model(f"{folder}/{name}.safetensors")
    comfy.model_management.load_models_gpu([patcher])
    network = patcher.model.diffusion_model
    with torch.no_grad():
        outputs[name] = network(inputs["video"], inputs["timestep"], inputs["text"]).float()
    kinds[name] = [type(patcher.model).__name__, type(network.blocks[1].ffn[0].weight.data).__name__]
save_file(outputs, folder + "/outputs.safetensors")
json.dump(kinds, open(folder + "/kinds.json", "w"))
"""


@pytest.fixture(scope="module")
def outputs(comfyui, tmp_path_factory):
    """ComfyUI's outputs with the source and its three conversions, and the types they were loaded as."""
    folder = tmp_path_factory.mktemp("converted")
    torch.manual_seed(0)
    model = LumosXModel(CONFIG).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # Xavier alone leaves the head at zero
            parameter.add_(0.02 * torch.randn_like(parameter))
    save_file(model.state_dict(), folder / "source.safetensors")
    for dtype in ("bf16", "fp16", "fp8_e4m3fn"):
        convert(folder / "source.safetensors", folder / f"{dtype}.safetensors", dtype)
    inputs = {
        "video": torch.randn(1, 16, 3, 12, 16),
        "timestep": torch.tensor([500.0]),
        "text": torch.randn(1, CONFIG.text_len, CONFIG.text_dim),
    }
    save_file(inputs, folder / "inputs.safetensors")
    names = "source,bf16,fp16,fp8_e4m3fn"
    ours = {}
    for name in names.split(","):
        with torch.no_grad():
            ours[name] = load_model(folder / f"{name}.safetensors", dtype=torch.float32)(*inputs.values())
    run = subprocess.run(
        [comfyui.python, "-c", SCRIPT, str(folder), names],
        cwd=comfyui.path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return ours, load_file(folder / "outputs.safetensors"), json.loads((folder / "kinds.json").read_text())


@pytest.mark.parametrize("name", ["source", "bf16", "fp16", "fp8_e4m3fn"])
def test_the_stock_loader_reads_the_same_values_as_we_do(outputs, name):
    ours, found, kinds = outputs
    assert kinds[name][0] == "WAN21"
    error = relative(found[name], ours[name])
    assert error < 1e-5, f"relative error {error:.2e}"  # measured 5.5e-7


# Why fp8 is scaled: in a network of 4 layers with heavy-tailed random weights this error was 1.25e-2 with scales,
# 1.38e-2 with a plain cast, and 3.25e-2 with a plain cast that is loaded with every tensor in fp8.
@pytest.mark.parametrize(
    ("name", "bound"),
    [
        ("bf16", 5e-3),  # measured 2.5e-3
        ("fp16", 6e-4),  # measured 3.4e-4
        ("fp8_e4m3fn", 4e-2),  # measured 2.6e-2
    ],
)
def test_the_stock_loader_computes_what_the_float32_source_does(outputs, name, bound):
    error = relative(outputs[1][name], outputs[1]["source"])
    assert error < bound, f"relative error {error:.2e}"


def test_fp8_matrices_stay_in_fp8_when_loaded(outputs):
    assert outputs[2]["fp8_e4m3fn"][1] == "QuantizedTensor"
    assert outputs[2]["bf16"][1] == "Tensor"
