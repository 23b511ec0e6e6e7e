"""The plan of a scene: words that name people, the attributes of each, objects and the background.

In text, as an artist types it:

    man: denim jacket, white shirt | woman: light brown sweater || white lamp, bedside table || cozy room

People are divided by |, each with a colon before what they wear; after || come objects, after another || the
background. Line breaks may replace |. "man#2" means the second "man" of the prompt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, dropwhile, takewhile

from ...errors import LumosXError
from ...prompt.match import find_phrase, split_number
from ...prompt.messages import shortened
from ...prompt.phrase_mask import clean_prompt, phrase_mistake, words_meant
from ...scene.scene import MOST_IMAGES
from . import vocabulary as v

MOST_TRAINED = 3  # people of a video, and attributes of a person, in the training data (paper, section 4)
_MOST_NAMED = 10  # phrases in one message: each is compared with all words of the prompt
UNSTABLE = 10  # with so many people the paper's authors saw it fail

_LINES = r"[|\r\n]"  # what divides people
_FORM = "Write: person: attribute, attribute | person: attribute || object, object || background."
_COUNTING = v.ARTICLES | v.NUMBERS.keys()
_NAMELESS = _COUNTING.union(v.GROUPS, v.EVERYONE, *v.DISTINCTIONS, ("group", "ones", "others"))


@dataclass(frozen=True)
class PersonPlan:
    """A person: the word that names them in the prompt ("" for none), and the phrases of what they wear or carry."""

    word: str
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScenePlan:
    """Phrases only; the images are still to be found."""

    people: tuple[PersonPlan, ...] = ()
    objects: tuple[str, ...] = ()
    background: str | None = None

    def labelled(self) -> Iterator[tuple[str, str]]:
        """Each phrase with the name a message calls it by, e.g. ("attribute 2 of person 1", "white shirt")."""
        for p, person in enumerate(self.people, 1):
            if person.word:
                yield f"word of person {p}", person.word
            for i, phrase in enumerate(person.attributes, 1):
                yield f"attribute {i} of person {p}", phrase
        for i, phrase in enumerate(self.objects, 1):
            yield f"object {i}", phrase
        if self.background is not None:
            yield "background", self.background


def parse_plan(text: str) -> ScenePlan:
    """Read a plan as an artist types it (see the head of this file).

    White space, empty parts and separators at an end do not matter. A colon alone is a person without word and
    attributes. The background may contain commas, everything else is divided by them.

    Raises:
        LumosXError: the plan is empty, has more than three parts or one background, a person with two colons or with
            attributes but no colon, a single | between objects, one phrase twice for the same person or object.
    """
    parts = text.split("||")
    while parts and not _pieces(parts[-1], _LINES):
        parts.pop()
    if len(parts) > 3:
        raise LumosXError(
            f'The plan "{shortened(text, 200)}" has {len(parts)} parts divided by ||, expected at most 3: people, '
            f"objects, background. {_FORM}"
        )
    people, objects, background = parts + [""] * (3 - len(parts))
    if len(_pieces(objects, r"\|")) > 1:
        raise LumosXError(
            f'A single | is between the objects "{objects.strip()}". Divide objects by commas, and put || before '
            f"the background."
        )
    backgrounds = _pieces(background, _LINES)
    if len(backgrounds) > 1:
        raise LumosXError(
            f"The plan has {len(backgrounds)} backgrounds: {_quoted(backgrounds)}. Keep one of them, on one line."
        )
    plan = ScenePlan(
        tuple(_parse_person(p, person) for p, person in enumerate(_pieces(people, _LINES), 1)),
        tuple(_pieces(objects, r"[,|\r\n]")),
        backgrounds[0] if backgrounds else None,
    )
    if plan == ScenePlan():
        raise LumosXError(f"The plan is empty. {_FORM}")
    check_written(plan)
    return plan


def format_plan(plan: ScenePlan) -> str:
    """The plan as text that `parse_plan` reads back.

    An empty plan is an empty text.

    Raises:
        LumosXError: see `check_written`.
    """
    check_written(plan)
    people = [f"{person.word}: {', '.join(person.attributes)}".strip() for person in plan.people]
    # The colon of a person without attributes is dropped, unless nothing else says that there is a person.
    people = [text.removesuffix(":") or ":" for text in people]
    parts = [" | ".join(people), ", ".join(plan.objects), plan.background or ""]
    while len(parts) > 1 and not parts[-1]:
        parts.pop()
    return " || ".join(parts).strip()


def check_written(plan: ScenePlan) -> None:
    """Raise LumosXError for a plan that text cannot hold, that asks for one image twice, or for more than a scene has.

    A phrase is empty, contains what divides phrases, or is there twice for one person or as an object. Whether phrases
    can become file names is another question: see `case_folder.check_names`.
    """
    count = sum(1 for _ in plan.labelled())
    if count > MOST_IMAGES:
        raise LumosXError(f"The plan has {count} phrases, but a scene has at most {MOST_IMAGES} images. Remove some.")
    for label, phrase in plan.labelled():
        forbidden = "|" if label == "background" else "|," if label.startswith("object") else "|,:"
        found = [character for character in forbidden if character in phrase]
        if found:
            raise LumosXError(
                f'Phrase "{phrase}" of {label} contains "{found[0]}", which divides phrases in a plan. Use fewer words '
                f"of it, without {found[0]}."
            )
        if phrase != " ".join(phrase.split()) or not phrase:
            raise LumosXError(
                f"Phrase {phrase!r} of {label} is empty or has spaces too many. Write words with one space between."
            )
    groups = [(f"Person {p}", _of_person(person)) for p, person in enumerate(plan.people, 1)]
    for owner, phrases in [*groups, ("The list of objects", plan.objects)]:
        twice = [phrase for i, phrase in enumerate(phrases) if phrase in phrases[:i]]
        if twice:
            raise LumosXError(
                f'{owner} has the phrase "{twice[0]}" twice, but a case folder has one file for each phrase. Remove '
                f'one, or write "{twice[0]}#1" and "{twice[0]}#2" for its occurrences in the prompt.'
            )


def check_plan(plan: ScenePlan, prompt: str) -> list[str]:
    """Compare a plan with its prompt, by whole words.

    Returns: warnings, each a sentence or two: more than the network was trained with (paper, section 4: up to 3
        people with up to 3 attributes), or two people bound to the same words.

    Raises:
        LumosXError: phrases do not occur in the prompt, or less often than their number asks for; names the first ten
            of them. Or the plan cannot be written (see `check_written`).
    """
    check_written(plan)
    prompt = clean_prompt(prompt)
    meant = {phrase: _characters(phrase, prompt) for phrase in {phrase for _, phrase in plan.labelled()}}
    unfound = [(phrase, label) for label, phrase in plan.labelled() if not meant[phrase]]
    mistakes = [phrase_mistake(phrase, label, prompt) for phrase, label in unfound[:_MOST_NAMED]]
    if any(mistakes):
        raise LumosXError(" ".join(filter(None, mistakes)) + f' The prompt is: "{shortened(prompt)}"')
    warnings = []
    count = len(plan.people)
    if count > MOST_TRAINED:
        warnings.append(
            f"The plan has {count} people, but LumosX was trained with 1 to {MOST_TRAINED}. More may work; "
            f"{UNSTABLE} and more are unstable."
        )
    for p, person in enumerate(plan.people, 1):
        if len(person.attributes) > MOST_TRAINED:
            warnings.append(
                f"Person {p} has {len(person.attributes)} attributes, but up to {MOST_TRAINED} are advised: LumosX was "
                f"not trained with more."
            )
    return warnings + shared_words(plan, prompt)


def detector_word(word: str) -> str:
    """The word that a detector searches photos for to find the person of this word, in lower case.

    The word of a plan without its number, articles and counts before it, in the singular: "men#2" -> "man". Words that
    name nobody ("one", "the other", "first", "left one", "couple", "he", "") and names ("Anna") -> "person".
    """
    name = split_number(word)[0]
    if name.isalpha() and name.istitle() and v.kind_of(name.lower()) is None:
        return "person"  # detectors know no names
    words = list(dropwhile(lambda each: each in _COUNTING, split_number(word)[0].lower().split()))
    named = list(takewhile(lambda each: each not in v.FUNCTION_WORDS, words))  # the "man" of "man on the left"
    if all(each in _NAMELESS for each in named):
        return "person"
    named = [v.singular(each) if v.singular(each) in v.PEOPLE else each for each in named]
    return " ".join(named + words[len(named) :])


# Comparing


def _characters(phrase: str, prompt: str) -> set[int]:
    """The places of all characters of a cleaned prompt that a phrase means."""
    return {place for start, end in words_meant(phrase, prompt) for place in range(start, end)}


def shared_words(plan: ScenePlan, prompt: str) -> list[str]:
    """A sentence for all words of a cleaned prompt that several people are bound to."""
    meant = {phrase: _characters(phrase, prompt) for person in plan.people for phrase in _of_person(person)}
    groups: dict[str, dict[int, str]] = {}  # words -> number of each person and the phrase of theirs
    for (p, person), (q, other) in combinations(enumerate(plan.people, 1), 2):
        for mine, theirs in ((a, b) for a in _of_person(person) for b in _of_person(other)):
            if not meant[mine].isdisjoint(meant[theirs]):
                words = min(split_number(mine)[0], split_number(theirs)[0], key=len)
                groups.setdefault(words, {}).update({p: mine, q: theirs})
    warnings = []
    for words, people in groups.items():
        names = [f'{number} ("{phrase}")' for number, phrase in sorted(people.items())]
        fix = (
            f'Write "{words}#1", "{words}#2", ... for the occurrence that belongs to each.'
            if len(find_phrase(words, prompt)) > 1
            else "Name each of them in the prompt."
        )
        warnings.append(
            f"People {', '.join(names[:-1])} and {names[-1]} are bound to the same words, so they can be mixed up. "
            f"{fix}"
        )
    return warnings


def words_of_things_and_people(plan: ScenePlan, prompt: str) -> list[str]:
    """A sentence for each object or background that is bound to words of a person or of another object.

    An object may be named by the words of the background.
    """
    meant = {phrase: _characters(phrase, prompt) for _, phrase in plan.labelled()}
    people = [(f"person {p}", each) for p, person in enumerate(plan.people, 1) for each in _of_person(person)]
    objects = [(f"object {i}", phrase) for i, phrase in enumerate(plan.objects, 1)]
    places = [] if plan.background is None else [("background", plan.background)]
    return [
        f'"{phrase}" of {label} and "{other}" of {whose} are the same words. Write other words, or the number of the '
        f'occurrence that belongs to each ("{split_number(phrase)[0]}#1"), or leave out one of the two.'
        for (label, phrase), others in [
            *((each, [*people, *objects[:i]]) for i, each in enumerate(objects)),
            *((each, people) for each in places),
        ]
        for whose, other in others
        if not meant[phrase].isdisjoint(meant[other])
    ]


# Reading


def _pieces(text: str, separators: str) -> list[str]:
    """A text divided, white space collapsed, without the empty pieces."""
    return [" ".join(piece.split()) for piece in re.split(separators, text) if piece.strip()]


def _parse_person(number: int, text: str) -> PersonPlan:
    if text.count(":") > 1:
        raise LumosXError(
            f'Person {number}, "{text}", has {text.count(":")} colons, expected one between the word and the '
            f"attributes. Put | between two people, and commas between attributes."
        )
    word, _colon, attributes = text.partition(":")
    if "," in word:
        raise LumosXError(
            f'Person {number} is named "{word.strip()}", with a comma in it. Put a colon behind the word of the person '
            f"and then what they wear; put | between two people."
        )
    return PersonPlan(word.strip(), tuple(_pieces(attributes, ",")))


def _of_person(person: PersonPlan) -> Sequence[str]:
    return [phrase for phrase in (person.word, *person.attributes) if phrase]


def _quoted(phrases: Sequence[str]) -> str:
    return ", ".join(f'"{phrase}"' for phrase in phrases)
