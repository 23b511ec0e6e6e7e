"""The noun phrases of a prompt: clothes, parts of them, bodies, things, places."""

from __future__ import annotations

from collections.abc import Sequence

from . import surroundings, wardrobe
from . import vocabulary as v
from .words import (
    DETERMINERS,
    INDEFINITE,
    POSSESSIVE_MARKS,
    REACH,
    TAKING,
    NounPhrase,
    Word,
    can_describe,
    is_doubtful,
    is_kind_of_clothes,
    is_noun,
    word_at,
)

_OWNING = POSSESSIVE_MARKS | frozenset(v.POSSESSIVES) | {"their"}
_SKIPPED = v.ARTICLES | frozenset(v.NUMBERS)


def noun_phrases(words: Sequence[Word]) -> list[NounPhrase]:
    """The phrases of nouns, people excepted, in the order of the prompt.

    A noun that is not in the vocabulary counts behind "wearing a" and "holding a" only, where its kind is plain.
    """
    found: list[NounPhrase] = []
    for head, word in enumerate(words):
        noun = v.singular(word.lower)
        kind = "backdrop" if noun in surroundings.BACKDROPS else v.kind_of(word.lower)
        if kind is None:
            kind = _kind_of_unknown(words, head, found)
        # Inside "cup of coffee" nothing begins again.
        if kind in (None, "person") or _describes_the_next(words, head) or (found and head <= found[-1].last):
            continue
        needed = surroundings.ONLY_BEHIND.get(noun)
        if needed and word_at(words, head, -1) not in needed:
            continue
        if _is_verb_before_object(words, head) or (noun in v.METAPHORS and word_at(words, head, 1) == "of"):
            continue
        first = _start_of_place(words, head) if kind == "scene" else None
        first = _start(words, head) if first is None else first
        opening = _opening(words, first, found[-1].last + 1 if found else 0)
        while word_at(words, opening, -1) in _OWNING:
            opening -= 1  # "the couple's matching jackets"
        before = word_at(words, opening, 0) if opening < first else word_at(words, first, -1)
        listed = found and found[-1].kind == kind == "garment" and _continues(words, found[-1], first, head)
        plain = not (first < head or before in DETERMINERS or before in TAKING)
        if is_doubtful(word.lower) and plain and not listed:
            continue
        if is_doubtful(word.lower) and (word_at(words, head, 1) == "of" and kind == "garment"):
            continue  # "on top of", "glasses of wine"
        if kind == "object" and _is_figure_of_speech(words, head, before):
            continue
        if not _is_absent(words, opening):
            found.append(NounPhrase(kind, opening, first, head, _end(words, head), before))
    return found


def _opening(words: Sequence[Word], first: int, earliest: int) -> int:
    """The index of the article of a phrase, over adjectives and commas; that of its first word if there is none.

    Args:
        earliest: behind the phrase in front.
    """
    place = first
    while place > earliest and first - place < REACH and (before := word_at(words, place, -1)):
        if before in DETERMINERS:
            return place - 1
        if before == "," and place < first and word_at(words, place, 0) == ",":
            return first
        if before not in (",", "and") and (not can_describe(before) or is_noun(before)):
            return first
        place -= 1
    return first


def _start(words: Sequence[Word], head: int) -> int:
    if _is_verb(words, head):
        return head
    first = head
    while head - first < REACH:
        before = word_at(words, first, -1)
        if before == "and" and words[first].lower in v.COLOURS and word_at(words, first, -2) in v.COLOURS:
            first -= 2  # "black and white shirt"
        elif is_noun(before) and first < head and not is_noun(words[first].lower):
            first += 1  # "t-shirts ride bicycles": what follows a noun and is none is a verb
            break
        elif can_describe(before) or (
            before in v.ROLES and first == head and v.kind_of(words[head].lower) == "garment"
        ):
            first -= 1  # "superhero costume" included
        else:
            break
    adverb, verb = words[first].lower, words[first + 1].lower if first + 1 < head else ""
    if word_at(words, first, -1) not in DETERMINERS or (adverb.endswith("ly") and verb.endswith("s")):
        first = _behind_adverb(words, first, head)
    if word_at(words, first, -1) in v.SUBJECTS and first < head:
        first += 1  # "she washes dishes"
    # Behind a comma or "and" a verb may follow ("and adjusts black glasses"): there only known modifiers count.
    before = word_at(words, first, -1)
    if before not in DETERMINERS | {""} and (before not in v.FUNCTION_WORDS or before in ("and", "or")):
        known = head
        while known > first and _is_known_modifier(words[known - 1].lower):
            known -= 1
        first = known
    if before in POSSESSIVE_MARKS and first > 1 and is_kind_of_clothes(words, first - 2):
        first -= 2
        while can_describe(word_at(words, first, -1)):
            first -= 1
        return first
    while first < head and (words[first].lower in v.OPINIONS or _is_participle(words, first)):
        first += 1
    return first


def _start_of_place(words: Sequence[Word], head: int) -> int | None:
    """Where "cozy, warmly lit room" begins: behind its article, over commas; None if there is no such article."""
    for first in range(head, max(head - REACH, -1), -1):
        before = word_at(words, first, -1)
        if before in DETERMINERS:
            return first
        if before not in (",", "and") and not can_describe(before):
            return None
        if before == "and" and word_at(words, first, -2).endswith("s"):
            return None  # "towering skyscrapers and bustling streets"
    return None


def _end(words: Sequence[Word], head: int) -> int:
    """Where "bouquet of red roses" ends."""
    if v.singular(words[head].lower) not in surroundings.CONTAINERS or word_at(words, head, 1) != "of":
        return head
    last = head + 2
    while word_at(words, last, 0) and words[last].lower in v.MODIFIERS and can_describe(word_at(words, last, 1)):
        last += 1
    return last if can_describe(word_at(words, last, 0)) else head


def _behind_adverb(words: Sequence[Word], first: int, head: int) -> int:
    """Where a phrase begins if an adverb and a verb are in front: "expertly flips eggs", not "freshly cut bread"."""
    for index in range(head - 1, first - 1, -1):
        if words[index].lower.endswith("ly") and words[index].lower not in v.MODIFIERS:
            following = words[index + 1].lower
            is_verb = index + 1 < head and not following.endswith(("ed", "en", "wn")) and following not in v.MODIFIERS
            return index + 2 if is_verb else index + 1
    return first


def _is_participle(words: Sequence[Word], index: int) -> bool:
    """Whether a word is the "preparing" of "of preparing fresh fruit"."""
    lower = words[index].lower
    before = word_at(words, index, -1)
    return lower.endswith("ing") and lower not in v.MODIFIERS and before not in DETERMINERS and before not in TAKING


def _is_known_modifier(word: str) -> bool:
    return word in v.MODIFIERS or "-" in word or v.kind_of(word) in ("garment", "object", "scene")


def _describes_the_next(words: Sequence[Word], index: int) -> bool:
    """Whether a noun is a modifier: "kitchen" of "kitchen counter", "hat" of "hat rack"."""
    following = word_at(words, index, 1)
    if _is_verb(words, index + 1):
        return False
    if words[index].lower == "van" and words[index + 1 : index + 2] and words[index + 1].text[0].isupper():
        return True  # a name
    if v.kind_of(words[index].lower) == "scene" and following in v.PEOPLE:
        return True  # "street musician"
    if words[index].lower == "glass" and following.isalpha() and following not in v.FUNCTION_WORDS:
        return True  # "glass facade"
    return following in v.NOT_A_HEAD_BEFORE or v.kind_of(following) not in (None, "person", "body")


def _kind_of_unknown(words: Sequence[Word], head: int, found: Sequence[NounPhrase]) -> str | None:
    """The kind of a noun that is in no list: "wearing a blue dashiki", "holding a trowel"; None if it is not plain.

    Args:
        found: the phrases in front of it.
    """
    word, following = words[head].lower, word_at(words, head, 1)
    if not _can_be_noun(word) or can_describe(following):
        return None
    if word_at(words, head, -1) in INDEFINITE and following == "," and can_describe(word_at(words, head, 2)):
        return None  # "a sturdy, leather-bound book"
    first = head
    while head - first < REACH and word_at(words, first, -1) in v.MODIFIERS:
        first -= 1
    if first < head and found and found[-1].kind == "garment":
        between = [each.lower for each in words[found[-1].last + 1 : first]]
        if between in ([","], ["and"], [",", "and"]):
            return "garment"  # "a green tunic, brown leather bracers"
    if first < head and word_at(words, first, -1) in v.PUTTING_ON:
        return "garment"  # "wearing white gis"
    while head - first < 4 and can_describe(word_at(words, first, -1)):
        first -= 1
    if word_at(words, first, -1) not in INDEFINITE or any(is_noun(word.lower) for word in words[first:head]):
        return None
    before, earlier = word_at(words, first, -2), word_at(words, first, -3)
    if before in ("in", "inside") and not earlier and word_at(words, head, 1) in (",", "filled", "bathed", "adorned"):
        return None if word in v.NO_PLACES else "scene"
    if before in v.PUTTING_ON or (before == "in" and earlier in v.WEAR_WORDS):
        return "garment"
    return "object" if before in v.GRASPING else None


def _can_be_noun(word: str) -> bool:
    return (
        word.isalpha()
        and not word.endswith(("ing", "ly", "ed", "ous", "ful", "ness", "ion", "ity"))
        and word not in v.NOT_TO_BE_HELD
        and word not in v.MODIFIERS
        and word not in v.FUNCTION_WORDS
        and word not in DETERMINERS
    )


def _continues(words: Sequence[Word], previous: NounPhrase, first: int, head: int) -> bool:
    """Whether a phrase goes on with a list: the tie of "a suit and tie", not the verb of "holding a bag, watches"."""
    word = words[head].lower
    if v.singular(word) != word and not {word, v.singular(word)} & wardrobe.WORN_IN_PAIRS:
        return False
    between = [word.lower for word in words[previous.last + 1 : first]]
    while between and can_describe(between[-1]) and not between[-1].endswith(("s", "ing")):
        between.pop()  # "and sturdy boots"
    following = word_at(words, first, 1)
    if between == [","] and word_at(words, head, 1) not in (",", "and"):
        return False
    return between in (["and"], [","], [",", "and"]) and following not in DETERMINERS - POSSESSIVE_MARKS


def _is_figure_of_speech(words: Sequence[Word], head: int, before: str) -> bool:
    """Whether a thing is none: "a picture of concentration"; "the glass" is a window."""
    if words[head].lower == "glass" and before == "the":
        return True
    what = word_at(words, head, 2)
    return word_at(words, head, 1) == "of" and what.endswith(("ion", "ity", "ness", "ment", "ence", "ance", "joy"))


def _is_absent(words: Sequence[Word], first: int) -> bool:
    """Whether a phrase says what is not there, or is only heard or compared: "no hat", "the sound of birds"."""
    offset = -1
    while word_at(words, first, offset) in _SKIPPED:
        if word_at(words, first, offset) == "no":
            return True
        offset -= 1
    before, earlier = word_at(words, first, offset), word_at(words, first, offset - 1)
    if before in v.NEGATIONS or (before == "of" and earlier in v.SENSED):
        return True
    return before == "like" or (before == "as" and word_at(words, first, offset + 1) in INDEFINITE)


def _is_verb(words: Sequence[Word], index: int) -> bool:
    """Whether a word that looks like a plural is one of those that may be verbs: "the man in the jacket watches"."""
    following = word_at(words, index - 1, 1)
    before = word_at(words, index, -1) if following else ""
    known = v.kind_of(before) is not None or before in v.GROUPS
    return known and is_doubtful(following) and v.singular(following) != following


def _is_verb_before_object(words: Sequence[Word], head: int) -> bool:
    """Whether a word is a verb with its object behind it: "the man mirrors her movements", "to board the plane"."""
    before, following = word_at(words, head, -1), word_at(words, head, 1)
    acts_on = following in DETERMINERS - POSSESSIVE_MARKS or following in v.OBJECT_PRONOUNS
    if before in v.SUBJECTS or (before == "to" and acts_on):
        return True  # "as he scrolls", "leaves that blanket the path"
    if acts_on and before.endswith("s") and before.isalpha() and v.kind_of(before) != "person":
        return before not in DETERMINERS and before not in v.FUNCTION_WORDS  # "leaves blanket the path"
    if not is_doubtful(words[head].lower):
        return False
    if before == "to" and v.singular(words[head].lower) == words[head].lower:
        return True
    if not acts_on:
        return False
    return before not in DETERMINERS and before not in v.MODIFIERS and before not in TAKING
