"""From photographs and a plan to a scene: everybody found, their clothes cut out, the place emptied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from ..contact_sheet import COLOURS, TEXT
from ..errors import LumosXError
from ..phrases import split_number
from ..scene import Reference, Scene, Subject
from .background import background_mask, fill
from .drawing import Mark
from .faces import crop_face, face_crop_box
from .finders import FaceFinder, PhraseFinder, Progress, Segmenter
from .instances import Instance, View, find_instances
from .mask_cleaning import clean
from .overrides import Overrides
from .owners import Claim, Person, name_people, people_of, settle_claims
from .plan import ScenePlan
from .quality import cut_out_warnings, face_warnings
from .regions import Box, Face

ANYBODY = "person"  # looked for besides the words of the plan, so that bystanders, too, leave the background
BACKGROUNDS = ("fill", "none")
MISSING = ("error", "leave out")


@dataclass(frozen=True)
class Finders:
    """How to get what finds things; each is asked for only when it is needed, so that nothing is loaded in vain."""

    faces: Callable[[], FaceFinder]
    phrases: Callable[[], PhraseFinder]
    masks: Callable[[], Segmenter]


@dataclass(frozen=True)
class AutoSettings:
    """
    Args:
        background: "fill" empties the photograph with the most of its place to be seen, by the built-in fill; "none"
            leaves the background out.
        missing: what to do if a part of the plan is not found: "error", or "leave out" with a warning.
        feather: pixels over which the edge of a cut-out fades.
    """

    background: str = "fill"
    missing: str = "error"
    feather: float = 1.5

    def __post_init__(self):
        for name, value, known in (("background", self.background, BACKGROUNDS), ("missing", self.missing, MISSING)):
            if value not in known:
                raise LumosXError(f"{name} is {value!r}, expected one of: {', '.join(known)}.")


@dataclass(frozen=True, eq=False)
class AutoScene:
    """What was made of photographs.

    Args:
        scene: may be used as it is, or joined with other scenes.
        marks: for each photograph what was found in it, to be drawn.
        warnings: sentences for the artist.
        place: index of the photograph that shows the place.
        removed: (H, W) of that photograph, 1 where people and objects are: what an inpainting has to fill.
    """

    scene: Scene
    marks: list[list[Mark]]
    warnings: list[str]
    place: int
    removed: Tensor


def build_scene(
    photographs: Sequence[Tensor],
    plan: ScenePlan,
    finders: Finders,
    settings: AutoSettings = AutoSettings(),  # noqa: B008 (frozen)
    *,
    faces: Sequence[Sequence[Face]] | None = None,
    overrides: Scene | None = None,
    progress: Progress | None = None,
) -> AutoScene:
    """Find everything a plan names in photographs, and make a scene of it.

    Each person's clothes are looked for inside that person's box, and what lies in somebody else's figure is theirs.

    Args:
        photographs: each (H, W, 3) float, 0..1.
        plan: phrases; its people are matched with those in the photographs by how well their words fit, then from
            left to right.
        faces: for each photograph the faces in it, instead of those the face finder finds.
        overrides: pictures that take the place of what would be found for the same phrase; they are not looked for.

    Raises:
        LumosXError: no photograph, an empty plan, an override that the plan does not name, fewer people than in the
            plan, or something that is not found (all of it is named).
    """
    if not photographs:
        raise LumosXError("There is no photograph. Give one or more.")
    if not plan.people and not plan.objects and plan.background is None:
        raise LumosXError(
            "The plan is empty: it names no person, no object and no background. Write one, such as "
            "man: denim jacket | woman: red hat || lamp || cozy room"
        )
    return _Search(photographs, plan, finders, settings, faces, Overrides(plan, overrides), progress).scene()


class _Search:
    """One run: what was seen so far, and what could not be found."""

    def __init__(
        self,
        photographs: Sequence[Tensor],
        plan: ScenePlan,
        finders: Finders,
        settings: AutoSettings,
        faces: Sequence[Sequence[Face]] | None,
        overrides: Overrides,
        progress: Progress | None,
    ):
        self.photographs = photographs
        self.plan = plan
        self.finders = finders
        self.settings = settings
        self.given_faces = faces
        self.overrides = overrides
        self.progress = progress or (lambda stage, done, total: None)
        self.warnings: list[str] = []
        self.missing: list[str] = []
        self.marks: list[list[Mark]] = [[] for _ in photographs]
        self.views: dict[int, View] = {}

    def scene(self) -> AutoScene:
        fills = self.plan.background is not None and self.overrides.background is None
        fills = fills and self.settings.background == "fill"
        people = self._people(everybody=fills)
        chosen = name_people([person.word for person in self.plan.people], people) if self.plan.people else []
        people = self._masked(people, chosen, fills)
        garments = self._garments(people, chosen)
        subjects = tuple(self._subject(number, people[chosen[number]], garments) for number in range(len(chosen)))
        things = self._objects()
        objects = tuple(self._cut(thing, "") for thing in things if thing is not None)
        place, removed = self._place(people, [thing for thing in things if isinstance(thing, _Found)])
        background = self._background(place, removed)
        if self.missing and self.settings.missing == "error":
            raise LumosXError(
                " ".join(self.missing) + " Lower the threshold, use another photograph, connect a picture or a mask of "
                "your own for it, or take it out of the plan."
            )
        self.warnings += self.missing
        scene = Scene(tuple(s for s in subjects if s.references), objects, background)
        scene.check()
        return AutoScene(scene, self.marks, self.warnings, place, removed)

    # People

    def _people(self, everybody: bool) -> list[Person]:
        """All people in all photographs."""
        if not self.plan.people and not everybody:
            return []
        words = list(dict.fromkeys(split_number(person.word)[0] for person in self.plan.people if person.word))
        words += [] if ANYBODY in words else [ANYBODY]
        people = []
        for index, image in enumerate(self.photographs):
            self.progress("people", index, len(self.photographs))
            detections = {}
            if self._needs_boxes(everybody):
                detections = dict(zip(words, self.finders.phrases().find(image, words), strict=True))
            people += people_of(index, self._faces(index), detections, *image.shape[:2])
        return people

    def _needs_boxes(self, everybody: bool) -> bool:
        """Faces alone tell people apart; figures are needed for what they wear, and to empty the place of them."""
        return everybody or any(person.attributes for person in self.plan.people)

    def _faces(self, index: int) -> Sequence[Face]:
        if self.given_faces is not None:
            return self.given_faces[index]
        if not self.plan.people:
            return []
        return self.finders.faces().find(self.photographs[index])

    def _masked(self, people: list[Person], chosen: list[int], everybody: bool) -> list[Person]:
        """People with their regions, in the photographs where regions tell something."""
        wanted = {people[p].photograph for w, p in enumerate(chosen) if self._sought(w)}
        wanted |= set(range(len(self.photographs))) if everybody else set()
        masked = list(people)
        for index in sorted(wanted):
            here = [p for p, person in enumerate(people) if person.photograph == index]
            regions = self._view(index).regions([people[p].box for p in here])
            for p, region in zip(here, regions, strict=True):
                masked[p] = replace(people[p], region=region if region.area else None)
        return masked

    def _sought(self, number: int) -> list[int]:
        """The attributes of a person of the plan that have to be looked for."""
        attributes = self.plan.people[number].attributes
        return [i for i, phrase in enumerate(attributes) if self.overrides.attribute(number, phrase) is None]

    def _view(self, index: int) -> View:
        if index not in self.views:
            self.views[index] = View(self.photographs[index], self.finders.masks())
        return self.views[index]

    # What they wear

    def _garments(self, people: list[Person], chosen: list[int]) -> dict[tuple[int, int], Instance]:
        """(person of the plan, attribute) -> what was found."""
        claims: dict[int, list[Claim]] = {}
        places = {p: i for i, p in enumerate(chosen)}
        for number, p in enumerate(chosen):
            self.progress("clothes", number, len(chosen))
            sought = self._sought(number)
            if not sought:
                continue
            person = people[p]
            phrases = [split_number(self.plan.people[number].attributes[i])[0] for i in sought]
            view = self._view(person.photograph).part(person.box)
            for i, found in zip(
                sought, find_instances(view, phrases, self.finders.phrases(), inside=person.box), strict=True
            ):
                claims.setdefault(person.photograph, []).extend(Claim(p, i, instance) for instance in found)
        settled = {}
        for index, each in claims.items():
            here = [p for p, person in enumerate(people) if person.photograph == index]
            local = [Claim(here.index(claim.owner), claim.attribute, claim.instance) for claim in each]
            for (owner, attribute), instance in settle_claims(local, [people[p] for p in here]).items():
                settled[places[here[owner]], attribute] = instance
        return settled

    def _subject(self, number: int, person: Person, garments: dict[tuple[int, int], Instance]) -> Subject:
        plan = self.plan.people[number]
        name = f'person {number + 1} ("{plan.word}")' if plan.word else f"person {number + 1}"
        colour = COLOURS[number % len(COLOURS)]
        self._mark(person.photograph, name, colour, person.box)
        face = self.overrides.face(number)
        if face is None and person.face is None:
            self.missing.append(f"No face of {name} can be seen in photograph {person.photograph + 1}.")
        elif face is None:
            image = self.photographs[person.photograph]
            label = f"The face of {name}"
            notes = face_warnings(label, person.face, tuple(image.shape[:2]))
            self.warnings += notes
            self._mark(person.photograph, f"face {number + 1}", colour, face_crop_box(person.face.box), notes)
            face = Reference(plan.word, crop_face(image, person.face).clone())
        attributes = []
        for i, phrase in enumerate(plan.attributes):
            if (given := self.overrides.attribute(number, phrase)) is not None:
                attributes.append(given)
            elif (number, i) in garments:
                found = _Found(person.photograph, garments[number, i], phrase)
                attributes.append(self._cut(found, f" of {name}", colour))
            else:
                self.missing.append(
                    f'Nothing was found for "{phrase}" of {name} in photograph {person.photograph + 1}.'
                )
        return Subject(face, tuple(attributes))

    # What belongs to nobody

    def _objects(self) -> list[_Found | Reference | None]:
        """For each object of the plan its best instance in all photographs."""
        sought = [phrase for i, phrase in enumerate(self.plan.objects) if self.overrides.object(i) is None]
        best: dict[str, _Found] = {}
        for index in range(len(self.photographs)) if sought else ():
            self.progress("objects", index, len(self.photographs))
            plain = [split_number(phrase)[0] for phrase in sought]
            for phrase, found in zip(
                sought, find_instances(self._view(index), plain, self.finders.phrases()), strict=True
            ):
                free = [each for each in found if not any(_is(each, taken, index) for taken in best.values())]
                if free and (phrase not in best or free[0].score > best[phrase].instance.score):
                    best[phrase] = _Found(index, free[0], phrase)
        for phrase in sought:
            if phrase not in best:
                self.missing.append(f'Nothing was found for the object "{phrase}".')
        return [self.overrides.object(i) or best.get(phrase) for i, phrase in enumerate(self.plan.objects)]

    def _cut(self, found: _Found | Reference, owner: str, colour: str = TEXT) -> Reference:
        """The cut-out of something found, cleaned; a picture that was given stays as it is."""
        if isinstance(found, Reference):
            return found
        image = self.photographs[found.photograph]
        region = clean(found.instance.region, feather=self.settings.feather)
        picture = region.cut_out(image)
        notes = cut_out_warnings(f'"{found.phrase}"{owner}', picture, region, tuple(image.shape[:2]))
        self.warnings += notes
        mark = f"{found.phrase} {found.instance.score:.2f}"
        self.marks[found.photograph].append(Mark(mark, colour, found.instance.box, region, _short(notes)))
        return Reference(found.phrase, picture)

    def _place(self, people: list[Person], objects: list[_Found]) -> tuple[int, Tensor]:
        """The photograph that shows most of its place, and what hides the rest of it."""
        best, removed, most = 0, None, -1.0
        for index, image in enumerate(self.photographs):
            regions = [p.region for p in people if p.photograph == index and p.region is not None]
            regions += [thing.instance.region for thing in objects if thing.photograph == index]
            mask = background_mask(*image.shape[:2], regions)
            seen = 1 - float(mask.mean())
            if seen > most:
                best, removed, most = index, mask, seen
        return best, removed

    def _background(self, place: int, removed: Tensor) -> Reference | None:
        if self.overrides.background is not None:
            return self.overrides.background
        if self.plan.background is None or self.settings.background == "none":
            return None
        if float(removed.mean()) > 0.5:
            self.warnings.append(
                f"People and objects hide {100 * float(removed.mean()):.0f} % of the background: most of it is made "
                f"up. Use a photograph of the empty place, or connect an inpainted one."
            )
        return Reference(self.plan.background, fill(self.photographs[place], removed))

    def _mark(self, index: int, label: str, colour: str, box: Box, notes: Sequence[str] = ()) -> None:
        box = box.within(*self.photographs[index].shape[:2])
        self.marks[index].append(Mark(label, colour, box, None, _short(notes)))


@dataclass(frozen=True, eq=False)
class _Found:
    photograph: int
    instance: Instance
    phrase: str


def _is(instance: Instance, taken: _Found, photograph: int) -> bool:
    """Whether an object's place is taken by another one ("lamp" and "white lamp" find the same)."""
    return taken.photograph == photograph and taken.instance.box.iou(instance.box) > 0.8


def _short(notes: Sequence[str]) -> str:
    return "look at the warnings" if notes else ""
