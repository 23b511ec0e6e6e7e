"""A caption for each clip, from its key frames (paper: VILA)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lumosx_core.auto_scene.plan.language_model import Ask
from lumosx_core.errors import LumosXError, shown

from ..key_frames import key_frames_of, read_key_frames
from ..models.chat import check_chat, open_chat
from ..scene_settings import CaptionSettings, ChatSettings
from ..settings import settings_hash
from ..stage import Outcome, Task
from .cut import clip_path

_VERSION = 1  # counts up with every change of the question or of the cleaning
_QUESTION = """These are three frames of one short video, in their order. Describe the video in one paragraph of plain \
text, 20 to 120 words.

- Name each person once by a common noun such as man, woman, boy or girl, and say what each of them wears and carries, \
beside the word for the person.
- Say what they do, name up to three other things that stand out, and the place.
- Describe only what can be seen. Do not mention frames, images, the video, the camera, or what cannot be seen.
- Answer with the description alone: no heading, no list, no quotation marks."""
_LABEL = re.compile(r"(?:the\s+)?(?:caption|description|answer|video description)\s*:\s*", re.IGNORECASE)
_INTRODUCTION = re.compile(
    r"(?:sure|certainly|of course|here is|here's)\b[^.:\n]{0,80}:\s*", re.IGNORECASE
)  # "Sure! Here is the description:"
_REFUSAL = re.compile(
    r"(?:i'?m sorry|i am sorry|sorry,|i can(?:'t|not)|i'?m (?:unable|not able)|as an ai\b|unfortunately, i)",
    re.IGNORECASE,
)
_LETTER = re.compile(r"[^\W\d_]")
_QUOTES = {'"': '"', "'": "'", "“": "”", "«": "»", "「": "」", "`": "`"}


@dataclass(frozen=True)
class Captioning:
    """The stage; see `stage.Stage`.

    Args:
        chat: which model is asked.
        open_model: gives another one, to be asked in its place.
    """

    chat: ChatSettings
    settings: CaptionSettings
    open_model: Callable[[ChatSettings], Ask] = open_chat
    name: str = "caption"
    after: str | None = "duplicates"
    batch_size: int = 1
    gpus: float = 0.0

    def version(self) -> str:
        return settings_hash(_VERSION, chat_version(self.chat), self.settings)

    def check(self) -> None:
        if self.open_model is open_chat:
            check_chat(self.chat)

    def open(self) -> CaptionWorker:
        return CaptionWorker(self.open_model(self.chat), self.settings)


@dataclass(frozen=True)
class CaptionWorker:
    """The stage at work."""

    ask: Ask
    settings: CaptionSettings

    def __call__(self, tasks: Sequence[Task]) -> list[Outcome]:
        return [self._outcome(task) for task in tasks]

    def _outcome(self, task: Task) -> Outcome:
        """Facts: the `text`, and the indices of the key `frames`."""
        path = clip_path(task)
        frames = key_frames_of(path)
        images = read_key_frames(path, frames)
        problems: list[str] = []
        for _ in range(self.settings.tries):
            # Greedy decoding gives the same answer to the same question, so the next one says what was wrong.
            remark = f"\n\nYour last answer could not be used: {problems[-1]}" if problems else ""
            answer = self.ask(images, [{"role": "user", "content": _QUESTION + remark}])
            try:
                text = clean_caption(answer, self.settings.max_characters)
            except LumosXError as error:
                problems.append(str(error))
                continue
            return Outcome(facts={"text": text, "frames": frames, "tries": len(problems) + 1})
        raise LumosXError(
            f"The model gave no usable caption in {len(problems)} {'try' if len(problems) == 1 else 'tries'}. "
            f"{problems[-1]} Ask another model, or raise caption.tries."
        )


def clean_caption(answer: str, most: int) -> str:
    """The description in an answer: one line, without code fences, headings and quotation marks around it.

    Args:
        most: characters.

    Raises:
        LumosXError: nothing is left, it is too long, it is a refusal, or has half a character.
    """
    text = re.sub(r"^\s*```\w*\s|```\s*$", "", answer.strip())
    text = " ".join(text.replace("**", "").split())
    for pattern in (_INTRODUCTION, _LABEL):
        if match := pattern.match(text):
            text = text[match.end() :]
    while len(text) > 1 and _QUOTES.get(text[0]) == text[-1] and text[0] not in text[1:-1]:
        text = text[1:-1].strip()
    if re.search("[\ud800-\udfff]", text):
        raise LumosXError(f"The caption {shown(text, 100)!r} has half a surrogate pair. Write whole characters.")
    if not _LETTER.search(text):
        raise LumosXError(f"The answer {shown(answer, 100)!r} has no words. Expected a description of the video.")
    if _REFUSAL.match(text):
        raise LumosXError(f"The answer {shown(text, 200)!r} is a refusal. Expected a description of the video.")
    if text[0] in "{[":
        raise LumosXError(f"The answer {shown(text, 100)!r} is data. Expected a description in plain text.")
    if len(text) > most:
        raise LumosXError(f"The caption has {len(text)} characters, expected at most {most}. Write a shorter one.")
    return text


def chat_version(chat: ChatSettings) -> str:
    """What of the chat's settings changes its answers: not where the model runs, nor how patiently it is asked."""
    return settings_hash(chat.method, chat.folder if chat.method == "transformers" else chat.model, chat.max_tokens)
