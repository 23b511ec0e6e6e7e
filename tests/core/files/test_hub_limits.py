"""A hub that lies: names, sizes and contents of its listing are not believed."""

from __future__ import annotations

import hashlib
import sys
from types import ModuleType, SimpleNamespace

import pytest

from lumosx_core import LumosXError
from lumosx_core.files.hub import RemoteFile, fetch, list_files

pytest.importorskip("huggingface_hub")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def entry(name: object, size: object = 3, **more):
    return SimpleNamespace(rfilename=name, size=size, lfs=None, blob_id="0" * 40, **more)


def listing(monkeypatch, entries, commit: object = COMMIT) -> list[str]:
    import huggingface_hub

    answer = SimpleNamespace(sha=commit, siblings=entries)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda self, repository, files_metadata: answer)
    return [file.name for file in list_files("a/b")]


FOREIGN = (
    *("../a", "/a", "a/../../b", "C:\\a", "C:a", "\\\\host\\a", "..\\a", "a\\b", "a:b", "CON", "a/NUL.txt", "a.", "a "),
    *("a\0", "a" * 300, "", None, 5),
)


@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_of_a_foreign_name_is_never_listed(name, monkeypatch):
    assert listing(monkeypatch, [entry("good.txt"), entry(name)]) == ["good.txt"]


@pytest.mark.parametrize("size", [None, -1, 2**60, "3", 1.5])
def test_a_file_of_no_size_is_never_listed(size, monkeypatch):
    assert listing(monkeypatch, [entry("good.txt"), entry("a.txt", size)]) == ["good.txt"]


def test_a_name_that_is_listed_twice_and_a_commit_that_leads_elsewhere_are_refused(monkeypatch):
    with pytest.raises(LumosXError, match=r"lists 'a.txt' twice"):
        listing(monkeypatch, [entry("a.txt"), entry("a.txt", 4)])
    for commit in ("../../x", "", None, "main", "/etc"):
        with pytest.raises(LumosXError, match="commit that is none"):
            listing(monkeypatch, [], commit)


def sent(monkeypatch, *pieces: bytes) -> None:
    """Let the client hand on these pieces."""
    import huggingface_hub.file_download

    def http_get(url, stream, resume_size, headers, expected_size):
        for piece in pieces:
            stream.write(piece)

    monkeypatch.setattr(huggingface_hub.file_download, "http_get", http_get)


def remote(content: bytes, **other) -> RemoteFile:
    checksum = hashlib.sha256(content).hexdigest()
    return RemoteFile("a/b", COMMIT, "a.bin", len(content), **{"sha256": checksum, "git_sha1": None, **other})


def test_more_than_was_announced_is_not_written(monkeypatch, tmp_path):
    written = []
    sent(monkeypatch, b"good", *[b"x" * 1000] * 1000)
    with pytest.raises(LumosXError, match="more than its 4 bytes were sent"):
        fetch(remote(b"good"), tmp_path)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written == []


@pytest.mark.parametrize(
    ("pieces", "other", "message"),
    [
        ([b"go"], {}, "has 2 bytes instead of 4"),
        ([b"evil"], {}, "arrived damaged"),
        ([b"good"], {"sha256": None}, "no checksum"),
        ([b"good"], {"sha256": "0" * 64}, "arrived damaged"),
        ([], {}, "has 0 bytes instead of 4"),
    ],
)
def test_less_or_something_else_never_gets_the_files_name(pieces, other, message, monkeypatch, tmp_path):
    sent(monkeypatch, *pieces)
    with pytest.raises(LumosXError, match=message):
        fetch(remote(b"good", **other), tmp_path)
    assert not list(tmp_path.rglob("a.bin"))
    sent(monkeypatch, b"good")
    if not other:
        assert fetch(remote(b"good"), tmp_path).read_bytes() == b"good"


def test_a_folder_with_pickles_only_is_refused_before_it_is_opened(tmp_path, monkeypatch):
    from lumosx_core.auto_scene.networks.hub_folder import HubFolder

    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04")
    monkeypatch.setitem(sys.modules, "transformers", ModuleType("transformers"))
    folder = HubFolder(tmp_path, ("grounding-dino",), "detector", "Get it.")
    with pytest.raises(LumosXError, match=r"no \.safetensors file.*could run code"):
        folder.open_network(lambda *a, **b: pytest.fail("it was opened"))
