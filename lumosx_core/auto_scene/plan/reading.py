"""One walk through the words of a prompt, which gives each garment to the person who is described at that point."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from . import surroundings, wardrobe
from . import vocabulary as v
from .cast import Cast, Person
from .grammar import is_apposition, is_joined, is_worn_outfit, link_of, looks_like_verb, possessive_of
from .people import Mention, find_names, mention_at, text_of
from .words import POSSESSIVE_MARKS, NounPhrase, Word, word_at

_LEADING = v.ARTICLES | v.OPINIONS | v.NUMBERS.keys() | {"pair", "of"}  # "in a very stylish", "in a pair of"
# What follows these is another thing, unless it is worn or a part of the body: "a hat on his head".
_NEAR = surroundings.PLACE_WORDS - {"in"}
_NEAR |= {"behind", "from", "next", "onto", "toward", "towards", "against", "between"}
_TAKING = v.WEAR_WORDS | v.HOLD_WORDS
_JOINING = frozenset({"and", "or", "but", "while", "as", "where", "when", "that", ",", "&", ":", "is", "are", ""})
_ON_BODY = ("on", "in", "around", "over", "across")
_REACH = 20  # words from "in" to the noun behind it
_EVERYONE_DOES = _TAKING | v.COPULAS | {"in", "of", ",", "with", "adorned"}


class Reading:
    """What is known at each word of a prompt: who is described, and whether clothes that follow are theirs.

    Args:
        say: receives a sentence for each garment that is left out, as its owner is not certain.
    """

    def __init__(
        self, prompt: str, words: Sequence[Word], phrases: Sequence[NounPhrase], say: Callable[[str], None]
    ) -> None:
        self.prompt = prompt
        self.words = words
        self.say = say
        self.phrases = {phrase.head: phrase for phrase in phrases}
        self.covered = {i for phrase in phrases for i in range(phrase.opening, phrase.last + 1)}
        self.clothes = [phrase for phrase in phrases if phrase.kind == "garment"]
        self.names = find_names(words, self.clothes)
        self.cast = Cast(words, prompt)
        self.loose: list[NounPhrase] = []  # what belongs to nobody
        self.ahead: list[NounPhrase] = []  # "Wearing a hat, the man ...": worn before we know by whom
        self.described: list[Person] = []
        self.subject: list[Person] = []  # of this sentence
        self.met: list[Person] = []  # by the last mention
        self.taking = False  # behind "wearing", "holding", "with": the clothes that follow are somebody's
        self.unsure = False  # and it is not certain whose
        self.distributive = False  # "both wear a hat"
        self.together = False  # "a couple in a shirt and a dress": not both of them wear both
        self.worn_by_things = False  # "a dog wearing a hat"
        self.absent = False  # "not wearing a hat"
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
        worn = {self._noun(phrase) for person in self.cast.people for phrase in person.worn}
        # "The robe swirls around them": what somebody wears is spoken of again.
        loose = [phrase for phrase in self.loose if phrase.kind != "garment" or self._noun(phrase) not in worn]
        return self.cast.people, loose

    def _step(self, index: int, lower: str) -> None:
        following = word_at(self.words, index, 1)
        mention = mention_at(self.words, index, self.clothes, self.prompt, self.names)
        if mention is not None and (mention.noun or mention.name or self.cast.people):
            self._mention(index, mention)
        elif lower in v.SUBJECT_PRONOUNS:
            self._pronoun(v.SUBJECT_PRONOUNS[lower])
        elif lower == "they" or (lower in v.EVERYONE and following in _EVERYONE_DOES):
            self._describe(self.described if len(self.described) > 1 or lower == "they" else self.cast.people)
            self.distributive = True
        elif index in self.phrases:
            self._thing(self.phrases[index])
        elif lower in wardrobe.OUTFIT_WORDS and (whose := possessive_of(self.words, index)):
            self._pronoun(v.POSSESSIVES[whose])
            self.taking = True
        elif lower in wardrobe.OUTFIT_WORDS and self.described and is_worn_outfit(self.words, index):
            self.taking = True
        elif lower in _TAKING:
            self._take(index, lower)
        elif lower == "on" and word_at(self.words, index, -1) in v.PUTTING:
            # "Puts on a coat", but "in a hat ... puts on a helmet" is what they wear later.
            self.taking = not any(person.worn for person in self.described)
        elif lower == "in":
            phrase = self._next_phrase(index)
            self.taking = phrase is not None and phrase.kind == "garment"
        elif lower == "with":
            self.taking = self.last_kind in ("person", "garment", "part", "body")
        elif lower in v.CLAUSE_STARTS or self._is_verb(index, lower):
            self.taking = False
        elif lower in _NEAR:
            phrase = self._next_phrase(index)
            self.taking = self.taking and phrase is not None and phrase.kind in ("body", "garment", "part")

    def _mention(self, index: int, mention: Mention) -> None:
        before = word_at(self.words, mention.first, -1)
        earlier = word_at(self.words, mention.first, -2 if before in v.ARTICLES else -1)
        if before in v.NEGATIONS or earlier in {"or", "like", "than", "without"}:
            return  # "a doctor or nurse", "like a king": nobody else is there
        if self._says_more(mention):
            if mention.name and self._is_predicate(mention):
                self.described[0].names.add(mention.name)  # "a woman named Maria"
            elif not self._is_predicate(mention):
                self.cast.more(self.described[0], mention)
                self.last_mention = index
            self.last_kind = "person"
            return
        if mention.plural and self.described and self._is_predicate(mention):
            return
        met = self.cast.meet(mention)
        if not met:
            return  # "players": nobody in particular
        joined = bool(mention.noun or mention.name) and is_joined(self.words, index, self.last_mention)
        self._describe(met, joined=joined)
        self.met = met
        if not self.subject or joined or earlier in _JOINING:
            self.subject = self.described
        self.distributive = mention.plural
        apart = {word.lower for word in self.words[max(mention.first - 3, 0) : mention.first]} & v.EVERYONE
        self.together = mention.plural and not apart  # "each of the two girls"
        self.last_mention = index
        # "One wears a red helmet, and the other a blue cap"
        self.taking = not mention.noun and not mention.name and word_at(self.words, index, 1) in ("a", "an")

    def _pronoun(self, sex: str) -> None:
        people = self.cast.last(sex)
        self._describe(people)
        self.subject = people
        self.unsure = not people and self.cast.could_be(sex)

    def _take(self, index: int, lower: str) -> None:
        if lower == "sports" and word_at(self.words, index, 1) not in v.ARTICLES:
            return  # "a sports bra"
        before = word_at(self.words, index, -1)
        if before in v.NEGATIONS or (before == "t" and word_at(self.words, index, -3).endswith("n")):  # "isn't"
            self.taking, self.absent = False, True
            return
        self.absent = False
        by_thing = index - 1 in self.phrases and self.phrases[index - 1].kind == "object"
        self.worn_by_things = by_thing and not self.subject
        self.taking = not self.worn_by_things
        # "A man sits beside a woman, wearing a hat": either of them.
        oblique = bool(self.subject and self.met) and not any(person in self.subject for person in self.met)
        oblique = oblique and lower.endswith("ing") and not any(person.worn for person in self.subject)
        if oblique and before == "," and self.last_mention == index - 2 and self.described == self.met:
            self.unsure = True

    def _describe(self, people: Sequence[Person], *, joined: bool = False) -> None:
        self.described = [p for p in self.described if joined and p not in people] + list(people)
        self.taking = self.distributive = self.together = self.unsure = self.worn_by_things = self.absent = False
        self.last_kind = "person"
        for phrase in self.ahead:
            self._give(phrase, self.described)
        self.ahead = []

    def _thing(self, phrase: NounPhrase) -> None:
        if self.absent and phrase.kind == "garment":
            return
        under = self.last_kind == "body" and word_at(self.words, phrase.opening, -1) in ("under", "beneath")
        self.last_kind = phrase.kind
        if phrase.kind == "object":
            self.loose.append(phrase)
        if phrase.kind != "garment":
            return
        if [word_at(self.words, phrase.head, offset) for offset in (1, 2)] == ["worn", "by"]:
            self.ahead.append(phrase)
            return
        if phrase.before in POSSESSIVE_MARKS and v.kind_of(word_at(self.words, phrase.opening, -1)) == "object":
            return  # "the giraffe's coat"
        if self._noun(phrase) in ("heel", "heels") and not phrase.described and phrase.before in v.POSSESSIVES:
            return  # "he digs his heels into the grass"
        owners = self._owners(phrase, under)
        single = phrase.before in ("a", "an") and self._noun(phrase) not in wardrobe.WORN_IN_PAIRS
        if self.together and single and len(owners) > 1:
            owners, self.unsure = [], True
        if owners:
            self._give(phrase, owners)
        elif self.unsure and (self.taking or phrase.before in v.POSSESSIVES):
            text = text_of(self.words, phrase, self.prompt)
            self.say(
                f'It is not certain from the prompt who has "{text}", so it was left out. Add it to the plan, or let '
                f"the language model read the prompt."
            )
        elif self.taking and not self.described:
            self.ahead.append(phrase)
        elif phrase.before == "the" and not phrase.described and self.cast.people:
            return  # "the pants" of what was said before
        elif self._noun(phrase) not in wardrobe.DOUBTFUL_GARMENTS or phrase.described:
            self.loose.append(phrase)

    def _owners(self, phrase: NounPhrase, under: bool) -> list[Person]:
        """Whose a garment is; nobody's if the prompt does not say it.

        Args:
            under: a part of a body is beneath it: "his brow under a hat".
        """
        sex = v.POSSESSIVES.get(phrase.before)
        if sex is not None:
            people = self.cast.last(sex)
            self.unsure = self.unsure or (not people and self.cast.could_be(sex))
            return people
        if phrase.before == "their":
            one = len(self.described) == 1 and bool(self.described[0].sex)  # who would be "his" or "her"
            return self.cast.people if one or not self.described else self.described
        if phrase.before in POSSESSIVE_MARKS:
            return self.met if self.last_mention == phrase.opening - 1 else []  # "the coat's collar" has no owner
        behind = word_at(self.words, phrase.head, 2)
        if word_at(self.words, phrase.head, 1) in _ON_BODY and behind in v.POSSESSIVES:
            return self.cast.last(v.POSSESSIVES[behind])
        if word_at(self.words, phrase.head, 1) in _ON_BODY and behind == "their" and len(self.described) == 1:
            return self.described
        if (under or self._is_tag(phrase)) and len(self.described) == 1:
            return self.described
        if not self.taking or self.unsure:
            return []
        if phrase.before == "the" and word_at(self.words, phrase.opening, -1) not in _TAKING | {"in", "with"}:
            return []  # "her hands on the coat": whose coat?
        noun = self.words[phrase.head].lower
        # "A man and a woman in white shirts" both wear one, "a man and a woman in a red dress" do not.
        plural = noun != v.singular(noun) or (v.kind_of(noun) is None and noun.endswith("s"))
        several = plural and noun not in wardrobe.WORN_IN_PAIRS
        several = several and v.singular(noun) not in wardrobe.WORN_IN_PAIRS
        return self.described if several or self.distributive else self.described[-1:]

    def _is_tag(self, phrase: NounPhrase) -> bool:
        """Whether a garment is one of a list of tags behind a person: "man, red hat, blue jeans"."""
        if phrase.before != "," or phrase.first < 2:
            return False
        worn = [each for person in self.described for each in person.worn]
        return phrase.first - 2 in [self.last_mention, *(each.last for each in worn)] and not self.taking

    def _give(self, phrase: NounPhrase, owners: Sequence[Person]) -> None:
        head = self._noun(phrase)
        if phrase.before == "the" and any(self._has(person, head, phrase) for person in self.cast.people):
            return  # "the jacket" is the one that was named before
        again = phrase.before in {"the", "their", *v.POSSESSIVES, *POSSESSIVE_MARKS}
        for person in owners:
            if not self._has(person, head, phrase) and not (again and self._has_one(person, head, phrase)):
                person.wear(phrase)

    def _has(self, person: Person, head: str, phrase: NounPhrase) -> bool:
        """Whether a person wears this already: the same noun, and nothing in the phrase that was not said before."""
        description = {word.lower for word in self.words[phrase.first : phrase.head]}
        return any(
            self._noun(worn) == head and description <= {word.lower for word in self.words[worn.first : worn.head]}
            for worn in person.worn
        )

    def _has_one(self, person: Person, head: str, phrase: NounPhrase) -> bool:
        """Whether "his bright red jersey" is the red one that he was said to wear: no other colour."""
        colours = {word.lower for word in self.words[phrase.first : phrase.head]} & v.COLOURS
        known = [
            {word.lower for word in self.words[worn.first : worn.head]} & v.COLOURS
            for worn in person.worn
            if self._noun(worn) == head
        ]
        return any(not colours or not worn or colours & worn for worn in known)

    def _noun(self, phrase: NounPhrase) -> str:
        return v.singular(self.words[phrase.head].lower)

    def _is_verb(self, index: int, lower: str) -> bool:
        """Whether what somebody does begins behind their clothes: "in a red coat, carefully places shirts"."""
        if not self.taking or index in self.covered or self.last_kind not in ("garment", "part", "body"):
            return False
        return looks_like_verb(self.words, index)

    def _says_more(self, mention: Mention) -> bool:
        """Whether a mention names the person again who is described: "is a nurse", "one person, a young man"."""
        if mention.plural or len(self.described) != 1:
            return False
        person = self.described[0]
        if self._is_predicate(mention):  # "the dancer, dressed as a pirate"
            return not (person.sex and mention.sex and person.sex != mention.sex)
        return self.cast.can_mean(person, mention) and self._is_apposition(mention)

    def _is_predicate(self, mention: Mention) -> bool:
        """Whether a noun says what the subject is: "he is likely a doctor", "dressed as a wizard"."""
        link = link_of(self.words, mention)
        if link in ("named", "as"):
            return True
        if link != "is":
            return False
        return bool(self.subject) and self.described == self.subject

    def _is_apposition(self, mention: Mention) -> bool:
        return self.met == self.described and is_apposition(self.words, mention, self.last_mention)

    def _next_phrase(self, index: int) -> NounPhrase | None:
        """The phrase that begins behind this word, with nothing but an article and the like between."""
        heads = range(index + 1, min(index + _REACH, len(self.words)))
        phrase = next((self.phrases[i] for i in heads if i in self.phrases), None)
        if phrase is None or any(word.lower not in _LEADING for word in self.words[index + 1 : phrase.opening]):
            return None
        return phrase

    def _end_sentence(self) -> None:
        for phrase in self.ahead:
            self._give(phrase, self.described)
        self.ahead = []
        self.subject, self.met = [], []
        self.taking = self.distributive = self.together = self.unsure = self.worn_by_things = self.absent = False
        self.last_mention = -10
        self.last_kind = ""
