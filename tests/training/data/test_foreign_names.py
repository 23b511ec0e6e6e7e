"""Data sets made on other systems, and malformed ones: names as people see them, junk skipped, our own errors."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import unicodedata

import pytest
from sample_files import CAPTION, SHORT, make_sample

from lumosx_core.errors import LumosXError
from lumosx_training.data.check_data import check_data
from lumosx_training.data.samples import BadSample
from lumosx_training.data.sources.open_source import open_source
from lumosx_training.data.sources.records import parse_record

NFD = unicodedata.normalize("NFD", "Röcke")


def results(source):
    """The result of loading each key: "good", or the reasons."""
    found = {}
    keys = source.keys()
    for key in keys:
        try:
            source.load(key)
            found[key] = "good"
        except BadSample as error:
            found[key] = " ".join(error.reasons)
    return found


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_sample(tmp_path_factory.mktemp("clip") / "clip")


def record(**changes) -> dict:
    cup = {"image": "objects/red cup.png", "phrase": "red cup"}
    return {"video": "video.mp4", "caption": CAPTION, "objects": [cup]} | changes


def manifest(folder, *lines: dict | str | bytes, name="manifest.jsonl"):
    texts = [json.dumps(line) if isinstance(line, dict) else line for line in lines]
    path = folder / name
    path.write_bytes(b"\n".join(text if isinstance(text, bytes) else text.encode() for text in texts))
    return open_source(path, SHORT)


@pytest.fixture
def folder(clip, tmp_path):
    """A folder with the clip in Röcke, whose letters are composed as on macOS."""
    shutil.copytree(clip, tmp_path / NFD)
    return tmp_path


# Names


@pytest.mark.parametrize(
    "changes",
    [
        {"video": "Röcke\\video.mp4", "objects": [{"image": "Röcke\\objects\\red cup.png", "phrase": "red cup"}]},
        {"video": "./Röcke/video.mp4", "objects": [{"image": ".\\Röcke\\objects\\red cup.png", "phrase": "red cup"}]},
        {"video": "röcke/VIDEO.MP4", "objects": [{"image": "RÖCKE/Objects/Red Cup.PNG", "phrase": "red cup"}]},
        {"video": f"{NFD}/video.mp4", "objects": [{"image": f"{NFD}//objects/red\u00a0cup.png", "phrase": "red cup"}]},
        {"video": "Rö\u200bcke/video.mp4", "objects": [{"image": "röcke/objects/red cup.png", "phrase": "red cup"}]},
    ],
)
def test_files_of_a_manifest_are_found_as_people_see_their_names(folder, changes):
    source = manifest(folder, record(**changes))
    assert list(results(source).values()) == ["good"]
    [key] = source.keys()
    before = source.fingerprint(key)
    os.utime(folder / NFD / "video.mp4", (1, 1))
    assert source.fingerprint(key) != before


def test_a_case_of_a_manifest_and_a_row_of_a_table_are_found_as_well(folder):
    assert results(manifest(folder, {"case": "röcke"}, {"case": "Röcke\\", "key": "b"})) == {
        "röcke": "good",
        "b": "good",
    }
    (folder / "table.csv").write_text("path,text\nRöcke\\video.mp4,a man\n", encoding="utf-8-sig")
    [reason] = results(open_source(folder / "table.csv", SHORT)).values()
    assert "no info.json" in reason and "no video" not in reason


@pytest.mark.skipif(os.name == "nt", reason="its own paths")
@pytest.mark.parametrize("path", ["D:\\clips\\a.mp4", "c:/clips/a.mp4", "\\\\nas\\clips\\a.mp4"])
def test_a_path_of_windows_is_called_one(folder, path):
    [reason] = results(manifest(folder, record(video=path, objects=[]))).values()
    assert "It is a path of Windows. Write it relative" in reason


@pytest.mark.parametrize("name", ["x" * 300, "a/" * 3000, "nul\0.mp4"])
def test_names_that_no_disk_takes_are_named(folder, name):
    source = manifest(folder, record(video=name, objects=[{"image": name, "phrase": "red cup"}]))
    [reason] = results(source).values()
    assert reason.count("No file can be named") == 2 and len(reason) < 1000
    assert source.fingerprint(source.keys()[0])


def test_a_video_of_a_sample_is_found_by_what_people_see(clip, tmp_path):
    for name in ("Video.MP4", "clip.mp4"):
        shutil.copytree(clip, tmp_path / name / "clip")
        (tmp_path / name / "clip/video.mp4").rename(tmp_path / name / "clip" / name)
    assert results(open_source(tmp_path / "Video.MP4", SHORT)) == {"clip": "good"}
    assert (
        "'clip.mp4'. If that is the clip, name it video.mp4"
        in results(open_source(tmp_path / "clip.mp4", SHORT))["clip"]
    )


# Junk


@pytest.mark.parametrize(
    "junk", ["__MACOSX", "@eaDir", "System Volume Information", "$RECYCLE.BIN", ".git", "lost+found"]
)
def test_junk_is_no_sample(clip, tmp_path, junk):
    shutil.copytree(clip, tmp_path / "clip")
    for where in (tmp_path / junk / "clip", tmp_path / "clip/subjects" / junk, tmp_path / "clip" / junk):
        (where / "subjects/1").mkdir(parents=True)
        (where / "._caption.txt").write_bytes(b"\0\5\26\7")
        (where / "caption.txt").write_bytes(b"\0\5\26\7")
    (tmp_path / "Thumbs.db").touch()
    source = open_source(tmp_path, SHORT)
    before = source.fingerprint("clip")
    (tmp_path / "clip/.DS_Store").touch()
    assert results(source) == {"clip": "good"} and source.fingerprint("clip") == before


def shard(path, members: dict[str, bytes], links: dict[str, str] | None = None):
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return open_source(path, SHORT)


def members(clip, image="cup.png", named="cup.png", ending="json"):
    content = record(video="mp4", objects=[{"image": named, "phrase": "red cup"}])
    return {
        f"a.{ending}": json.dumps(content).encode("utf-8-sig"),
        "a.mp4": (clip / "video.mp4").read_bytes(),
        f"a.{image}": (clip / "objects/red cup.png").read_bytes(),
    }


@pytest.mark.parametrize(
    ("image", "named", "ending"),
    [
        ("cup.PNG", "cup.png", "json"),
        ("cup.png", "a.cup.png", "JSON"),
        ("Röcke.png", f"{NFD}.png", "json"),
        (f"{NFD}.png", "Röcke.png", "json"),
        ("red\u00a0cup.png", "red cup.png", "json"),
        ("..\\..\\cup.png", "..\\..\\cup.png", "json"),  # written by a name of our own
        ("C:cup.png", "C:cup.png", "json"),
    ],
)
def test_members_of_a_shard_are_found_as_people_see_their_names(clip, tmp_path, image, named, ending):
    assert results(shard(tmp_path / "s.tar", members(clip, image, named, ending))) == {"s/a": "good"}


def test_junk_in_a_shard_is_skipped_and_links_are_reported(clip, tmp_path):
    junk = dict.fromkeys(("__MACOSX/._a.json", "._a.mp4", ".DS_Store", "@eaDir/a.mp4", "PaxHeader/.git/x.y"), b"x")
    source = shard(tmp_path / "s.tar", members(clip) | junk, {"b.mp4": "/etc/passwd"})
    found = results(source)
    assert found.pop("s/a") == "good"
    assert list(found) == ["s/b.mp4"] and "is a link or another special file" in found["s/b.mp4"]


@pytest.mark.parametrize(
    "pattern", ["s-{0..999999999}.tar", "s-{0..99999}{0..99999}.tar", "s-{" + "a," * 400 + "}{0..999}.tar"]
)
def test_a_pattern_of_too_many_shards_is_refused(tmp_path, pattern):
    with pytest.raises(LumosXError, match="means more than 100,000 shards"):
        open_source(tmp_path / pattern, SHORT)


# Malformed


@pytest.mark.parametrize(
    "line",
    [
        "[" * 10_000,
        '{"caption":' * 10_000,
        '{"subjects":' + "[" * 500 + "]" * 500 + "}",
        '{"caption": ' + "9" * 5000 + "}",
        '{"video": 1}',
        '{"caption": null}',
        '{"objects": {"image": "a"}}',
        '{"objects": [1, 2]}',
        '{"objects": ' + json.dumps([{"image": "a.png", "phrase": "a"}] * 1001) + "}",
        '{"subjects": [{"face": "a.png"}]}',
        '{"background": []}',
        '{"video": "a", "video": "b"}',
        '{"' + "x" * 100_000 + '": 1}',
        '{"caption": "\\ud800"}',
        '{"caption": "a\\u0000b", "video": "a\\u0000b"}',
        '{"caption": NaN}',
        '"a text"',
        "nonsense",
        b"\xfe\x80\x00",
        b'{"caption": "K\xf6ln"}',
        b"x" * (2**22 + 2),
        '{"case": ""}',
        '{"case": "../../.."}' * 2,
        '{"video": "/dev/zero", "caption": "a", "objects": []}',
        "{" + ",".join(f'"{i}": 1' for i in range(50_000)) + "}",
    ],
    ids=lambda line: str(line[:30]),
)
def test_a_malformed_line_is_a_bad_sample_with_a_short_message(tmp_path, line):
    source = manifest(tmp_path, line, '{"video": "also.mp4", "caption": "absent"}')
    found = results(source)
    assert len(found) == 2 and "good" not in found.values()
    assert all(len(reason) < 2000 and reason.isprintable() for reason in found.values())
    for key in found:
        assert source.fingerprint(key)


def test_two_values_of_one_name_are_found_in_linear_time():
    """The names of an object are compared once each: 200,000 would take hours otherwise."""
    parts = ",".join(f'"{i}": 1' for i in range(200_000))
    with pytest.raises(LumosXError, match="'7' is there twice"):
        parse_record("{" + parts + ',"7": 2}')


@pytest.mark.slow
def test_a_hundred_thousand_lines_are_listed_at_once(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text("".join(f'{{"video": "{i % 50_000}.mp4", "caption": "a"}}\n' for i in range(100_000)))
    source = open_source(path, SHORT)
    assert len(source.keys()) == 100_000
    with pytest.raises(BadSample, match="is on line 1 already"):
        source.load("0.mp4 (line 50001)")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_manifest_of_a_windows_shell_is_named(tmp_path, encoding):
    with pytest.raises(LumosXError, match="is UTF-16 or UTF-32. Save it again as UTF-8"):
        manifest(tmp_path, json.dumps(record()).encode(encoding))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("name", ["m.jsonl", "t.csv"])
def test_a_named_pipe_is_refused_at_once(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(LumosXError, match="a named pipe, a socket or a device"):
        open_source(tmp_path / name, SHORT)


@pytest.mark.parametrize(
    "address", ["x" * 300, "nul\0.jsonl", "a/" * 3000, "x" * 300 + ".jsonl", "\0.tar", "", "{" * 500]
)
def test_an_address_that_is_nothing_is_named(address):
    with pytest.raises(LumosXError):
        open_source(address, SHORT)


def test_a_case_that_is_the_whole_disk_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("lumosx_training.data.fingerprints.MOST_FILES", 100)
    for number in range(101):
        (tmp_path / f"{number}.bin").touch()
    [reason] = results(manifest(tmp_path, {"case": "."})).values()
    assert "holds more than 100 files. It is not a sample folder" in reason


def test_folders_that_link_to_each_other_end(clip, tmp_path):
    shutil.copytree(clip, tmp_path / "clip")
    for one in range(12):
        (tmp_path / f"d{one}").mkdir()
    for one in range(12):
        for other in range(12):
            (tmp_path / f"d{one}/to{other}").symlink_to(tmp_path / f"d{other}")
    assert open_source(tmp_path, SHORT).keys()[0] == "clip"


# What check-data says


def findings(source, **options):
    return {finding.key: finding for finding in check_data(source, workers=1, **options)}


def test_what_is_left_out_and_what_two_people_share_are_warnings(clip, tmp_path):
    shutil.copytree(clip, tmp_path / "clip")
    shutil.copytree(tmp_path / "clip/subjects/1", tmp_path / "clip/subjects/2")
    (tmp_path / "clip/notes.md").touch()
    warnings = " ".join(findings(open_source(tmp_path, SHORT))["clip"].warnings)
    assert "notes.md is left out" in warnings
    assert 'The phrase "man" belongs to subject 1 (face) and to subject 2 (face)' in warnings


def test_a_caption_that_no_encoder_reads_whole_is_bad_and_a_long_one_is_warned_of(clip, tmp_path):
    for name, more in (("bad", " and a dog" * 200), ("doubtful", " wonderful" * 200), ("fine", " and a dog" * 30)):
        shutil.copytree(clip, tmp_path / name)
        (tmp_path / name / "caption.txt").write_text(CAPTION + more)
    found = findings(open_source(tmp_path, SHORT))
    assert "at least 615 tokens, but the model reads 512" in " ".join(found["bad"].reasons)
    assert "may have more than 512 tokens. Give --text-encoder" in " ".join(found["doubtful"].warnings)
    assert not found["fine"].reasons and not found["fine"].warnings
