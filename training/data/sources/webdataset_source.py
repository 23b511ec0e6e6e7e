"""Samples in WebDataset shards: tar files in which the files of a sample lie together and share a name.

    000000012.json                  the record of the sample (see records.py); its file names are endings of these
    000000012.mp4
    000000012.face1.png             ... "image": "face1.png"

A shard is listed once and then read at any place, so that samples can be drawn in any order.
"""

from __future__ import annotations

import glob
import itertools
import math
import os
import re
import tarfile
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from lumosx_core.errors import LumosXError, shown
from lumosx_core.files.junk import in_junk
from lumosx_core.files.seen_name import SeenNames
from lumosx_core.files.text_file import check_regular
from lumosx_core.own_command import own_command

from ..fingerprints import fingerprint_of
from ..samples import BadSample, RawSample, SampleSettings, printable
from .records import parse_record, read_record

_MOST_SHARDS = 100_000  # that a pattern may mean
_RECORD = "json"
_COPIED = 2**20  # bytes of a member at a time


@dataclass
class _Stored:
    """Where the files of one sample lie in their shard: offset and size, by ending."""

    shard: Path
    name: str
    members: dict[str, tuple[int, int]] = field(default_factory=dict)
    repeated: list[str] = field(default_factory=list)


class WebDatasetSource:
    """The samples of one or more shards; the key is the shard's name and the sample's.

    A shard that is cut off gives the samples in front of the cut, and a bad sample that says so.

    Args:
        pattern: a path, in which {000..127} counts, {a,b} lists, and *, ? and [...] match as in a shell.

    Raises:
        LumosXError: no such shard.
    """

    def __init__(self, pattern: str | Path, settings: SampleSettings | None = None):
        self.settings = settings or SampleSettings()
        shards = find_shards(str(pattern))
        above = os.path.commonpath([shard.parent for shard in shards])
        self._samples: dict[str, _Stored] = {}
        self._damaged: dict[str, BadSample] = {}
        for shard in shards:
            self._index(shard, Path(os.path.relpath(shard, above)).with_suffix("").as_posix())

    def keys(self) -> list[str]:
        return [*self._samples, *self._damaged]

    def fingerprint(self, key: str) -> str:
        """A text that changes when the sample's shard does."""
        stored = self._samples.get(key)
        return fingerprint_of([stored.shard], sorted(stored.members.items())) if stored else ""

    def load(self, key: str) -> RawSample:
        if key in self._damaged:
            raise self._damaged[key]
        stored = self._samples[key]
        place = f"{stored.shard}, sample {stored.name}"
        # Decoders want files; and so a shard's sample is read by the very code that reads a manifest's.
        with tempfile.TemporaryDirectory(prefix="lumosx-") as folder:
            try:
                return self._read(stored, Path(folder), key, place)
            except BadSample as error:
                reasons = [_renamed(reason, stored, Path(folder)) for reason in error.reasons]
                raise BadSample(place, *reasons) from None
            except OSError as error:
                raise BadSample(place, f"Cannot read its files: {error}.") from error

    def _read(self, stored: _Stored, folder: Path, key: str, place: str) -> RawSample:
        if stored.repeated:
            repeated = ", ".join(shown(each) for each in stored.repeated[:5])
            raise BadSample(place, f"{repeated} is there twice. Give every sample an own name.")
        names = SeenNames(stored.members)
        # Members are written by names of our own: a foreign one may lead out of the folder, or be none on this system.
        files = _files(stored, folder)
        with stored.shard.open("rb") as shard:
            for ending, (offset, size) in stored.members.items():
                shard.seek(offset)
                if not _copy(shard, files[ending], size):
                    raise BadSample(place, f"{stored.name}.{ending} is cut off. Get the shard again.")
        if not names.find(_RECORD):
            raise BadSample(
                place,
                f"It has no {stored.name}.json that describes it. Write the shards with: "
                f"{own_command('pack', 'SOURCE', 'SHARDS')}",
            )

        def locate(name: str) -> Path:
            # With the sample's own name in front, too: "000000012.face1.png".
            found = names.find(name) or names.find(name.removeprefix(f"{stored.name.rpartition('/')[2]}."))
            if len(found) > 1:
                alike = " and ".join(repr(shown(each)) for each in found[:3])
                raise LumosXError(f"{stored.name}.{shown(name)} may mean {alike} in the shard, which look alike.")
            if not found:
                raise LumosXError(f"{stored.name}.{shown(name)} is not in the shard. Pack the sample again.")
            return files[found[0]]

        try:
            record = parse_record(locate(_RECORD).read_text(encoding="utf-8-sig"))
            if "case" in record:
                raise LumosXError("A case folder cannot be in a shard. Write video, caption and reference images.")
        except (LumosXError, UnicodeDecodeError) as error:
            raise BadSample(place, f"{stored.name}.json: {error}") from error
        return replace(read_record(record, locate, self.settings, key=key, place=place), file=None)

    def _index(self, shard: Path, label: str) -> None:
        count = len(self._samples)
        try:
            check_regular(shard)
            with tarfile.open(shard, "r:", errorlevel=2) as archive:
                for member in archive:
                    if not member.isdir() and not _is_junk(member.name):
                        self._add(shard, label, member)
                _check_end(archive)
        except (tarfile.TarError, OSError, ValueError, OverflowError) as error:
            read = len(self._samples) - count
            self._damaged[f"{label} (damaged)"] = BadSample(
                shard, f"The shard is truncated or damaged ({error}): {read} samples of it are known. Get it again."
            )

    def _add(self, shard: Path, label: str, member: tarfile.TarInfo) -> None:
        # A sample's name ends at the first dot of the file's own name, as everywhere in WebDataset.
        folder, _, file = member.name.rpartition("/")
        stem, _, ending = file.partition(".")
        if not member.isfile() or member.issparse():
            self._damaged[f"{label}/{printable(member.name)}"] = BadSample(
                shard,
                f"The member {shown(member.name)!r} is a link or another special file, whose content is not read. "
                f"Write the shard with plain files.",
            )
            return
        if not stem or not ending or printable(member.name) != member.name:
            self._damaged[f"{label}/{printable(member.name)}"] = BadSample(
                shard, f"The member {shown(member.name)!r} is not named SAMPLE.ENDING in UTF-8. Rename it."
            )
            return
        name = f"{folder}/{stem}" if folder else stem
        stored = self._samples.setdefault(f"{label}/{name}", _Stored(shard, name))
        if ending in stored.members:
            stored.repeated.append(f"{name}.{ending}")
        stored.members[ending] = (member.offset_data, member.size)


def _is_junk(member: str) -> bool:
    """Whether a member is junk; ".json" is a sample without a name, not a hidden file."""
    folder, _, file = member.rpartition("/")
    return in_junk(folder) or (in_junk(file) and not re.fullmatch(r"\.\w{3,4}", file))


def _files(stored: _Stored, folder: Path) -> dict[str, Path]:
    """Where each member of a sample is written, by its ending."""
    return {ending: folder / f"{number:06}{_suffix(ending)}" for number, ending in enumerate(stored.members)}


def _renamed(reason: str, stored: _Stored, folder: Path) -> str:
    """A message with the names of the shard instead of those that its files have meanwhile."""
    for ending, path in _files(stored, folder).items():
        reason = reason.replace(str(path), f"{stored.shard}:{stored.name.rpartition('/')[2]}.{ending}")
    return reason


def _suffix(ending: str) -> str:
    """The end of a member's name by which its kind is known, if it is plain."""
    match = re.search(r"\.?([A-Za-z0-9]{1,8})$", ending)
    return f".{match[1]}" if match else ""


def _copy(shard: BinaryIO, file: Path, size: int) -> bool:
    """Write the next bytes of a shard to a file; False if they end early."""
    with file.open("wb") as target:
        while size > 0 and (content := shard.read(min(size, _COPIED))):
            target.write(content)
            size -= len(content)
    return size == 0


def _check_end(archive: tarfile.TarFile) -> None:
    """Raise TarError unless the listing ended at the mark of the end: tarfile also ends at a damaged member."""
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"no further member and no end at byte {archive.offset}")


def find_shards(pattern: str) -> list[Path]:
    """The files that a pattern means, in order.

    Raises:
        LumosXError: a file is not there, or nothing matches.
    """
    shards = []
    for path in _expand(pattern):
        # A file of just that name counts first: a folder may have brackets in its own name.
        matches = [path] if os.path.exists(path) else sorted(glob.glob(path))
        if not matches:
            raise LumosXError(
                f"There is no shard {shown(path)!r}. Check the path; addresses in a network are not read here."
            )
        shards += matches
    return [Path(path) for path in dict.fromkeys(shards)]


def _expand(pattern: str) -> list[str]:
    """Every text that braces stand for: {008..127} with the zeros kept, {a,b}."""
    parts = re.split(r"\{([^{}]*(?:\.\.|,)[^{}]*)\}", pattern)
    choices = []
    for place, part in enumerate(parts):
        numbers = re.fullmatch(r"([0-9]{1,12})\.\.([0-9]{1,12})", part) if place % 2 else None
        if numbers:
            first, last = int(numbers[1]), int(numbers[2])
            if abs(last - first) >= _MOST_SHARDS:
                raise _too_many(pattern)
            step = 1 if last >= first else -1
            choices.append([f"{number:0{len(numbers[1])}d}" for number in range(first, last + step, step)])
        else:
            choices.append(part.split(",") if place % 2 else [part])
    if math.prod(map(len, choices)) > _MOST_SHARDS:
        raise _too_many(pattern)
    return ["".join(each) for each in itertools.product(*choices)]


def _too_many(pattern: str) -> LumosXError:
    return LumosXError(f"{shown(pattern)!r} means more than {_MOST_SHARDS:,} shards. Check the numbers in braces.")
