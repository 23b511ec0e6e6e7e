"""Packs of a cache that no writer made: skipped with the cause, or refused, but never a crash or wrong data."""

from __future__ import annotations

import json
import zlib

import pytest
import torch
from safetensors.torch import save

from lumosx_core import LumosXError
from lumosx_training.cache.files import read_pack
from lumosx_training.cache.index import CLIPS, read_clips, read_texts

TENSORS = {
    "0.video": torch.zeros(16, 1, 2, 2),
    "0.references.0": torch.zeros(16, 2, 2, 2),
    "0.phrase_mask": torch.zeros(2, 4, dtype=torch.uint8),
}
RECORD = {"key": "a", "fingerprint": "", "text": "t", "standalone": 1, "subjects": [1], "variants": 1}


def forged(folder, records=None, tensors=None, metadata=None):
    tensors = TENSORS | (tensors or {})
    crcs = {name: zlib.crc32(tensor.numpy().tobytes()) for name, tensor in tensors.items()}
    about = {"records": json.dumps([RECORD] if records is None else records), "crc32": json.dumps(crcs)}
    (folder / CLIPS).mkdir(exist_ok=True)
    path = folder / CLIPS / "1.safetensors"
    path.write_bytes(save(tensors, {**about, **(metadata or {})}))
    return path


def test_an_honest_pack_is_read(tmp_path):
    forged(tmp_path)
    assert read_clips(tmp_path)["a"].layout.pictures == 2


RECORDS = {
    "no list": {"key": "a"},
    "texts": ["a"],
    "a key that is a list": [RECORD | {"key": ["a"]}],
    "a key that is a number": [RECORD | {"key": 1}],
    "no text": [RECORD | {"text": None}],
    "a negative count": [RECORD | {"standalone": -1}],
    "a huge count": [RECORD | {"standalone": 10**9}],
    "half a subject": [RECORD | {"subjects": [0.5]}],
    "subjects of text": [RECORD | {"subjects": "11"}],
    "no variants": [RECORD | {"variants": 0}],
    "many variants": [RECORD | {"variants": 10**18}],
    "variants that are a text": [RECORD | {"variants": "1"}],
    "fewer images": [RECORD | {"subjects": []}],
    "a second record without tensors": [RECORD, RECORD | {"key": "b"}],
}


@pytest.mark.parametrize("records", RECORDS.values(), ids=RECORDS.keys())
def test_a_record_of_wrong_types_is_skipped_with_a_warning(records, tmp_path, caplog):
    forged(tmp_path, records)
    assert read_clips(tmp_path).keys() <= {"a"}
    assert len(caplog.messages) == 1


@pytest.mark.parametrize(
    "tensors",
    [
        {"0.video": torch.zeros(16, 2, 2)},
        {"0.video": torch.zeros(16, 0, 2, 2)},
        {"0.video": torch.zeros(16, 1, 2, 2, dtype=torch.uint8)},
        {"0.references.0": torch.zeros(16, 2, 3, 2)},
        {"0.references.0": torch.zeros(8, 2, 2, 2)},
        {"0.phrase_mask": torch.zeros(2, 4)},
        {"0.phrase_mask": torch.zeros(2, 4, 1, dtype=torch.uint8)},
    ],
)
def test_tensors_of_wrong_shapes_are_skipped_with_a_warning(tensors, tmp_path, caplog):
    forged(tmp_path, tensors=tensors)
    assert read_clips(tmp_path) == {}
    assert len(caplog.messages) == 1


@pytest.mark.parametrize(
    "metadata",
    [
        {"records": "["},
        {"records": "[" * 100_000},
        {"records": "9" * 5000},
        {"crc32": "[]"},
        {"crc32": "{}"},
        {"records": "null"},
    ],
)
def test_metadata_that_are_no_json_of_a_pack_are_a_damaged_pack(metadata, tmp_path):
    with pytest.raises(LumosXError, match="damaged or truncated"):
        read_pack(forged(tmp_path, metadata=metadata))
    assert read_clips(tmp_path) == {} and read_texts(tmp_path) == {}
