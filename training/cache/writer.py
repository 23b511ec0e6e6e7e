"""Writes samples into a cache: the part of the work that one process does.

Finished clips are gathered and written as packs, since a file (and its way to the disk) for each small clip would take
longer than encoding it. A pack is closed when it is large or old enough, so that a killed run loses little.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lumosx_core.errors import LumosXError, MissingPackageError
from lumosx_core.files.model_files import ModelFiles
from lumosx_core.files.safetensors_file import all_finite

from ..data.samples import BadSample, Source
from .encoder import EncodedSample, PreparedSample, SampleEncoder, text_name
from .files import write_pack
from .index import CLIPS, TEXTS, read_texts
from .references import PreparedReferences
from .settings import CacheSettings

log = logging.getLogger(__name__)

PACK_CLIPS, PACK_BYTES, PACK_SECONDS = 128, 2**28, 120
PENDING_VALUES = 2**23  # of prepared pixels that wait to be encoded together


@dataclass(frozen=True)
class Job:
    """A sample to write, and the fingerprint of what it is made from."""

    key: str
    fingerprint: str = ""


class CacheWriter:
    """Loads, encodes and writes samples.

    Args:
        directory: of a cache whose header is written.
        stop: asked between samples; True ends the work early, with everything that is finished written.
    """

    def __init__(
        self,
        source: Source,
        directory: Path,
        files: ModelFiles,
        settings: CacheSettings,
        device: torch.device | str = "cpu",
        stop: Callable[[], bool] = lambda: False,
    ):
        self.source, self.directory, self.stop = source, directory, stop
        self.encoder = SampleEncoder(files, settings, device)
        self._known_texts: set[str] = set()
        self._seen_packs: set[Path] = set()
        self._fingerprints: dict[str, str] = {}
        self._pending: list[PreparedSample] = []
        self._finished: list[EncodedSample] = []
        self._bad: list[tuple[str, BadSample]] = []
        self._written, self._opened = 0, time.monotonic()

    def write(self, jobs: Sequence[Job]) -> tuple[int, list[tuple[str, BadSample]]]:
        """Write samples; what cannot be used is returned, with the reason.

        Returns: the number of clips written, and the keys of bad samples.

        Raises:
            LumosXError: the disk is full or not writable, or a package is missing.
        """
        self._written, self._bad, self._opened = 0, [], time.monotonic()
        self._fingerprints = {job.key: job.fingerprint for job in jobs}
        try:
            for job in jobs:
                if self.stop():
                    break
                self._prepare(job.key)
                if sum(_values(sample) for sample in self._pending) > PENDING_VALUES:
                    self._encode()
            self._encode()
            self._close_pack()
        except KeyboardInterrupt:
            self._pending = []
            self._close_pack()
            raise
        except torch.OutOfMemoryError as error:
            raise LumosXError(f"The memory is too small ({error}). Use fewer --workers or a smaller --size.") from error
        finally:
            self._pending, self._finished = [], []
        return self._written, self._bad

    def _prepare(self, key: str) -> None:
        where = key
        try:
            sample = self.source.load(key)
            where = sample.where
            for note in sample.notes:
                log.warning("%s", note)
            self._pending.append(self.encoder.prepare(sample))
        except (MissingPackageError, MemoryError):
            raise
        except BadSample as error:
            self._bad.append((key, error))
        except LumosXError as error:
            self._bad.append((key, BadSample(where, str(error))))
        except Exception as error:  # on damaged bytes a decoder raises almost anything
            self._bad.append((key, BadSample(where, f"It cannot be read ({type(error).__name__}: {error}).")))

    def _encode(self) -> None:
        for sample in self.encoder.encode(self._pending):
            latents = [tensor for tensor in sample.parts.tensors.values() if tensor.is_floating_point()]
            if all(map(all_finite, (sample.video, *latents))):
                self._finished.append(sample)
            else:
                self._refuse(sample, "Its latents have values that are not numbers, or too large to store.")
        self._pending = []
        size = sum(_bytes(sample) for sample in self._finished)
        if len(self._finished) >= PACK_CLIPS or size >= PACK_BYTES or time.monotonic() > self._opened + PACK_SECONDS:
            self._close_pack()

    def _close_pack(self) -> None:
        """Write what is finished: first the texts, so that no clip is ever without its caption."""
        self._write_texts()
        if self._finished:
            tensors: dict[str, Tensor] = {}
            records: list[dict] = []
            for number, sample in enumerate(self._finished):
                tensors |= _tensors(number, sample)
                records.append(_record(sample, self._fingerprints[sample.key]))
            write_pack(self.directory / CLIPS, tensors, records)
            self._written += len(self._finished)
        self._finished, self._opened = [], time.monotonic()

    def _write_texts(self) -> None:
        self._known_texts |= read_texts(self.directory, skip=self._seen_packs).keys()
        wanted = dict.fromkeys(["", *(sample.prompt for sample in self._finished)])
        texts = self.encoder.encode_texts([prompt for prompt in wanted if text_name(prompt) not in self._known_texts])
        faulty = {name for name, text in texts.items() if not all_finite(text)}
        for sample in self._finished:
            if text_name(sample.prompt) in faulty:
                self._refuse(sample, "Its encoded caption has values that are not numbers, or too large to store.")
        self._finished = [sample for sample in self._finished if text_name(sample.prompt) not in faulty]
        texts = {name: text for name, text in texts.items() if name not in faulty}
        if texts:
            self._seen_packs.add(write_pack(self.directory / TEXTS, texts, []))
            self._known_texts |= texts.keys()

    def _refuse(self, sample: EncodedSample, reason: str) -> None:
        self._bad.append((sample.key, BadSample(sample.where, f"{reason} Check its video and reference images.")))


def _values(sample: PreparedSample) -> int:
    """Of the pixels of a sample's video and images."""
    canvases = sample.scene.canvases if isinstance(sample.scene, PreparedReferences) else ()
    return sample.video.numel() + sum(canvas.numel() for canvas in canvases)


def _bytes(sample: EncodedSample) -> int:
    return sample.video.nbytes + sum(tensor.nbytes for tensor in sample.parts.tensors.values())


def _tensors(number: int, sample: EncodedSample) -> dict[str, Tensor]:
    parts = {f"{number}.{name}": tensor.contiguous() for name, tensor in sample.parts.tensors.items()}
    return {f"{number}.video": sample.video.contiguous()} | parts


def _record(sample: EncodedSample, fingerprint: str) -> dict:
    parts, layout = sample.parts, sample.parts.layout
    own = {} if parts.variants else {"parts": sorted(parts.tensors), "values": dict(parts.record)}
    return {
        "key": sample.key,
        "fingerprint": fingerprint,
        "text": text_name(sample.prompt),
        "standalone": layout.standalone,
        "subjects": layout.subjects,
        "variants": parts.variants,
        **own,
    }
