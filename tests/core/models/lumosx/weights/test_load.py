"""Checkpoints: every format gives the same tensors, and whatever is not one is refused by what it is."""

from __future__ import annotations

import json
import pickle
import struct
import tarfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lumosx_core import LumosXConfig, LumosXError, LumosXModel
from lumosx_core.models.lumosx.weights.load import load_model
from lumosx_core.models.wan.names import read_state_dict

CONFIG = LumosXConfig(dim=128, ffn_dim=64, num_heads=1, num_layers=2, text_dim=16)


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return LumosXModel(CONFIG).state_dict()


@pytest.fixture(scope="module")
def stored(weights, tmp_path_factory) -> Path:
    """A sound safetensors file of the small network."""
    path = tmp_path_factory.mktemp("stored") / "network.safetensors"
    save_file(weights, path)
    return path


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


class Evil:
    """Unpickling this would create the file it names."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_recorded_flat_pt_and_dcp_hold_identical_tensors_and_load(golden):
    flat = read_state_dict(golden / "ckpt" / "flat.pt")
    assert len(flat) == 42
    assert same(read_state_dict(golden / "ckpt" / "dcp"), flat)
    assert same(read_state_dict(golden / "ckpt" / "dcp" / "all"), flat)
    values = json.loads((golden / "ckpt" / "config.json").read_text())
    for path in ("flat.pt", "dcp"):
        model = load_model(golden / "ckpt" / path)
        assert same(model.state_dict(), flat)
        for name in ("dim", "ffn_dim", "text_dim", "num_heads", "num_layers"):
            assert getattr(model.config, name) == values[name]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda w: w,
        lambda w: {"ema": w, "model": {name: tensor + 1 for name, tensor in w.items()}},
        lambda w: {"model": w, "optimizer": {"state": {"a": torch.zeros(3)}}, "step": 7},
        lambda w: {"ema": {}, "model": w},
        lambda w: {"state_dict": {f"module.{name}": tensor for name, tensor in w.items()}},
        lambda w: {f"ema.{name}": tensor for name, tensor in w.items()},
        lambda w: {f"model.diffusion_model.{name}": tensor for name, tensor in w.items()} | {"vae.x": torch.zeros(2)},
        lambda w: {f"diffusion_model.{name}": tensor for name, tensor in w.items()},
        lambda w: w | {"freqs": torch.zeros(4), "blocks.0.freqs_cis": torch.zeros(4)},
    ],
    ids=["flat", "ema-and-model", "model", "empty-ema", "module", "ema-prefix", "comfyui", "comfyui-unet", "freqs"],
)
def test_pt_opens_whichever_way_the_set_is_wrapped(weights, tmp_path, wrap):
    torch.save(wrap(weights), tmp_path / "a.pt")
    assert same(read_state_dict(tmp_path / "a.pt"), weights)


def test_content_decides_and_not_the_name(weights, stored, tmp_path):
    torch.save(weights, tmp_path / "a.safetensors")
    (tmp_path / "b.pt").write_bytes(stored.read_bytes())
    (tmp_path / "c").write_bytes(stored.read_bytes())
    for name in ("a.safetensors", "b.pt", "c"):
        assert same(read_state_dict(tmp_path / name), weights)


@pytest.mark.parametrize("suffix", ["scale_weight", "weight_scale"])
def test_scaled_fp8_is_given_as_its_true_values(weights, tmp_path, suffix):
    name = "blocks.0.ffn.0.weight"
    scale = weights[name].abs().max() / 448
    quantised = (weights[name] / scale).to(torch.float8_e4m3fn)
    content = weights | {name: quantised, f"blocks.0.ffn.0.{suffix}": scale}
    content |= {"scaled_fp8": torch.zeros(2).to(torch.float8_e4m3fn)}
    content |= {"blocks.0.ffn.0.comfy_quant": torch.zeros(5, dtype=torch.uint8)}
    save_file(content, tmp_path / "a.safetensors")
    assert same(read_state_dict(tmp_path / "a.safetensors"), weights | {name: quantised.float() * scale})
    load_model(tmp_path / "a.safetensors")


def test_load_model_keeps_or_changes_the_dtype(weights, tmp_path):
    save_file({name: tensor.half() for name, tensor in weights.items()}, tmp_path / "a.safetensors")
    assert {p.dtype for p in load_model(tmp_path / "a.safetensors").parameters()} == {torch.float16}
    model = load_model(tmp_path / "a.safetensors", dtype=torch.bfloat16)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert not model.training


def test_a_loaded_model_does_not_need_its_file_any_more(weights, tmp_path):
    torch.save(weights, tmp_path / "a.pt")
    model = load_model(tmp_path / "a.pt")
    with (tmp_path / "a.pt").open("r+b") as file:
        file.write(b"\0" * (tmp_path / "a.pt").stat().st_size)
    assert same(model.state_dict(), weights)


# ---- code in files


def test_a_pt_with_code_is_refused_by_name_and_the_code_does_not_run(weights, tmp_path):
    torch.save(weights | {"x": Evil(tmp_path / "ran")}, tmp_path / "a.pt")
    with pytest.raises(LumosXError, match=r"a\.pt is refused: it asks for .*open.* could run code"):
        read_state_dict(tmp_path / "a.pt")
    assert not (tmp_path / "ran").exists()
    # The file is armed: opened carelessly it does run.
    torch.load(tmp_path / "a.pt", weights_only=False)
    assert (tmp_path / "ran").exists()


def test_a_bare_pickle_is_refused_and_its_code_does_not_run(weights, tmp_path):
    (tmp_path / "a.pt").write_bytes(pickle.dumps(Evil(tmp_path / "ran")))
    torch.save(weights, tmp_path / "legacy.pt", _use_new_zipfile_serialization=False)
    for name in ("a.pt", "legacy.pt"):
        with pytest.raises(LumosXError, match="bare pickle.*safetensors"):
            read_state_dict(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_a_torchscript_program_is_refused(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "a.pt")
    with pytest.raises(LumosXError, match="TorchScript"):
        read_state_dict(tmp_path / "a.pt")


# ---- files that are something else


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is empty"),
        (b"abc", "text file"),
        (b"\0\1", "only 2 bytes"),
        (b"GGUF\3\0\0\0{" + b"\0" * 100, "GGUF"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"<!DOCTYPE html><html><body>Log in</body></html>", "web page"),
        (b"Not the weights you look for.\n", "text file"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\0", "compressed archive"),
        (bytes(range(255, 100, -1)), "unknown format, or damaged"),
    ],
)
def test_other_files_are_named_for_what_they_are(tmp_path, content, what):
    path = tmp_path / "lumosx.safetensors"
    path.write_bytes(content)
    with pytest.raises(LumosXError, match=what) as error:
        read_state_dict(path)
    assert str(path) in str(error.value)


def test_a_tar_and_a_plain_zip_are_named(stored, tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(stored, "network.safetensors")
    with pytest.raises(LumosXError, match="tar archive"):
        read_state_dict(tmp_path / "a.tar")
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(stored, "network.safetensors")
    with pytest.raises(LumosXError, match=r"zip archive without.*network\.safetensors"):
        read_state_dict(tmp_path / "a.zip")


def test_a_missing_path_and_a_directory_without_checkpoint_are_named(tmp_path):
    with pytest.raises(LumosXError, match="does not exist"):
        read_state_dict(tmp_path / "nothing.pt")
    (tmp_path / "photo.png").touch()
    with pytest.raises(LumosXError, match=r"directory without a checkpoint.*photo\.png"):
        read_state_dict(tmp_path)


# ---- damage


@pytest.mark.parametrize("keep", [9, 100, 2000, -1])
def test_a_truncated_safetensors_is_refused(stored, tmp_path, keep):
    (tmp_path / "a.safetensors").write_bytes(stored.read_bytes()[:keep])
    with pytest.raises(LumosXError, match=r"a\.safetensors.*truncated.*again"):
        read_state_dict(tmp_path / "a.safetensors")


def header_of(stored: Path) -> tuple[dict, bytes]:
    content = stored.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def broken_header(change) -> bytes:
    def write(stored: Path) -> bytes:
        header, data = header_of(stored)
        change(header)
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + data

    return write


@pytest.mark.parametrize(
    "damage",
    [
        lambda stored: struct.pack("<Q", 2**63) + stored.read_bytes()[8:],
        lambda stored: struct.pack("<Q", stored.stat().st_size) + stored.read_bytes()[8:],
        lambda stored: stored.read_bytes()[:40] + b"\xff" + stored.read_bytes()[41:],
        lambda stored: stored.read_bytes()[:40] + b"}" + stored.read_bytes()[41:],
        broken_header(lambda h: h["head.modulation"].update(data_offsets=[0, 2**40])),
        broken_header(lambda h: h["head.modulation"].update(data_offsets=[4, 1])),
        broken_header(lambda h: h["head.modulation"].update(data_offsets="x")),
        broken_header(lambda h: h["head.modulation"].update(shape=[2**40, 2**40])),
        broken_header(lambda h: h["head.modulation"].update(dtype="F99")),
        broken_header(lambda h: h["head.modulation"].pop("shape")),
        broken_header(lambda h: h.update({"head.modulation": [1]})),
    ],
)
def test_a_damaged_safetensors_header_is_refused(stored, tmp_path, damage):
    (tmp_path / "a.safetensors").write_bytes(damage(stored))
    with pytest.raises(LumosXError, match=r"a\.safetensors.*again"):
        read_state_dict(tmp_path / "a.safetensors")


@pytest.mark.parametrize("keep", [10, 1000, -30])
def test_a_truncated_pt_is_refused(weights, tmp_path, keep):
    torch.save(weights, tmp_path / "a.pt")
    (tmp_path / "a.pt").write_bytes((tmp_path / "a.pt").read_bytes()[:keep])
    with pytest.raises(LumosXError, match=r"a\.pt is a (truncated or )?damaged"):
        read_state_dict(tmp_path / "a.pt")


def test_a_file_without_tensors_is_an_error(tmp_path):
    torch.save({"step": 3}, tmp_path / "a.pt")
    save_file({}, tmp_path / "b.safetensors")
    for name in ("a.pt", "b.safetensors"):
        with pytest.raises(LumosXError, match="holds no tensor"):
            read_state_dict(tmp_path / name)


def test_a_file_of_which_no_tensor_matches_never_loads_silently(tmp_path):
    save_file({"some.weight": torch.zeros(3), "other.bias": torch.zeros(3)}, tmp_path / "a.safetensors")
    with pytest.raises(LumosXError, match=r"a\.safetensors cannot be used.*2 tensors.*'some\.weight'"):
        load_model(tmp_path / "a.safetensors")


def test_missing_and_misshapen_tensors_are_named(stored, tmp_path):
    content = load_file(stored)
    save_file({n: t for n, t in content.items() if n != "blocks.1.norm3.bias"}, tmp_path / "a.safetensors")
    with pytest.raises(LumosXError, match=r"1 of .* missing, such as \['blocks\.1\.norm3\.bias'\]"):
        load_model(tmp_path / "a.safetensors")
    save_file(content | {"blocks.1.norm3.bias": torch.zeros(7)}, tmp_path / "b.safetensors")
    with pytest.raises(LumosXError, match=r"'blocks\.1\.norm3\.bias' is \(7,\).*\(128,\)"):
        load_model(tmp_path / "b.safetensors")
