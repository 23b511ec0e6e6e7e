r"""order.txt of a case folder: one image's path a line, in the order in which the images are shown.

Lines are matched as people see them: "subjects\1\hat.png", "./subjects/1/Hat.PNG" and "hat.png", where there is one
such file, all name subjects/1/hat.png. Quotation marks around a path, empty lines and lines that begin with "#" are
allowed. Images that no line names follow the others, by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import LumosXError, shown
from ..files.seen_name import SeenNames, with_slashes
from ..files.text_file import read_text

_QUOTES = ('""', "''", "\u201c\u201d", "\u201e\u201c", "\u00ab\u00bb", "``")


def read_order(path: Path, images: Sequence[str], unused: Sequence[str] = ()) -> dict[str, int]:
    """The position of each image that order.txt names.

    Args:
        images: paths within the case folder, with "/".
        unused: images that may be named although they are not shown.

    Raises:
        LumosXError: a line names nothing, several images, or one that another line names; the file is not text.
    """
    finder = _Finder([*images, *unused])
    lines: dict[str, int] = {}
    for number, line in enumerate(read_text(path, "Write one image's path a line.").split("\n"), 1):
        written = _unquoted(line.strip())
        if not written:
            continue
        found = finder.find(written)
        if not found and line.lstrip().startswith("#"):
            continue
        where = f"Line {number} of {path}, {shown(written)!r},"
        if not found:
            near = finder.names.nearest(written)
            advice = f"Did you mean {shown(near)!r}?" if near else "Write one image's path a line, or remove the line."
            raise LumosXError(f"{where} names no image of the case. {advice}")
        if len(found) > 1:
            alike = " or ".join(repr(shown(each)) for each in sorted(found)[:3])
            raise LumosXError(f"{where} may mean {alike}. Write the whole path.")
        if found[0] in lines:
            raise LumosXError(f"{where} names an image that line {lines[found[0]]} names already. Remove one of them.")
        lines[found[0]] = number
    return lines


class _Finder:
    """Finds images by their whole path, without its ending, or by a part of it that only one image has."""

    def __init__(self, images: Sequence[str]):
        self.names = SeenNames(images)
        self._by_stem = _Shortened(images, lambda image: image.rpartition(".")[0])
        self._by_name = _Shortened(images, lambda image: image.rpartition("/")[2])

    def find(self, written: str) -> list[str]:
        parts = with_slashes(written).strip("/").split("/")
        # A list made by a program begins further up: "C:\cases\my_case\subjects\1\hat.png".
        for start in range(min(len(parts), 40)):
            rest = "/".join(parts[start:])
            if found := self.names.find(rest) or self._by_stem.find(rest):
                return found
        return self._by_name.find(parts[0]) if len(parts) == 1 else []


class _Shortened:
    """Finds images by a part of their path."""

    def __init__(self, images: Sequence[str], part: Callable[[str], str]):
        self._images: dict[str, list[str]] = {}
        for image in images:
            self._images.setdefault(part(image), []).append(image)
        self._names = SeenNames(self._images)

    def find(self, written: str) -> list[str]:
        return [image for name in self._names.find(written) for image in self._images[name]]


def _unquoted(line: str) -> str:
    for quotes in _QUOTES:
        if len(line) > 1 and (line[0], line[-1]) == tuple(quotes):
            return line[1:-1].strip()
    return line
