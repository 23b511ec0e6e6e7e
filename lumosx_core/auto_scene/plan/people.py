"""The people of a prompt: mentions, and their resolution to persons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from . import vocabulary as v
from .words import NounPhrase, Word, word_at

_SPECIFIC = v.ROLES | v.RELATIVES
_KNOWN = ("the", "these", "those", "both")  # who follows was spoken of before
_BEHIND_ONE = v.WEAR_WORDS | {"in", "with", "is", "has", "on"}  # "one wears ..., the other is in ..."
_PLACES = ("on", "at", "to", "in", "from")


@dataclass(frozen=True)
class Mention:
    """One place where a prompt speaks of people.

    Args:
        word: index of the noun.
        noun: in the singular and lower case; "" for "one" and "the other".
        count: how many; 0 if a plural does not say.
        fresh: it introduces somebody: "a man", "another man".
        others: it says "other".
        keys: what tells this person from others: "left", "older".
        worn: text of the garment that identifies them, as in "the man in the red hat".
    """

    word: int
    noun: str
    count: int
    fresh: bool
    others: bool
    keys: frozenset[str]
    worn: str | None

    @property
    def plural(self) -> bool:
        return self.count != 1


@dataclass(eq=False)
class Person:
    """Somebody in the prompt.

    Args:
        nameless: so far only as one of several, "two men".
        mentions: index of each noun that means this person alone, or with others if nameless.
        worn: their clothes and what they carry.
        described_at: the mention whose sentence says what they wear.
    """

    noun: str
    sex: str
    age: str
    nameless: bool
    keys: set[str] = field(default_factory=set)
    mentions: list[int] = field(default_factory=list)
    worn: list[NounPhrase] = field(default_factory=list)
    described_at: int | None = None

    def wear(self, phrase: NounPhrase) -> None:
        if self.described_at is None:
            self.described_at = self.mentions[-1]
        self.worn.append(phrase)


def mention_at(words: Sequence[Word], index: int, clothes: Sequence[NounPhrase], prompt: str) -> Mention | None:
    """The mention whose noun is this word, if it is one.

    Args:
        clothes: the phrases of garments in the prompt.
    """
    lower, following = words[index].lower, word_at(words, index, 1)
    noun = v.singular(lower)
    if lower in v.GROUPS and following != "of" and word_at(words, index, -1) in v.ARTICLES:
        return Mention(index, "person", v.GROUPS[lower], True, False, frozenset(), None)
    stands_alone = lower in ("one", "other", "another") and following in _BEHIND_ONE
    stands_alone = stands_alone and word_at(words, index, -1) not in ("each", "no", "any", "every")
    if not stands_alone and (noun not in v.PEOPLE or _belongs_to_next(words, index)):
        return None

    first = index
    while (before := word_at(words, first, -1)) and before.isalnum() | ("-" in before) and index - first < 4:
        if before in v.ARTICLES or before in v.FUNCTION_WORDS:
            break
        first -= 1
    described = {words[i].lower for i in range(first, index)} | ({before} & {"another", "other", "one"})
    others = "other" in described or lower == "other"
    count = 1 if lower == noun else 0
    if numbers := [v.NUMBERS[word] for word in described if word in v.NUMBERS]:
        count = numbers[0]
    elif before == "both":
        count = 2
    elif not count and (group := _group(words, first)):
        count = v.GROUPS.get(group, v.NUMBERS.get(group, 1))
        before = group
    determiner = lower if stands_alone else before
    fresh = determiner in ("a", "an", "another", "one") or (count > 1 and before not in _KNOWN)
    keys = frozenset(_keys(described) | _place(words, index))
    return Mention(
        index,
        "" if stands_alone else noun,
        count,
        fresh,
        others,
        keys,
        _identifying_garment(words, index, clothes, prompt),
    )


class Cast:
    """The people of a prompt, as its mentions come."""

    def __init__(self):
        self.people: list[Person] = []
        self._last: list[Person] = []  # by last mention

    def meet(self, mention: Mention, prompt: str, words: Sequence[Word]) -> list[Person]:
        """Whom a mention means; people that are new are added."""
        meant = self._several(mention) if mention.plural else [self._one(mention, prompt, words)]
        for person in meant:
            if not mention.plural:
                if person.nameless:
                    person.mentions.clear()
                    person.nameless = False
                person.keys |= mention.keys
                self._specify(person, mention)
            if person.nameless or not mention.plural:
                person.mentions.append(mention.word)
            self._remember(person)
        return meant

    def last(self, sex: str) -> list[Person]:
        """Whom "he" (m) or "she" (f) means; nobody if there is no such person."""
        named = [person for person in reversed(self._last) if person.sex in (sex, "")]
        exact = [person for person in named if person.sex == sex]
        return (exact or named)[:1]

    def _remember(self, person: Person) -> None:
        if person in self._last:
            self._last.remove(person)
        self._last.append(person)

    def _several(self, mention: Mention) -> list[Person]:
        fitting = [person for person in self.people if _fits(person, mention)]
        if not mention.count or (not mention.fresh and len(fitting) >= mention.count):
            return fitting
        # "Three people: two men and a woman"
        general = [person for person in fitting if person.nameless and person.noun != mention.noun]
        if len(general) >= mention.count:
            for person in general[: mention.count]:
                self._specify(person, mention)
                person.mentions.clear()
            return general[: mention.count]
        return [self._new(mention, nameless=True) for _ in range(mention.count)]

    def _one(self, mention: Mention, prompt: str, words: Sequence[Word]) -> Person:
        fitting = [person for person in self.people if _fits(person, mention)]
        nameless = [person for person in fitting if person.nameless]
        named = [person for person in self._last[::-1] if person in fitting and not person.nameless]
        named.sort(key=lambda person: person.noun != mention.noun)  # the same noun first, then the last one
        if mention.fresh or (mention.others and nameless):
            return nameless[0] if nameless else self._new(mention)
        if mention.others:
            return next((person for person in named if person is not self._last[-1]), None) or self._new(mention)
        for person in named:
            texts = [text_of(words, phrase, prompt) for phrase in person.worn]
            if person.keys & mention.keys or mention.worn in texts:
                return person
        if mention.keys or mention.worn:
            open_ones = [person for person in self.people if person in named and not (mention.worn and person.worn)]
            return next(iter(nameless + open_ones), None) or self._new(mention)
        return next(iter(named + nameless), None) or self._new(mention)

    def _new(self, mention: Mention, *, nameless: bool = False) -> Person:
        sex, age = v.PEOPLE.get(mention.noun, ("", ""))
        person = Person(mention.noun, sex, age, nameless)
        self.people.append(person)
        return person

    def _specify(self, person: Person, mention: Mention) -> None:
        sex, age = v.PEOPLE.get(mention.noun, ("", ""))
        person.sex, person.age = person.sex or sex, person.age or age
        if mention.noun and person.noun in v.ANYONE:
            person.noun = mention.noun


def text_of(words: Sequence[Word], phrase: NounPhrase, prompt: str) -> str:
    """The words of a phrase as in the prompt."""
    return prompt[words[phrase.first].start : words[phrase.last].end]


def _fits(person: Person, mention: Mention) -> bool:
    """Whether a mention can mean this person."""
    sex, age = v.PEOPLE.get(mention.noun, ("", ""))
    if (person.sex and sex and person.sex != sex) or (person.age and age and person.age != age):
        return False
    # "The chef" is somebody else than a man who was named before, but can be one of "two people".
    if mention.noun in _SPECIFIC and person.noun != mention.noun and not (person.nameless and person.noun in v.ANYONE):
        return False
    rows = [{v.SAME_DISTINCTION.get(word, word) for word in row} for row in v.DISTINCTIONS]
    return not any(mention.keys & row and person.keys & row and not mention.keys & person.keys & row for row in rows)


def _belongs_to_next(words: Sequence[Word], index: int) -> bool:
    """Whether a noun only describes the next one: "police" no, but "baby girl", "child seat", "person view"."""
    following = word_at(words, index, 1)
    if following in v.NOT_A_HEAD_BEFORE:
        return True
    same_number = (v.singular(following) == following) == (v.singular(words[index].lower) == words[index].lower)
    if v.singular(following) in v.PEOPLE and same_number:
        return True
    return words[index].lower in ("baby", "child", "kid", "model") and v.kind_of(following) in ("object", "garment")


def _group(words: Sequence[Word], first: int) -> str:
    """The "couple" of "a couple of men", the "one" of "one of the men"; "" if there is no such word."""
    place = first - 1 if word_at(words, first, -1) in ("the", "these", "those") else first
    group = word_at(words, place, -2) if word_at(words, place, -1) == "of" else ""
    return group if group in v.GROUPS or group in v.NUMBERS or group in ("one", "another") else ""


def _keys(words: set[str]) -> set[str]:
    known = frozenset().union(*v.DISTINCTIONS)
    return {v.SAME_DISTINCTION.get(word, word) for word in words if word in known}


def _place(words: Sequence[Word], index: int) -> set[str]:
    """The "left" of "man on the far left", "man standing on the left"."""
    after = [word_at(words, index, offset) for offset in range(1, 7)]
    if after[0] in v.PLACED or after[0] in ("who", "is"):
        after = after[1:]
    if after[0] in v.PLACED:
        after = after[1:]
    if after[0] not in _PLACES:
        return set()
    return _keys({word for word in after[1:4] if word in v.DISTINCTIONS[0]})


def _identifying_garment(words: Sequence[Word], index: int, clothes: Sequence[NounPhrase], prompt: str) -> str | None:
    """The garment that identifies the person: the first one of "the man in the red hat", without a comma between."""
    if word_at(words, index, 1) not in v.WEAR_WORDS | {"in", "with"}:
        return None
    for phrase in clothes:
        if index < phrase.first <= index + 4 and words[phrase.head].sentence == words[index].sentence:
            return text_of(words, phrase, prompt)
    return None
