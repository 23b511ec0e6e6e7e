"""Reference images that replace the search for parts of a plan; they are used unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..errors import LumosXError
from ..prompt.phrase_mask import clean_prompt
from ..scene.scene import Reference, Scene, Subject
from .plan.plan import ScenePlan


class Overrides:
    """Reference images that replace the search, by their position in the plan.

    Raises:
        LumosXError: an image whose phrase the plan does not have.
    """

    def __init__(self, plan: ScenePlan, scene: Scene | None):
        self._plan = plan
        scene = scene or Scene()
        self._faces: dict[int, Reference] = {}
        self._attributes: dict[tuple[int, str], Reference] = {}
        self._objects: dict[int, Reference] = {}
        self.background = self._background(scene)
        for subject in scene.subjects:
            self._add_subject(subject)
        for reference in scene.objects:
            number = next(
                (i for i, phrase in enumerate(plan.objects) if phrase == clean_prompt(reference.phrase)), None
            )
            if number is None:
                raise self._unknown("object", reference.phrase, plan.objects)
            self._objects[number] = reference

    def face(self, number: int) -> Reference | None:
        return self._faces.get(number)

    def attribute(self, number: int, phrase: str) -> Reference | None:
        return self._attributes.get((number, phrase))

    def object(self, number: int) -> Reference | None:
        return self._objects.get(number)

    def _background(self, scene: Scene) -> Reference | None:
        if scene.background is None or self._plan.background is None:
            return scene.background
        return replace(scene.background, phrase=scene.background.phrase or self._plan.background)

    def _add_subject(self, subject: Subject) -> None:
        """With a face: the person of its phrase. Without: for each attribute the first person who still lacks it."""
        if (subject.start, subject.end) != (0, 1):
            raise LumosXError(
                f"A subject among the overrides is seen from {subject.start:g} to {subject.end:g} of the sampling, but "
                f"overrides give images only. Set start_percent to 0 and end_percent to 1."
            )
        phrases = [clean_prompt(reference.phrase) for reference in subject.references]
        if twice := next((phrase for phrase in phrases if phrases.count(phrase) > 1), None):
            raise LumosXError(
                f'A subject among the overrides has {phrases.count(twice)} images of "{twice}", expected one. Choose '
                f"one of them."
            )
        owner = None
        if subject.face is not None:
            word = clean_prompt(subject.face.phrase)
            owners = [i for i, person in enumerate(self._plan.people) if person.word == word]
            owner = next((i for i in owners if i not in self._faces), None)
            if owner is None:
                raise self._unknown("face", subject.face.phrase, [person.word for person in self._plan.people])
            self._faces[owner] = replace(subject.face, strength=subject.strength_of(subject.face))
        for reference in subject.attributes:
            phrase = clean_prompt(reference.phrase)
            owners = [
                i
                for i, person in enumerate(self._plan.people)
                if phrase in person.attributes and owner in (None, i) and (i, phrase) not in self._attributes
            ]
            if not owners:
                known = [phrase for person in self._plan.people for phrase in person.attributes]
                raise self._unknown("attribute", reference.phrase, known)
            self._attributes[owners[0], phrase] = replace(reference, strength=subject.strength_of(reference))

    @staticmethod
    def _unknown(kind: str, phrase: str, known: Sequence[str]) -> LumosXError:
        return LumosXError(
            f'The {kind} "{phrase}" among the overrides takes nobody\'s place: the plan has no such {kind}, or it is '
            f"given twice. The plan's are: {', '.join(known) or 'none'}. Write its phrase as the plan does, with the "
            f"number if there is one (man#2), or join further images with LumosX Scene afterwards."
        )
