"""MiniMax H3: a prompt of six sections that names each reference image, at most nine, as <Picture i>.

A subject of its prompt is what has a line of its own in subject_definitions: the background, each object and each
person. Garments are defined in their owner's line. In the body of the prompt the words of a subject become its tag.
Source: MiniMax's prompt guide for reference-to-video; ComfyUI's MiniMaxH3ReferenceToVideo counts its connected slots
from 1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import LumosXError, shown
from ..prompt.literal_text import check_no_embedding
from .named_things import Thing, tagged_spans, with_article

MODEL = "MiniMax H3"
MOST_IMAGES = 9
NOTHING = "N/A"
HEADINGS = (
    *("subject_definitions", "summary", "retention_analysis", "detailed_description", "overall_soundscape"),
    "non_diegetic_music",
)
LICENCE = (
    "The licence of MiniMax H3 grants no rights in the EU, the UK, South Korea and the USA, also not to videos made "
    "with it. This prompt is only text; read the licence before you run the model."
)
_WORDS = (350, 500)  # of detailed_description, by the guide
_OWN_TAGS = re.compile(r"<\s*(?:Picture|Subject)\b[^<>]*>|<\|[^<>]*\|>", re.IGNORECASE)
_SHOT = re.compile(r"\[Shot (\d+)\]")
_SENTENCE = re.compile(r".*?[.!?](?=\s|$)")


def h3_prompt(prompt: str, things: Sequence[Thing], soundscape: str = "", music: str = "") -> tuple[str, list[str]]:
    """The prompt of MiniMax H3 for a scene, and remarks about it.

    Args:
        prompt: cleaned and without weights.
        things: of the images in the order in which they are connected, see `things_of`.
        soundscape: what is heard in the scene.
        music: music that nobody in the scene hears.

    Raises:
        LumosXError: a text has tags of its own, shots are not numbered from 1, or see `tagged_spans`.
    """
    for what, text in (("The prompt", prompt), ("The soundscape", soundscape), ("The music", music)):
        if match := _OWN_TAGS.search(text):
            raise LumosXError(
                f'{what} has "{shown(match[0], 60)}", but {MODEL} reads such tags as its own, and they are written '
                f"here for you. Write the words of the scene's phrases instead."
            )
        if text.removesuffix(":") in HEADINGS:
            raise LumosXError(
                f'{what} is "{shown(text, 60)}", which is a heading of the prompt of {MODEL}. Describe it.'
            )
        check_no_embedding(text, what)
    subjects: list[list[Thing]] = []  # of each <Subject N>: a person's things, or a single one
    for thing in things:
        if thing.owner and subjects and subjects[-1][0].owner == thing.owner:
            subjects[-1].append(thing)
        else:
            subjects.append([thing])
    body = _tagged(prompt, list(things), subjects)
    shots = _shots(body)
    definitions, retained = [], []
    for number, own in enumerate(subjects, 1):
        definitions.append(f"<Subject {number}> is {_definition(own)}.")
        tag = f"<Subject {number}>"
        where = ", ".join(f"[Shot {shot}]" for shot, text in shots if tag in text)
        retained.append(f"{tag} (appears in {where}): fully_preserved - {', '.join(thing.words for thing in own)}.")
    described = " ".join(f"[Shot {number}] {text}" for number, text in shots)
    first = _SENTENCE.match(shots[0][1])
    sections = (
        "\n".join(definitions),
        f"[reference generation] {first[0] if first else shots[0][1]}",
        "\n".join(retained),
        described,
        soundscape or NOTHING,
        music or NOTHING,
    )
    written = "\n\n".join(f"{heading}:\n{text}" for heading, text in zip(HEADINGS, sections, strict=True))
    remarks = [LICENCE]
    words = len(described.split())
    if not _WORDS[0] <= words <= _WORDS[1]:
        remarks.append(
            f"The description has {words} words; {MODEL}'s guide asks for {_WORDS[0]} to {_WORDS[1]}. What is added to "
            f"the prompt goes there."
        )
    return written, remarks


def _definition(own: Sequence[Thing]) -> str:
    main = own[0]
    if not main.owner:
        return f"{main.definite} in {_pictures(main)}"
    garments = ", ".join(
        f"{'with' if thing.held else 'in'} {thing.definite} from {_pictures(thing)}"
        for thing in own
        if thing.role != "face"
    )
    if main.role != "face":
        return f"the person {garments}"
    comma = "" if main.article else ","
    face = f"{main.definite}{comma} whose face and hair come from {_pictures(main)}"
    return f"{face}, {garments}" if garments else face


def _pictures(thing: Thing) -> str:
    return " and ".join(f"<Picture {image + 1}>" for image in thing.images)


def _tagged(prompt: str, things: list[Thing], subjects: list[list[Thing]]) -> str:
    """The prompt with tags for the words of subjects; of a person without a face behind those of the first garment."""
    numbers = {id(own[0]): number for number, own in enumerate(subjects, 1)}
    parts, at = [], 0
    for start, end, thing in tagged_spans(things, [own[0] for own in subjects], prompt):
        tag = f"<Subject {numbers[id(thing)]}>"
        if thing.role == "attribute":
            parts.append(f"{prompt[at:end]} (with {tag})" if thing.held else f"{prompt[at:end]} (worn by {tag})")
        else:
            parts.append(prompt[at : max(at, with_article(prompt, start))] + tag)
        at = end
    return "".join(parts) + prompt[at:]


def _shots(body: str) -> list[tuple[int, str]]:
    """The shots of a description: numbers and texts. Without any marks it is the first one."""
    if not _SHOT.match(body):
        body = f"[Shot 1] {body}"
    parts = _SHOT.split(body)[1:]
    shots = [(int(number), text.strip()) for number, text in zip(parts[::2], parts[1::2], strict=True)]
    if [number for number, _ in shots] != list(range(1, len(shots) + 1)):
        raise LumosXError(
            f"The shots of the prompt are numbered {', '.join(parts[::2])}, expected 1, 2, 3 ... Write [Shot 2] At "
            f"00:03.000, in front of the second one; the first needs no mark."
        )
    return shots
