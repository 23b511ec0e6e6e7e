"""Training origin of a model file's weights."""

from __future__ import annotations

import hashlib
from typing import get_args

import pytest
import torch
from safetensors.torch import load_file, save_file

from lumosx_core.errors import LumosXError
from lumosx_core.models.lumosx.tiny import tiny_files
from lumosx_core.models.lumosx.weights import origin as weights_origin
from lumosx_core.models.lumosx.weights.origin import Origin, origin_of, origin_warning
from lumosx_core.own_command import own_command

CONVERTED = {"format": "pt", "lumosx_source": "model.pt", "lumosx_dtype": "bf16"}  # by version 0.1.0
NOTED = {origin: {**CONVERTED, "lumosx_origin": origin} for origin in ("lumosx", "wan", "unknown")}


@pytest.mark.parametrize(
    ("name", "metadata", "origin"),
    [
        ("anything.safetensors", CONVERTED, "lumosx"),
        ("anything.safetensors", NOTED["lumosx"], "lumosx"),
        ("anything.safetensors", NOTED["unknown"], "unknown"),
        ("lumosx_bf16.safetensors", NOTED["wan"], "wan"),
        ("lumosx_bf16.safetensors", NOTED["unknown"], "lumosx by name"),
        ("anything.safetensors", {"lumosx_training": "{}"}, "lumosx"),
        ("lumosx_bf16.safetensors", CONVERTED, "lumosx"),
        ("lumosx_bf16.safetensors", None, "lumosx by name"),
        ("lumosx_Q8_0.gguf", None, "lumosx by name"),
        ("lumosx.pt", None, "lumosx"),
        ("LumosX-wan2.1-fp8.safetensors", None, "lumosx by name"),
        ("wan2.1_t2v_1.3B_fp16.safetensors", {"format": "pt"}, "wan by name"),
        ("Wan2_1-T2V-1_3B_fp8_e4m3fn.safetensors", None, "wan by name"),
        ("wan2.1_converted.safetensors", CONVERTED, "wan by name"),
        ("converted.safetensors", CONVERTED | {"lumosx_source": "wan2.1_t2v_1.3B_bf16.safetensors"}, "wan by name"),
        ("my_model.safetensors", {"format": "pt"}, "unknown"),
        ("taiwan_style.safetensors", None, "unknown"),
        ("swan.safetensors", None, "unknown"),
        ("model.pt", None, "unknown"),
        ("wan2.1_t2v_1.3B.gguf", None, "wan by name"),
        ("Phantom-Wan-1_3B_fp16.safetensors", None, "phantom by name"),
        ("Wan2_1_Phantom-14B_fp8_e4m3fn.safetensors", {"format": "pt"}, "phantom by name"),
        ("lumosx_on_phantom.pt", None, "lumosx"),
    ],
)
def test_by_name_and_metadata(tmp_path, name, metadata, origin):
    path = tmp_path / name
    if path.suffix == ".safetensors":
        save_file({"a": torch.zeros(1)}, path, metadata)
    else:
        path.write_bytes(b"")
    assert origin_of(path) == origin


@pytest.mark.parametrize("name", ["lumosx_bf16.safetensors", "my_model.safetensors"])
def test_plain_wan_is_known_by_its_content_under_another_name(tmp_path, monkeypatch, name):
    path = tmp_path / name
    save_file({"a": torch.arange(3.0)}, path)
    size = path.stat().st_size
    assert origin_of(path) != "wan"
    monkeypatch.setattr(weights_origin, "_PLAIN_WAN", {hashlib.sha256(path.read_bytes()).hexdigest()})
    assert origin_of(path) != "wan"  # no file of that size is published, so this one is not read
    monkeypatch.setattr(weights_origin, "_PLAIN_WAN_SIZES", [range(size, size + 1)])
    assert origin_of(path) == "wan"
    other = tmp_path / f"other_{name}"
    save_file({"a": torch.arange(3.0) + 1}, other)
    assert origin_of(other) != "wan"


def test_the_published_sizes_of_plain_wan_are_looked_at():
    for size in (5_676_070_424, 2_838_303_560):
        assert any(size in sizes for sizes in weights_origin._PLAIN_WAN_SIZES)


def test_a_conversion_notes_what_its_source_was(tmp_path, monkeypatch):
    from lumosx_core.models.lumosx.weights.convert import convert

    weights = load_file(tiny_files().diffusion_model)
    for name, origin in {"lumosx.pt": "lumosx", "wan2.1.safetensors": "wan", "my.safetensors": "unknown"}.items():
        source = tmp_path / name
        torch.save(weights, source) if source.suffix == ".pt" else save_file(weights, source)
        converted = convert(source, tmp_path / "converted.safetensors", overwrite=True)
        assert origin_of(converted) == origin
    assert origin_of(convert(source, converted, origin="lumosx", overwrite=True)) == "lumosx"


def test_lumosx_tiny_and_what_convert_writes_of_it_are_known(tmp_path):
    from lumosx_core.models.lumosx.weights.convert import convert

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


def test_warnings_name_the_file_and_what_helps_and_good_ones_say_nothing():
    def warning(origin, dim=1536):
        return origin_warning("a", origin, dim, "/my comfy")

    assert warning("lumosx") is None
    assert "a is plain Wan2.1, by its name. It was not trained for LumosX" in warning("wan by name")
    assert "a is plain Wan2.1, whatever its name" in warning("wan")
    assert "Only its name says that a was trained" in warning("lumosx by name")
    assert "unknown whether a was trained" in warning("unknown")
    for origin in ("lumosx by name", "wan", "wan by name", "unknown"):
        assert warning(origin).endswith(own_command("download", "--comfyui", "/my comfy"))
    for origin in set(get_args(Origin)) - {"phantom by name"}:
        assert "a is a 14B network" in warning(origin, 5120)
    for dim in (1536, 5120):
        assert "a is Phantom, by its name" in warning("phantom by name", dim)
        assert warning("phantom by name", dim).endswith("choose the preset Phantom in LumosX Apply behind it.")


def test_the_preset_phantom_warns_of_weights_that_are_known_to_be_others():
    for dim in (1536, 5120):
        for origin, words in {
            "lumosx": "was trained for LumosX, but the preset Phantom turns",
            "lumosx by name": "was trained for LumosX, but the preset Phantom turns",
            "wan": "a is plain Wan2.1, not Phantom",
            "wan by name": "a is plain Wan2.1, not Phantom",
        }.items():
            assert words in origin_warning("a", origin, dim, "/comfy", "Phantom")
        for origin in ("phantom by name", "unknown"):
            assert origin_warning("a", origin, dim, "/comfy", "Phantom") is None
        assert all(origin_warning("a", origin, dim, "/comfy", "custom") is None for origin in get_args(Origin))
