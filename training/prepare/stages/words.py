"""Words and owners: which words of the caption mean whom, and who wears what (paper: Qwen2.5-VL)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lumosx_core.auto_scene.boxed_plan import plan_of_boxes
from lumosx_core.auto_scene.plan.language_model import Ask

from ..key_frames import MIDDLE, read_key_frames
from ..models.chat import check_chat, open_chat
from ..scene_settings import ChatSettings, WordSettings
from ..settings import settings_hash
from ..stage import Outcome, Task
from ..tracks import tracks_from_json
from .caption import chat_version
from .cut import clip_path

_VERSION = 1


@dataclass(frozen=True)
class OwnerWords:
    """The stage; see `stage.Stage`.

    Args:
        chat: which model is asked.
        open_model: gives another one, to be asked in its place.
    """

    chat: ChatSettings
    settings: WordSettings
    open_model: Callable[[ChatSettings], Ask] = open_chat
    name: str = "words"
    after: str | None = "people"
    batch_size: int = 1
    gpus: float = 0.0

    def version(self) -> str:
        return settings_hash(_VERSION, chat_version(self.chat), self.settings)

    def check(self) -> None:
        if self.open_model is open_chat:
            check_chat(self.chat)

    def open(self) -> WordsWorker:
        return WordsWorker(self.open_model(self.chat), self.settings)


@dataclass(frozen=True)
class WordsWorker:
    """The stage at work."""

    ask: Ask
    settings: WordSettings

    def __call__(self, tasks: Sequence[Task]) -> list[Outcome]:
        return [self._outcome(task) for task in tasks]

    def _outcome(self, task: Task) -> Outcome:
        """Facts: `people` (the index of the `track`, the `word`, the `attributes`), `objects`, `background`, and
        `notes` about answers that were sent back.
        """
        middle = task.facts["caption"]["frames"][MIDDLE]
        tracks = tracks_from_json(task.facts["people"]["tracks"])[: task.facts["people"]["numbered"]]
        (image,) = read_key_frames(clip_path(task), [middle])
        notes: list[str] = []
        boxed = plan_of_boxes(
            self.ask,
            image,
            [track[middle].box for track in tracks],
            task.facts["caption"]["text"],
            repairs=self.settings.repairs,
            say=notes.append,
        )
        people = [
            {"track": track, "word": person.word, "attributes": list(person.attributes)}
            for track, person in zip(boxed.boxes, boxed.plan.people, strict=True)
        ]
        facts = {
            "people": people,
            "objects": list(boxed.plan.objects),
            "background": boxed.plan.background,
            "notes": notes,
        }
        return Outcome(rejected="" if people else "nobody_named", facts=facts)
