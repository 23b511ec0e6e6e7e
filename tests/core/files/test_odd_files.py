"""Weight files as nobody should write them: read rightly or refused with the cause, never a crash of the process."""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lumosx_core import LumosXError
from lumosx_core.files.formats.dcp import METADATA, read_dcp
from lumosx_core.files.read_weights import open_tensors, open_weights
from lumosx_core.files.safe_names import is_safe_name
from lumosx_core.files.safetensors_file import read_header


def same_names(names):
    return {name: name for name in names}


def read(path: Path) -> dict[str, torch.Tensor]:
    return {name: tensor.load() for name, tensor in open_weights(path, same_names).items()}


def refused(path: Path, *parts: str) -> None:
    with pytest.raises(LumosXError) as caught:
        read(path)
    for part in parts:
        assert part in str(caught.value)
    assert len(str(caught.value)) < 900


def with_header(path: Path, header: bytes | dict, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def entry(shape, offsets, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


DEEP = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
FORGED = {
    "offsets beyond 64 bits": {"a": entry([1], [0, 2**70])},
    "digits that Python refuses": b'{"a":{"dtype":"F32","shape":[' + b"9" * 4300 + b'],"data_offsets":[0,4]}}',
    "negative offsets": {"a": entry([1], [-4, 0])},
    "reversed offsets": {"a": entry([1], [4, 0])},
    "overlap": {"a": entry([2], [0, 8]), "b": entry([1], [4, 8])},
    "a gap": {"a": entry([1], [0, 4]), "b": entry([1], [8, 12])},
    "a size that is not the shape's": {"a": entry([2**40], [0, 4])},
    "a shape of negative sides": {"a": entry([-1, -1], [0, 4])},
    "a shape of truths": {"a": entry([True], [0, 4])},
    "a shape of halves": {"a": entry([0.5], [0, 4])},
    "an offset that is text": {"a": entry([1], ["0", "4"])},
    "three offsets": {"a": entry([1], [0, 2, 4])},
    "no dtype": {"a": {"shape": [1], "data_offsets": [0, 4]}},
    "a dtype that is a list": {"a": entry([1], [0, 4], ["F32"])},
    "a name twice": b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
    b'"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
    "a list": [1, 2],
    "not a number": b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,4]}}',
    "metadata of numbers": {"__metadata__": {"a": 1}, "a": entry([1], [0, 4])},
    "metadata that are a list": {"__metadata__": [1], "a": entry([1], [0, 4])},
    "deep nesting": DEEP,
    "no UTF-8": b'{"\xff\xfe":1}',
    "a thousand dimensions": {"a": entry([1] * 1000, [0, 4])},
}


@pytest.mark.parametrize("header", FORGED.values(), ids=FORGED.keys())
def test_a_forged_safetensors_header_is_a_damaged_file(header, tmp_path):
    path = with_header(tmp_path / "a.safetensors", header, bytes(16))
    for reader in (read_header, read):
        with pytest.raises(LumosXError, match="damaged|truncated|unknown format"):
            reader(path)


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**40, 101])
def test_the_length_of_a_header_is_not_believed(length, tmp_path):
    refused(with_header(tmp_path / "a.safetensors", {"a": entry([1], [0, 4])}, bytes(4), length), "damaged")


def test_a_long_header_is_not_even_parsed(tmp_path):
    path = tmp_path / "a.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 2**25) + b'{"a":')
        file.truncate(2**26)
    refused(path, "header should be 33554432 bytes")


# ---- tensors of odd kinds


SIX = torch.arange(6.0).reshape(2, 3)
ODD = {
    "sparse": (SIX.to_sparse(), "is sparse"),
    "compressed rows": (SIX.to_sparse_csr(), "is sparse"),
    "compressed columns": (SIX.to_sparse_csc(), "is sparse"),
    "quantised": (torch.quantize_per_tensor(SIX, 0.1, 0, torch.qint8), "is quantised"),
    "quantised by channel": (
        torch.quantize_per_channel(SIX, torch.ones(2), torch.zeros(2), 0, torch.qint8),
        "is quantised",
    ),
    "complex": (torch.complex(SIX, SIX), "is complex"),
    "complex halves": (torch.complex(SIX, SIX).to(torch.complex32), "is complex"),
    "without values": (torch.empty(3, 3, device="meta"), "has no values"),
    "a repeated view": (torch.zeros(1).expand(2**40), "repeated view"),
    "a repeated row": (torch.zeros(1, 4).expand(2**40, 4), "repeated view"),
    "NaN": (torch.tensor([[1.0, float("nan")]]), "not finite"),
    "infinity": (torch.tensor([[1.0, -float("inf")]], dtype=torch.float16), "not finite"),
    "whole numbers": (torch.ones(2, 3, dtype=torch.int32), "int32"),
    "truths": (torch.ones(2, 3, dtype=torch.bool), "bool"),
}


@pytest.mark.parametrize(("tensor", "cause"), ODD.values(), ids=ODD.keys())
def test_a_tensor_of_an_odd_kind_is_refused_by_its_kind(tensor, cause, tmp_path):
    torch.save({"state_dict": {"layer.weight": tensor, "other.weight": SIX}}, tmp_path / "a.pt")
    refused(tmp_path / "a.pt", "a.pt", cause)


def test_views_and_empty_tensors_are_what_they_show(tmp_path):
    odd = {
        "a": SIX.T,
        "b": SIX[:, 1],
        "c": torch.zeros(0, 4),
        "d": SIX[1:, ::2],
        "e": torch.tensor(3.0),
        "f": torch.nn.Parameter(SIX + 1),
    }
    torch.save(odd, tmp_path / "a.pt")
    found = read(tmp_path / "a.pt")
    assert found.keys() == odd.keys()
    assert all(torch.equal(found[name], tensor.detach()) for name, tensor in odd.items())


# ---- pickles


def archive(path: Path, pickled: bytes, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("a/data.pkl", pickled)
        file.writestr("a/version", b"3\n")
        file.writestr("a/byteorder", b"little")
    return path


NESTED = b"\x80\x04})" + b"\x85" * 1_000_000 + b"K\x01s."  # a tuple in a tuple in a tuple ... as a key
MEMOISED = b"\x80\x04})" + b"\x85\x94" * 400_000 + b"K\x01s."
LISTS = b"\x80\x04" + b"]" * 400_000 + b"a" * 399_999 + b"."
DICTS = b"\x80\x04" + b"}K\x01" * 300_000 + b"}" + b"s" * 300_000 + b"."
MARKED = b"\x80\x04}" + b"(" * 300_000 + b"K\x01" + b"t" * 300_000 + b"K\x01s."


@pytest.mark.parametrize("pickled", [NESTED, MEMOISED, LISTS, DICTS, MARKED], ids=["1", "2", "3", "4", "5"])
def test_containers_nested_without_end_are_refused_before_python_falls_over_them(pickled, tmp_path):
    refused(archive(tmp_path / "a.pt", pickled), "nested more than")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / METADATA).write_bytes(pickled)
    with pytest.raises(LumosXError, match="nested more than"):
        read_dcp(tmp_path / "c")


def test_dicts_that_hold_one_dict_a_hundred_times_are_not_walked_for_ever(tmp_path):
    inner: dict = {"a": torch.zeros(1)}
    for _ in range(4):
        inner = {str(number): inner for number in range(100)}
    torch.save(inner, tmp_path / "a.pt")
    refused(tmp_path / "a.pt", "more than 100,000 entries")


def test_a_dict_that_holds_itself_is_read_as_far_as_it_goes(tmp_path):
    content: dict = {"a": SIX}
    content["b"] = content
    torch.save(content, tmp_path / "a.pt")
    assert torch.equal(read(tmp_path / "a.pt")["a"], SIX)


def test_a_compressed_archive_is_not_mapped_as_if_it_were_plain(tmp_path):
    torch.save({"a": torch.zeros(1000)}, tmp_path / "a.pt")
    with (
        zipfile.ZipFile(tmp_path / "a.pt") as old,
        zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for member in old.infolist():
            new.writestr(member.filename, old.read(member))
    refused(tmp_path / "b.pt", "was compressed after torch saved it")


@pytest.mark.parametrize(
    "name", ["\udcff".encode("utf-8", "surrogateescape").decode("latin1"), "a" * 300, "../a", "C:\\a"]
)
def test_archives_with_bad_names_are_no_checkpoints(name, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as file:
        file.writestr(name, b"")
    refused(tmp_path / "a.pt", "zip archive without a torch checkpoint")


def test_an_archive_whose_names_are_no_utf8_is_damaged(tmp_path):
    archive(tmp_path / "a.pt", pickle.dumps({}))
    data = (tmp_path / "a.pt").read_bytes().replace(b"a/data.pkl", b"\xff/data.pkl")
    at = data.rindex(b"PK\x01\x02")
    (tmp_path / "a.pt").write_bytes(data[: at + 8] + b"\x00\x08" + data[at + 10 :])
    refused(tmp_path / "a.pt", "a.pt")


@pytest.mark.parametrize("name", ["a" * 300 + ".safetensors", "目" * 100 + ".pt", "a\0b.pt"])
def test_a_path_that_no_disk_has_is_a_mistake_in_one_line(name, tmp_path):
    refused(tmp_path / name)


# ---- quantised


def test_int8_and_fp8_with_a_scale_for_each_row_are_read(tmp_path):
    torch.manual_seed(0)
    weight = torch.randn(8, 8)
    rows = weight.abs().amax(1, keepdim=True)
    for name, values, scale in (
        ("int8", (weight / rows * 127).round().to(torch.int8), rows / 127),
        ("int8 flat", (weight / rows * 127).round().to(torch.int8), (rows / 127).flatten()),
        ("fp8", (weight / rows * 448).to(torch.float8_e4m3fn), rows / 448),
        ("fp8 e5m2", (weight / rows * 57344).to(torch.float8_e5m2), rows / 57344),
        ("one scale", (weight / rows.max() * 127).round().to(torch.int8), rows.max() / 127),
    ):
        save_file({"a.weight": values, "a.weight_scale": scale, "a.bias": SIX}, tmp_path / "a.safetensors")
        found = read(tmp_path / "a.safetensors")
        assert found.keys() == {"a.weight", "a.bias"}, name
        assert (found["a.weight"] - weight).abs().max() < 0.14 * weight.abs().max(), name


@pytest.mark.parametrize(
    ("beside", "dtype", "cause"),
    [
        ({"a.absmax": SIX}, torch.uint8, "bitsandbytes"),
        ({"a.weight_scale": SIX.to(torch.float8_e4m3fn), "a.weight_scale_2": SIX}, torch.uint8, "NVFP4"),
        ({"a.wscales": SIX}, torch.int8, "SVDQuant"),
        ({"a.qweight": SIX.int()}, torch.float32, "GPTQ"),
        ({"a.weight_scale": torch.ones(4, 2)}, torch.float8_e4m3fn, "scales of shape (4, 2)"),
        ({"a.weight_scale": torch.ones(1, dtype=torch.uint8)}, torch.float8_e4m3fn, "uint8"),
        ({}, torch.int8, "there is no scale"),
        ({"a.weight_scale_inv": SIX}, torch.float8_e4m3fn, "fp8 in blocks"),
    ],
)
def test_other_quantisation_is_named(beside, dtype, cause, tmp_path):
    save_file({"a.weight": torch.ones(8, 8).to(dtype), **beside}, tmp_path / "a.safetensors")
    refused(tmp_path / "a.safetensors", cause, "Give a bf16")


# ---- several files


def shards(folder: Path, **files: dict[str, torch.Tensor]) -> None:
    for name, tensors in files.items():
        save_file(tensors, folder / f"net-{name}.safetensors")
    index = {"weight_map": {tensor: f"net-{name}.safetensors" for name, all in files.items() for tensor in all}}
    (folder / "net.safetensors.index.json").write_text(json.dumps(index))


def test_shards_are_read_from_the_folder_the_index_or_any_of_them(tmp_path):
    shards(tmp_path, **{"00001-of-00002": {"a": SIX}, "00002-of-00002": {"b": SIX + 1}})
    for path in (tmp_path, tmp_path / "net.safetensors.index.json", tmp_path / "net-00002-of-00002.safetensors"):
        found = read(path)
        assert found.keys() == {"a", "b"} and torch.equal(found["b"], SIX + 1)
    (tmp_path / "net-00001-of-00002.safetensors").unlink()
    for path in (tmp_path, tmp_path / "net-00002-of-00002.safetensors"):
        refused(path, "net-00001-of-00002.safetensors is missing")


@pytest.mark.parametrize(
    "name", ["../a.safetensors", "/a.safetensors", "C:\\a.safetensors", "a.pt", 3, "..", "nul.safetensors"]
)
def test_an_index_names_files_beside_it_only(name, tmp_path):
    (tmp_path / "net.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    refused(tmp_path, "is refused: it names the file")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"weight_map": 1}', '{"weight_map": {}}', "[" * 100_000, "\xff"])
def test_a_damaged_index_is_named(content, tmp_path):
    (tmp_path / "net.safetensors.index.json").write_text(content, encoding="latin1")
    refused(tmp_path, "net.safetensors.index.json")


# ---- names


UNSAFE = [
    *("", "/a", "../a", "a/../b", "a//b", "a/", "./a", "..", "C:\\a", "C:a", "c:/a", "\\\\host\\a", "//host/a"),
    *("..\\a", "a\\b", "a:b", "a.txt:stream", "CON", "nul.txt", "a/COM1", "lpt9.tar.gz", "aux", "con .txt"),
    *("a.", "a ", "a./b", "a\0b", "a\nb", "a*b", "a?b", 'a"b', "a|b", "a<b", "\x7f", "\udcff", "a" * 256, "目" * 86),
    *(None, 3, b"a"),
]


@pytest.mark.parametrize("name", UNSAFE)
def test_a_name_that_could_lead_elsewhere_on_some_system_is_unsafe(name):
    assert not is_safe_name(name)


@pytest.mark.parametrize(
    "name", ["a", "a/b.txt", ".metadata", "__0_0.distcp", "目录/图.png", "console.txt", "a b", "a..b"]
)
def test_plain_names_are_safe(name):
    assert is_safe_name(name)


def test_open_tensors_keeps_whole_numbers_and_plain_numbers(tmp_path):
    torch.save({"a.alpha": 4, "b.alpha": torch.tensor(8), "c": True, "d": "text", "e": 10**30}, tmp_path / "a.pt")
    found = {name: tensor.load().item() for name, tensor in open_tensors(tmp_path / "a.pt", numbers=True).items()}
    assert found == {"a.alpha": 4, "b.alpha": 8}
