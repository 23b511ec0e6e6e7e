"""Plants faults into true clips, each of which a strict examination must refuse."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..appearance import NEW_PATTERNS, OBJECTS, PATTERNS, PLACES, Garment, Place, Wardrobe
from ..casting import GlyphPerson, GlyphScene
from ..clip import Box, film
from ..drawing import HEAD

Rebuild = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Plant:
    """What a fault is planted into.

    Args:
        scene: the scene that the clip should show.
        size: frames, height and width of the clip.
        chance: the source of all choices.
        rebuild: passes a clip, (F, H, W, 3) in 0..1, through a VAE. Faults are planted after that: a VAE would repair
            some of them, such as a single frame that differs.
    """

    scene: GlyphScene
    size: tuple[int, int, int]
    chance: random.Random
    rebuild: Rebuild

    def film(self, scene: GlyphScene) -> Tensor:
        """(F, H, W, 3)."""
        return self.rebuild(film(scene, *self.size).frames)

    @property
    def true(self) -> Tensor:
        return self.film(self.scene)

    @property
    def stranger(self) -> GlyphScene:
        """Another scene of as many people."""
        wardrobe = Wardrobe(self.chance, new=True)
        people = tuple(
            replace(person, face=wardrobe.face(person.noun), shirt=wardrobe.garment()) for person in self.scene.people
        )
        return replace(self.scene, people=people)


def exchanged(scene: GlyphScene) -> GlyphScene:
    """The scene with everybody in the next one's place."""
    places = [(person.x, person.drift, person.bounce) for person in scene.people]
    return replace(
        scene,
        people=tuple(
            replace(person, x=x, drift=drift, bounce=bounce)
            for person, (x, drift, bounce) in zip(scene.people, places[1:] + places[:1], strict=True)
        ),
    )


def noise_frames(plant: Plant) -> Tensor:
    """All frames but the middle one are noise."""
    frames = plant.true
    noise = torch.rand(frames.shape, generator=torch.Generator().manual_seed(plant.chance.getrandbits(32)))
    noise[len(noise) // 2] = frames[len(frames) // 2]
    return noise


def one_noise_frame(plant: Plant) -> Tensor:
    """One frame, not the middle one, is noise."""
    frames = plant.true
    number = _other_frame(plant)
    noise = torch.rand(frames[0].shape, generator=torch.Generator().manual_seed(plant.chance.getrandbits(32)))
    frames[number] = noise
    return frames


def double_exposure(plant: Plant) -> Tensor:
    """60 % of the clip and 40 % of the one with exchanged people."""
    return 0.6 * plant.true + 0.4 * plant.film(exchanged(plant.scene))


def stranger_exposure(plant: Plant) -> Tensor:
    """60 % of the clip and 40 % of strangers in the same places."""
    return 0.6 * plant.true + 0.4 * plant.film(plant.stranger)


def twice(plant: Plant) -> Tensor:
    """Somebody is there twice."""
    person = plant.chance.choice(plant.scene.people)
    return plant.film(replace(plant.scene, people=(_elsewhere(plant, person), *plant.scene.people)))


def extra_stranger(plant: Plant) -> Tensor:
    """Somebody is there who is not in the scene."""
    person = _elsewhere(plant, plant.chance.choice(plant.stranger.people))
    return plant.film(replace(plant.scene, people=(person, *plant.scene.people)))


def black_background(plant: Plant) -> Tensor:
    """The background is black."""
    return plant.true * _figures(plant)


def other_background(plant: Plant) -> Tensor:
    """Another place is behind the people."""
    place = plant.scene.place
    while place == plant.scene.place or (place and plant.scene.place and place.kind == plant.scene.place.kind):
        place = Wardrobe(plant.chance, new=True).place()
    return plant.film(replace(plant.scene, place=place))


def other_structure(plant: Plant) -> Tensor:
    """The background has its colours, and is of another kind."""
    place = plant.scene.place
    assert place is not None
    kind = plant.chance.choice([kind for kind in PLACES if kind != place.kind])
    return plant.film(replace(plant.scene, place=replace(place, kind=kind)))


def missing_object(plant: Plant) -> Tensor:
    """The object is not there."""
    return plant.film(replace(plant.scene, thing=None))


def other_object(plant: Plant) -> Tensor:
    """Another kind of object has its colours."""
    assert plant.scene.thing is not None
    kinds = [kind for kind in OBJECTS if kind != plant.scene.thing.kind]
    return plant.film(replace(plant.scene, thing=replace(plant.scene.thing, kind=plant.chance.choice(kinds))))


def blurred(plant: Plant) -> Tensor:
    """Everything is blurred by half a head."""
    return _blur(plant.true)


def half_blurred_heads(plant: Plant) -> Tensor:
    """Half of one head is blurred beyond recognition."""
    frames = plant.true
    soft = _blur(frames, HEAD[0] - 1)
    for frame, regions in enumerate(_somebodys_regions(plant)):
        left, top, right, bottom = (max(0, round(edge)) for edge in regions["face"])
        half = slice(left, (left + right) // 2)
        frames[frame, top:bottom, half] = soft[frame, top:bottom, half]
    return frames


def frozen(plant: Plant) -> Tensor:
    """Nothing moves."""
    frames = film(plant.scene, *plant.size).frames
    return plant.rebuild(frames[len(frames) // 2].expand_as(frames).clone())


def held_frame(plant: Plant) -> Tensor:
    """The middle frame is shown all the time."""
    frames = plant.true
    return frames[len(frames) // 2].expand_as(frames).clone()


def flicker(plant: Plant) -> Tensor:
    """Every other frame shows strangers."""
    frames = plant.true
    frames[::2] = plant.film(plant.stranger)[::2]
    return frames


def swapped_halfway(plant: Plant) -> Tensor:
    """People exchange their places in the second half."""
    frames = plant.true
    frames[len(frames) // 2 + 1 :] = plant.film(exchanged(plant.scene))[len(frames) // 2 + 1 :]
    return frames


def shirts_swapped_halfway(plant: Plant) -> Tensor:
    """People exchange their shirts in the second half."""
    people = plant.scene.people
    shirts = [person.shirt for person in (*people[1:], people[0])]
    other = replace(
        plant.scene, people=tuple(replace(person, shirt=s) for person, s in zip(people, shirts, strict=True))
    )
    frames = plant.true
    frames[len(frames) // 2 + 1 :] = plant.film(other)[len(frames) // 2 + 1 :]
    return frames


def other_pattern(plant: Plant) -> Tensor:
    """One shirt has another pattern in its own colours."""
    index = plant.chance.choice([i for i, each in enumerate(plant.scene.people) if each.shirt.pattern != "plain"])
    shirt = plant.scene.people[index].shirt
    patterns = [pattern for pattern in (*PATTERNS, *NEW_PATTERNS) if pattern not in ("plain", shirt.pattern)]
    other = Garment(plant.chance.choice(patterns), shirt.colour, shirt.second)
    return plant.film(_with(plant.scene, index, shirt=other))


def mean_shirts(plant: Plant) -> Tensor:
    """One shirt is plain, in the mean of its colours."""
    index = plant.chance.choice([i for i, each in enumerate(plant.scene.people) if each.shirt.pattern != "plain"])
    shirt = plant.scene.people[index].shirt
    red, green, blue = (round((a + b) / 2) for a, b in zip(shirt.colour, shirt.second, strict=True))
    plain = Garment("plain", (red, green, blue), (red, green, blue))
    return plant.film(_with(plant.scene, index, shirt=plain))


def exchanged_places(plant: Plant) -> Tensor:
    """People stand in other places than the caption says."""
    return plant.film(exchanged(plant.scene))


def missing_hat(plant: Plant) -> Tensor:
    """A hat is not there."""
    return plant.film(_without(plant, "hat"))


def missing_prop(plant: Plant) -> Tensor:
    """A prop is not there."""
    return plant.film(_without(plant, "prop"))


def missing_legs(plant: Plant) -> Tensor:
    """The background is where a person's legs should be."""
    frames = plant.true
    empty = plant.film(replace(plant.scene, people=()))
    for frame, regions in enumerate(_somebodys_regions(plant)):
        left, _, right, bottom = (round(edge) for edge in regions["person"])
        legs = slice(bottom - 12, bottom + 2), slice(left, right)
        frames[frame][legs] = empty[frame][legs]
    return frames


def foreign_frame(plant: Plant) -> Tensor:
    """One frame, not the middle one, is from another scene."""
    frames = plant.true
    number = _other_frame(plant)
    frames[number] = plant.film(plant.stranger)[number]
    return frames


def somebody_missing(plant: Plant) -> Tensor:
    """One person is not there."""
    people = list(plant.scene.people)
    del people[plant.chance.randrange(len(people))]
    return plant.film(replace(plant.scene, people=tuple(people)))


FAULTS: dict[str, Callable[[Plant], Tensor]] = {
    fault.__name__.replace("_", " "): fault
    for fault in (
        noise_frames,
        one_noise_frame,
        double_exposure,
        stranger_exposure,
        twice,
        extra_stranger,
        black_background,
        other_background,
        other_structure,
        missing_object,
        other_object,
        blurred,
        half_blurred_heads,
        frozen,
        held_frame,
        flicker,
        swapped_halfway,
        shirts_swapped_halfway,
        other_pattern,
        mean_shirts,
        exchanged_places,
        missing_hat,
        missing_prop,
        missing_legs,
        foreign_frame,
        somebody_missing,
    )
}


def applies(name: str, scene: GlyphScene, *, placed: bool = False) -> bool:
    """Whether a scene has what a fault needs.

    Args:
        placed: its caption says where people stand.
    """
    people = scene.people
    needs = {
        "double exposure": len(people) > 1,
        "swapped halfway": len(people) > 1,
        "shirts swapped halfway": len(people) > 1,
        "exchanged places": len(people) > 1 and placed,
        "twice": len(people) + (scene.thing is not None) < 3,
        "extra stranger": len(people) + (scene.thing is not None) < 3,
        "other structure": scene.place is not None,
        "missing object": scene.thing is not None,
        "other object": scene.thing is not None,
        "other pattern": any(person.shirt.pattern != "plain" for person in people),
        "mean shirts": any(person.shirt.pattern != "plain" for person in people),
        "missing hat": any(person.hat for person in people),
        "missing prop": any(person.prop for person in people),
    }
    return needs.get(name, True)


def plant_fault(
    name: str,
    scene: GlyphScene,
    size: tuple[int, int, int],
    seed: int,
    rebuild: Rebuild = lambda frames: frames,
) -> Tensor:
    """A clip of the scene with a fault, (F, H, W, 3) in 0..1.

    Args:
        name: one of FAULTS, which `applies` to the scene.
        size: frames, height and width.
        rebuild: see Plant.
    """
    return FAULTS[name](Plant(scene, size, random.Random(f"{name} {seed}"), rebuild))


def _with(scene: GlyphScene, index: int, **parts) -> GlyphScene:
    people = list(scene.people)
    people[index] = replace(people[index], **parts)
    return replace(scene, people=tuple(people))


def _without(plant: Plant, part: str) -> GlyphScene:
    having = [index for index, person in enumerate(plant.scene.people) if getattr(person, part)]
    return _with(plant.scene, plant.chance.choice(having), **{part: None})


def _elsewhere(plant: Plant, person: GlyphPerson) -> GlyphPerson:
    """The person in the widest gap between the others and the borders, behind everyone."""
    taken = sorted([each.x for each in plant.scene.people] + ([plant.scene.thing_x] if plant.scene.thing else []))
    spots = [position / 100 for position in range(14, 87)]
    return replace(person, x=max(spots, key=lambda spot: min(abs(spot - x) for x in taken)))


def _somebodys_regions(plant: Plant) -> list[dict[str, Box]]:
    """Where one person and the person's parts are in each frame."""
    number = plant.chance.randrange(len(plant.scene.people))
    return [regions[number] for regions in film(plant.scene, *plant.size).regions]


def _other_frame(plant: Plant) -> int:
    count = plant.size[0]
    return plant.chance.choice([number for number in range(count) if number != count // 2])


def _figures(plant: Plant) -> Tensor:
    """(F, H, W, 1), 1 where a person or the object is."""
    places = (None, Place("", (0, 0, 0), (0, 0, 0)))
    light, dark = (film(replace(plant.scene, place=place), *plant.size).frames for place in places)
    return ((light - dark).abs().amax(-1, keepdim=True) < 0.4).float()


def _blur(frames: Tensor, width: int = HEAD[0] // 2) -> Tensor:
    """Blur (F, H, W, 3) by a square of an odd width."""
    width |= 1
    padded = F.pad(frames.permute(0, 3, 1, 2), (width // 2,) * 4, mode="replicate")
    return F.avg_pool2d(padded, width, 1).permute(0, 2, 3, 1)
