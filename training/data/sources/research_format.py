"""The format in which the LumosX data set is kept: a table of videos, and for each video what its frames show.

    table.csv or table.parquet          columns path, text (the caption), duration, height, width
    clips/NAME.mp4                      as `path` says, relative to the table
    clips/NAME/info.json                or masks/clips/NAME/info.json beside the table
    clips/NAME/WORD_frame24.png         8-bit masks of whole frames, named by info.json

info.json lists words and, for each, masks of up to three frames of the video; a reference image is the part of
the frame within the mask.

    {"video": ..., "selected_frames": [6, 61, 116],
     "word_tags_path": {
        "person": [{"subject": {WORD: [MASK ...], "face": {"6": [x0, y0, x1, y1] ...}},
                    "attributes": [{WORD: [MASK ...]}]}],
        "other_subjects": [{WORD: [MASK ...]}],
        "background": {WORD: [PICTURE ...]}}}

Which frame an image is from, and whether people come as groups or as whole bodies, is drawn from the seed and the
sample's name: the same sample always, another one under another seed.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from lumosx_core.errors import LumosXError, MissingPackageError, shown
from lumosx_core.files.seen_name import with_slashes
from lumosx_core.files.text_file import check_regular
from lumosx_core.scene.case_folder import Case

from ..clips import read_clip
from ..fingerprints import files_below, fingerprint_of
from ..samples import BadSample, RawSample, SampleSettings, check_caption, problems_of
from .located import located
from .research_scene import SceneReader

COLUMNS = ("path", "text")  # duration, height and width are read from the video itself


class ResearchSource:
    """The videos of a table; the key is the path.

    In a share of the videos (`SampleSettings.whole_body`) people stand alone, as whole bodies without a face; in the
    others each has a group of face and attributes, and those without a face are left out, as released.

    Raises:
        LumosXError: the table cannot be read, lacks a column, or has no row.
        MissingPackageError: a parquet table needs pyarrow.
    """

    def __init__(self, path: str | Path, settings: SampleSettings | None = None):
        self.path = Path(path)
        self.settings = settings or SampleSettings()
        self._rows: dict[str, tuple[str, str]] = {}  # place in the table and caption
        self._bad: dict[str, BadSample] = {}
        for number, row in _rows(self.path):
            place = f"{self.path}, row {number}"
            key, text = row.get("path"), row.get("text")
            if not isinstance(key, str) or not key.strip():
                self._bad[f"row {number}"] = BadSample(place, "It has no path. Write the path of its video.")
            elif key in self._rows:
                self._bad[f"{key} (row {number})"] = BadSample(
                    place, f"The video {shown(key)!r} is in {self._rows[key][0]} already. Remove one of the rows."
                )
            else:
                self._rows[key] = place, text if isinstance(text, str) else ""
        if not self._rows and not self._bad:
            raise LumosXError(f"The table {self.path} has no row. Write one for each video.")

    def keys(self) -> list[str]:
        return [*self._rows, *self._bad]

    def fingerprint(self, key: str) -> str:
        """A text that changes when the row, the video, or a file beside its info.json does."""
        if key in self._bad:
            return ""
        video = self.path.parent / key
        try:
            video = located(self.path.parent, key)
            info = self._info(key)
            # Beside the videos themselves it stands alone: their folder holds other samples' files.
            described = files_below(info.parent) if info.parent.name == Path(with_slashes(key)).stem else [info]
        except LumosXError:
            described = []
        settings = self.settings.seed, self.settings.whole_body
        return fingerprint_of([video, *described], self._rows[key][1], settings)

    def load(self, key: str) -> RawSample:
        if key in self._bad:
            raise self._bad[key]
        place, text = self._rows[key]
        place = f"{place} ({shown(key)})"
        with problems_of(place) as attempt, attempt():
            file = located(self.path.parent, key)
        with problems_of(place) as attempt:
            with attempt():
                caption = check_caption(text)
            with attempt():
                scene = SceneReader(file, self._info(key), self.settings, f"{self.settings.seed}:{key}").read()
            with attempt():
                video, original = read_clip(file, self.settings.clip)
        return RawSample(key, Case(file.stem, caption, scene), video, self.settings.clip.fps, original, file, place)

    def _info(self, key: str) -> Path:
        root = self.path.parent
        video = located(root, key)
        named = os.path.splitext(with_slashes(key))[0]
        places = [video.parent / video.stem, located(root, f"masks/{named}"), video.parent]
        for folder in places:
            info = located(folder, "info.json")
            if info.is_file():
                return info
        raise LumosXError(
            f"{shown(key)} has no info.json: looked for it in {', '.join(str(folder) for folder in places)}. Put it "
            f"there."
        )


def _rows(path: Path) -> Iterator[tuple[int, dict]]:
    """The rows of a table, counted from 1 behind its heading."""
    try:
        check_regular(path)
        if path.suffix.lower() == ".parquet":
            yield from enumerate(_parquet(path), 1)
            return
        csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # the default of 128 KiB is less than a long caption may be
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            _check_columns(path, reader.fieldnames or [])
            yield from enumerate(reader, 1)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LumosXError(f"Cannot read the table {path}: {error}. Save it as CSV in UTF-8, or as parquet.") from error


def _parquet(path: Path) -> Iterator[dict]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise MissingPackageError("pyarrow", "A parquet table", error) from error
    try:
        with parquet.ParquetFile(path) as table:
            _check_columns(path, table.schema_arrow.names)
            for batch in table.iter_batches(columns=list(COLUMNS)):
                yield from batch.to_pylist()
    except ArrowException as error:
        raise LumosXError(f"Cannot read the table {path}: {error}. Write it again.") from error


def _check_columns(path: Path, columns) -> None:
    lacking = [name for name in COLUMNS if name not in columns]
    if lacking:
        raise LumosXError(
            f"The table {path} has no column {lacking[0]!r}, only {shown(', '.join(map(str, columns)) or 'none')}. "
            f"Name it so, and divide columns by commas."
        )
