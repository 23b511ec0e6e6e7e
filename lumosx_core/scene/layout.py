"""Which reference images belong together: all the network needs to know of a scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import LumosXError


@dataclass(frozen=True)
class ReferenceLayout:
    """How a row of reference images is divided into groups.

    The images are in one fixed order: background and objects first, then subject by subject, face first.

    Args:
        standalone: number of background and object images; each is a group of one.
        subjects: number of images in each subject's group.

    Raises:
        LumosXError: a count is negative or not a whole number.
    """

    standalone: int
    subjects: tuple[int, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "subjects", tuple(self.subjects))
        for count in (self.standalone, *self.subjects):
            if isinstance(count, bool) or not isinstance(count, int) or count < 0:
                raise LumosXError(
                    f"ReferenceLayout counts images, so {count!r} is not possible. Use whole numbers of 0 or more."
                )

    @property
    def pictures(self) -> int:
        """Number of reference images, R."""
        return self.standalone + sum(self.subjects)

    @property
    def groups(self) -> tuple[range, ...]:
        """The groups in order, each the range of its images' indices in 0..R-1."""
        groups = []
        start = 0
        for size in (*(1,) * self.standalone, *self.subjects):
            groups.append(range(start, start + size))
            start += size
        return tuple(groups)

    def only(self, pictures: Sequence[int]) -> ReferenceLayout:
        """The layout of some of the images, indices into 0..R-1 in rising order; subjects without any are gone."""
        kept = set(pictures)
        sizes = [sum(picture in kept for picture in group) for group in self.groups]
        return ReferenceLayout(sum(sizes[: self.standalone]), tuple(size for size in sizes[self.standalone :] if size))

    def check(self, references: int) -> None:
        """Raise LumosXError unless the layout describes exactly `references` images."""
        if references != self.pictures:
            raise LumosXError(
                f"The layout describes {self.pictures} reference images ({self.standalone} standalone, subjects of "
                f"{list(self.subjects)}), but {references} were given. Encode the images of the same scene."
            )
