"""Bad samples, damaged files and full disks: noticed, named, and never the end of a run."""

import json
import re
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from toy_source import PLAIN, ToySource, clip_pack

from lumosx_core import LumosXError
from lumosx_training.cache import LatentCache, build_cache
from lumosx_training.cache.files import packs_of, read_pack, write_pack
from lumosx_training.data.samples import BadSample

# Bad samples


def test_bad_samples_are_reported_and_the_others_cached(files, tmp_path):
    source = ToySource(5, bad=("clip-1",), broken=("clip-3",))
    heard = []
    report = build_cache(source, tmp_path / "cache", files, PLAIN, bad=heard.append)
    assert report.written == 3 and LatentCache(tmp_path / "cache").keys == ["clip-0", "clip-2", "clip-4"]
    lines = [json.loads(line) for line in report.bad_file.read_text().splitlines()]
    assert [line["key"] for line in lines] == ["clip-1", "clip-3"]
    assert lines[0]["path"] == "/data/clip-1"
    assert lines[0]["reasons"] == ["The video is truncated.", "The caption is empty."]
    assert "what no one thought of" in lines[1]["reasons"][0]
    assert [str(error) for error in heard] == [str(error) for _, error in report.bad]


def test_a_bad_sample_is_tried_again(files, tmp_path):
    build_cache(ToySource(2, bad=("clip-1",)), tmp_path / "cache", files, PLAIN)
    report = build_cache(ToySource(2), tmp_path / "cache", files, PLAIN)
    assert (report.written, report.kept, report.bad) == (1, 1, ())
    assert report.bad_file.read_text() == ""


ALTERED = {
    "clip-1": (lambda s: replace(s, case=replace(s.case, prompt="A woman.")), 'Phrase "man" .* does not occur'),
    "clip-2": (lambda s: replace(s, case=replace(s.case, prompt=" \n")), "caption is empty"),
    "clip-3": (
        lambda s: replace(s, case=replace(s.case, prompt="man shirt hat " * 400)),
        "model reads 512",
    ),
    "clip-5": (lambda s: replace(s, video=s.video[:4]), "has 4 frames"),
    "clip-6": (lambda s: replace(s, video=torch.full_like(s.video, torch.nan)), "values that are not numbers. Export"),
    "clip-7": (lambda s: replace(s, video=torch.full_like(s.video, 1e38)), "not numbers, or too large to store"),
}


class AlteredSource(ToySource):
    def load(self, key):
        sample = super().load(key)
        return ALTERED[key][0](sample) if key in ALTERED else sample


def test_what_the_encoders_cannot_take_is_bad(files, tmp_path):
    report = build_cache(AlteredSource(8), tmp_path / "cache", files, PLAIN)
    assert LatentCache(tmp_path / "cache").keys == ["clip-0", "clip-4"]
    found = dict(report.bad)
    assert found.keys() == ALTERED.keys()
    for key, (_, reason) in ALTERED.items():
        assert found[key].path == f"/data/{key}"
        assert re.search(reason, str(found[key])), found[key]


# Damage


def flip(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def test_one_flipped_bit_is_noticed_and_named(copied):
    pack = read_pack(clip_pack(copied))
    flip(pack.path, pack.spans["2.video"].start + 5)
    cache = LatentCache(copied)
    with pytest.raises(BadSample, match=r"clip-2.*checksum differs.*--verify") as error:
        cache.item(2)
    assert str(pack.path) in error.value.path
    cache.item(1)
    LatentCache(copied, verify=False).item(2)


def test_a_damaged_text_is_noticed(copied):
    [path] = packs_of(copied / "texts")
    flip(path, path.stat().st_size - 3)
    faults = 0
    cache = LatentCache(copied)
    for index in range(4):
        try:
            cache.item(index)
        except BadSample:
            faults += 1
    assert faults in (0, 1, 2)
    with pytest.raises(LumosXError, match="checksum"):
        [cache.item(index) for index in range(4)] and cache.empty_text


def test_verify_makes_damaged_clips_anew(copied, files):
    pack = read_pack(clip_pack(copied))
    flip(pack.path, pack.spans["2.video"].start)
    assert build_cache(ToySource(), copied, files, PLAIN).written == 0
    assert build_cache(ToySource(), copied, files, PLAIN, verify=True).written == 4
    assert LatentCache(copied).item(2).key == "clip-2"


def test_verify_makes_damaged_texts_anew(copied, files):
    [path] = packs_of(copied / "texts")
    flip(path, path.stat().st_size - 3)
    build_cache(ToySource(), copied, files, PLAIN, verify=True)
    cache = LatentCache(copied)
    assert len([cache.item(index) for index in range(4)]) == 4 and cache.empty_text.isfinite().all()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_in_the_cache_is_a_bad_sample(value, copied):
    path = clip_pack(copied)
    pack, tensors = read_pack(path), load_file(path)
    tensors["1.references.0"][3, 0, 1, 1] = value
    path.unlink()
    write_pack(path.parent, tensors, pack.records)
    cache = LatentCache(copied)
    with pytest.raises(BadSample, match="clip-1.*references contain NaN"):
        cache.item(1)
    cache.item(0)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_pack_that_is_cut_short_is_left_out_and_made_anew(keep, copied, files, caplog):
    path = clip_pack(copied)
    path.write_bytes(path.read_bytes()[:keep])
    assert len(LatentCache(copied)) == 0
    assert str(path) in caplog.text and "damaged or truncated" in caplog.text
    assert build_cache(ToySource(), copied, files, PLAIN).written == 4
    assert len(LatentCache(copied)) == 4


def test_a_pack_cut_short_while_training_is_a_bad_sample(copied):
    cache = LatentCache(copied)
    path = clip_pack(copied)
    path.write_bytes(path.read_bytes()[:-200])
    faults = 0
    for index in range(4):
        try:
            cache.item(index)
        except BadSample as error:
            faults += 1
            assert "truncated" in str(error)
    assert faults
    path.unlink()
    with pytest.raises(BadSample, match="No such file"):
        cache.item(0)


def test_foreign_safetensors_are_left_out(copied, caplog):
    save_file({"a": torch.zeros(1)}, copied / "clips" / "other.safetensors")
    assert len(LatentCache(copied)) == 4
    assert "other.safetensors" in caplog.text


def test_a_full_disk_is_said_and_leaves_a_good_cache(copied, files, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lumosx_core.files.atomic_file.os.fsync", full)
    with pytest.raises(LumosXError, match="No space left on device.*Free some space"):
        build_cache(ToySource(6), copied, files, PLAIN)
    assert len(LatentCache(copied)) == 4
    assert not [path for path in copied.rglob("*partial*")]
    monkeypatch.undo()
    assert build_cache(ToySource(6), copied, files, PLAIN).written == 2
