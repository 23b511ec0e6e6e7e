"""Contents of a cache folder: the headers of its packs combined.

    cache.json      settings, and the hashes of the weights
    clips/          packs of latents with phrase masks, many clips each
    texts/          packs of encoded captions, each caption once
    bad.jsonl       what could not be cached, and why

Where two packs have a clip of one key, the later counts: that is how a changed sample is replaced.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from lumosx_core.errors import LumosXError
from lumosx_core.scene.layout import ReferenceLayout

from .files import Pack, StoredSpan, packs_of, read_pack

CLIPS, TEXTS = "clips", "texts"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ClipEntry:
    """Location of a clip.

    Args:
        fingerprint: of what it was made from; empty if its source has none.
        text: name of its caption among the texts.
        references: a span for each variant; none where the family conditions on something else.
        phrase_mask: None, too, in that case.
        parts: what such a family stores, by name.
        record: the plain values that it stores.
    """

    key: str
    fingerprint: str
    text: str
    layout: ReferenceLayout
    path: Path
    video: StoredSpan
    references: tuple[StoredSpan, ...]
    phrase_mask: StoredSpan | None
    parts: Mapping[str, StoredSpan] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def variants(self) -> int:
        """How many differently augmented copies of its images there are."""
        return max(1, len(self.references))


def read_clips(directory: Path) -> dict[str, ClipEntry]:
    """The clips of a cache by key. Packs that cannot be read are skipped with a warning."""
    clips: dict[str, ClipEntry] = {}
    layouts: dict[ReferenceLayout, ReferenceLayout] = {}

    def add(pack: Pack) -> None:
        for number, record in enumerate(pack.records):
            layout = ReferenceLayout(record["standalone"], tuple(record["subjects"]))
            parts = record.get("parts", ())
            entry = ClipEntry(
                record["key"],
                record["fingerprint"],
                record["text"],
                layouts.setdefault(layout, layout),
                pack.path,
                pack.spans[f"{number}.video"],
                tuple(pack.spans[f"{number}.references.{variant}"] for variant in range(record["variants"])),
                None if parts else pack.spans[f"{number}.phrase_mask"],
                {name: pack.spans[f"{number}.{name}"] for name in parts},
                dict(record.get("values", {})),
            )
            _check(entry)
            clips[entry.key] = entry

    _each_pack(directory / CLIPS, add)
    return clips


def _check(entry: ClipEntry) -> None:
    """Raise TypeError or ValueError for an entry that no writer of caches makes: what is read relies on it."""
    if not all(isinstance(text, str) for text in (entry.key, entry.fingerprint, entry.text)):
        raise TypeError("key, fingerprint and text are not texts")
    video, images = entry.video.shape, entry.layout.pictures
    described = entry.references or entry.parts
    if len(video) != 4 or 0 in video or not entry.video.dtype.is_floating_point or not described:
        raise ValueError(f"the clip {entry.key[:100]!r} has a video of shape {video[:8]}")
    for references in entry.references:
        if references.shape != (video[0], images, *video[2:]) or not references.dtype.is_floating_point:
            raise ValueError(f"the clip {entry.key[:100]!r} has images of shape {references.shape[:8]}")
    mask = entry.phrase_mask
    if mask is not None and (len(mask.shape) != 2 or mask.dtype != torch.uint8):
        raise ValueError(f"the clip {entry.key[:100]!r} has a phrase mask of shape {mask.shape[:8]}")
    for name, part in entry.parts.items():
        if not part.dtype.is_floating_point:
            raise ValueError(f"the clip {entry.key[:100]!r} has {name[:100]!r} in whole numbers")


def read_texts(directory: Path, *, skip: set[Path] | None = None) -> dict[str, tuple[Path, StoredSpan]]:
    """Locations of the encoded captions of a cache, by name.

    Args:
        skip: packs that are known; those read now are added.
    """
    texts: dict[str, tuple[Path, StoredSpan]] = {}
    _each_pack(
        directory / TEXTS,
        lambda pack: texts.update(
            {name: (pack.path, span) for name, span in pack.spans.items() if len(span.shape) == 2}
        ),
        set() if skip is None else skip,
    )
    return texts


def _each_pack(folder: Path, use: Callable[[Pack], None], skip: set[Path] | None = None) -> None:
    for path in packs_of(folder):
        if skip is not None:
            if path in skip:
                continue
            skip.add(path)
        try:
            use(read_pack(path))
        except LumosXError as error:
            log.warning("%s", error)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            log.warning("The cache file %s is skipped: its records are not those of a cache (%s).", path, error)
