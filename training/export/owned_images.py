"""The reference images of a sample in the order in which other trainers get them, and whose each is."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lumosx_core.prompt.match import split_number
from lumosx_core.scene.scene import Reference, Scene


@dataclass(frozen=True, eq=False)
class OwnedImage:
    """One reference image.

    Args:
        role: "face", "attribute", "object" or "background".
        owner: the number of the subject whose it is, from 1; None for an object or the background.
        phrase: its words in the caption, such as "man#2".
    """

    role: str
    owner: int | None
    phrase: str
    image: Tensor

    @property
    def words(self) -> str:
        """The phrase without the number of its occurrence."""
        return split_number(self.phrase)[0]


def owned_images(scene: Scene) -> list[OwnedImage]:
    """Each subject's face and attributes, then objects, then the background: trainers that take fewer images keep the
    first ones, and people are what the video is about.
    """
    images = []
    for number, subject in enumerate(scene.subjects, 1):
        for reference in subject.references:
            role = "face" if reference is subject.face else "attribute"
            images.append(_owned(role, number, reference))
    images += [_owned("object", None, reference) for reference in scene.objects]
    return images + ([_owned("background", None, scene.background)] if scene.background else [])


def _owned(role: str, owner: int | None, reference: Reference) -> OwnedImage:
    return OwnedImage(role, owner, reference.phrase, reference.image)
