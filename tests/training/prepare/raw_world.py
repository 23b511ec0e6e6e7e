"""Raw videos of the glyph world of every kind that a filter is for, and what should become of each.

    python tests/training/prepare/raw_world.py FOLDER --videos 320

writes them, runs probe, cut, filter and duplicates over them, and prints a table: rows are kinds, columns outcomes.
Which videos there are depends on the seed alone. They are larger copies of clips of 64 x 80 pixels, of one to three
shots of a scene each; truth.json beside them says which.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from glyph_finders import CountedFaces
from made_videos import task, write, write_sound
from PIL import Image, ImageDraw

from lumosx_core.drawing.fonts import font
from lumosx_training.glyph_world import Casting
from lumosx_training.glyph_world.casting import only
from lumosx_training.glyph_world.clip import film
from lumosx_training.prepare.filters.all_filters import FilterNetworks
from lumosx_training.prepare.settings import (
    CutSettings,
    DuplicateSettings,
    FilterSettings,
    ProbeSettings,
    QualitySettings,
    SubtitleSettings,
)
from lumosx_training.prepare.stage import Task
from lumosx_training.prepare.stages.cut import Cut
from lumosx_training.prepare.stages.duplicates import Duplicates
from lumosx_training.prepare.stages.filter import Filter
from lumosx_training.prepare.stages.probe import Probe
from lumosx_training.prepare.videos import find_videos

SCALE = 4
RATE = 16
# Kind, how many of a hundred, and what becomes of its clips; "" is kept.
KINDS = {
    "good": (30, ""),
    "varying rate": (5, ""),
    "dissolve": (5, ""),
    "logo": (4, ""),
    "mirrored": (4, ""),
    "duplicate": (9, "duplicate"),
    "same file": (2, "duplicate"),
    "subtitles": (8, "subtitles"),
    "black bars": (4, "borders"),
    "white bars": (3, "borders"),
    "grey": (3, "greyscale"),
    "sepia": (2, "greyscale"),
    "still": (4, "motion"),
    "too fast": (4, "motion"),
    "crowd": (6, "people"),
    "truncated": (2, "broken"),
    "empty": (1, "broken"),
    "text": (1, "broken"),
    "sound": (1, "broken"),
    "tiny": (2, "small"),
}
LINES = ("Why did you come back here?", "What are we going to do now?", "Nobody will ever believe this")


@dataclass(frozen=True)
class RawVideo:
    """A file.

    Args:
        shots: frames of each.
        of: index of the video that it repeats; -1 for none.
    """

    index: int
    kind: str
    shots: tuple[int, ...]
    of: int = -1

    @property
    def name(self) -> str:
        return f"v{self.index:05d}.mp4"


def make_up(count: int, seed: int = 0) -> list[RawVideo]:
    chance = random.Random(f"raw world {seed}")
    videos: list[RawVideo] = []
    good: list[int] = []
    for index in range(count):
        kind = chance.choices(list(KINDS), [many for many, _ in KINDS.values()])[0]
        number = 2 if kind == "dissolve" else chance.choice((1, 1, 2, 3)) if kind == "good" else 1
        shots = tuple(chance.randint(40, 52) for _ in range(number))
        of = -1
        if kind in ("duplicate", "same file", "mirrored"):
            if not good:
                kind = "good"
            else:
                of = chance.choice(good)
                shots = videos[of].shots
        if kind == "good":
            good.append(index)
        videos.append(RawVideo(index, kind, shots, of))
    return videos


def write_videos(videos: list[RawVideo], folder: Path, seed: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for video in videos:
        if not (folder / video.name).exists():
            _write(video, folder, seed)
    truth = [{**asdict(video), "name": video.name, "outcome": KINDS[video.kind][1]} for video in videos]
    (folder.parent / "truth.json").write_text(json.dumps(truth, indent=1), encoding="utf-8")


def _shots(video: RawVideo, seed: int) -> list[list[np.ndarray]]:
    """The frames of each shot, in the world's own size."""
    source = video.index if video.of < 0 else video.of
    shots = []
    for number, frames in enumerate(video.shots):
        chance = random.Random(f"raw world {seed} {source} {number}")
        people = only(4) if video.kind == "crowd" else (0.2, 0.6, 0.2)
        scene = Casting(people=people, place=0.7).scene(chance)
        shots.append(list((film(scene, frames).frames.numpy() * 255).round().astype(np.uint8)))
    return shots


def _write(video: RawVideo, folder: Path, seed: int) -> None:
    chance = random.Random(f"raw world {seed} {video.name}")
    path, kind = folder / video.name, video.kind
    if kind == "same file":
        path.write_bytes((folder / f"v{video.of:05d}.mp4").read_bytes())
        return
    if kind in ("empty", "text", "sound"):
        path.write_bytes(b"" if kind == "empty" else b"This is a letter.\n" * chance.randint(5, 500))
        if kind == "sound":
            write_sound(path)
        return
    shots = _shots(video, seed)
    if kind == "dissolve":
        weights = np.linspace(0, 1, 22)[1:-1]
        first, last = (shot[place].astype(np.float32) for shot, place in zip(shots, (-1, 0), strict=True))
        between = [(first * (1 - weight) + last * weight).astype(np.uint8) for weight in weights]
        shots.insert(1, between)
    frames = [frame for shot in shots for frame in shot]
    scale = 1 if kind == "tiny" else 3 if kind == "duplicate" else SCALE
    frames = [_changed(frame, kind, number) for number, frame in enumerate(frames)]
    if kind == "still":
        frames = frames[:1] * len(frames)
    frames = [frame.repeat(scale, axis=0).repeat(scale, axis=1) for frame in frames]
    frames = _written(frames, kind, chance)
    if kind == "varying rate":
        ticks = np.cumsum([0] + [chance.choice((40, 60, 80)) for _ in frames])[: len(frames)].tolist()
        write(path, frames, times=ticks, clock=Fraction(1, 1000))
        return
    write(path, frames, rate=Fraction(RATE))
    if kind == "truncated":
        content = path.read_bytes()
        path.write_bytes(content[: len(content) * chance.randint(2, 8) // 10])


def _changed(frame: np.ndarray, kind: str, number: int) -> np.ndarray:
    """What is done to the pixels of the world."""
    if kind == "mirrored":
        return frame[:, ::-1]
    if kind == "duplicate":
        return (frame * 0.96 + 8).clip(0, 255).astype(np.uint8)
    if kind in ("grey", "sepia"):
        tint = (1, 1, 1) if kind == "grey" else (1.07, 1.0, 0.86)
        return (frame.mean(axis=2, keepdims=True) * np.array(tint)).clip(0, 255).astype(np.uint8)
    if kind == "too fast":
        return np.roll(frame, 7 * number, axis=1)
    if kind in ("black bars", "white bars"):
        frame = frame.copy()
        frame[:6] = frame[-6:] = 0 if kind == "black bars" else 255
    return frame


def _written(frames: list[np.ndarray], kind: str, chance: random.Random) -> list[np.ndarray]:
    """Text on frames of full size."""
    if kind not in ("subtitles", "logo"):
        return frames
    height, width = frames[0].shape[:2]
    text = chance.choice(LINES) if kind == "subtitles" else "TV5"
    size = height // 16
    left = (width - font(size).getlength(text)) / 2 if kind == "subtitles" else width * 0.82
    top = height * (0.88 if kind == "subtitles" else 0.04)
    written = []
    for frame in frames:
        page = Image.fromarray(frame)
        draw = ImageDraw.Draw(page)
        draw.text((left, top), text, fill="white", font=font(size), stroke_width=2, stroke_fill="black")
        written.append(np.asarray(page))
    return written


def outcomes(folder: Path, work: Path, *, subtitles: bool = True) -> dict[str, list[str]]:
    """Name of each video -> what became of it, or of each of its clips: "" for kept."""
    text = SubtitleSettings(every=6) if subtitles else SubtitleSettings(method="none")
    settings = FilterSettings(measure_all=False, subtitles=text, quality=QualitySettings(method="none"))
    # Scenes in the same grey studio differ by their people alone.
    cut = CutSettings(min_seconds=1.5, margin_seconds=0.25, dissolve_distance=0.15)
    probe, cutter = Probe(ProbeSettings(min_short_side=160)).open(), Cut(cut).open()
    filters = Filter(settings, FilterNetworks("glyphs", people=CountedFaces(SCALE))).open()
    found = find_videos([folder])
    became: dict[str, list[str]] = {path.name: ["duplicate"] for path, _ in found.copies}
    facts: dict[str, dict] = {}
    names: dict[str, str] = {}
    for video in found.videos:
        became[video.path.name] = []
        [probed] = probe([task(video.path, work / video.id, video.id)])
        if probed.rejected:
            became[video.path.name].append(probed.rejected)
            continue
        output = work / video.id / "cut"
        [cuts] = cutter([task(video.path, output, video.id)])
        if cuts.rejected:
            became[video.path.name].append(cuts.rejected)
        for clip, child in (cuts.children or {}).items():
            [judged] = filters([Task(clip, {"cut": child}, {"cut": output}, work)])
            if judged.rejected:
                became[video.path.name].append(judged.rejected)
            else:
                facts[clip], names[clip] = dict(judged.facts), video.path.name
    for clip, outcome in Duplicates(DuplicateSettings()).gather(facts).items():
        became[names[clip]].append(outcome.rejected)
    return became


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--videos", type=int, default=320)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    videos = make_up(options.videos, options.seed)
    started = time.perf_counter()
    write_videos(videos, options.folder / "videos", options.seed)
    print(f"written after {time.perf_counter() - started:.0f} s", flush=True)
    became = outcomes(options.folder / "videos", options.folder / "work")
    table = {
        kind: Counter(each or "kept" for v in videos if v.kind == kind for each in became[v.name]) for kind in KINDS
    }
    for kind, counts in table.items():
        wanted = KINDS[kind][1] or "kept"
        print(f"{kind:14} expected {wanted:10} {sum(v.kind == kind for v in videos):4} videos  {dict(counts)}")
    wrong = [v.name for v in videos if any(each != KINDS[v.kind][1] for each in became[v.name])]
    print("wrong:", [(name, became[name]) for name in wrong])
    print(f"{len(videos)} videos, {time.perf_counter() - started:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
