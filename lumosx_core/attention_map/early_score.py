"""One number for a video that is still being sampled: the higher, the better its subjects are bound so far."""

from __future__ import annotations

from ..errors import LumosXError
from .binding import measure_binding
from .record import AttentionRecord


def early_score(record: AttentionRecord | None, video: int = 0) -> float:
    """The mean binding score of the subjects that were seen, 0..1.

    The mean, not the lowest: it separates good from bad seeds of one glyph scene better.

    Args:
        record: of the steps so far; None: nothing was recorded.

    Raises:
        LumosXError: no subject was seen in these steps.
    """
    if record is not None:
        scores = measure_binding(record, video).scores
        groups = record.layout.groups[record.layout.standalone :]
        seen = [
            score for score, group in zip(scores, groups, strict=True) if any(record.seen[picture] for picture in group)
        ]
        if seen:
            return sum(seen) / len(seen)
    raise LumosXError(
        "No subject was seen in the steps before the score, so seeds cannot be compared. Use subjects whose strength "
        "is above 0 from the start, or a higher score_after."
    )
