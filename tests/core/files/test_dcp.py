"""DCP directories: read without running anything, in one piece or many, and refused when they are not honest."""

from __future__ import annotations

import copyreg
import os
import pickle
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.metadata import ChunkStorageMetadata, MetadataIndex

from lumosx_core import LumosXError
from lumosx_core.files.formats.dcp import read_dcp
from lumosx_core.models.wan.names import read_state_dict

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled")


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {"patch_embedding.weight": torch.randn(8, 4), "patch_embedding.bias": torch.randn(8).bfloat16()}


def save(content: dict, directory: Path) -> Path:
    dcp.save(content, checkpoint_id=directory, no_dist=True)
    return directory


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


def change_metadata(directory: Path, change) -> None:
    """Let `change` edit the table of contents that torch wrote."""
    metadata = pickle.loads((directory / ".metadata").read_bytes())
    change(metadata)
    (directory / ".metadata").write_bytes(pickle.dumps(metadata))


@pytest.mark.parametrize("inside", ["", "all", "ema", "model"])
def test_the_directory_itself_or_all_ema_or_model_in_it_is_read(weights, tmp_path, inside):
    save(weights, tmp_path / inside)
    assert same(read_state_dict(tmp_path), weights)


def test_averaged_weights_are_preferred_and_other_entries_left_alone(weights, tmp_path):
    other = {name: tensor + 1 for name, tensor in weights.items()}
    save({"ema": weights, "model": other, "step": 7, "optimizer": {"lr": 0.1}}, tmp_path / "a")
    assert same(read_state_dict(tmp_path / "a"), weights)
    save({"model": other}, tmp_path / "b")
    assert same(read_state_dict(tmp_path / "b"), other)
    save(weights, tmp_path / "c" / "ema")
    save(other, tmp_path / "c" / "model")
    assert same(read_state_dict(tmp_path / "c"), weights)


def test_a_tensor_in_several_shards_is_put_together(weights, tmp_path):
    parts = {"a": weights["patch_embedding.weight"][:3].clone(), "b": weights["patch_embedding.weight"][3:].clone()}
    save(parts, tmp_path)

    def join(metadata):
        entries, storage = metadata.state_dict_metadata, metadata.storage_data
        whole = entries.pop("a")
        entries.pop("b")
        whole.size = torch.Size([8, 4])
        whole.chunks = [
            ChunkStorageMetadata(torch.Size([0, 0]), torch.Size([3, 4])),
            ChunkStorageMetadata(torch.Size([3, 0]), torch.Size([5, 4])),
        ]
        entries["w"] = whole
        for name, offset in (("a", [0, 0]), ("b", [3, 0])):
            [index] = [index for index in storage if index.fqn == name]
            storage[MetadataIndex("w", offset)] = storage.pop(index)

    change_metadata(tmp_path, join)
    assert torch.equal(read_dcp(tmp_path)["w"].load(), weights["patch_embedding.weight"])


# ---- code in files


class Call:
    """Pickles as a call of anything with anything."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return (self.function, self.arguments)


def run_me(path: str) -> None:
    Path(path).touch()


@pytest.mark.parametrize(
    ("attack", "named"),
    [
        (lambda path: Call(open, path, "w"), r"\.open"),
        (lambda path: Call(os.system, f"touch {path}"), r"(posix|nt)\.system"),
        (lambda path: Call(eval, f"open({path!r}, 'w')"), r"builtins\.eval"),
        (lambda path: Call(getattr, os, "system"), None),  # modules do not even pickle: built by hand below
        (lambda path: Call(torch.load, path), r"torch.*load"),
        (lambda path: Call(torch.hub.load, path), r"torch\.hub"),
        (lambda path: Call(copyreg._reconstructor, dict, object, None), r"copy_?reg"),
    ],
)
def test_a_table_of_contents_with_code_is_refused_by_name_and_nothing_runs(weights, tmp_path, attack, named):
    save(weights, tmp_path / "c")
    if named is None:
        payload, named = b"\x80\x04cbuiltins\ngetattr\n(cos\nenviron\nX\x03\0\0\0gettR.", r"builtins\.getattr"
    else:
        payload = pickle.dumps({"planner_data": attack(str(tmp_path / "ran"))})
    (tmp_path / "c" / ".metadata").write_bytes(payload)
    with pytest.raises(LumosXError, match=rf"\.metadata is refused: it asks for .*{named}"):
        read_state_dict(tmp_path / "c")
    assert not (tmp_path / "ran").exists()


def test_code_deep_inside_an_otherwise_sound_table_is_refused(weights, tmp_path):
    save(weights, tmp_path / "c")
    change_metadata(tmp_path / "c", lambda m: m.planner_data.update(x=Call(open, str(tmp_path / "ran"), "w")))
    with pytest.raises(LumosXError, match=r"asks for .*open"):
        read_state_dict(tmp_path / "c")
    assert not (tmp_path / "ran").exists()
    # The file is armed: torch's own reader does run it.
    pickle.loads((tmp_path / "c" / ".metadata").read_bytes())
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "name", ["torch\nload", "torch\nTensor", "torch\nfloat32.__class__", "torch.distributed.checkpoint.metadata\nos"]
)
def test_only_listed_names_of_torch_are_known(weights, tmp_path, name):
    save(weights, tmp_path)
    module, attribute = name.split("\n")
    short = b"\x80\x04\x8c%c%s\x8c%c%s\x93." % (len(module), module.encode(), len(attribute), attribute.encode())
    (tmp_path / ".metadata").write_bytes(short)
    with pytest.raises(LumosXError, match="is refused"):
        read_dcp(tmp_path)


def test_a_shard_with_code_is_refused_and_it_does_not_run(weights, tmp_path):
    save(weights, tmp_path / "c")
    [shard] = (tmp_path / "c").glob("*.distcp")
    torch.save(Call(open, str(tmp_path / "ran"), "w"), shard)

    def point_to_it(metadata):
        for info in metadata.storage_data.values():
            info.offset, info.length = 0, shard.stat().st_size

    change_metadata(tmp_path / "c", point_to_it)
    with pytest.raises(LumosXError, match=r"\.distcp is refused.*no plain tensor"):
        read_state_dict(tmp_path / "c")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("path", ["../secret", "/etc/hostname", "a/../../secret", "..\\secret", "C:\\secret", ""])
def test_a_shard_outside_the_directory_is_refused(weights, tmp_path, path):
    save(weights, tmp_path / "c")
    torch.save(weights["patch_embedding.weight"], tmp_path / "secret")

    def lead_out(metadata):
        for info in metadata.storage_data.values():
            info.relative_path = path

    change_metadata(tmp_path / "c", lead_out)
    with pytest.raises(LumosXError, match="outside the checkpoint's directory"):
        read_state_dict(tmp_path / "c")


# ---- damage


def test_a_directory_without_table_of_contents_is_named(weights, tmp_path):
    save(weights, tmp_path)
    (tmp_path / ".metadata").unlink()
    with pytest.raises(LumosXError, match=r"without a checkpoint.*'\.metadata'.*distcp"):
        read_state_dict(tmp_path)


@pytest.mark.parametrize("keep", [0, 1, 100, -1])
def test_a_truncated_table_of_contents_is_refused(weights, tmp_path, keep):
    save(weights, tmp_path)
    content = (tmp_path / ".metadata").read_bytes()
    (tmp_path / ".metadata").write_bytes(content[:keep])
    with pytest.raises(LumosXError, match=r"\.metadata is damaged"):
        read_state_dict(tmp_path)


def test_a_missing_or_truncated_shard_is_named(weights, tmp_path):
    save(weights, tmp_path)
    [shard] = tmp_path.glob("*.distcp")
    content = shard.read_bytes()
    shard.write_bytes(content[: len(content) // 2])
    with pytest.raises(LumosXError, match="cut short"):
        read_state_dict(tmp_path)
    shard.unlink()
    with pytest.raises(LumosXError, match=r"shard '__0_0\.distcp' is missing"):
        read_state_dict(tmp_path)


def test_sizes_that_the_shards_do_not_hold_are_refused_without_making_room_for_them(weights, tmp_path):
    save(weights, tmp_path)

    def boast(metadata):
        entry = metadata.state_dict_metadata["patch_embedding.weight"]
        entry.size = entry.chunks[0].sizes = torch.Size([2**40, 2**10])

    change_metadata(tmp_path, boast)
    with pytest.raises(LumosXError, match=r"\.metadata is damaged.*does not fit the tensor"):
        read_state_dict(tmp_path)


def test_a_shard_with_another_tensor_than_promised_is_refused(weights, tmp_path):
    save(weights, tmp_path)

    def swap(metadata):
        first, second = metadata.storage_data.values()
        first.offset, second.offset, first.length, second.length = (
            second.offset,
            first.offset,
            second.length,
            first.length,
        )

    change_metadata(tmp_path, swap)
    with pytest.raises(LumosXError, match="table of contents"):
        read_state_dict(tmp_path)
