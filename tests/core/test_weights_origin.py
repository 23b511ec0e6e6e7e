"""What a model file says of how its weights were trained."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from lumosx_core.errors import LumosXError
from lumosx_core.tiny import tiny_files
from lumosx_core.weights_origin import origin_of, origin_warning

CONVERTED = {"format": "pt", "lumosx_source": "model.pt", "lumosx_dtype": "bf16"}


@pytest.mark.parametrize(
    ("name", "metadata", "origin"),
    [
        ("anything.safetensors", CONVERTED, "lumosx"),
        ("anything.safetensors", {"lumosx_training": "{}"}, "lumosx"),
        ("lumosx_bf16.safetensors", None, "lumosx"),
        ("LumosX-wan2.1-fp8.safetensors", None, "lumosx"),
        ("wan2.1_t2v_1.3B_fp16.safetensors", {"format": "pt"}, "wan"),
        ("Wan2_1-T2V-1_3B_fp8_e4m3fn.safetensors", None, "wan"),
        ("wan2.1_converted.safetensors", CONVERTED, "wan"),
        ("converted.safetensors", CONVERTED | {"lumosx_source": "wan2.1_t2v_1.3B_bf16.safetensors"}, "wan"),
        ("my_model.safetensors", {"format": "pt"}, "unknown"),
        ("taiwan_style.safetensors", None, "unknown"),
        ("swan.safetensors", None, "unknown"),
        ("model.pt", None, "unknown"),
        ("wan2.1_t2v_1.3B.gguf", None, "wan"),
    ],
)
def test_by_name_and_metadata(tmp_path, name, metadata, origin):
    path = tmp_path / name
    if path.suffix == ".safetensors":
        save_file({"a": torch.zeros(1)}, path, metadata)
    else:
        path.write_bytes(b"")
    assert origin_of(path) == origin


def test_lumosx_tiny_and_what_convert_writes_of_it_are_known(tmp_path):
    from lumosx_core.convert import convert

    assert origin_of(tiny_files().diffusion_model) == "lumosx"
    assert origin_of(str(tiny_files().diffusion_model)) == "lumosx"  # ComfyUI gives paths as text
    source = tmp_path / "checkpoint.safetensors"
    source.write_bytes(tiny_files().diffusion_model.read_bytes())
    assert origin_of(convert(source, tmp_path / "new.safetensors")) == "lumosx"


def test_a_damaged_header_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"\x10\0\0\0\0\0\0\0{broken")
    with pytest.raises(LumosXError, match="damaged"):
        origin_of(path)


def test_warnings_name_the_file_and_good_ones_say_nothing():
    assert origin_warning("a", "lumosx", 1536) is None
    assert "a is plain Wan2.1" in origin_warning("a", "wan", 1536)
    assert "cannot be told whether a was trained" in origin_warning("a", "unknown", 1536)
    for origin in ("lumosx", "wan", "unknown"):
        assert "14B network" in origin_warning("a", origin, 5120)
