"""The people of a prompt, and the resolution of mentions and pronouns to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ...errors import LumosXError
from . import vocabulary as v
from .people import Mention, text_of
from .words import NounPhrase, Word

MOST_PEOPLE = 40  # no model tells more apart, and reading them takes time
_SPECIFIC = v.ROLES | v.RELATIVES
_STEM = 4  # letters: "dan" of "dancer" is too little, "danc" also begins "dancing"


@dataclass(eq=False)
class Person:
    """Somebody in the prompt.

    Args:
        nameless: so far only as one of several, "two men".
        names: proper names, as written.
        roles: nouns of what they do that are in no list: "giver".
        mentions: index of each noun that means this person alone, or with others if nameless.
        worn: their clothes and what they carry.
        described_at: the mention whose sentence says what they wear.
    """

    noun: str
    sex: str
    age: str
    nameless: bool
    names: set[str] = field(default_factory=set)
    roles: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    mentions: list[int] = field(default_factory=list)
    worn: list[NounPhrase] = field(default_factory=list)
    described_at: int | None = None

    def wear(self, phrase: NounPhrase) -> None:
        if self.described_at is None:
            self.described_at = self.mentions[-1]
        self.worn.append(phrase)


class Cast:
    """The people of a prompt, as its mentions come."""

    def __init__(self, words: Sequence[Word], prompt: str):
        self.words = words
        self.prompt = prompt
        self.people: list[Person] = []
        self._last: list[Person] = []  # by last mention

    def meet(self, mention: Mention) -> list[Person]:
        """Whom a mention means; people that are new are added."""
        if self._is_one_of_them(mention):
            return []
        meant = self._several(mention) if mention.plural else [self._one(mention)]
        for person in meant:
            if not mention.plural:
                self.more(person, mention)
            elif person.nameless:
                person.mentions.append(mention.word)
            self._remember(person)
        return meant

    def more(self, person: Person, mention: Mention) -> None:
        """Another mention of one person: "Anna", "the tall man", "one person, a young man"."""
        # "A person pedals. The rider ...": still a person, who may be called "the cyclist" next.
        keep = not person.nameless and not mention.fresh and mention.noun in v.DOERS
        if person.nameless:
            person.mentions.clear()
            person.nameless = False
        person.keys |= mention.keys
        if mention.name:
            person.names.add(mention.name)
        if _is_role(mention):
            person.roles.add(mention.noun)
        if not keep:
            self._specify(person, mention)
        person.mentions.append(mention.word)

    def last(self, sex: str) -> list[Person]:
        """Whom "he" (m) or "she" (f) means; nobody if there is no such person, or several who may be meant."""
        exact = [person for person in self._last if person.sex == sex]
        if exact:
            return exact[-1:]
        open_ones = [person for person in self._last if not person.sex]
        alike = [person for person in open_ones if person.nameless]
        if len(open_ones) - max(len(alike) - 1, 0) != 1:
            return []
        person = open_ones[-1]
        person.sex = sex  # from here on it is known
        return [person]

    def could_be(self, sex: str) -> bool:
        """Whether there is anybody whom a pronoun may mean."""
        return any(person.sex in (sex, "") for person in self.people)

    def can_mean(self, person: Person, mention: Mention) -> bool:
        """Whether a mention can say more of a person: the same sex and age, and not a second role."""
        _, age = v.PEOPLE.get(mention.noun, ("", ""))
        if (person.sex and mention.sex and person.sex != mention.sex) or (person.age and age and person.age != age):
            return False
        return person.noun != mention.noun and not (person.noun in v.ROLES and mention.noun in v.ROLES)

    def _remember(self, person: Person) -> None:
        if person in self._last:
            self._last.remove(person)
        self._last.append(person)

    def _several(self, mention: Mention) -> list[Person]:
        fitting = [person for person in self.people if _fits(person, mention)]
        if not mention.count:
            return fitting
        if not mention.fresh and len(fitting) >= mention.count:
            together = [person for person in fitting if person.nameless]
            recent = [person for person in self._last if person in fitting][-mention.count :]
            return together if len(together) == mention.count else [person for person in fitting if person in recent]
        # "Three people: two men and a woman"
        general = [person for person in fitting if person.nameless and person.noun != mention.noun]
        if len(general) >= mention.count:
            for person in general[: mention.count]:
                self._specify(person, mention)
                person.mentions.clear()
            return general[: mention.count]
        if not mention.fresh and not fitting and len(self.people) == mention.count:
            return list(self.people)  # "the two skiers"
        if not mention.fresh and fitting and self.words[mention.word].lower in v.GROUPS:
            return fitting  # "the duo" of a person and a horse
        known = [] if mention.fresh else fitting  # "the two men" when one of them was named
        return known + [self._new(mention, nameless=True) for _ in range(mention.count - len(known))]

    def _one(self, mention: Mention) -> Person:
        if mention.name:
            return next((person for person in self.people if mention.name in person.names), None) or self._new(mention)
        owners = self._last[-1:] if mention.owner == "their" else self._owners(mention.owner)
        candidates = [person for person in self.people if person not in owners]
        if mention.noun in v.COUNTERPARTS and mention.owner and (other := self._counterpart(mention, candidates)):
            return other
        fitting = [person for person in candidates if _fits(person, mention)]
        nameless = [person for person in fitting if person.nameless]
        named = [person for person in self._last[::-1] if person in fitting and not person.nameless]
        named.sort(key=lambda person: person.noun != mention.noun)  # the same noun first, then the last one
        if _is_role(mention) and not mention.fresh and not any(mention.noun in person.roles for person in fitting):
            named = [person for person in self.people if person in named and not person.roles]
            # "The giver" and "the recipient" of two people: who acts is the subject, who came first.
            named = named if mention.noun.endswith(("er", "or")) else named[::-1]
        if mention.fresh or (mention.others and nameless):
            return nameless[0] if nameless else self._new(mention)
        if mention.others:
            return next((person for person in named if person is not self._last[-1]), None) or self._new(mention)
        for person in named:
            texts = [text_of(self.words, phrase, self.prompt) for phrase in person.worn]
            if person.keys & mention.keys or mention.worn in texts:
                return person
        if mention.keys or mention.worn:
            open_ones = [person for person in self.people if person in named and not (mention.worn and person.worn)]
            open_ones.sort(key=lambda person: person.noun != mention.noun)
            return next(iter(nameless + open_ones), None) or self._relative(mention) or self._new(mention)
        return next(iter(named + nameless), None) or self._relative(mention) or self._new(mention)

    def _owners(self, possessive: str) -> list[Person]:
        sex = v.POSSESSIVES.get(possessive)
        return [] if sex is None else self.last(sex)

    def _is_one_of_them(self, mention: Mention) -> bool:
        """Whether "the artist" is one of several who were named, and nothing says which."""
        if mention.plural or mention.fresh or mention.owner or mention.noun not in v.DOERS:
            return False
        general = [person for person in self.people if person.noun not in _SPECIFIC and self.can_mean(person, mention)]
        return len(general) > 1 and not any(person.noun == mention.noun for person in self.people)

    def _counterpart(self, mention: Mention, candidates: Sequence[Person]) -> Person | None:
        """The other one of a couple, or of two who were named, for "his partner"."""
        fitting = [person for person in candidates if not (person.sex and mention.sex and person.sex != mention.sex)]
        nameless = [person for person in fitting if person.nameless]
        if nameless:
            return nameless[0]
        fitting = [person for person in fitting if person.noun not in _SPECIFIC or person.noun == mention.noun]
        return fitting[0] if len(fitting) == 1 and len(self.people) == 2 else None

    def _relative(self, mention: Mention) -> Person | None:
        """Who is called by what they are or do: "the mother" of a woman, "the dancer" of a man who dances."""
        if mention.owner or mention.fresh or mention.noun not in _SPECIFIC:
            return None
        general = [person for person in self.people if person.noun not in _SPECIFIC and self.can_mean(person, mention)]
        if len(general) != 1 or general[0].nameless:
            return None
        only = len(self.people) == 1 and general[0].noun in v.ANYONE
        if mention.noun in v.RELATIVES or self._does(mention) or (only and mention.noun in v.DOERS):
            return general[0]
        return None

    def _does(self, mention: Mention) -> bool:
        """Whether a word in front has the stem of a role: "dances" before "the dancer"."""
        stem = mention.noun.removesuffix("er").removesuffix("or").removesuffix("ist").removesuffix("ian")
        stem = stem[:-1] if len(stem) > _STEM and stem[-1] == stem[-2] else stem  # "runn"
        if len(stem) < min(_STEM, len(mention.noun) - 3):
            return False
        forms = {stem + ending for ending in ("", "e", "s", "es", "ing", "ed", stem[-1] + "ing")}
        return any(word.lower in forms for word in self.words[: mention.word])

    def _new(self, mention: Mention, *, nameless: bool = False) -> Person:
        _, age = v.PEOPLE.get(mention.noun, ("", ""))
        if len(self.people) == MOST_PEOPLE:
            raise LumosXError(
                f"The prompt names more than {MOST_PEOPLE} people. LumosX was trained with up to 3: name fewer, or "
                f"write the plan."
            )
        person = Person(mention.noun, mention.sex, age, nameless)
        self.people.append(person)
        return person

    def _specify(self, person: Person, mention: Mention) -> None:
        _, age = v.PEOPLE.get(mention.noun, ("", ""))
        person.sex, person.age = person.sex or mention.sex, person.age or age
        if mention.noun and (person.noun in v.ANYONE or not person.noun):
            person.noun = mention.noun


def _is_role(mention: Mention) -> bool:
    return bool(mention.noun) and mention.noun not in v.PEOPLE and not mention.plural


def _fits(person: Person, mention: Mention) -> bool:
    """Whether a mention can mean this person."""
    _, age = v.PEOPLE.get(mention.noun, ("", ""))
    if (person.sex and mention.sex and person.sex != mention.sex) or (person.age and age and person.age != age):
        return False
    # "The chef" is somebody else than a man who was named before, but can be one of "two people".
    if (
        mention.noun in _SPECIFIC
        and person.noun != mention.noun
        and not (person.nameless and person.noun in v.ANYONE | v.CHILDREN)
    ):
        return False
    rows = [{v.SAME_DISTINCTION.get(word, word) for word in row} for row in v.DISTINCTIONS]
    return not any(mention.keys & row and person.keys & row and not mention.keys & person.keys & row for row in rows)
