"""People in the key frames of a clip: their boxes and faces, and who is who in the three of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lumosx_core.auto_scene.people_search import search_people
from lumosx_core.auto_scene.settings import Finders
from lumosx_core.evaluation.networks import ImageEmbedder

from ..key_frames import MIDDLE, read_key_frames
from ..models.finders import FinderLoader
from ..scene_settings import PeopleSettings
from ..settings import settings_hash
from ..stage import Outcome, Task
from ..tracks import sighting_of, tracks_of, tracks_to_json
from .cut import clip_path

_VERSION = 1


@dataclass(frozen=True)
class PeopleSearch:
    """The stage; see `stage.Stage`."""

    loader: FinderLoader
    settings: PeopleSettings
    name: str = "people"
    after: str | None = "caption"
    batch_size: int = 4
    gpus: float = 0.0

    def version(self) -> str:
        return settings_hash(_VERSION, self.loader.version(), self.settings)

    def check(self) -> None:
        self.loader.check()

    def open(self) -> PeopleWorker:
        return PeopleWorker(self.loader.open(), self.loader.identity(), self.settings)


@dataclass(frozen=True)
class PeopleWorker:
    """The stage at work."""

    finders: Finders
    identity: ImageEmbedder | None
    settings: PeopleSettings

    def __call__(self, tasks: Sequence[Task]) -> list[Outcome]:
        return [self._outcome(task) for task in tasks]

    def _outcome(self, task: Task) -> Outcome:
        """Facts: `tracks` (see tracks.py), and `numbered`, how many of them, at the beginning, are given a number.

        These show a face in the middle frame and are large enough there; everyone else is a bystander.
        """
        frames = task.facts["caption"]["frames"]
        images = read_key_frames(clip_path(task), frames)
        height, width = images[MIDDLE].shape[:2]
        found = search_people(
            images, ["person"], self.finders, sought=1, given=None, progress=lambda stage, done, total: None
        )
        sightings = [
            [sighting_of(person, height, width, self.settings) for person in found if person.photo == index]
            for index in range(len(frames))
        ]
        tracks = tracks_of(frames, images, sightings, self.identity, self.settings)
        middle = frames[MIDDLE]
        numbered = [track for track in tracks if middle in track and track[middle].usable]
        others = [track for track in tracks if not any(track is each for each in numbered)]
        facts = {
            "tracks": tracks_to_json([*numbered, *others]),
            "numbered": len(numbered),
            "size": [height, width],
        }
        return Outcome(rejected="" if numbered else "no_person", facts=facts)
