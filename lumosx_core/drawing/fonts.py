"""The fonts of everything that is drawn: Pillow's own, and for scripts that it lacks one of the machine's."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from pathlib import Path

from PIL import ImageDraw, ImageFont

from ..prompt.match import clusters

_FOLDERS = {
    "win32": (
        "~/AppData/Local/Microsoft/Windows/Fonts",
        os.path.join(os.environ.get("WINDIR", r"C:\Windows"), "Fonts"),
    ),
    "darwin": ("~/Library/Fonts", "/Library/Fonts", "/System/Library/Fonts"),
}
_LINUX = ("~/.fonts", "~/.local/share/fonts", "/usr/local/share/fonts", "/usr/share/fonts")
# In the order in which they are asked for a character, upright sans-serifs only.
_NAMES = (
    *(
        "NotoSansCJK-Regular",
        "NotoSansCJKsc-Regular",
        "NotoSansSC",
        "NotoSansJP",
        "NotoSansKR",
        "SourceHanSans-Regular",
    ),
    *(
        "PingFang",
        "Hiragino Sans GB",
        "ヒラギノ角ゴシック W3",
        "AppleSDGothicNeo",
        "msyh",
        "YuGothM",
        "meiryo",
        "malgun",
    ),
    *("wqy-microhei", "wqy-zenhei", "DroidSansFallbackFull", "fonts-japanese-gothic", "ipagp", "VL-PGothic-Regular"),
    *("NotoSans-Regular", "NotoSansThai-Regular", "NotoSansArabic-Regular", "NotoSansDevanagari-Regular", "Thonburi"),
    *("Loma", "Garuda", "LeelawUI", "Nirmala", "tahoma", "Arial Unicode", "DejaVuSans", "FreeSans", "unifont"),
)
UNDRAWABLE = "?"  # drawn for a character that no font has


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font at a size in pixels."""
    face = ImageFont.load_default(size)
    assert isinstance(face, ImageFont.FreeTypeFont)  # a bitmap font only where Pillow is built without FreeType
    return face


def text_length(text: str, size: int) -> float:
    """Width of a text in pixels, whatever its scripts."""
    return sum(face.getlength(part) for part, face in _runs(text, size))


def draw_text(draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str, fill: str, size: int) -> None:
    """Draw a text of any scripts; all of them on one baseline."""
    left, base = place[0], place[1] + font(size).getmetrics()[0]
    for part, face in _runs(text, size):
        draw.text((left, base), part, fill=fill, font=face, anchor="ls")
        left += face.getlength(part)


def undrawable(text: str) -> str:
    """The characters of a text that no font on this machine has, each once."""
    letters = (text[start] for start, _ in clusters(text))
    return "".join(dict.fromkeys(letter for letter in letters if _font_of(letter) is None))


def _runs(text: str, size: int) -> Iterator[tuple[str, ImageFont.FreeTypeFont]]:
    """A text divided where its font changes."""
    # A letter and its marks are of one font; a mark by itself would be drawn on a circle.
    letters = [text[start:end] for start, end in clusters(text)]
    for path, group in groupby(letters, key=lambda letter: _font_of(letter[0])):
        run = list(group)
        part = "".join(run)
        if path is None:
            yield UNDRAWABLE * len(run), font(size)
        else:
            yield part, _system_font(path, size) if path else font(size)


@cache
def _font_of(letter: str) -> str | None:
    """The file of the first font that has a character; "" for Pillow's own; None if there is none."""
    if letter.isspace() or _has(font(32), letter):
        return ""
    return next((path for path in _system_fonts() if _has(_system_font(path, 32), letter)), None)


def _has(face: ImageFont.FreeTypeFont, letter: str) -> bool:
    """A font draws what it lacks like a character that does not exist."""
    return bytes(face.getmask(letter)) != _nothing(face)


@cache
def _nothing(face: ImageFont.FreeTypeFont) -> bytes:
    return bytes(face.getmask("\U0010fffe"))


@cache
def _system_font(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


@cache
def _system_fonts() -> tuple[str, ...]:
    files: dict[str, str] = {}
    for folder in _FOLDERS.get(sys.platform, _LINUX):
        for path in sorted(Path(folder).expanduser().rglob("*.[to]t[fc]")):
            files.setdefault(path.stem, str(path))
    return tuple(files[name] for name in _NAMES if name in files)
