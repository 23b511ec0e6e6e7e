"""Names that come from outside: from archives, listings and tables of contents. None may lead out of a folder."""

from __future__ import annotations

import re
from pathlib import PurePosixPath, PureWindowsPath

MOST_BYTES = 255
"""Of one part of a path, on the usual file systems."""

_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3])(?=[. ]|$)")
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\]')


def is_safe_name(name: object) -> bool:
    """Whether a foreign relative path, with `/` between its parts, is a plain path below a folder on every system.

    Refused are absolute paths, `..`, empty parts, backslashes, drives (`C:`), hosts (`//host`), streams (`a:b`),
    devices (`CON`, `nul.txt`), names that end in a dot or a space, control characters, names that are too long, and
    anything that is not text in Unicode.
    """
    if not isinstance(name, str) or not name or PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive:
        return False
    return all(map(_is_safe_part, name.split("/")))


def _is_safe_part(part: str) -> bool:
    try:
        length = len(part.encode())
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return (
        0 < length <= MOST_BYTES
        and part not in (".", "..")
        and part[-1] not in ". "
        and not _FORBIDDEN.search(part)
        and not _RESERVED.match(part)
    )
