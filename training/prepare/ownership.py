"""What was found in a frame, and whether it is certain whose it is: the rules by which a reference is kept.

A face or an attribute belongs to a person if most of it is inside that person's mask, and clearly more of it than in
anybody else's. What could be several things, or somebody else's, is no reference: a wrong one teaches the network to
mix people up, a missing one costs a sample.
"""

from __future__ import annotations

from collections.abc import Sequence

from lumosx_core.auto_scene.cutouts.known_faces import face_share_in
from lumosx_core.auto_scene.cutouts.regions import Face, Region
from lumosx_core.auto_scene.instances import Instance
from lumosx_core.auto_scene.persons import Person

from .scene_settings import ReferenceSettings


def face_problem(face: Face, owner: int, people: Sequence[Person], settings: ReferenceSettings) -> str:
    """Why a face may not be this person's; empty if it is.

    Args:
        owner: index into `people`, who are all in the frame, with regions as far as they have one.
    """
    shares = [0.0 if each.region is None else face_share_in(face, each.region) for each in people]
    return _problem(shares, owner, settings)


def attribute_problem(
    region: Region,
    candidates: Sequence[Instance],
    owner: int,
    people: Sequence[Person],
    settings: ReferenceSettings,
) -> str:
    """Why what was cut out may not be this person's attribute; empty if it is.

    Args:
        candidates: everything that its phrase found near this person.
    """
    if problem := _problem(_shares(region, people), owner, settings):
        return problem
    theirs = [each.region for each in candidates if not _problem(_shares(each.region, people), owner, settings)]
    return _several(theirs, settings)


def object_problem(
    region: Region, candidates: Sequence[Instance], people: Sequence[Person], settings: ReferenceSettings
) -> str:
    """Why what was cut out may not be the object that nobody wears or carries; empty if it is."""
    inside = max(_shares(region, people), default=0.0)
    if inside >= settings.min_inside:
        return f"{inside:.0%} of it are inside a person"
    free = [each for each in candidates if max(_shares(each.region, people), default=0.0) < settings.min_inside]
    return _several([each.region for each in free], settings)


def _problem(shares: Sequence[float], owner: int, settings: ReferenceSettings) -> str:
    own = shares[owner]
    other = max((share for index, share in enumerate(shares) if index != owner), default=0.0)
    if own < settings.min_inside:
        return f"{own:.0%} of it are inside the owner, expected {settings.min_inside:.0%} or more"
    if own - other < settings.min_lead:
        return f"{own:.0%} of it are inside the owner and {other:.0%} inside somebody else"
    return ""


def _shares(region: Region, people: Sequence[Person]) -> list[float]:
    return [0.0 if each.region is None else region.share_in(each.region) for each in people]


def _several(regions: Sequence[Region], settings: ReferenceSettings) -> str:
    """What to say about several different regions; nothing for one, however often it was found."""
    different: list[Region] = []
    for region in regions:
        if all(_overlap(region, other) < settings.same_region for other in different):
            different.append(region)
    return f"its words fit {len(different)} regions" if len(different) > 1 else ""


def _overlap(one: Region, other: Region) -> float:
    """Intersection over union."""
    common = one.share_in(other) * one.area
    return common / max(1e-6, one.area + other.area - common)
