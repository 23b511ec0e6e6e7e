"""Write samples of any source as WebDataset shards: what `lumosx pack` does."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from lumosx_core.errors import LumosXError, MissingPackageError
from lumosx_core.files.atomic_file import atomic_path
from lumosx_core.media.images import to_pil
from lumosx_core.own_command import own_command
from lumosx_core.scene.scene import Reference

from .resumable import resumable
from .samples import BadSample, RawSample, Source, printable, write_sample_video
from .sources.records import describe_record

SHARDS = "clips-*.tar"


def pack(
    source: Source,
    directory: str | Path,
    *,
    samples: int = 1000,
    megabytes: int = 1000,
    bad: Callable[[BadSample], None] = lambda error: None,
    done: Callable[[], None] = lambda: None,
) -> list[Path]:
    """Write a source as shards that `WebDatasetSource` and the webdataset package read.

    Videos are copied as they are, images become PNG. Every shard appears complete or not at all; bad samples are left
    out. A run that was killed goes on behind its last shard.

    Args:
        source: open it with `SampleSettings(ClipSettings(frames=(1,), whole=True))`: videos are read to their end,
            so that no damaged one gets in.
        directory: a new folder, one without shards, or what a killed run of the same source left.
        samples, megabytes: a shard ends at the first of the two.
        bad: called with every sample that is skipped.
        done: is called after every sample that was read.

    Returns: the shards, clips-000000.tar and so on.

    Raises:
        LumosXError: the folder has shards in it or cannot be written to, or no sample was good.
    """
    if samples < 1 or megabytes < 1:
        raise LumosXError(f"A shard of {samples} samples and {megabytes} megabytes holds nothing. Use 1 or more.")
    directory = Path(directory)
    work = {
        "command": "pack",
        "samples": samples,
        "megabytes": megabytes,
        "keys": hashlib.sha256("\n".join(map(printable, source.keys())).encode()).hexdigest(),
    }
    with resumable(directory, work) as going_on:
        shards = sorted(directory.glob(SHARDS))
        if not going_on and next(directory.glob("*.tar"), None):
            raise LumosXError(f"The folder {str(directory)!r} contains shards. Give a new folder, or remove them.")
        packed = _keys_in(shards)
        pending = _good(source, packed, bad, done)
        following = next(pending, None)
        number = len(packed)
        while following is not None:
            shard = directory / f"clips-{len(shards):06d}.tar"
            with (
                atomic_path(shard) as partial,
                partial.open("xb") as file,
                tarfile.open(fileobj=file, mode="w") as archive,
            ):
                count = 0
                while following is not None and count < samples and file.tell() < megabytes * 10**6:
                    _add_sample(archive, f"{number:09d}", following)
                    number, count = number + 1, count + 1
                    following = next(pending, None)
            shards.append(shard)
        if not shards:
            raise LumosXError(
                f"There is no good sample to pack. Fix what this reports: {own_command('check-data', 'SOURCE')}"
            )
    return shards


def _keys_in(shards: Sequence[Path]) -> set[str]:
    """The keys of the samples in shards that an earlier run finished."""
    keys = set()
    try:
        for shard in shards:
            with tarfile.open(shard, "r:") as archive:
                for member in archive:
                    if member.name.endswith(".json") and (file := archive.extractfile(member)):
                        keys.add(json.load(file)["key"])
    except (tarfile.TarError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise LumosXError(f"{shard}, which an earlier run wrote, cannot be read ({error}). Remove it.") from error
    return keys


def _good(
    source: Source, packed: set[str], bad: Callable[[BadSample], None], done: Callable[[], None]
) -> Iterator[RawSample]:
    keys = source.keys()
    for key in keys:
        if printable(key) in packed:
            done()
            continue
        try:
            sample = source.load(key)
        except MissingPackageError:
            raise
        except BadSample as error:
            bad(error)
        except LumosXError as error:
            bad(BadSample(key, str(error)))
        except Exception as error:  # see check_data
            bad(BadSample(key, f"Reading it failed unexpectedly ({type(error).__name__}: {error}). Replace it."))
        else:
            yield sample
        done()


def _add_sample(archive: tarfile.TarFile, name: str, sample: RawSample) -> None:
    pictures: dict[str, bytes] = {}

    def picture(label: str, reference: Reference) -> str:
        ending = f"{label.replace(' ', '_')}.png"  # "attribute 2 of subject 1"
        content = io.BytesIO()
        to_pil(reference.image).save(content, format="PNG")
        pictures[ending] = content.getvalue()
        return ending

    record = {"key": printable(sample.key)} | describe_record(sample.case, "mp4", picture)
    with ExitStack() as stack:
        file = sample.file
        if file is None:
            file = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lumosx-"))) / "video.mp4"
            write_sample_video(file, sample)
        _add(archive, f"{name}.json", json.dumps(record, ensure_ascii=False).encode())
        with file.open("rb") as video:
            member = tarfile.TarInfo(f"{name}.mp4")
            member.size = file.stat().st_size
            archive.addfile(member, video)
    for ending, content in pictures.items():
        _add(archive, f"{name}.{ending}", content)


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
