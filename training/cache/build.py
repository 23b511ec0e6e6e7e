"""Builds or extends a cache: determines what is missing and divides the work among processes.

Several machines can fill one cache at the same time (`shard`): each takes every n-th sample and writes its own packs.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from lumosx_core.errors import LumosXError
from lumosx_core.files.atomic_file import remove_all_partials
from lumosx_core.files.model_files import ModelFiles
from lumosx_core.files.safetensors_file import all_finite
from lumosx_core.models.video_pipeline import choose_device

from ..data.samples import BadSample, Source
from .files import packs_of, read_pack, read_tensors
from .index import CLIPS, TEXTS, read_clips, read_texts
from .settings import CacheSettings, prepare_head
from .writer import PACK_CLIPS, CacheWriter, Job

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Called as (done, total), in samples."""


@dataclass(frozen=True)
class CacheReport:
    """Result of a run.

    Args:
        written, kept: clips cached now, and those that were there already.
        bad: samples that could not be cached, by key.
        bad_file: lists them with their reasons, one JSON object a line.
    """

    written: int
    kept: int
    bad: tuple[tuple[str, BadSample], ...]
    bad_file: Path


def build_cache(
    source: Source,
    directory: str | os.PathLike,
    files: ModelFiles,
    settings: CacheSettings,
    workers: int = 1,
    *,
    shard: tuple[int, int] = (0, 1),
    device: str | torch.device | None = None,
    verify: bool = False,
    progress: Progress | None = None,
    bad: Callable[[BadSample], None] | None = None,
) -> CacheReport:
    """Cache every sample of a source that is not there yet, or whose fingerprint has changed.

    Bad samples are reported and tried again the next time. A source may have a method `fingerprint(key) -> str` that
    says cheaply what a sample is made from; without one a cached sample is taken to be unchanged. Clips that are in the
    cache but not in the source stay, so that one cache can take several sources.

    Args:
        files: of these the VAE and the text encoder.
        workers: processes; with 1 the work is done in this one.
        shard: (i, n): do every n-th sample, from the i-th (0 .. n - 1) on; other machines do the others.
        device: "cpu" or "cuda"; None: the best there is. Several workers spread over the CUDA devices.
        verify: first read everything that exists, and encode damaged clips again.
        bad: called with each bad sample as it is found.

    Raises:
        LumosXError: the cache was made with other weights or settings, the disk is full, a worker was killed, or a
            package is missing.
    """
    directory = Path(directory)
    part, parts = shard
    if not 0 <= part < parts or workers < 1:
        raise LumosXError(
            f"Shard {part} of {parts} with {workers} workers does not fit: shards count from 0, workers from 1."
        )
    device = choose_device(device)
    prepare_head(directory, files, settings)
    with _writing(directory):
        for folder in (CLIPS, TEXTS):
            (directory / folder).mkdir(exist_ok=True)
            _tidy(directory / folder, verify)
    keys = list(dict.fromkeys(source.keys()))[part::parts]
    fingerprint = getattr(source, "fingerprint", lambda key: "")
    jobs = [Job(key, fingerprint(key)) for key in keys]
    clips, texts = read_clips(directory), read_texts(directory)
    cached = {key: clip.fingerprint for key, clip in clips.items() if clip.text in texts}
    todo = [job for job in jobs if cached.get(job.key) != job.fingerprint]

    found_bad: list[tuple[str, BadSample]] = []
    written, seen, total = 0, len(jobs) - len(todo), len(jobs)
    bad_file = directory / ("bad.jsonl" if parts == 1 else f"bad-{part}-of-{parts}.jsonl")
    report = progress or (lambda done, total: None)
    report(seen, total)
    make = _Recipe(source, directory, files, settings, device)
    with _writing(directory), bad_file.open("w", encoding="utf-8") as lines:
        for done, count, faults in _work(make, todo, workers):
            written, seen = written + count, seen + done
            for key, error in faults:
                line = {"key": key, "path": error.path, "reasons": error.reasons}
                lines.write(json.dumps(line, ensure_ascii=False) + "\n")
                if bad is not None:
                    bad(error)
            lines.flush()
            found_bad += faults
            report(seen, total)
    return CacheReport(written, len(jobs) - len(todo), tuple(found_bad), bad_file)


@contextmanager
def _writing(directory: Path) -> Iterator[None]:
    """Explain why the cache cannot be written."""
    try:
        yield
    except OSError as error:
        raise LumosXError(
            f"The cache {directory} could not be written: {error.strerror}. Free some space, or choose a folder you "
            f"may write to."
        ) from error


@dataclass(frozen=True)
class _Recipe:
    """What a process needs to build its writer."""

    source: Source
    directory: Path
    files: ModelFiles
    settings: CacheSettings
    device: torch.device

    def writer(self, number: int = 0, stop: Callable[[], bool] = lambda: False) -> CacheWriter:
        device = self.device
        if device == torch.device("cuda"):  # without an index
            device = torch.device("cuda", number % torch.cuda.device_count())
        return CacheWriter(self.source, self.directory, self.files, self.settings, device, stop)


def _work(make: _Recipe, jobs: Sequence[Job], workers: int) -> Iterator[tuple[int, int, list[tuple[str, BadSample]]]]:
    """Do the jobs; gives (jobs done, clips written, bad samples) piece by piece."""
    size = max(1, min(PACK_CLIPS, -(-len(jobs) // (4 * workers)) if workers > 1 else PACK_CLIPS))
    pieces = [jobs[start : start + size] for start in range(0, len(jobs), size)]
    if workers == 1 or len(pieces) < 2:
        if pieces:
            writer = make.writer()
            for piece in pieces:
                yield len(piece), *writer.write(piece)
        return
    context = multiprocessing.get_context("spawn")
    stop, started = context.Event(), context.Value("i", 0)
    pool = ProcessPoolExecutor(
        workers, mp_context=context, initializer=_start_worker, initargs=(make, workers, started, stop)
    )
    try:
        running = {pool.submit(_write, piece): len(piece) for piece in pieces}
        for finished in as_completed(running):
            yield running[finished], *finished.result()
    except BrokenProcessPool as error:
        raise LumosXError(
            "A worker process was lost, most often because the system ran out of memory. What was finished is "
            "kept: run the command again, with fewer --workers."
        ) from error
    finally:  # also after Ctrl-C: the workers finish their sample and write what they have
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


_recipe: tuple | None = None
_writer: CacheWriter | None = None


def _start_worker(make: _Recipe, workers: int, started, stop) -> None:
    global _recipe
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent receives it and decides when to stop
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))
    with started.get_lock():
        number = started.value
        started.value += 1
    _recipe = make, number, stop.is_set


def _leave_with_parent() -> None:
    """A killed parent cannot end its workers; without this they would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _write(jobs: Sequence[Job]) -> tuple[int, list[tuple[str, BadSample]]]:
    global _writer
    try:
        if _writer is None:
            assert _recipe is not None  # set by _start_worker
            make, number, stop = _recipe
            _writer = make.writer(number, stop)
        return _writer.write(jobs)
    except LumosXError as error:  # its kinds do not all travel between processes
        raise LumosXError(str(error)) from None


def _tidy(folder: Path, verify: bool) -> None:
    """Remove what killed runs left half-written, and rename damaged packs."""
    remove_all_partials(folder)
    for path in packs_of(folder):
        try:
            pack = read_pack(path)
            if verify:
                tensors = read_tensors(path, pack.spans.values())
                if not all(map(all_finite, (tensor for tensor in tensors if tensor.is_floating_point()))):
                    raise LumosXError(f"{path} contains NaN")
        except LumosXError as error:
            log.warning("%s Its clips will be re-encoded; the file was renamed to *.damaged.", error)
            path.rename(path.with_suffix(".damaged"))
