"""lumosx convert: one safetensors in ComfyUI's terms, whole or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lumosx_core import LumosXConfig, LumosXError, LumosXModel
from lumosx_core.models.lumosx.weights.convert import convert
from lumosx_core.models.lumosx.weights.load import load_model
from lumosx_core.models.wan.names import read_state_dict

ROOT = Path(__file__).resolve().parents[4]
CONFIG = LumosXConfig(dim=256, ffn_dim=512, num_heads=2, num_layers=2, text_dim=64)


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    """A network in which every tensor matters: Xavier alone leaves the head at zero."""
    torch.manual_seed(0)
    weights = LumosXModel(CONFIG).state_dict()
    return {name: tensor + 0.02 * torch.randn_like(tensor) for name, tensor in weights.items()}


@pytest.fixture
def source(weights, tmp_path) -> Path:
    (tmp_path / "source").mkdir()
    torch.save({"ema": weights, "model": {}}, tmp_path / "source" / "lumosx.pt")
    return tmp_path / "source" / "lumosx.pt"


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return ((found.double() - expected.double()).norm() / expected.double().norm()).item()


@pytest.mark.parametrize(("dtype", "stored"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_plain_precisions_are_a_cast_of_every_tensor_under_its_native_name(source, weights, tmp_path, dtype, stored):
    path = convert(source, tmp_path / "a.safetensors", dtype)
    found = load_file(path)
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name].to(stored)) for name in weights)
    with safe_open(path, framework="pt") as file:
        facts = {"lumosx_source": "lumosx.pt", "lumosx_dtype": dtype, "lumosx_origin": "lumosx"}
        assert file.metadata() == {"format": "pt", **facts}


def test_fp8_scales_the_matrices_of_the_blocks_and_leaves_the_rest(source, weights, tmp_path):
    path = convert(source, tmp_path / "a.safetensors", "fp8_e4m3fn")
    stored = load_file(path)
    matrices = {name for name in weights if name.startswith("blocks.") and weights[name].ndim == 2}
    assert len(matrices) == CONFIG.num_layers * 10
    assert stored["scaled_fp8"].dtype == torch.float8_e4m3fn and stored["scaled_fp8"].numel() == 2
    for name in weights:
        assert stored[name].dtype == (torch.float8_e4m3fn if name in matrices else torch.bfloat16)
    # Values from 2^-6 to 448 keep 3 bits behind the leading one, so none is off by more than 1/16 of itself.
    found = read_state_dict(path)
    assert found.keys() == weights.keys()
    for name in matrices:
        large = weights[name].abs() > weights[name].abs().max() / 448 * 2**-6
        assert ((found[name] - weights[name]).abs() <= weights[name].abs() / 15.9)[large].all()
        assert relative_error(found[name], weights[name]) < 0.03  # measured 0.0255 to 0.0264


@pytest.mark.parametrize(
    ("dtype", "bound"),
    [("bf16", 4e-3), ("fp16", 5e-4), ("fp8_e4m3fn", 1e-2)],  # measured 2.5e-3, 3.1e-4, 6.0e-3
)
def test_the_converted_network_computes_what_the_source_does(source, weights, tmp_path, dtype, bound):
    torch.manual_seed(1)
    inputs = torch.randn(1, 16, 2, 8, 10), torch.tensor([500]), torch.randn(1, 12, CONFIG.text_dim)
    converted = load_model(convert(source, tmp_path / "a.safetensors", dtype), dtype=torch.float32)
    with torch.no_grad():
        error = relative_error(converted(*inputs), load_model(source)(*inputs))
    assert 0 < error < bound, f"relative error {error:.2e}"


def test_a_converted_file_converts_again_without_further_loss(source, tmp_path):
    first = convert(source, tmp_path / "a.safetensors", "bf16")
    second = convert(first, tmp_path / "b.safetensors", "bf16")
    assert all(torch.equal(t, load_file(second)[n]) for n, t in load_file(first).items())
    fp8 = convert(source, tmp_path / "c.safetensors", "fp8_e4m3fn")
    again = convert(fp8, tmp_path / "d.safetensors", "fp8_e4m3fn")
    for name, tensor in read_state_dict(fp8).items():
        torch.testing.assert_close(read_state_dict(again)[name], tensor, rtol=1e-6, atol=0)


def test_recorded_checkpoints_convert_to_the_same_file(golden, tmp_path):
    files = [convert(golden / "ckpt" / name, tmp_path / f"{name}.safetensors") for name in ("flat.pt", "dcp")]
    flat, dcp = map(load_file, files)
    assert flat.keys() == dcp.keys() and all(torch.equal(flat[name], dcp[name]) for name in flat)


# ---- what is refused, and what is left behind


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("name", "dtype", "what"),
    [
        ("a.pt", "bf16", "must end in .safetensors"),
        ("nowhere/a.safetensors", "bf16", "folder .*nowhere does not exist"),
        ("a.safetensors", "int4", "dtype 'int4' is not possible. Use one of bf16, fp16, fp8_e4m3fn"),
        ("folder.safetensors", "bf16", "is a folder"),
    ],
)
def test_impossible_requests_are_refused(source, tmp_path, name, dtype, what):
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(LumosXError, match=what):
        convert(source, tmp_path / name, dtype)
    assert left(tmp_path) == ["folder.safetensors", "source"]


def test_the_source_is_never_overwritten(weights, tmp_path):
    path = tmp_path / "a.safetensors"
    save_file(weights, path)
    (tmp_path / "link.safetensors").symlink_to(path)
    content = path.read_bytes()
    for destination in (path, tmp_path / "link.safetensors", tmp_path / "." / "a.safetensors"):
        with pytest.raises(LumosXError, match="is the source itself"):
            convert(path, destination, overwrite=True)
    assert path.read_bytes() == content


def test_an_existing_file_is_replaced_only_on_request(source, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"precious")
    with pytest.raises(LumosXError, match="exists already"):
        convert(source, path)
    assert path.read_bytes() == b"precious"
    convert(source, path, overwrite=True)
    assert load_model(path).config == CONFIG


def test_another_model_is_refused_and_nothing_is_left(tmp_path):
    save_file({"input_blocks.0.0.weight": torch.zeros(3)}, tmp_path / "sd.safetensors")
    with pytest.raises(LumosXError, match=r"sd\.safetensors cannot be used.*Stable Diffusion"):
        convert(tmp_path / "sd.safetensors", tmp_path / "a.safetensors")
    assert left(tmp_path) == ["sd.safetensors"]


@pytest.mark.parametrize(
    ("value", "dtype"), [(1e6, "fp16"), (float("nan"), "bf16"), (float("inf"), "fp8_e4m3fn"), (1e39, "bf16")]
)
def test_values_that_do_not_fit_are_named_and_nothing_is_left(weights, tmp_path, value, dtype):
    content = {name: tensor.double().clone() for name, tensor in weights.items()}
    content["blocks.1.ffn.0.weight"][3, 4] = value
    torch.save(content, tmp_path / "a.pt")
    (tmp_path / "b.safetensors").write_bytes(b"precious")
    with pytest.raises(LumosXError, match=r"'blocks\.1\.ffn\.0\.weight' has values that are not finite"):
        convert(tmp_path / "a.pt", tmp_path / "b.safetensors", dtype, overwrite=True)
    assert left(tmp_path) == ["a.pt", "b.safetensors"]
    assert (tmp_path / "b.safetensors").read_bytes() == b"precious"


@pytest.mark.slow
def test_a_full_disk_is_reported_and_nothing_is_left(source, tmp_path):
    """A limit on the size of files stands for the full disk: the write fails half way with the system's own error."""
    pytest.importorskip("resource")
    (tmp_path / "out").mkdir()
    code = (
        "import resource, signal, sys\n"
        "from lumosx_core import LumosXError\n"
        "from lumosx_core.models.lumosx.weights.convert import convert\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
        "try: convert(sys.argv[1], sys.argv[2])\n"
        "except LumosXError as error: sys.exit(f'LumosXError: {error}')\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(source), str(tmp_path / "out" / "a.safetensors")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "LumosXError" in result.stderr and "could not be written" in result.stderr, result.stderr
    assert left(tmp_path / "out") == []


def test_the_header_is_one_that_any_reader_takes(source, tmp_path):
    """Tensors lie without gaps, each beginning at a multiple of its width."""
    content = convert(source, tmp_path / "a.safetensors", "fp8_e4m3fn").read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header.pop("__metadata__")
    end = 0
    for entry in header.values():
        width = {"F32": 4, "BF16": 2, "F8_E4M3": 1}[entry["dtype"]]
        assert entry["data_offsets"][0] == end and (8 + length + end) % width == 0
        end = entry["data_offsets"][1]
    assert 8 + length + end == len(content)


def test_wide_numbers_come_first_and_each_kind_in_the_order_of_the_network(source, weights, tmp_path):
    """So that every reader meets the tensors of a block together, and equal checkpoints become equal files."""
    content = convert(source, tmp_path / "a.safetensors", "fp8_e4m3fn").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    header.pop("__metadata__")
    matrices = [name for name in weights if name.startswith("blocks.") and weights[name].ndim == 2]
    scales = [name.removesuffix("weight") + "scale_weight" for name in matrices]
    rest = [name for name in weights if name not in matrices]
    assert list(header) == [*scales, *rest, "scaled_fp8", *matrices]
