"""Which person each word of a plan means, and ownership of things: regions and scores in, owners out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .cutouts.regions import Region
from .instances import Instance
from .persons import Person, cheapest
from .plan.plan import detector_word

# Two regions are one thing above this fraction: of the smaller one between two people, for one of them may see a part
# of it only; of both together for one person, whose necklace is wholly inside the shirt.
SAME_THING = 0.5
STRAY = 0.5  # a thing is somebody else's if it is this much more in their region than in one's own
# Among the scores: who shows a face is rather meant than who does not, for a face is what a subject is known by.
FACE_SEEN = 0.3
ORDER = 1e-4  # what a place in the row counts against scores: it decides only between equals


def name_people(words: Sequence[str], people: Sequence[Person]) -> list[int | None]:
    """Which person each word of the plan means.

    The scores of all words together are made as high as possible, people with a face before those without; between
    equals the order decides: words in the order of the plan, people photo by photo and from left to right.
    Words that a detector cannot tell apart ("man#1", "man#2") always keep that order.

    Args:
        words: of the plan, e.g. "man" or "man#2"; "" for a person without a word.
        people: in the order of photos, from left to right.

    Returns: an index into `people` for each word; None for words without anybody left.
    """
    sought = [detector_word(word) for word in words]
    costs = [
        [
            ORDER * abs(w - p) - person.scores.get(word, 0.0) - (FACE_SEEN if person.face else 0.0)
            for p, person in enumerate(people)
        ]
        for w, word in enumerate(sought)
    ]
    chosen = dict(cheapest(costs)) if words and people else {}
    for word in set(sought):
        alike = [w for w, other in enumerate(sought) if other == word]
        found = sorted(chosen.pop(w) for w in alike if w in chosen)
        chosen |= dict(zip(alike, found, strict=False))
    return [chosen.get(w) for w in range(len(words))]


@dataclass(frozen=True, eq=False)
class Claim:
    """Something found while looking for a person's attribute.

    Args:
        owner: index of the person for whom it was looked for.
        attribute: index of the attribute in that person's plan.
    """

    owner: int
    attribute: int
    instance: Instance


def settle_claims(claims: Sequence[Claim], people: Sequence[Person]) -> dict[tuple[int, int], Instance]:
    """Which thing each attribute of each person is.

    What is in a person's region fits best; what is in another person's is theirs, even if it was found in one's
    own box, as with people who stand close together. One thing goes to one person, and to one attribute as long as
    there is another one to choose.

    Args:
        people: everyone in the photo to which the claims belong, those without a part in the plan included.

    Returns: (owner, attribute) -> instance, for what could be settled.
    """
    weights = [(_weight(claim, people), claim) for claim in claims]
    ranked = [pair for pair in sorted(weights, key=lambda pair: -pair[0]) if pair[0] > 0]
    settled: dict[tuple[int, int], Instance] = {}
    for shared in (False, True):  # at the second look a thing may be two attributes of one person ("suit", "jacket")
        for _, claim in ranked:
            if (claim.owner, claim.attribute) in settled:
                continue
            rivals = {owner for (owner, _), other in settled.items() if _same(claim, owner, other.region)}
            if not rivals or (shared and rivals == {claim.owner}):
                settled[claim.owner, claim.attribute] = claim.instance
    return settled


def _weight(claim: Claim, people: Sequence[Person]) -> float:
    own = _lies_in(claim.instance.region, people[claim.owner])
    others = [_lies_in(claim.instance.region, person) for p, person in enumerate(people) if p != claim.owner]
    lead = max(others, default=0.0) - own
    return 0.0 if lead > STRAY else claim.instance.score * (1 - max(0.0, lead))


def _lies_in(region: Region, person: Person) -> float:
    return region.share_in(person.region) if person.region is not None else region.box.share_in(person.box)


def _same(claim: Claim, owner: int, region: Region) -> bool:
    mine = claim.instance.region
    if owner != claim.owner:
        return max(mine.share_in(region), region.share_in(mine)) > SAME_THING
    common = mine.share_in(region) * mine.area
    return common > SAME_THING * (mine.area + region.area - common)
