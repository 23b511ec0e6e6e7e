"""The plan of a scene: which words are people, what each wears, which are objects and the background.

In text, as an artist types it:

    man: denim jacket, white shirt | woman: light brown sweater || white lamp, bedside table || cozy room

People are divided by |, each with a colon before what they wear; after || come objects, after another || the
background. Line breaks may stand for |. "man#2" means the second "man" of the prompt.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PersonPlan:
    """A person: the word that names them in the prompt ("" for none), and the phrases of what they wear or carry."""

    word: str
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScenePlan:
    """Phrases only; the pictures are still to be found."""

    people: tuple[PersonPlan, ...] = ()
    objects: tuple[str, ...] = ()
    background: str | None = None
