"""Which generated video belongs to which case."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from ..errors import LumosXError, shown
from .measured_video import Protocol


def find_video(case: str, files: Sequence[str], protocol: Protocol = Protocol.CLEAN) -> str | None:
    """The file name of a case's video, such as "7.mp4" of case "7"; None: there is none.

    Under REFERENCE it is the first whose name begins like the case, so that case "1" may get "10.mp4".

    Args:
        files: names of the videos, in the order in which they are looked at.

    Raises:
        LumosXError: two files have the name of the case.
    """
    if protocol is Protocol.REFERENCE:
        return next((file for file in files if file.startswith(case)), None)
    found = [file for file in files if PurePath(file).stem == case]
    if len(found) > 1:
        raise LumosXError(
            f"{' and '.join(shown(file) for file in found[:2])} both are videos of case {shown(case)!r}. Remove one."
        )
    return found[0] if found else None
