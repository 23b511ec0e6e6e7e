"""A plan from an English prompt, by rules: quick, without a network, and to be shown to the artist for correction.

Clothes are assigned to the person described at that point: "the man, wearing ...", "a woman in ...", "his ...".
Names of people and other languages are not understood; such a prompt gives a plan with little or nothing in it.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...prompt.match import find_phrase
from ...prompt.phrase_mask import clean_prompt
from . import vocabulary as v
from .people import Cast, Person, mention_at, text_of
from .plan import PersonPlan, ScenePlan
from .words import NounPhrase, Word, noun_phrases, split_words, word_at

MOST_OBJECTS = 3  # what the network was trained with

_LEADING = v.ARTICLES | v.OPINIONS | v.NUMBERS.keys() | {"pair", "of"}  # "in a very stylish", "in a pair of"
# What follows these is another thing, unless it is worn or a part of the body: "a hat on his head".
_NEAR = v.PLACE_WORDS - {"in"} | {"behind", "from", "next", "onto", "toward", "towards", "against", "between"}


def read_prompt(prompt: str) -> ScenePlan:
    """Find people with what they wear, at most 3 objects and the background of a prompt.

    Returns: phrases exactly as in the cleaned prompt, with "#2" where other occurrences of a phrase belong
        to somebody else; an empty plan if nothing is known.
    """
    prompt = clean_prompt(prompt)
    words = split_words(prompt)
    phrases = noun_phrases(words)
    people, loose = _Reading(prompt, words, phrases).read()
    background = _best_background(words, phrases)
    objects = _best_objects(words, [phrase for phrase in loose if phrase is not background], prompt)
    claims = _Claims(prompt)
    for person in people:
        for index in person.mentions:
            claims.add(words[index].start, words[index].end, person)
        for phrase in person.worn:
            claims.add(words[phrase.first].start, words[phrase.last].end, person)
    for phrase in objects:
        claims.add(words[phrase.first].start, words[phrase.last].end, phrase)

    def named(first: int, last: int, owner: object) -> str:
        return claims.phrase(words[first].start, words[last].end, owner)

    plans = []
    for person in people:
        word = (
            person.mentions[0]
            if person.described_at is None or person.described_at not in person.mentions
            else person.described_at
        )
        worn = [named(phrase.first, phrase.last, person) for phrase in person.worn]
        plans.append(PersonPlan(named(word, word, person), tuple(worn)))
    return ScenePlan(
        tuple(plans),
        tuple(named(phrase.first, phrase.last, phrase) for phrase in objects),
        None if background is None else text_of(words, background, prompt),
    )


class _Reading:
    """One walk through the words of a prompt, with what it knows at each: who is described, and by what."""

    def __init__(self, prompt: str, words: Sequence[Word], phrases: Sequence[NounPhrase]):
        self.prompt = prompt
        self.words = words
        self.phrases = {phrase.head: phrase for phrase in phrases}
        self.clothes = [phrase for phrase in phrases if phrase.kind == "garment"]
        self.cast = Cast()
        self.loose: list[NounPhrase] = []  # what belongs to nobody
        self.ahead: list[NounPhrase] = []  # "Wearing a hat, the man ...": worn before we know by whom
        self.described: list[Person] = []
        self.taking = False  # behind "wearing", "holding", "with": the clothes that follow are somebody's
        self.distributive = False  # "both wear a hat"
        self.last_mention = -10
        self.last_kind = ""

    def read(self) -> tuple[list[Person], list[NounPhrase]]:
        """The people in the order of the prompt, and the things that belong to nobody."""
        sentence = 0
        for index, word in enumerate(self.words):
            if word.sentence != sentence:
                self._end_sentence()
                sentence = word.sentence
            self._step(index, word.lower)
        self._end_sentence()
        return self.cast.people, self.loose

    def _step(self, index: int, lower: str) -> None:
        mention = mention_at(self.words, index, self.clothes, self.prompt)
        if mention is not None and (mention.noun or self.cast.people):
            self._describe(self.cast.meet(mention, self.prompt, self.words), joined=self._is_joined(index))
            self.distributive = mention.plural
            self.last_mention = index
        elif lower in v.SUBJECT_PRONOUNS:
            self._describe(self.cast.last(v.SUBJECT_PRONOUNS[lower]))
        elif lower in v.EVERYONE:
            self._describe(self.described if len(self.described) > 1 else self.cast.people)
            self.distributive = True
        elif index in self.phrases:
            self._thing(self.phrases[index])
        elif lower in v.OUTFIT_WORDS and word_at(self.words, index, -1) in v.POSSESSIVES:
            self._describe(self.cast.last(v.POSSESSIVES[word_at(self.words, index, -1)]))
            self.taking = True
        elif lower in v.WEAR_WORDS or lower in v.HOLD_WORDS:
            self.taking = True
        elif lower == "in":
            phrase = self._next_phrase(index)
            self.taking = phrase is not None and phrase.kind == "garment"
        elif lower == "with":
            self.taking = self.last_kind in ("person", "garment", "part", "body")
        elif lower in v.CLAUSE_STARTS:
            self.taking = False
        elif lower in _NEAR:
            phrase = self._next_phrase(index)
            self.taking = self.taking and phrase is not None and phrase.kind in ("body", "garment", "part")

    def _describe(self, people: Sequence[Person], *, joined: bool = False) -> None:
        self.described = self.described + list(people) if joined else list(people)
        self.taking = False
        self.distributive = False
        self.last_kind = "person"
        for phrase in self.ahead:
            self._give(phrase, self.described)
        self.ahead = []

    def _thing(self, phrase: NounPhrase) -> None:
        self.last_kind = phrase.kind
        if phrase.kind == "object":
            self.loose.append(phrase)
        if phrase.kind != "garment":
            return
        owners = self._owners(phrase)
        if owners:
            self._give(phrase, owners)
        elif self.taking:
            self.ahead.append(phrase)
        elif v.singular(self.words[phrase.head].lower) not in v.DOUBTFUL_GARMENTS:
            self.loose.append(phrase)

    def _owners(self, phrase: NounPhrase) -> list[Person]:
        sex = v.POSSESSIVES.get(phrase.before)
        if sex is not None:
            return self.cast.last(sex)
        if phrase.before == "their":
            return self.described or self.cast.people
        if phrase.before in ("'s", "’s"):
            return self.described[-1:]
        behind = word_at(self.words, phrase.head, 2)
        if word_at(self.words, phrase.head, 1) in ("on", "in", "around", "over", "across") and behind in v.POSSESSIVES:
            return self.cast.last(v.POSSESSIVES[behind])
        if not self.taking:
            return []
        noun = self.words[phrase.head].lower
        # "A man and a woman in white shirts" both wear one, "a man and a woman in a red dress" do not.
        several = noun != v.singular(noun) and noun not in v.WORN_IN_PAIRS
        several = several and v.singular(noun) not in v.WORN_IN_PAIRS
        return self.described if several or self.distributive else self.described[-1:]

    def _give(self, phrase: NounPhrase, owners: Sequence[Person]) -> None:
        head = v.singular(self.words[phrase.head].lower)
        if phrase.before == "the" and any(self._has(person, head, phrase) for person in self.cast.people):
            return  # "the jacket" is the one that was named before
        for person in owners:
            if not self._has(person, head, phrase):
                person.wear(phrase)

    def _has(self, person: Person, head: str, phrase: NounPhrase) -> bool:
        """Whether a person wears this already: the same noun, and nothing in the phrase that was not said before."""
        description = {word.lower for word in self.words[phrase.first : phrase.head]}
        return any(
            v.singular(self.words[worn.head].lower) == head
            and description <= {word.lower for word in self.words[worn.first : worn.head]}
            for worn in person.worn
        )

    def _is_joined(self, index: int) -> bool:
        """Whether only "and", commas and articles are between this mention and the one before."""
        between = range(self.last_mention + 1, index)
        return 1 <= len(between) <= 4 and all(
            self.words[i].lower in v.ARTICLES | {"and", ",", "&"} or self.words[i].lower in v.MODIFIERS for i in between
        )

    def _next_phrase(self, index: int) -> NounPhrase | None:
        """The phrase that begins behind this word, with nothing but an article and the like between."""
        phrase = next((phrase for phrase in self.phrases.values() if phrase.head > index), None)
        if phrase is None or any(word.lower not in _LEADING for word in self.words[index + 1 : phrase.first]):
            return None
        return phrase

    def _end_sentence(self) -> None:
        for phrase in self.ahead:
            self._give(phrase, self.described)
        self.ahead = []
        self.taking = self.distributive = False
        self.last_mention = -10
        self.last_kind = ""


class _Claims:
    """Spans of the prompt by owner, which distinguish a phrase from its other occurrences."""

    def __init__(self, prompt: str):
        self.prompt = prompt
        self.spans: list[tuple[int, int, object]] = []

    def add(self, start: int, end: int, owner: object) -> None:
        self.spans.append((start, end, owner))

    def phrase(self, start: int, end: int, owner: object) -> str:
        """The text of a stretch, numbered if it occurs in what belongs to others."""
        text = self.prompt[start:end]
        occurrences = find_phrase(text, self.prompt)
        others = [(a, b) for a, b, whose in self.spans if whose is not owner and (a, b) != (start, end)]
        if any(a < d and c < b for a, b in occurrences for c, d in others):
            return f"{text}#{occurrences.index((start, end)) + 1}"
        return text


def _best_objects(words: Sequence[Word], loose: Sequence[NounPhrase], prompt: str) -> list[NounPhrase]:
    """The objects that are easiest to show, at most three, in the order of the prompt."""
    kept: list[NounPhrase] = []
    for phrase in loose:
        noun = v.singular(words[phrase.head].lower)
        known = [other for other in kept if v.singular(words[other.head].lower) == noun]
        again = not phrase.described or text_of(words, phrase, prompt) in [text_of(words, o, prompt) for o in known]
        if not (known and again) and not (noun == "camera" and phrase.before == "the"):
            kept.append(phrase)

    def rank(phrase: NounPhrase) -> tuple[bool, bool, bool]:
        fixed = v.singular(words[phrase.head].lower) in v.FIXTURES
        return fixed, not phrase.described, phrase.before == "the"

    return sorted(sorted(kept, key=rank)[:MOST_OBJECTS], key=lambda phrase: phrase.head)


def _best_background(words: Sequence[Word], phrases: Sequence[NounPhrase]) -> NounPhrase | None:
    """The place where it happens: behind a preposition before one that is only named, described before a bare one."""
    ranked = []
    for phrase in phrases:
        noun = v.singular(words[phrase.head].lower)
        article = phrase.before in v.ARTICLES
        preposition = word_at(words, phrase.first, -2) if article else phrase.before
        if phrase.kind == "scene":
            rank = 0 if preposition in v.PLACE_WORDS else 2
            ranked.append((rank, not phrase.described, phrase.head, phrase))
        elif (phrase.kind == "backdrop" and preposition in v.BACKDROP_WORDS) or (
            noun in v.VEHICLES and preposition in ("in", "inside", "aboard")
        ):
            ranked.append((1, not phrase.described, phrase.head, phrase))
    return min(ranked, key=lambda entry: entry[:3])[3] if ranked else None
