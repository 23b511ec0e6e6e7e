"""Who wears what: reference images, the subjects they belong to, and the scene that holds them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from ..errors import LumosXError
from ..files.safetensors_file import all_finite
from .layout import ReferenceLayout
from .strength import Strengths, check_span, check_strength

MOST_IMAGES = 200  # of a scene; each becomes as many tokens as a frame of the video


@dataclass(frozen=True, eq=False)
class Reference:
    """One reference image.

    Args:
        phrase: the words of the prompt that name what the image shows, e.g. "denim jacket". Every occurrence in
            the prompt is meant; "man#2" means the second one only. Empty: bound to no words.
        image: (H, W, 3) float, 0..1, of any size.
        strength: how strongly the video looks at it, 0 to 10; 1 is the released model, 0 as if it were not there.
    """

    phrase: str
    image: Tensor
    strength: float = 1.0

    def __post_init__(self):
        check_strength(self.strength, f"the image of {self.phrase!r}")
        if not self.image.is_floating_point():
            raise LumosXError(
                f"The image of {self.phrase!r} has dtype {self.image.dtype}, expected float in 0..1. Divide an "
                f"image of bytes by 255."
            )
        if self.image.ndim != 3 or self.image.shape[-1] != 3 or 0 in self.image.shape:
            raise LumosXError(
                f"The image of {self.phrase!r} has shape {tuple(self.image.shape)}, expected (height, width, 3). "
                f"Give one RGB image."
            )
        if not all_finite(self.image):
            raise LumosXError(
                f"The image of {self.phrase!r} has values that are not numbers (NaN or infinite). Make it again."
            )


@dataclass(frozen=True, eq=False)
class Subject:
    """One person (or other main figure): a face and what belongs to it.

    Args:
        attributes: what the person wears or carries. Further images of the face, or of a garment, belong here, too,
            with the same phrase.
        strength: multiplies the strength of each of its images.
        start, end: the stretch of the schedule in which the subject is seen, as shares of it, 0 to 1.
        title: what messages call the subject, such as the title of its node; empty: by its number.
    """

    face: Reference | None
    attributes: tuple[Reference, ...] = ()
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0
    title: str = ""

    def __post_init__(self):
        object.__setattr__(self, "attributes", tuple(self.attributes))
        check_strength(self.strength, "a subject")
        check_span(self.start, self.end, "A subject")

    @property
    def references(self) -> tuple[Reference, ...]:
        """The subject's images in the network's order: face first."""
        return ((self.face,) if self.face is not None else ()) + self.attributes

    def strength_of(self, reference: Reference) -> float:
        """How strongly the video looks at one of the subject's images."""
        return self.strength * reference.strength


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything an artist describes with images: subjects, objects and a background."""

    subjects: tuple[Subject, ...] = ()
    objects: tuple[Reference, ...] = ()
    background: Reference | None = None

    def __post_init__(self):
        object.__setattr__(self, "subjects", tuple(self.subjects))
        object.__setattr__(self, "objects", tuple(self.objects))

    @property
    def standalone(self) -> tuple[Reference, ...]:
        """Background, then objects: images that belong to nobody."""
        return ((self.background,) if self.background is not None else ()) + self.objects

    @property
    def references(self) -> tuple[Reference, ...]:
        """All images in the network's order: background, objects, then subject by subject, face first."""
        return self.standalone + tuple(reference for subject in self.subjects for reference in subject.references)

    @property
    def layout(self) -> ReferenceLayout:
        """How `references` is divided into groups."""
        return ReferenceLayout(len(self.standalone), tuple(len(subject.references) for subject in self.subjects))

    @property
    def strengths(self) -> Strengths:
        """How strongly and when the video attends to each of `references`."""
        standalone = [(reference.strength, (0.0, 1.0)) for reference in self.standalone]
        of_subjects = [
            (subject.strength_of(reference), (subject.start, subject.end))
            for subject in self.subjects
            for reference in subject.references
        ]
        both = standalone + of_subjects
        return Strengths(tuple(strength for strength, _ in both), tuple(span for _, span in both))

    def labelled(self) -> Iterator[tuple[str, Reference]]:
        """Each image in the network's order with the name a message calls it by, e.g. "attribute 2 of subject 1"."""
        if self.background is not None:
            yield "background", self.background
        for i, reference in enumerate(self.objects, 1):
            yield f"object {i}", reference
        for s, subject in enumerate(self.subjects, 1):
            if subject.face is not None:
                yield f"face of {self.name_of(s)}", subject.face
            for i, reference in enumerate(subject.attributes, 1):
                yield f"attribute {i} of {self.name_of(s)}", reference

    def name_of(self, number: int) -> str:
        """What messages call a subject: its title, or "subject 2" where it has none of its own.

        Args:
            number: of the subject, from 1.
        """
        title = self.subjects[number - 1].title
        titles = [subject.title for subject in self.subjects]
        return title if title and titles.count(title) == 1 else f"subject {number}"

    def check(self) -> None:
        """Raise LumosXError for a scene, or a subject in it, without any image, and for a scene with too many."""
        self.check_size()
        if not self.subjects and not self.standalone:
            raise LumosXError(
                "The scene is empty: it has no subject, no object and no background. Add at least one image."
            )
        for s, subject in enumerate(self.subjects, 1):
            if not subject.references:
                name = subject.title or f"Subject {s}"
                raise LumosXError(f"{name} has no image. Give it a face or an attribute, or remove the subject.")

    def check_size(self) -> None:
        """Raise LumosXError for a scene with more than 200 images."""
        if len(self.references) > MOST_IMAGES:
            raise LumosXError(
                f"The scene has {len(self.references)} images, expected at most {MOST_IMAGES}. Remove some: the model "
                f"was trained with up to 3 subjects of up to 4 images."
            )
