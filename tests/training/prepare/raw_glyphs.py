"""Raw videos of the glyph world, as one finds them: several shots, duplicates, subtitles, bars, grey ones, crowds,
broken files. What is in each is known.
"""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw

from lumosx_core.drawing.fonts import font
from lumosx_training.glyph_world import Casting
from lumosx_training.glyph_world.caption import GlyphCaption, describe
from lumosx_training.glyph_world.casting import GlyphScene, only
from lumosx_training.glyph_world.clip import FRAMES_A_SECOND, GlyphClip, film

WORLD = (64, 80)
KINDS = ("good", "subtitles", "bars", "grey", "crowd", "duplicate", "broken")
SHARES = (0.70, 0.06, 0.05, 0.04, 0.06, 0.06, 0.03)
WORDS = ("Why did you come back here?", "What are we going to do now?", "Nobody will ever believe this")


@dataclass(frozen=True)
class Shot:
    """One scene of a video.

    Args:
        seed: of the scene; the same seed is the same scene.
        frames: how many it has.
    """

    seed: str
    frames: int
    people: int = 0

    def scene(self) -> tuple[GlyphScene, GlyphCaption]:
        return _scene(self.seed, self.people)

    def clip(self, frames: int) -> GlyphClip:
        return film(self.scene()[0], frames)


@dataclass(frozen=True)
class RawVideo:
    """One file.

    Args:
        kind: what is wrong with it; "good" for nothing.
        of: the video that it repeats.
    """

    name: str
    kind: str
    shots: tuple[Shot, ...]
    of: str = ""

    def shot_at(self, seconds: float) -> tuple[Shot, int]:
        """The shot at a time, and the number of its first frame."""
        frame, first = seconds * FRAMES_A_SECOND, 0
        for shot in self.shots:
            if frame < first + shot.frames:
                return shot, first
            first += shot.frames
        return self.shots[-1], first - self.shots[-1].frames


@cache
def _scene(seed: str, people: int) -> tuple[GlyphScene, GlyphCaption]:
    """A scene whose people stay where they are seen: over several seconds they would walk through each other."""
    chance = random.Random(seed)
    casting = Casting(people=only(people)) if people else Casting(people=(0.15, 0.6, 0.25), hat=0.4, thing=0)
    while True:
        scene = casting.scene(chance)
        people_ = tuple(replace(person, drift=person.drift / 3) for person in scene.people)
        # To a finder that looks for eyes and mouths a black face has none.
        if all(max(person.face.skin) > 60 for person in people_):
            break
    scene = replace(scene, people=people_)
    return scene, describe(scene, chance)


def make_up(number: int, seed: int = 0) -> list[RawVideo]:
    """Which videos there are."""
    chance = random.Random(f"raw {seed}")
    videos: list[RawVideo] = []
    for index in range(number):
        kind = chance.choices(KINDS, SHARES)[0]
        originals = [video for video in videos if video.kind == "good"]
        if kind == "duplicate" and not originals:
            kind = "good"
        if kind == "duplicate":
            original = chance.choice(originals)
            videos.append(replace(original, name=f"v{index:05d}.mp4", kind=kind, of=original.name))
            continue
        count = chance.choice((1, 1, 1, 2)) if kind == "good" else 1
        shots = tuple(
            Shot(f"raw {seed} {index} {number}", chance.randint(50, 64), 4 if kind == "crowd" else 0)
            for number in range(count)
        )
        videos.append(RawVideo(f"v{index:05d}.mp4", kind, shots))
    return videos


def write_videos(videos: list[RawVideo], folder: Path, scale: int) -> None:
    """Write the files, and truth.json beside the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for video in videos:
        path = folder / video.name
        if not path.exists():
            partial = folder.parent / f"partial-{video.name}"
            _write(video, partial, scale)
            partial.rename(path)
    truth = [{**asdict(video), "scale": scale} for video in videos]
    (folder.parent / "truth.json").write_text(json.dumps(truth), encoding="utf-8")


def read_truth(path: Path) -> dict[str, RawVideo]:
    """The videos of a truth.json, by name."""
    return {
        each["name"]: RawVideo(
            each["name"], each["kind"], tuple(Shot(**shot) for shot in each["shots"]), each.get("of", "")
        )
        for each in json.loads(path.read_text(encoding="utf-8"))
    }


def _write(video: RawVideo, path: Path, scale: int) -> None:
    chance = random.Random(video.name)
    frames: list[np.ndarray] = []
    for shot in video.shots:
        pixels = (shot.clip(shot.frames).frames.numpy() * 255).round().astype(np.uint8)
        frames += list(pixels.repeat(scale, axis=1).repeat(scale, axis=2))
    if video.kind == "subtitles":
        text = chance.choice(WORDS)
        frames = [_subtitled(frame, text) for frame in frames]
    elif video.kind == "bars":
        frames = [_barred(frame) for frame in frames]
    elif video.kind == "grey":
        frames = [np.repeat(frame.mean(-1, keepdims=True).astype(np.uint8), 3, axis=-1) for frame in frames]
    elif video.kind == "duplicate":
        frames = [np.clip(frame.astype(np.int16) + 6, 0, 255).astype(np.uint8) for frame in frames]
    _encode(frames, path, 24 if video.kind == "duplicate" else 14)
    if video.kind == "broken":
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 3] if chance.random() < 0.5 else b"not a video" * 100)


def _subtitled(frame: np.ndarray, text: str) -> np.ndarray:
    page = Image.fromarray(frame)
    draw = ImageDraw.Draw(page)
    size = max(10, page.height // 18)
    left = (page.width - font(size).getlength(text)) / 2
    draw.text((left, page.height * 0.88), text, fill="white", font=font(size), stroke_width=2, stroke_fill="black")
    return np.asarray(page)


def _barred(frame: np.ndarray) -> np.ndarray:
    frame = frame.copy()
    bar = frame.shape[0] // 8
    frame[:bar] = 0
    frame[-bar:] = 0
    return frame


def _encode(frames: list[np.ndarray], path: Path, crf: int) -> None:
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(FRAMES_A_SECOND))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(crf), "preset": "ultrafast", "threads": "1"}
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")))
        container.mux(stream.encode())
