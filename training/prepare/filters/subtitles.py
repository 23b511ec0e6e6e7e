"""Rejects clips with text written over them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lumosx_core.auto_scene.cutouts.regions import Box
from lumosx_core.errors import MissingPackageError

from ..settings import SubtitleSettings
from ..video_frames import Timeline
from .clip_filter import Verdict, even_frames

_SAME_PLACE, _SAME_TEXT = 0.5, 0.6  # intersection over union, and similarity of the letters
_LETTERS = 3  # fewer are a mistake of the reader more often than a subtitle
WITHOUT_READER = "Set filter.subtitles.method = 'none' to prepare without looking for subtitles."
_LONG_SIDE = 736  # pixels to which the reader reduces a frame: letters of 3 % of its height are about 12


@dataclass(frozen=True)
class TextLine:
    """A line of text in a frame.

    Args:
        box: in pixels.
        score: 0..1.
    """

    text: str
    box: Box
    score: float


class TextReader(Protocol):
    """Reads the text in a frame."""

    def read(self, frame: np.ndarray) -> Sequence[TextLine]:
        """All lines in (H, W, 3) uint8 RGB."""


class RapidReader:
    """The package rapidocr, which brings its networks (PP-OCR); it reads Latin letters and Chinese.

    Raises:
        MissingPackageError: rapidocr is not installed.
    """

    def __init__(self):
        try:
            from rapidocr import RapidOCR
        except ImportError as error:
            raise MissingPackageError("rapidocr", f"filter.subtitles ({WITHOUT_READER})", error) from error
        limits = {"Det.limit_type": "max", "Det.limit_side_len": _LONG_SIDE}
        self._engine = RapidOCR(params={"Global.log_level": "critical", "Global.text_score": 0.3, **limits})

    def read(self, frame: np.ndarray) -> list[TextLine]:
        read = self._engine(np.ascontiguousarray(frame[..., ::-1]), use_cls=False)
        if read.boxes is None or read.txts is None:
            return []
        lines = zip(read.boxes, read.txts, read.scores, strict=True)
        return [
            TextLine(text, Box(*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist()), float(score))
            for corners, text, score in lines
        ]


class Subtitles:
    """Finds lines of text that stay where they are, outside the corners, where logos and clocks are.

    A sign in a scene that is filmed without any motion of the camera is taken for one.
    """

    name = "subtitles"
    costly = True

    def __init__(self, settings: SubtitleSettings, reader: TextReader):
        self._settings, self._reader = settings, reader

    def start(self, timeline: Timeline) -> SubtitleMeasurement:
        number = -(-len(timeline.times) // self._settings.every)
        if number > self._settings.most_frames:
            wanted = even_frames(timeline, self._settings.most_frames)
        else:
            wanted = list(range(0, len(timeline.times), self._settings.every))
        return SubtitleMeasurement(wanted, timeline, self._settings, self._reader)


@dataclass
class _Track:
    """A line that stays: when it was read first and last, and how often."""

    line: TextLine
    first: float
    last: float
    count: int = 1


class SubtitleMeasurement:
    """Follows lines of text from frame to frame."""

    def __init__(self, wanted: list[int], timeline: Timeline, settings: SubtitleSettings, reader: TextReader):
        self.wanted = frozenset(wanted)
        self._times, self._settings, self._reader = timeline.times, settings, reader
        self._open: list[_Track] = []
        self._longest: _Track | None = None

    def add(self, number: int, frame: np.ndarray) -> None:
        seconds = self._times[number]
        lines = [line for line in self._reader.read(frame) if self._counts(line, *frame.shape[:2])]
        going_on = []
        for line in lines:
            track = next((each for each in self._open if _is_same(each.line, line)), None)
            if track is None:
                track = _Track(line, seconds, seconds)
            else:
                track.last, track.count = seconds, track.count + 1
            going_on.append(track)
            if track.count > 1 and (self._longest is None or _length(track) > _length(self._longest)):
                self._longest = track
        self._open = going_on

    def verdict(self) -> Verdict:
        longest = self._longest
        if longest is None:
            return Verdict({"seconds": 0.0, "text": ""})
        seconds = _length(longest)
        facts = {"seconds": round(seconds, 3), "text": longest.line.text[:100]}
        if seconds < self._settings.min_seconds:
            return Verdict(facts)
        bound = self._settings.min_seconds
        return Verdict(facts, f"{longest.line.text[:40]!r} stays for {seconds:.2f} s, {bound:g} or more")

    def _counts(self, line: TextLine, height: int, width: int) -> bool:
        settings, box = self._settings, line.box
        letters = sum(letter.isalnum() for letter in line.text)
        if line.score < settings.min_confidence or letters < _LETTERS or box.height > settings.max_height * height:
            return False
        beside = box.right <= settings.corner_width * width or box.left >= (1 - settings.corner_width) * width
        above = box.bottom <= settings.corner_height * height or box.top >= (1 - settings.corner_height) * height
        return not (beside and above)


def _length(track: _Track) -> float:
    return track.last - track.first


def _is_same(first: TextLine, second: TextLine) -> bool:
    similar = difflib.SequenceMatcher(None, first.text, second.text, autojunk=False).ratio()
    return first.box.iou(second.box) >= _SAME_PLACE and similar >= _SAME_TEXT
