"""What several commands have: the SOURCE argument, and a bar that counts samples."""

from __future__ import annotations

import sys
from contextlib import contextmanager


def add_source(parser) -> None:
    """Add the arguments by which a command opens a data set."""
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a folder of sample folders, a manifest.jsonl, shards such as clips-{000..127}.tar, a research table "
        "(.csv, .parquet), or the glyph world, glyphs:SEED:COUNT",
    )
    parser.add_argument("--allow-faceless", action="store_true", help="a subject without a face is no mistake")


def open_to_check(options):
    """The source, read so that damage anywhere in a video is found and only one frame of it is kept."""
    from .. import glyph_world  # noqa: F401 - registers its addresses
    from ..data.clips import ClipSettings
    from ..data.samples import SampleSettings
    from ..data.sources import open_source

    clip = ClipSettings(frames=(1,), whole=True)
    return open_source(options.source, SampleSettings(clip, require_faces=not options.allow_faceless))


@contextmanager
def counter(total: int, what: str):
    """A bar on a terminal: a function that counts one more, and one that prints a line above the bar."""
    from lumosx_core.errors import MissingPackageError

    try:
        from tqdm import tqdm
    except ImportError as error:
        raise MissingPackageError("tqdm", "The progress bar", error) from error
    with tqdm(total=total, unit="sample", desc=what, disable=None) as bar:
        yield bar.update, lambda line: tqdm.write(line, file=sys.stdout)
