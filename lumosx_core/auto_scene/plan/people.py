"""Mentions of people in a prompt: nouns, "one" and "the other", groups, names."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

from . import vocabulary as v
from .words import POSSESSIVE_MARKS, NounPhrase, Word, is_kind_of_clothes, word_at

_KNOWN = ("the", "these", "those", "both")  # who follows was spoken of before
_BEHIND_ONE = v.WEAR_WORDS | {"in", "with", "is", "has", "on", "a", "an", ","}  # "one wears ..., the other a cap"
_PLACES = ("on", "at", "to", "in", "from")
_DESCRIBERS = frozenset({"holding", "carrying", "wearing", "wears", "wore", "dressed", "clad", "donning", "sporting"})
# Endings of nouns that name somebody by what they do: with "wearing" behind, an unknown word is such a noun.
_AGENTS = ("er", "or", "ent", "ist", "ian", "eer", "eur", "ant", "man", "woman", "men", "women")
_NOBODY = frozenset({"snowman", "talisman", "german", "roman", "ottoman", "snowmen", "mannequin", "hangman"})
# What begins a sentence in capitals and is not a name: adverbs and adjectives.
_NO_NAMES = v.MODIFIERS | v.FUNCTION_WORDS | v.ARTICLES | frozenset().union(*v.DISTINCTIONS)
_NO_NAMES |= v.SENTENCE_STARTS


@dataclass(frozen=True)
class Mention:
    """One place where a prompt speaks of people.

    Args:
        word: index of the noun.
        first: index of the first word that describes it, behind the article.
        noun: in the singular and lower case; "" for "one", "the other" and names.
        name: as it is written, "" for a noun.
        sex: "m", "f", or "" if neither the noun nor "male" and "female" say it.
        count: how many; 0 if a plural does not say.
        fresh: it introduces somebody: "a man", "another man".
        others: it says "other".
        owner: whose relative or friend it is: "his", "her", "their"; "" if it does not say.
        keys: what tells this person from others: "left", "older".
        worn: text of the garment that identifies them, as in "the man in the red hat".
    """

    word: int
    first: int
    noun: str
    name: str
    sex: str
    count: int
    fresh: bool
    others: bool
    owner: str
    keys: frozenset[str]
    worn: str | None

    @property
    def plural(self) -> bool:
        return self.count != 1


def mention_at(
    words: Sequence[Word], index: int, clothes: Sequence[NounPhrase], prompt: str, names: Set[int]
) -> Mention | None:
    """The mention whose noun is this word, if it is one.

    Args:
        clothes: the phrases of garments in the prompt.
        names: indices of words that are names, see `find_names`.
    """
    lower, following = words[index].lower, word_at(words, index, 1)
    noun = v.singular(lower)
    worn = _identifying_garment(words, index, clothes, prompt)
    if index in names:
        if index + 1 in names:
            return None  # the surname follows
        return Mention(index, index, "", words[index].text, "", 1, False, False, "", frozenset(), None)
    stands_alone = lower in ("one", "other", "another") and following in _BEHIND_ONE
    if following in ("a", "an"):
        stands_alone = lower == "other" and word_at(words, index, -1) == "the"
    stands_alone = stands_alone and word_at(words, index, -1) not in ("each", "no", "any", "every", "this", "that")
    is_group = lower in v.GROUPS and following != "of"
    known = noun in v.PEOPLE and v.kind_of(lower) == "person"  # "joggers" are trousers
    if not (stands_alone or is_group or known or _is_unknown_person(words, index)):
        return None
    if not stands_alone and _belongs_to_next(words, index):
        return None

    first, before = _beginning(words, index)
    described = {words[i].lower for i in range(first, index)} | ({before} & {"another", "other", "one"})
    if is_group:
        if before not in v.ARTICLES | POSSESSIVE_MARKS and lower not in v.PLURAL_GROUPS:
            return None
        count = next((v.NUMBERS[word] for word in described if word in v.NUMBERS), v.GROUPS[lower])
        fresh = before not in (*_KNOWN, "their", "this")
        return Mention(index, first, "person", "", "", count, fresh, False, _owner(before), frozenset(), None)
    others = "other" in described or lower == "other"
    count = 1 if lower == noun else 0
    if numbers := [v.NUMBERS[word] for word in described if word in v.NUMBERS]:
        count = numbers[0]
    elif before == "both":
        count = 2
    elif not count and (group := _group(words, first)):
        count = v.GROUPS.get(group, v.NUMBERS.get(group, 1))
        before = group
    determiner = lower if stands_alone and before != "the" else before
    fresh = determiner in ("a", "an", "another", "one") or (count > 1 and before not in _KNOWN)
    sex = "m" if "male" in described else "f" if "female" in described else v.PEOPLE.get(noun, ("", ""))[0]
    keys = frozenset(_keys(described) | _place(words, index))
    kind = "" if stands_alone else noun
    return Mention(index, first, kind, "", sex, count, fresh, others, _owner(before), keys, worn)


def find_names(words: Sequence[Word], clothes: Sequence[NounPhrase]) -> frozenset[int]:
    """Indices of words that are names of people: in capitals, unknown, and somewhere with clothes or a person behind.

    "Anna, wearing a red coat", "a woman named Anna", "Anna in a red coat", "Anna's coat", "Anna, a young woman".
    """
    capitals = {i for i, word in enumerate(words) if _can_be_name(word)}
    starts = {phrase.first for phrase in clothes}
    sure = {words[i].text for i in capitals if _wears(words, i, starts)}
    for i in sorted(capitals, reverse=True):
        if word_at(words, i, 1) == "and" and i + 2 in capitals and words[i + 2].text in sure:
            sure.add(words[i].text)  # "Anna and Ben, wearing ..."
        elif i + 1 in capitals and words[i + 1].text in sure and words[i + 1].sentence == words[i].sentence:
            sure.add(words[i].text)  # "Anna Smith"
    return frozenset(i for i in capitals if words[i].text in sure)


def _can_be_name(word: Word) -> bool:
    text, lower = word.text, word.lower
    if not (text[:1].isupper() and text.isalpha() and len(text) > 1 and text[1:].islower()):
        return False
    if lower in _NO_NAMES or lower in v.GROUPS or lower.endswith(("ly", "ing", "ed")):
        return False
    return v.kind_of(lower) is None


def _wears(words: Sequence[Word], index: int, clothes: Set[int]) -> bool:
    """Whether what is behind a word says that it is a person."""
    if word_at(words, index, -1) in ("named", "called"):
        return True
    if word_at(words, index, -1) in v.ARTICLES:
        return False  # "before the Parthenon, wearing ..."
    after = [word_at(words, index, offset) for offset in range(1, 5)]
    if after[0] in ("is", "was", ","):
        if after[0] == "," and after[1] in ("a", "an"):
            nouns = [v.kind_of(word_at(words, index, offset)) for offset in range(3, 6)]
            return "person" in nouns and word_at(words, index, -1) not in ("in", "at", "of", "from", "to")
        after = after[1:]
    if after[0] in _DESCRIBERS or after[0] == "who" or (after[0] == "with" and after[1] in v.POSSESSIVES):
        return True
    if after[0] in {"in", "has"} | POSSESSIVE_MARKS:
        return any(index + offset in clothes for offset in range(2, 6)) or (
            after[0] in POSSESSIVE_MARKS and v.kind_of(after[1]) in ("body", "part")
        )
    return False


def _is_unknown_person(words: Sequence[Word], index: int) -> bool:
    """Whether a word that is in no list names somebody: "a lone wayfarer, clad in", "two stuntmen"."""
    word = words[index].lower
    if not word.endswith(_AGENTS) or len(word) < 5 or v.kind_of(word) is not None or word in _NOBODY | _NO_NAMES:
        return False
    first, before = _beginning(words, index)
    if (
        before not in v.ARTICLES
        and before not in v.NUMBERS
        and not {words[i].lower for i in range(first, index)} & (v.NUMBERS.keys())
    ):
        return False
    if v.kind_of(word_at(words, index, 1)) is not None:
        return False  # "a Jumpman logo"
    if word.endswith(("man", "woman", "men", "women")) or {"male", "female"} & {
        words[i].lower for i in range(first, index)
    }:
        return True
    after = [word_at(words, index, offset) for offset in (1, 2)]
    return (after[1] if after[0] == "," else after[0]) in _DESCRIBERS


def _beginning(words: Sequence[Word], index: int) -> tuple[int, str]:
    """Index of the first word that describes a noun, and the word in front of it."""
    first = index
    while (before := word_at(words, first, -1)) and before.isalnum() | ("-" in before) | (before == ","):
        if before in v.ARTICLES or before in v.FUNCTION_WORDS or index - first >= 4:
            break
        if before == "," and not (index > first and word_at(words, first, -2) in v.MODIFIERS | _ADJECTIVES):
            break
        first -= 1
    return first, before


_ADJECTIVES = frozenset().union(*v.DISTINCTIONS) | {"happy", "joyful", "lively", "slender", "muscular", "handsome"}


def _owner(before: str) -> str:
    return before if before in ("his", "her", "their") else ""


def _belongs_to_next(words: Sequence[Word], index: int) -> bool:
    """Whether a noun only describes the next one: "police" no, but "baby girl", "child seat", "cowboy hat"."""
    following = word_at(words, index, 1)
    if words[index].lower == "model" and following == "of":
        return True
    if words[index].lower in ("male", "female") and following.isalpha() and following not in v.FUNCTION_WORDS:
        return True  # "male police officer"
    if following in v.NOT_A_HEAD_BEFORE or word_at(words, index, -1) in v.MACHINE_BEFORE:
        return True
    if v.kind_of(following) == "scene" and words[index].lower in v.ROLES:
        return True  # "courier office"
    if following in POSSESSIVE_MARKS and word_at(words, index, 2) in ("seat", "license"):
        return True
    if following in POSSESSIVE_MARKS and v.kind_of(word_at(words, index, 2)) in (
        "garment",
        "scene",
    ):  # "an artist's studio"
        return is_kind_of_clothes(words, index)
    singular = v.singular(following)
    same_number = (singular == following) == (v.singular(words[index].lower) == words[index].lower)
    if singular in v.PEOPLE and same_number:
        return True
    if v.kind_of(following) == "garment" and same_number and words[index].lower in v.ROLES:
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
    if word_at(words, index, 1) not in ("wearing", "dressed", "clad", "in", "with"):
        return None  # "the man wears a hat" says something new
    for phrase in clothes:
        if index < phrase.first <= index + 4 and words[phrase.head].sentence == words[index].sentence:
            return text_of(words, phrase, prompt)
    return None


def text_of(words: Sequence[Word], phrase: NounPhrase, prompt: str) -> str:
    """The words of a phrase as in the prompt."""
    return prompt[words[phrase.first].start : words[phrase.last].end]
