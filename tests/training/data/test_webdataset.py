"""Shards hold what was packed, can be read by others, and lose no more than what is damaged."""

import io
import json
import pickle
import struct
import tarfile

import pytest
import torch
from PIL import Image
from sample_files import SHORT, assert_same_case, make_sample, make_video, noise, picture, ramp, truncate

from lumosx_core import Scene, Subject
from lumosx_core.errors import LumosXError
from lumosx_core.scene.case_folder import Case
from lumosx_training.data import pack as pack_module
from lumosx_training.data.pack import pack
from lumosx_training.data.resumable import NOTE
from lumosx_training.data.samples import BadSample, RawSample
from lumosx_training.data.sources.open_source import open_source
from lumosx_training.data.sources.webdataset_source import find_shards


@pytest.fixture
def folders(tmp_path):
    for name in ("one", "three", "two"):
        make_sample(tmp_path / "set" / name)
    return open_source(tmp_path / "set", SHORT)


def shards(path):
    return open_source(path / "clips-*.tar", SHORT)


def test_what_was_packed_is_read_back_with_the_very_bytes_of_its_video(folders, tmp_path):
    packed = pack(folders, tmp_path / "shards", samples=2)
    assert [path.name for path in packed] == ["clips-000000.tar", "clips-000001.tar"]
    source = shards(tmp_path / "shards")
    assert source.keys() == ["clips-000000/000000000", "clips-000000/000000001", "clips-000001/000000002"]
    for key, original in zip(source.keys(), folders.keys(), strict=True):
        sample, folder = source.load(key), folders.load(original)
        assert_same_case(sample.case, folder.case)
        assert torch.equal(sample.video, folder.video) and sample.original == folder.original
    with tarfile.open(packed[0]) as archive:
        video = archive.extractfile("000000001.mp4").read()
        assert json.load(archive.extractfile("000000001.json"))["key"] == "three"
    assert video == (tmp_path / "set/three/video.mp4").read_bytes()


def test_the_same_samples_give_the_same_shards(folders, tmp_path):
    [one], [two] = pack(folders, tmp_path / "one"), pack(folders, tmp_path / "two")
    assert one.read_bytes() == two.read_bytes()


class Made:
    """A source without files, of phrases that no file name could hold."""

    scene = Scene(
        (Subject(None, (picture("a/b.c"), picture("a/b.c", 2))), Subject(picture("", 3))),
        (picture("Größe 9½", 4), picture("Größe 9½", 5)),
    )

    def keys(self):
        return ["x/y;z"]

    def load(self, key):
        return RawSample(key, Case(None, "a; b", self.scene), ramp(5).float() / 255)


def test_any_scene_fits_into_a_shard(tmp_path):
    pack(Made(), tmp_path)
    settings = type(SHORT)(SHORT.clip, require_faces=False)
    source = open_source(tmp_path / "clips-000000.tar", settings)
    sample = source.load(source.keys()[0])
    assert_same_case(sample.case, Made().load("x").case)
    assert (sample.video.float() - ramp(5)).abs().max() <= 2


def test_the_webdataset_package_reads_our_shards(folders, tmp_path):
    webdataset = pytest.importorskip("webdataset")
    pack(folders, tmp_path / "shards")
    found = list(webdataset.WebDataset(str(tmp_path / "shards/clips-000000.tar"), shardshuffle=False))
    assert [sample["__key__"] for sample in found] == ["000000000", "000000001", "000000002"]
    record = json.loads(found[0]["json"])
    face = Image.open(io.BytesIO(found[0][record["subjects"][0]["face"]["image"]]))
    assert face.size == (5, 6) and found[0][record["video"]][4:8] == b"ftyp"


def test_shards_that_the_webdataset_package_wrote_are_read(folders, tmp_path):
    webdataset = pytest.importorskip("webdataset")
    case = tmp_path / "set/one"
    record = {
        "video": "mp4",
        "caption": "A red cup.",
        "objects": [{"image": "cup.png", "phrase": "red cup", "mask": "mask.png"}],
    }
    mask = io.BytesIO()
    Image.new("L", (5, 6), 255).save(mask, "PNG")
    with webdataset.TarWriter(str(tmp_path / "clips.tar")) as writer:
        writer.write(
            {
                "__key__": "part/cup",
                "mp4": (case / "video.mp4").read_bytes(),
                "json": record,
                "cup.png": (case / "objects/red cup.png").read_bytes(),
                "mask.png": mask.getvalue(),
            }
        )
    source = open_source(tmp_path / "clips.tar", SHORT)
    assert source.keys() == ["clips/part/cup"]
    assert source.load("clips/part/cup").case.scene.objects[0].phrase == "red cup"


# Damage


def add(path, files, mode="a"):
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def reason(source, key):
    with pytest.raises(BadSample) as caught:
        source.load(key)
    return str(caught.value)


def test_a_damaged_header_in_the_middle_is_not_the_end(folders, tmp_path):
    [shard] = pack(folders, tmp_path)
    with tarfile.open(shard) as archive:
        header = archive.getmember("000000001.json").offset
    content = bytearray(shard.read_bytes())
    content[header : header + 512] = b"x" * 512
    shard.write_bytes(content)
    source = shards(tmp_path)
    assert source.keys() == ["clips-000000/000000000", "clips-000000 (damaged)"]
    assert "1 samples of it are known" in reason(source, "clips-000000 (damaged)")


@pytest.mark.parametrize("share", [0.4, 0.6, 0.7, 0.95, 1])
def test_a_truncated_shard_gives_the_samples_in_front_of_the_cut(tmp_path, share):
    for name in ("a", "b", "c", "d", "e"):
        make_sample(tmp_path / "set" / name)
    [shard] = pack(open_source(tmp_path / "set", SHORT), tmp_path / "shards")
    with tarfile.open(shard) as archive:
        # Where the samples end; behind them a tar file has only padding.
        end = max(member.offset_data + member.size for member in archive)
    shard.write_bytes(shard.read_bytes()[: int(end * share)])
    source = shards(tmp_path / "shards")
    good = []
    keys = source.keys()
    for key in keys:
        try:
            source.load(key)
            good.append(key)
        except BadSample as error:
            assert str(shard) in str(error)
    assert 1 <= len(good) <= 4 + (share == 1)
    assert "truncated or damaged" in reason(source, "clips-000000 (damaged)")


def test_a_member_that_is_cut_off_is_named(folders, tmp_path):
    [shard] = pack(folders, tmp_path)
    with tarfile.open(shard) as archive:
        start = archive.getmember("000000001.mp4").offset_data
    shard.write_bytes(shard.read_bytes()[: start + 100])
    assert "000000001.mp4 is cut off" in reason(shards(tmp_path), "clips-000000/000000001")


def test_a_file_that_is_no_shard_hides_no_other(folders, tmp_path):
    pack(folders, tmp_path)
    (tmp_path / "clips-000001.tar").write_bytes(b"no shard" * 200)
    source = shards(tmp_path)
    assert len(source.keys()) == 4
    assert "clips-000001.tar: The shard is truncated or damaged" in reason(source, "clips-000001 (damaged)")


def test_a_bad_file_is_named_by_its_shard_and_member(folders, tmp_path):
    [shard] = pack(folders, tmp_path)
    with tarfile.open(shard) as archive:
        record = archive.extractfile("000000000.json").read()
    damaged = truncate(make_video(tmp_path / "video.mp4", noise(9))).read_bytes()
    add(shard, {"bad.json": record, "bad.mp4": damaged, "bad.object_1.png": b""})
    message = reason(shards(tmp_path), "clips-000000/bad")
    assert f"{shard}:bad.mp4 is truncated or damaged" in message
    assert f"{shard}:bad.object_1.png: the file is empty" in message
    assert "bad.background.png is not in the shard" in message
    assert "lumosx-" not in message  # nothing of where it was unpacked


def test_a_record_reaches_nothing_outside_its_sample(folders, tmp_path):
    secret = make_sample(tmp_path / "secret")
    record = {"video": "../secret/video.mp4", "caption": "x", "background": {"image": "000000000.json", "phrase": "x"}}
    add(tmp_path / "clips-0.tar", {"a.json": json.dumps(record).encode(), "000000000.json": b"{}"}, "w")
    add(tmp_path / "clips-1.tar", {"b.json": json.dumps({"case": str(secret)}).encode()}, "w")
    source = shards(tmp_path)
    assert reason(source, "clips-0/a").count("is not in the shard") == 2
    assert "A case folder cannot be in a shard" in reason(source, "clips-1/b")


@pytest.mark.parametrize(
    ("files", "key", "expected"),
    [
        ({"a.mp4": b"x"}, "a", "It has no a.json that describes it"),
        ({"a.json": b"\xff"}, "a", "a.json: 'utf-8' codec can't decode"),
        ({"a.json": b"{"}, "a", "a.json: It is not JSON"),
        ({"a": b"x"}, "a", "The member 'a' is not named SAMPLE.ENDING"),
        ({".json": b"{}"}, ".json", "The member '.json' is not named SAMPLE.ENDING"),
        ({"b\udce9.json": b"{}"}, r"b\udce9.json", "is not named SAMPLE.ENDING in UTF-8"),
    ],
)
def test_members_that_make_no_sample_are_reported(tmp_path, files, key, expected):
    add(tmp_path / "clips-0.tar", files, "w")
    assert expected in reason(shards(tmp_path), f"clips-0/{key}")


def test_a_name_that_is_there_twice_is_bad(folders, tmp_path):
    [shard] = pack(folders, tmp_path)
    add(shard, {"000000001.mp4": b"another"})
    source = shards(tmp_path)
    assert "000000001.mp4 is there twice" in reason(source, "clips-000000/000000001")
    source.load("clips-000000/000000002")


def test_shards_travel_between_processes(folders, tmp_path):
    pack(folders, tmp_path)
    (tmp_path / "clips-000001.tar").write_bytes(b"no shard" * 200)
    source = pickle.loads(pickle.dumps(shards(tmp_path)))
    assert source.load(source.keys()[0]).key == source.keys()[0]
    assert "damaged" in reason(source, source.keys()[-1])


# Packing


def test_bad_samples_are_left_out_and_named(folders, tmp_path):
    (tmp_path / "set/three/caption.txt").write_text("")
    bad = []
    pack(folders, tmp_path / "shards", bad=bad.append)
    assert [error.path for error in bad] == [str(tmp_path / "set/three")]
    assert len(shards(tmp_path / "shards").keys()) == 2


def test_a_shard_ends_where_it_is_large_enough(tmp_path):
    for name in ("a", "b", "c"):
        with (make_sample(tmp_path / "set" / name) / "video.mp4").open("ab") as video:
            video.write(struct.pack(">I4s", 10**6, b"free") + bytes(10**6 - 8))
    assert len(pack(open_source(tmp_path / "set", SHORT), tmp_path / "shards", megabytes=1)) == 3


def test_without_a_good_sample_there_is_nothing_to_pack(folders, tmp_path):
    for name in ("one", "two", "three"):
        (tmp_path / "set" / name / "caption.txt").write_text("")
    with pytest.raises(LumosXError, match="There is no good sample to pack"):
        pack(folders, tmp_path / "shards")
    assert not list((tmp_path / "shards").iterdir())


def test_a_folder_with_shards_is_not_written_to(folders, tmp_path):
    (tmp_path / "old.tar").touch()
    with pytest.raises(LumosXError, match="contains shards"):
        pack(folders, tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(LumosXError, match="Cannot create the folder"):
        pack(folders, tmp_path / "file")
    for sizes in ({"samples": 0}, {"megabytes": 0}):
        with pytest.raises(LumosXError, match="holds nothing"):
            pack(folders, tmp_path / "shards", **sizes)


def test_an_interrupt_leaves_only_whole_shards_and_the_same_command_goes_on(folders, tmp_path, monkeypatch):
    add_sample = pack_module._add_sample

    def interrupted(archive, name, sample):
        if sample.key == "two":
            raise KeyboardInterrupt
        add_sample(archive, name, sample)

    monkeypatch.setattr(pack_module, "_add_sample", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pack(folders, tmp_path / "shards", samples=2)
    assert sorted(path.name for path in (tmp_path / "shards").iterdir()) == [NOTE, "clips-000000.tar"]
    monkeypatch.undo()
    with pytest.raises(LumosXError, match="left unfinished by a run with other settings"):
        pack(folders, tmp_path / "shards", samples=1)
    seen = []
    pack(folders, tmp_path / "shards", samples=2, done=lambda: seen.append(1))
    pack(folders, tmp_path / "whole", samples=2)
    contents = [{path.name: path.read_bytes() for path in (tmp_path / n).iterdir()} for n in ("shards", "whole")]
    assert contents[0] == contents[1] and len(seen) == len(folders.keys())
    with pytest.raises(LumosXError, match="contains shards"):
        pack(folders, tmp_path / "shards", samples=2)


# Patterns


def test_a_pattern_names_its_shards_in_order(tmp_path):
    for number in range(8, 12):
        (tmp_path / f"clips-{number:03d}.tar").touch()
    (tmp_path / "a[1].tar").touch()

    def names(pattern):
        return [path.name for path in find_shards(str(tmp_path / pattern))]

    assert names("clips-{008..010}.tar") == ["clips-008.tar", "clips-009.tar", "clips-010.tar"]
    assert names("clips-{010..009}.tar") == ["clips-010.tar", "clips-009.tar"]
    assert names("clips-{009,011,009}.tar") == ["clips-009.tar", "clips-011.tar"]
    assert names("clips-01*.tar") == ["clips-010.tar", "clips-011.tar"]
    assert names("a[1].tar") == ["a[1].tar"]
    with pytest.raises(LumosXError, match=r"There is no shard '.*clips-012.tar'"):
        names("clips-{010..012}.tar")
