"""What runs but will probably disappoint: warnings about a scene and its prompt, each with its fix.

An error stops a run; these do not. They are shown on the contact sheet and in ComfyUI's page.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import combinations
from typing import Protocol

from torch import Tensor

from ..scene.scene import Reference, Scene
from .match import find_phrase, split_number
from .messages import owner_of
from .phrase_mask import clean_prompt

EMPTY_PROMPT = (
    "The prompt is empty, so the reference images are bound to no words. Write what happens in the video, with the "
    "phrase of each image in it."
)
SMALLEST_FACE = 0.05  # of the image's area; in a whole-body photo the face has 1 to 3 %
_MOST_SHARED = 20  # warnings about words of two people; more say nothing new
_TALLEST_FACE = (
    2.2  # height / width of the figure; face crops, long hair included, stay below 1.8, standing people reach 2.5
)
_SMALLEST_SIDE = 16  # pixels; the page asks with one pixel per image
_BACKGROUND_TOLERANCE = 0.06  # of the colour range, for JPEG noise in a plain background


class FaceFinder(Protocol):
    """Finds faces, such as `lumosx_core.auto_scene.networks.face_detector.FaceDetector`."""

    def find(self, image: Tensor) -> list:
        """Faces with a `box` that has an `area`, in an (H, W, 3) image of 0..1."""


def scene_warnings(scene: Scene, prompt: str | None = "", *, faces: FaceFinder | None = None) -> list[str]:
    """Warnings about a scene and its prompt, as sentences that name subject, phrase and fix.

    Args:
        prompt: the positive prompt; None if it is not known, so that nothing is said about it.
        faces: measures how large a face is. Without it only a tall figure on a plain background, or a tall narrow
            image, is recognised as a whole body, and the warning says that it was judged by the outline.
    """
    warnings = []
    if prompt is not None:
        prompt = clean_prompt(prompt)
        if not prompt:
            warnings.append(EMPTY_PROMPT)
    scene.check_size()
    warnings += _without_phrases(scene)
    warnings += shared_words(scene, prompt or "")
    warnings += whole_bodies(scene, faces)
    return warnings


# Phrases


def _without_phrases(scene: Scene) -> Iterator[str]:
    phrases = [clean_prompt(reference.phrase) for reference in scene.references]
    if phrases and not any(phrases):
        labels = [label for label, _ in scene.labelled()]
        label = (labels[len(scene.standalone) :] or labels)[0]  # a person's, if there is one
        yield (
            "All phrases are empty, so no reference image is bound to words of the prompt. Give each image the words "
            f"that name it in the prompt, {owner_of(label)} first."
        )
        return
    for number, subject in enumerate(scene.subjects, 1):
        if subject.references and not any(clean_prompt(reference.phrase) for reference in subject.references):
            yield (
                f"{_at_start(scene.name_of(number))} has no phrase, so it is bound to no words of the prompt. Write "
                f'the words that name it in the prompt, such as "man", as its face phrase.'
            )


def _at_start(name: str) -> str:
    return f"Subject {name.removeprefix('subject ')}" if name.startswith("subject ") else name


def shared_words(scene: Scene, prompt: str) -> Iterator[str]:
    """Words of two people: with two subjects they cancel out and bind to neither."""
    people: list[dict[str, str]] = []  # of each subject: its phrases and their owner's name
    labels = iter(list(scene.labelled())[len(scene.standalone) :])
    for subject in scene.subjects:
        phrases: dict[str, str] = {}
        for _ in subject.references:
            label, reference = next(labels)
            if phrase := clean_prompt(reference.phrase):
                phrases.setdefault(phrase, owner_of(label))
        people.append(phrases)
    spans = _Spans(clean_prompt(prompt))
    seen: set[str] = set()
    for one, other in combinations(people, 2):
        for first, first_owner in one.items():
            for second, second_owner in other.items():
                message = _shared(first, first_owner, second, second_owner, spans)
                if message and message not in seen:
                    seen.add(message)
                    yield message
                if len(seen) == _MOST_SHARED:
                    return


class _Spans:
    """Where phrases are in a prompt; each is looked for once, however many pairs of people are compared."""

    def __init__(self, prompt: str):
        self.prompt = prompt
        self._found: dict[str, list[tuple[int, int]]] = {}
        self._numbered: dict[str, tuple[str, int | None]] = {}
        self._meant: dict[str, list[tuple[int, int]]] = {}
        self._letters: dict[str, tuple[int, int]] = {}

    def found(self, words: str) -> list[tuple[int, int]]:
        """Every occurrence of words without a number."""
        if words not in self._found:
            self._found[words] = find_phrase(words, self.prompt)
        return self._found[words]

    def numbered(self, phrase: str) -> tuple[str, int | None]:
        """Words and number of a phrase; a number that the prompt itself contains is part of the words."""
        if phrase not in self._numbered:
            self._numbered[phrase] = (phrase, None) if self.found(phrase) else split_number(phrase)
        return self._numbered[phrase]

    def meant(self, phrase: str) -> list[tuple[int, int]]:
        """The occurrences that a phrase means, of which all are as long."""
        if phrase not in self._meant:
            words, number = self.numbered(phrase)
            found = self.found(words)
            self._meant[phrase] = found if number is None else found[max(0, number - 1) : number]
        return self._meant[phrase]

    def may_cover(self, long: str, short: str) -> bool:
        """Whether an occurrence of a phrase begins in one of another phrase: quick, as most pairs have none."""
        return bool(self._bits(long)[1] & self._bits(short)[0])

    def _bits(self, phrase: str) -> tuple[int, int]:
        """The letters at which a phrase begins, and all its letters, as bits."""
        if phrase not in self._letters:
            starts = letters = 0
            for start, end in self.meant(phrase):
                starts |= 1 << start
                letters |= ((1 << (end - start)) - 1) << start
            self._letters[phrase] = starts, letters
        return self._letters[phrase]


def _shared(first: str, first_owner: str, second: str, second_owner: str, spans: _Spans) -> str | None:
    (words, number), (other_words, other_number) = spans.numbered(first), spans.numbered(second)
    prompt, count = spans.prompt, len(spans.found(words))
    if words == other_words:
        if number is None and other_number is None:
            if count > 1:
                fix = f'Write "{words}#1" for the one and "{words}#2" for the other'
            else:
                fix = f'Describe each in different words in the prompt, such as "white {words}" and "black {words}"'
            return (
                f'The phrase "{words}" belongs to {first_owner} and to {second_owner}, so it does not say whose it is. '
                f"{fix}."
            )
        if number == other_number:
            fix = f'Write another number for one of them, such as "{words}#{_other_number(number, count)}"'
            if prompt and count == 1:
                fix = f'The prompt has "{words}" only once: write it there for each person, and number them'
            return f'"{words}#{number}" is used for {first_owner} and for {second_owner}. {fix}.'
        if number is None or other_number is None:
            every, every_owner = (first, first_owner) if number is None else (second, second_owner)
            single, single_owner = (second, second_owner) if number is None else (first, first_owner)
            free = _other_number(other_number if number is None else number, count)
            return (
                f'The phrase "{every}" of {every_owner} means every "{words}" of the prompt, also "{single}" of '
                f'{single_owner}. Write "{words}#{free}" for {every_owner}.'
            )
        return None
    return _inside(first, first_owner, second, second_owner, spans) or _inside(
        second, second_owner, first, first_owner, spans
    )


def _inside(short: str, short_owner: str, long: str, long_owner: str, spans: _Spans) -> str | None:
    """A phrase that also takes in words of someone else's longer one: "shirt" and "white shirt"."""
    if not spans.may_cover(long, short):
        return None
    longer = spans.meant(long)

    def covered(start: int, end: int) -> bool:
        # The last one that begins at or before it reaches furthest.
        before = bisect_right(longer, (start, len(spans.prompt) + 1)) - 1
        return before >= 0 and end <= longer[before][1]

    if not any(covered(*span) for span in spans.meant(short)):
        return None
    words, _ = spans.numbered(short)
    free = [i for i, span in enumerate(spans.found(words), 1) if not covered(*span)]
    fix = f'Write "{words}#{free[0]}"' if free else "Use different words in the prompt and in the phrase"
    return (
        f'The phrase "{short}" of {short_owner} is also part of "{long}" of {long_owner}, so it does not say whose it '
        f"is. {fix} for {short_owner}."
    )


def _other_number(number: int | None, count: int) -> int:
    """A number that is free, of the occurrences that there are if there is one."""
    return next((i for i in range(1, count + 1) if i != number), 2 if number == 1 else 1)


# Faces


def whole_bodies(scene: Scene, faces: FaceFinder | None = None) -> Iterator[str]:
    """Warnings about face images that show more than a face, whatever the prompt; `faces` as in `scene_warnings`."""
    for number, subject in enumerate(scene.subjects, 1):
        if subject.face is not None and min(subject.face.image.shape[:2]) >= _SMALLEST_SIDE:
            reason = _whole_body(subject.face, faces)
            if reason:
                yield (
                    f"The face image of {scene.name_of(number)} {reason}. Crop it to the face, with LumosX Faces for "
                    f"one, and give the clothes as images of their own."
                )


def _whole_body(face: Reference, finder: FaceFinder | None) -> str | None:
    """How it is known that the image shows more than a face; None if it does not, or if that cannot be known."""
    height, width = face.image.shape[:2]
    found = finder.find(face.image.float().cpu()) if finder is not None else []
    if found:
        largest = max(each.box.area for each in found) / (height * width)
        if largest < SMALLEST_FACE:
            return f"shows a face of {largest:.1%} of its area, less than {SMALLEST_FACE:.0%}"
        return None
    ratio = _figure_ratio(face.image)
    if ratio is not None and ratio >= _TALLEST_FACE:
        return (
            f"is probably a whole body: what it shows is {ratio:.1f} times as tall as wide (judged by its outline, no "
            f"face was measured)"
        )
    return None


def _figure_ratio(image: Tensor) -> float | None:
    """Height / width of what stands out from a plain background; of the image itself without a plain background."""
    step = max(1, min(image.shape[:2]) // 256)
    small = image[::step, ::step].float().cpu()
    height, width = small.shape[:2]
    # A figure may be cut off by the lower edge, so the other three tell what the background is.
    edge = [small[0], small[:, 0], small[:, -1]]
    colour = small[0, 0]
    plain = all(((line - colour).abs().amax(-1) <= _BACKGROUND_TOLERANCE).float().mean() > 0.9 for line in edge)
    if not plain:
        return height / width
    figure = (small - colour).abs().amax(-1) > _BACKGROUND_TOLERANCE
    # Single specks do not make a figure taller.
    rows, columns = (figure.float().mean(axis) > 0.01 for axis in (1, 0))
    if not (rows.any() and columns.any()):
        return None
    extent = [int(line.nonzero()[-1] - line.nonzero()[0]) + 1 for line in (rows, columns)]
    return extent[0] / extent[1]
