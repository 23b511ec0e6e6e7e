"""The search through photos for everything a plan names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..drawing.contact_sheet import COLOURS, FAINT, TEXT
from ..errors import LumosXError
from ..prompt.match import split_number
from ..scene.scene import Reference, Scene, Subject
from .annotations import Mark, note_of
from .cutouts.background_fill import background_mask, fill
from .cutouts.faces import crop_face, face_crop_box
from .cutouts.known_faces import without_faces
from .cutouts.mask_cleaning import clean
from .cutouts.quality import cut_out_warnings, face_warnings
from .cutouts.regions import Box, Face, Region, region_of
from .detectors import Progress
from .instances import Instance, View, find_instances
from .overrides import Overrides
from .owners import Claim, name_people, settle_claims
from .people_search import search_people
from .persons import KnownPeople, Person
from .plan.plan import ScenePlan, detector_word
from .settings import FILLS, AutoSettings, Finders

ANYBODY = "person"  # looked for besides the words of the plan, so that bystanders, too, leave the background
MOST_CLAIMS = 5  # of one phrase and one person: the right one is among the best few
SAME_OBJECT = 0.8  # intersection over union of two boxes
CROWD = 12  # people: with more of them the words of a plan say little about who is meant
MOST_HIDDEN = 0.5  # of a background: with more of it hidden, the fill is made up


class PartsMissing(LumosXError):
    """Parts of a plan were not found; `marks` has for each photo what was."""

    def __init__(self, message: str, marks: list[list[Mark]]):
        super().__init__(message)
        self.marks = marks


Part = tuple[int | None, int]
"""A part of a plan: the person and which attribute of theirs; None and which object."""


@dataclass(frozen=True, eq=False)
class AutoScene:
    """What was made of photos.

    Args:
        scene: may be used as it is, or joined with other scenes.
        marks: for each photo what was found in it, to be drawn.
        warnings: sentences for the artist.
        place: index of the photo that shows most of its place.
        removed: (H, W) of that photo, 1 where people and objects are: what an inpainting has to fill. Nothing
            where neither the built-in fill nor an inpainting was asked for.
        people: everyone who was seen, with regions where the search needed them.
        regions: of what was cut out, in pixels of its photo, cleaned.
        candidates: everything that was found for a phrase, best first, what belongs to others included.
    """

    scene: Scene
    marks: list[list[Mark]]
    warnings: list[str]
    place: int
    removed: Tensor
    people: Sequence[Person] = ()
    regions: Mapping[Part, Region] = field(default_factory=dict)
    candidates: Mapping[Part, Sequence[Instance]] = field(default_factory=dict)


class SceneSearch:
    """One run: what was seen so far, and what could not be found."""

    def __init__(
        self,
        photos: Sequence[Tensor],
        plan: ScenePlan,
        finders: Finders,
        settings: AutoSettings,
        faces: Sequence[Sequence[Face]] | None,
        overrides: Overrides,
        progress: Progress | None,
        foreground: Sequence[Tensor] | None = None,
        known: KnownPeople | None = None,
    ):
        self.photos = photos
        self.plan = plan
        self.finders = finders
        self.settings = settings
        self.given_faces = faces
        self.known = known
        self.overrides = overrides
        self.progress = progress or (lambda stage, done, total: None)
        self.warnings: list[str] = []
        self.missing: list[str] = []
        self.marks: list[list[Mark]] = [[] for _ in photos]
        self.views: dict[int, View] = {}
        self.seen: list[Person] = []
        self.regions: dict[Part, Region] = {}
        self.candidates: dict[Part, Sequence[Instance]] = {}
        fills = settings.background in FILLS and plan.background is not None and overrides.background is None
        self.empties = fills or settings.background == "inpaint"
        self.seeks_hiding = self.empties and foreground is None
        # What hides the place in each photo.
        self.hiding: list[list[Region]] = [[] for _ in photos]
        for index, mask in enumerate(foreground or ()):
            if bool((mask > 0).any()):
                region = region_of(mask)
                self.hiding[index].append(region)
                self.marks[index].append(Mark("foreground", FAINT, region.box, region))

    def scene(self) -> AutoScene:
        people = self._people()
        chosen = self._name(people)
        people = self.seen = self._masked(people, chosen)
        garments = self._garments(people, chosen)
        subjects = [
            self._subject(number, people[chosen[number]] if number in chosen else None, garments)
            for number in range(len(self.plan.people))
        ]
        things = enumerate(self._objects())
        objects = tuple(self._cut(thing, "", part=(None, i)) for i, thing in things if thing is not None)
        place, removed = self._place()
        if self.missing and self.settings.missing == "error":
            raise PartsMissing(
                " ".join(self.missing) + " Lower the threshold, use another photo, give an image or a mask of "
                "your own for it, take it out of the plan, or choose to leave out what is missing and look at the "
                "preview.",
                self.marks,
            )
        self.warnings += self.missing
        scene = Scene(tuple(s for s in subjects if s.references), objects, self._background(place, removed))
        if self.known is None:  # with known people, a photo may show none of the plan
            scene.check()
        return AutoScene(scene, self.marks, self.warnings, place, removed, people, self.regions, self.candidates)

    # People

    def _people(self) -> list[Person]:
        """All people in all photos, as far as somebody is looked for."""
        if self.known is not None:
            return list(self.known.people)
        if not self._sought_people() and not self.seeks_hiding:
            return []
        words = list(dict.fromkeys(detector_word(person.word) for person in self.plan.people))
        words += [] if ANYBODY in words else [ANYBODY]
        sought = len(self._sought_people())
        return search_people(
            self.photos,
            words if self._needs_boxes() else [],
            self.finders,
            sought=sought,
            given=self.given_faces,
            progress=self.progress,
        )

    def _sought_people(self) -> list[int]:
        """The people of the plan of whom something has to be found in a photo."""
        people = range(len(self.plan.people))
        return [number for number in people if self.overrides.face(number) is None or self._sought(number)]

    def _sought(self, number: int) -> list[int]:
        """The attributes of a person of the plan that have to be looked for."""
        attributes = self.plan.people[number].attributes
        return [i for i, phrase in enumerate(attributes) if self.overrides.attribute(number, phrase) is None]

    def _needs_boxes(self) -> bool:
        """Faces alone tell people of one word apart; figures are needed to tell a man from a woman, for what people
        wear, and to empty the place of them.
        """
        sought = self._sought_people()
        words = {detector_word(self.plan.people[number].word) for number in sought}
        return self.seeks_hiding or len(words) > 1 or any(self._sought(number) for number in sought)

    def _name(self, people: list[Person]) -> dict[int, int]:
        """Person of the plan -> index into `people`."""
        if self.known is not None:
            return dict(self.known.chosen)
        sought = self._sought_people()
        words = [self.plan.people[number].word for number in sought]
        chosen = {n: p for n, p in zip(sought, name_people(words, people), strict=True) if p is not None}
        if absent := [number for number in sought if number not in chosen]:
            names = ", ".join(self._called(number) for number in absent)
            self.missing.append(
                f"The plan has {len(sought)} people to be found, but {len(people)} can be seen in the photos: "
                f"there is nobody for {names}."
            )
        if sought and len(people) > len(sought) + CROWD:
            self.warnings.append(
                f"{len(people)} people can be seen in the photos, and the plan has {len(sought)} to be found: those "
                f"were chosen whom the words fit best, then from left to right. Look at the preview, and crop the "
                f"photos to the people who are meant if it is wrong."
            )
        for number, p in chosen.items():
            word = detector_word(self.plan.people[number].word)
            if self._needs_boxes() and word != ANYBODY and word not in people[p].scores and len(people) > 1:
                self.warnings.append(
                    f'Nobody who is left in the photos looks like "{word}": {self._called(number)} is somebody '
                    f"in photo {people[p].photo + 1} by the order from left to right. Look at the preview."
                )
        return chosen

    def _masked(self, people: list[Person], chosen: dict[int, int]) -> list[Person]:
        """People with their regions, in the photos where regions tell something."""
        wanted = {people[p].photo for number, p in chosen.items() if self._sought(number)}
        wanted |= set(range(len(self.photos))) if self.seeks_hiding else set()
        masked = list(people)
        for index in sorted(wanted):
            here = [p for p, person in enumerate(people) if person.photo == index]
            regions = self._view(index).regions([people[p].box for p in here])
            for p, region in zip(here, regions, strict=True):
                masked[p] = replace(people[p], region=region if region.area else None)
                self.hiding[index].append(region)
        return masked

    def _view(self, index: int) -> View:
        if index not in self.views:
            self.views[index] = View(self.photos[index], self.finders.masks())
        return self.views[index]

    def _called(self, number: int) -> str:
        word = self.plan.people[number].word
        return f'person {number + 1} ("{word}")' if word else f"person {number + 1}"

    # What they wear

    def _garments(self, people: list[Person], chosen: dict[int, int]) -> dict[tuple[int, int], Instance]:
        """(person of the plan, attribute) -> what was found."""
        claims: dict[int, list[Claim]] = {}
        places = {p: number for number, p in chosen.items()}
        for done, (number, p) in enumerate(chosen.items()):
            self.progress("clothes", done, len(chosen))
            sought = self._sought(number)
            if not sought:
                continue
            person = people[p]
            phrases = [split_number(self.plan.people[number].attributes[i])[0] for i in sought]
            view = self._view(person.photo).part(person.box)
            for i, found in zip(
                sought,
                find_instances(view, phrases, self.finders.phrases(), inside=person.box, most=MOST_CLAIMS),
                strict=True,
            ):
                claims.setdefault(person.photo, []).extend(Claim(p, i, instance) for instance in found)
                self.candidates[number, i] = found
        settled = {}
        for index, each in claims.items():
            here = [p for p, person in enumerate(people) if person.photo == index]
            local = [Claim(here.index(claim.owner), claim.attribute, claim.instance) for claim in each]
            for (owner, attribute), instance in settle_claims(local, [people[p] for p in here]).items():
                settled[places[here[owner]], attribute] = instance
                self.hiding[index].append(instance.region)
        return settled

    def _subject(self, number: int, person: Person | None, garments: dict[tuple[int, int], Instance]) -> Subject:
        """
        Args:
            person: None for somebody of whom every image was given, or who is not there.
        """
        plan, name = self.plan.people[number], self._called(number)
        colour = COLOURS[number % len(COLOURS)]
        face = self.overrides.face(number)
        if person is not None:
            self._mark(person.photo, name, colour, person.box)
        if face is None and person is not None and person.face is None:
            self.missing.append(f"No face of {name} can be seen in photo {person.photo + 1}.")
        elif face is None and person is not None and person.face is not None:
            image = self.photos[person.photo]
            label = f"The face of {name}"
            height, width = image.shape[:2]
            notes = face_warnings(label, person.face, (height, width), image)
            self.warnings += notes
            self._mark(person.photo, f"face {number + 1}", colour, face_crop_box(person.face), notes)
            face = Reference(plan.word, crop_face(image, person.face).clone())
        attributes = []
        for i, phrase in enumerate(plan.attributes):
            if (given := self.overrides.attribute(number, phrase)) is not None:
                attributes.append(given)
            elif person is not None and (number, i) in garments:
                found = _Found(person.photo, garments[number, i], phrase)
                attributes.append(self._cut(found, f" of {name}", colour, person, part=(number, i)))
            elif person is not None:
                self.missing.append(f'Nothing was found for "{phrase}" of {name} in photo {person.photo + 1}.')
        return Subject(face, tuple(attributes))

    # What belongs to nobody

    def _objects(self) -> list[_Found | Reference | None]:
        """For each object of the plan its best instance in all photos, or the image that was given for it."""
        given = {phrase: self.overrides.object(i) for i, phrase in enumerate(self.plan.objects)}
        # To empty the place, objects whose image was given have to be found in it as well.
        sought = [phrase for phrase in given if self.seeks_hiding or given[phrase] is None]
        best: dict[str, _Found] = {}
        for index in range(len(self.photos)) if sought else ():
            self.progress("objects", index, len(self.photos))
            plain = [split_number(phrase)[0] for phrase in sought]
            found = find_instances(self._view(index), plain, self.finders.phrases(), most=MOST_CLAIMS)
            taken: list[Instance] = []
            for phrase, each in zip(sought, found, strict=True):
                part: Part = (None, self.plan.objects.index(phrase))
                self.candidates[part] = [*self.candidates.get(part, ()), *each]
                thing = next((thing for thing in each if not any(_same(thing, other) for other in taken)), None)
                if thing is None:
                    continue
                taken.append(thing)
                self.hiding[index].append(thing.region)
                if phrase not in best or thing.score > best[phrase].instance.score:
                    best[phrase] = _Found(index, thing, phrase)
        for phrase in sought:
            if phrase not in best and given[phrase] is None:
                self.missing.append(f'Nothing was found for the object "{phrase}".')
        return [given[phrase] or best.get(phrase) for phrase in self.plan.objects]

    def _cut(
        self,
        found: _Found | Reference,
        owner: str,
        colour: str = TEXT,
        wearer: Person | None = None,
        *,
        part: Part,
    ) -> Reference:
        """The cutout of something found, cleaned; an image that was given stays as it is.

        Args:
            wearer: whose attribute it is: known faces are removed from it.
        """
        if isinstance(found, Reference):
            return found
        image = self.photos[found.photo]
        region = found.instance.region
        if wearer is not None:
            # A face in nobody's box may be a print on the garment.
            others = [p for p in self.seen if p.photo == found.photo and p is not wearer and p.scores]
            others_faces = [person.face for person in others if person.face is not None]
            region = without_faces(region, wearer.face, others_faces)
            # Cleaning fills small holes: a face may be one.
            region = without_faces(clean(region, feather=self.settings.feather), wearer.face, others_faces)
        else:
            region = clean(region, feather=self.settings.feather)
        self.regions[part] = region
        picture = region.cut_out(image)
        height, width = image.shape[:2]
        notes = cut_out_warnings(f'"{found.phrase}"{owner}', picture, region, (height, width))
        self.warnings += notes
        mark = f"{found.phrase} {found.instance.score:.2f}"
        self.marks[found.photo].append(Mark(mark, colour, found.instance.box, region, note_of(notes)))
        return Reference(found.phrase, picture)

    def _place(self) -> tuple[int, Tensor]:
        """The photo that shows most of its place, and what hides the rest of it."""
        if not self.empties:
            return 0, torch.zeros(self.photos[0].shape[:2])
        masks = [
            background_mask(image.shape[0], image.shape[1], regions)
            for image, regions in zip(self.photos, self.hiding, strict=True)
        ]
        place = min(range(len(masks)), key=lambda index: float(masks[index].mean()))
        return place, masks[place]

    def _background(self, place: int, removed: Tensor) -> Reference | None:
        if self.overrides.background is not None:
            return self.overrides.background
        if self.plan.background is None or self.settings.background not in FILLS:
            return None
        self.progress("background", 0, 1)
        hidden = float(removed.mean())
        if hidden > MOST_HIDDEN:
            advice = "Use a photo of the empty place, or connect an inpainted one."
            if self.settings.background == "fill":
                self.warnings.append(
                    f"The background is left out: people and objects hide {hidden:.0%} of it, so most of it would be "
                    f"made up. {advice} To use it all the same, set background to fill always."
                )
                return None
            self.warnings.append(
                f"People and objects hide {hidden:.0%} of the background: most of it is made up. {advice}"
            )
        return Reference(self.plan.background, fill(self.photos[place], removed))

    def _mark(self, index: int, label: str, colour: str, box: Box, notes: Sequence[str] = ()) -> None:
        box = box.within(*self.photos[index].shape[:2])
        self.marks[index].append(Mark(label, colour, box, None, note_of(notes)))


@dataclass(frozen=True, eq=False)
class _Found:
    photo: int
    instance: Instance
    phrase: str


def _same(one: Instance, other: Instance) -> bool:
    """Whether two objects are one thing ("lamp" and "white lamp" find the same)."""
    return one.box.iou(other.box) > SAME_OBJECT
