"""A choice of numbers as an artist writes it: "1-4, 8"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import LumosXError


@dataclass(frozen=True)
class NumberChoice:
    """Some of the whole numbers from 0 on.

    Args:
        text: as it was written, for messages.
        ranges: first and last of each range; none: all numbers are chosen.
    """

    text: str
    ranges: tuple[tuple[int, int], ...]

    @classmethod
    def read(cls, text: str, name: str, first: int) -> NumberChoice:
        """Read numbers and ranges divided by commas; an empty text chooses all.

        Args:
            name: what the numbers are, for messages: "steps".
            first: the number from which they are counted.

        Raises:
            LumosXError: the text says something else.
        """
        ranges = []
        for part in filter(None, (part.strip() for part in text.split(","))):
            found = re.fullmatch(r"(\d{1,6})(?:\s*-\s*(\d{1,6}))?", part)
            low, high = (int(found[1]), int(found[2] or found[1])) if found else (0, -1)
            if not first <= low <= high:
                raise LumosXError(
                    f"{name} has {part!r}, expected numbers from {first} on and ranges of them, such as "
                    f'"{first}-{first + 3}, {first + 7}". Leave it empty for all {name}.'
                )
            ranges.append((low, high))
        return cls(text.strip(), tuple(ranges))

    @property
    def largest(self) -> int | None:
        """The largest number that is named; None if all are chosen."""
        return max((high for _, high in self.ranges), default=None)

    def __contains__(self, number: int) -> bool:
        return not self.ranges or any(low <= number <= high for low, high in self.ranges)
