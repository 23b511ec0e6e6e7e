"""Sources of training samples: one address names any kind of source."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from lumosx_core.errors import LumosXError, shown
from lumosx_core.files.junk import is_junk

from ..fingerprints import files_below, fingerprint_of
from ..samples import VIDEO, BadSample, RawSample, SampleSettings, Source, is_sample, read_sample

_CASE_PARTS = ("caption.txt", VIDEO, "subjects", "objects", "background")
_DEEPEST = 100  # folders within folders
_MOST_LINKS = 3  # on the way to a sample: folders that link to each other would never end
_KINDS = (
    "a folder of sample folders, a manifest (.jsonl), WebDataset shards (.tar, also as clips-{000..127}.tar or "
    "clips-*.tar), a research table (.csv, .parquet) or glyphs:SEED:COUNT[:FRAMESxHEIGHTxWIDTH][:CASTING]"
)

GENERATED: dict[str, Callable[[str], Source]] = {}
"""Openers of generated data sets, by the word before the first colon of their address. A package that generates one
registers it here when it is imported, as `glyph_world` does for "glyphs"."""


def open_source(address: str, settings: SampleSettings | None = None) -> Source:
    """Open the samples at an address.

    Args:
        address: a folder of sample folders, a `.jsonl` manifest, `.tar` shards (a pattern with {000..127}, *, ? or
            [...] means several), a `.csv` or `.parquet` table of the research format, or
            `glyphs:SEED:COUNT[:FRAMESxHEIGHTxWIDTH][:CASTING]`, CASTING being one of `glyph_world.CASTINGS`.
        settings: how files are read; the glyph world makes its clips as they are and takes none.

    Raises:
        LumosXError: nothing there, or of a kind that is not known. A bad sample shows only when it is loaded.
    """
    settings = settings or SampleSettings()
    address = str(address)
    kind, colon, _ = address.partition(":")
    if colon and kind in GENERATED:
        return GENERATED[kind](address)
    suffix = Path(address).suffix.lower()
    if os.path.isdir(address):
        return FolderSource(address, settings)
    if suffix == ".jsonl":
        from .manifest import ManifestSource

        return ManifestSource(address, settings)
    if suffix == ".tar":
        from .webdataset_source import WebDatasetSource

        return WebDatasetSource(address, settings)
    if suffix in (".csv", ".parquet"):
        from .research_format import ResearchSource

        return ResearchSource(address, settings)
    problem = "There is nothing at" if not os.path.exists(address) else "No kind of data set is known for"
    raise LumosXError(f"{problem} {shown(address)!r}. Give {_KINDS}.")


class FolderSource:
    """Sample folders below a folder, at any depth; the key is the path from there.

    A folder counts as a sample as soon as it has any part of one, so that incomplete samples are reported, not passed
    over. Hidden folders and the junk of operating systems are left out.

    Args:
        root: a folder of samples, or one sample.

    Raises:
        LumosXError: there is no folder, or nothing in it.
    """

    def __init__(self, root: str | Path, settings: SampleSettings | None = None):
        self.root = Path(root)
        self.settings = settings or SampleSettings()
        if not os.path.isdir(self.root):
            raise LumosXError(f"There is no folder {shown(self.root)!r}. Give a folder of sample folders.")
        folders = _samples(self.root)
        if folders == [self.root] and not is_sample(self.root):
            shards = next(self.root.glob("*.tar"), None)
            advice = f"Did you mean its shards, {str(self.root / '*.tar')!r}?" if shards else f"Give {_KINDS}."
            raise LumosXError(f"The folder {shown(self.root)!r} has no sample folder in it. {advice}")
        self._folders = {_key(folder, self.root): folder for folder in folders}

    def keys(self) -> list[str]:
        return list(self._folders)

    def fingerprint(self, key: str) -> str:
        """A text that changes when a file of the sample does."""
        return fingerprint_of(files_below(self._folders[key]))

    def load(self, key: str) -> RawSample:
        folder = self._folders[key]
        if not is_sample(folder):
            raise BadSample(folder, f"The folder holds no sample: none of {', '.join(_CASE_PARTS)} is in it.")
        return read_sample(folder, self.settings, key=key)


def _key(folder: Path, root: Path) -> str:
    return root.resolve().name if folder == root else folder.relative_to(root).as_posix()


def _samples(folder: Path, above: tuple[Path, ...] = (), links: int = 0) -> list[Path]:
    """Samples in a folder; a folder without any below it, or that may not be read, is given too: loading it says so."""
    if is_sample(folder):
        return [folder]
    resolved = folder.resolve()
    links += bool(above) and folder.is_symlink()
    if resolved in above or links > _MOST_LINKS:  # a link that leads back up, or around
        return []
    if len(above) > _DEEPEST:
        raise LumosXError(
            f"There are more than {_DEEPEST} folders within each other in {above[0]}. Move the samples up."
        )
    try:
        below = sorted(path for path in folder.iterdir() if path.is_dir() and not is_junk(path.name))
    except OSError:
        below = []
    return [sample for each in below for sample in _samples(each, (*above, resolved), links)] or [folder]
