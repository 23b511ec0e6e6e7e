"""Fingerprints: they stay while a sample's files stay, and change with each of them."""

import json
import os

import pytest
from PIL import Image

from lumosx_training.data.sources.manifest import ManifestSource
from lumosx_training.data.sources.open_source import FolderSource


def touch(path):
    """Change a file so that its time shows it, however coarse the disk's clock is."""
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**9))


@pytest.fixture
def folder(tmp_path):
    for name in ("one", "two"):
        sample = tmp_path / name
        (sample / "subjects" / "1").mkdir(parents=True)
        (sample / "caption.txt").write_text("A man waves.")
        (sample / "video.mp4").write_bytes(b"video")
        Image.new("RGB", (8, 8)).save(sample / "subjects" / "1" / "face_man.png")
    return tmp_path


def test_a_fingerprint_stays_while_the_files_stay(folder):
    assert FolderSource(folder).fingerprint("one") == FolderSource(folder).fingerprint("one")


@pytest.mark.parametrize("file", ["caption.txt", "video.mp4", "subjects/1/face_man.png"])
def test_each_file_of_a_folder_changes_its_own_fingerprint_only(folder, file):
    source = FolderSource(folder)
    one, two = source.fingerprint("one"), source.fingerprint("two")
    touch(folder / "one" / file)
    assert source.fingerprint("one") != one
    assert source.fingerprint("two") == two


def test_a_new_picture_changes_it(folder):
    before = FolderSource(folder).fingerprint("one")
    Image.new("RGB", (8, 8)).save(folder / "one" / "subjects" / "1" / "hat.png")
    assert FolderSource(folder).fingerprint("one") != before


def test_a_manifest_follows_its_line_and_the_files_it_names(folder):
    manifest = folder / "data.jsonl"
    spelled = {
        "key": "spelled out",
        "video": "one/video.mp4",
        "caption": "A man waves." + " He waves." * 60,  # longer than a file name may be
        "subjects": [{"face": {"image": "one/subjects/1/face_man.png", "phrase": "man"}}],
    }

    def fingerprints():
        source = ManifestSource(manifest)
        return [source.fingerprint(key) for key in ("spelled out", "two")]

    manifest.write_text(json.dumps(spelled) + "\n" + json.dumps({"case": "two"}) + "\n")
    before = fingerprints()
    touch(folder / "one" / "subjects" / "1" / "face_man.png")
    after = fingerprints()
    assert after[0] != before[0] and after[1] == before[1]
    touch(folder / "two" / "caption.txt")
    assert fingerprints()[1] != after[1]
    manifest.write_text(json.dumps(spelled | {"caption": ""}) + "\n" + json.dumps({"case": "two"}) + "\n")
    assert fingerprints()[0] != after[0]
