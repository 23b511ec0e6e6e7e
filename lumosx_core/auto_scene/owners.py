"""Identity of the people in photos and ownership of things: boxes, regions and scores in, owners out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..errors import MissingPackageError
from .cutouts.regions import Box, Detection, Face, Region
from .instances import Instance
from .plan.plan import detector_word

# Two boxes of people are one person above this intersection over union ("man" and "person" find the same one).
SAME_PERSON = 0.6
# Two regions are one thing above this fraction: of the smaller one between two people, for one of them may see a part
# of it only; of both together for one person, whose necklace is wholly inside the shirt.
SAME_THING = 0.5
# A face belongs to the person in whose box it is high up: its centre within this fraction of the height.
FACE_WITHIN = 0.5
NOT_THEIRS = 10.0  # as a distance of a face: more than any within a box, and finite, as the assignment asks for
# A body around a face, in widths and heights of the face: shoulders three faces wide, a figure seven and a half high.
BODY_SIDE, BODY_ABOVE, BODY_BELOW = 1.2, 0.4, 6.0
STRAY = 0.5  # a thing is somebody else's if it is this much more in their region than in one's own
# Among the scores: who shows a face is rather meant than who does not, for a face is what a subject is known by.
FACE_SEEN = 0.3
ORDER = 1e-4  # what a place in the row counts against scores: it decides only between equals


@dataclass(frozen=True, eq=False)
class Person:
    """Somebody seen in a photo.

    Args:
        photo: index of the photo.
        box: of the whole figure, in its pixels.
        face: None if the face is not seen.
        scores: for each word that was looked for, how well it fits, 0..1.
        region: None as long as the figure is not masked.
    """

    photo: int
    box: Box
    face: Face | None
    scores: dict[str, float]
    region: Region | None = None


def people_of(
    photo: int,
    faces: Sequence[Face],
    detections: Mapping[str, Sequence[Detection]],
    height: int,
    width: int,
) -> list[Person]:
    """The people of one photo, from left to right.

    Boxes found for several words are joined to people, and each face is given to the person in whose box it lies
    highest and most in the middle. A face in nobody's box is a person of its own, with a box as large as a figure
    around such a face.

    Args:
        detections: for each word, the boxes found.
    """
    people: list[Person] = []
    found = [(detection, word) for word, each in detections.items() for detection in each]
    for detection, word in sorted(found, key=lambda pair: -pair[0].score):
        same = next((i for i, person in enumerate(people) if person.box.iou(detection.box) > SAME_PERSON), None)
        if same is None:
            people.append(Person(photo, detection.box, None, {word: detection.score}))
        else:
            people[same].scores.setdefault(word, detection.score)
    people, unclaimed = _give_faces(people, faces)
    for face in unclaimed:
        body = Box(
            face.box.left - BODY_SIDE * face.box.width,
            face.box.top - BODY_ABOVE * face.box.height,
            face.box.right + BODY_SIDE * face.box.width,
            face.box.bottom + BODY_BELOW * face.box.height,
        )
        people.append(Person(photo, body.within(height, width), face, {}))
    return sorted(people, key=lambda person: (person.face or person).box.centre)


def _give_faces(people: list[Person], faces: Sequence[Face]) -> tuple[list[Person], list[Face]]:
    """Each face to at most one person; the faces left over."""
    if not people or not faces:
        return people, list(faces)
    costs = [[_distance(face.box, person.box) for person in people] for face in faces]
    people, unclaimed = list(people), []
    pairs = dict(_cheapest(costs))
    for f, face in enumerate(faces):
        p = pairs.get(f)
        if p is None or costs[f][p] == NOT_THEIRS:
            unclaimed.append(face)
        else:
            people[p] = replace(people[p], face=face)
    return people, unclaimed


def _distance(face: Box, person: Box) -> float:
    """How far a face is from where a person's face would be, as a fraction of the person's box; or NOT_THEIRS."""
    x, y = face.centre
    if not person.width or not person.height:
        return NOT_THEIRS
    right, down = (x - person.left) / person.width, (y - person.top) / person.height
    if not 0 <= right <= 1 or not 0 <= down <= FACE_WITHIN or face.width > 1.2 * person.width:
        return NOT_THEIRS
    return abs(right - 0.5) + down


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
    chosen = dict(_cheapest(costs)) if words and people else {}
    for word in set(sought):
        alike = [w for w, other in enumerate(sought) if other == word]
        found = sorted(chosen.pop(w) for w in alike if w in chosen)
        chosen |= dict(zip(alike, found, strict=False))
    return [chosen.get(w) for w in range(len(words))]


def _cheapest(costs: list[list[float]]) -> list[tuple[int, int]]:
    """Pairs of row and column with the lowest sum of costs."""
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError as error:
        raise MissingPackageError("scipy", "Telling who is who in a photo", error) from error
    rows, columns = linear_sum_assignment(costs)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


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
