"""Each filter on clips made for it: what it measures, what it rejects, what it must let pass."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from made_videos import write

from lumosx_core.auto_scene.cutouts.regions import Box, Detection, Face
from lumosx_core.errors import LumosXError, MissingPackageError
from lumosx_training.prepare.filters.all_filters import FilterNetworks
from lumosx_training.prepare.filters.crowds import count_faces, count_persons
from lumosx_training.prepare.filters.greyscale import colourfulness
from lumosx_training.prepare.filters.quality import Scores
from lumosx_training.prepare.filters.subtitles import RapidReader, TextLine
from lumosx_training.prepare.settings import (
    BorderSettings,
    CrowdSettings,
    DuplicateSettings,
    FilterSettings,
    MotionSettings,
    QualitySettings,
    SubtitleSettings,
)
from lumosx_training.prepare.stage import Task
from lumosx_training.prepare.stages.duplicates import Duplicates
from lumosx_training.prepare.stages.filter import Filter

HEIGHT, WIDTH, FRAMES = 96, 128, 33
NO_NETWORK = FilterSettings(
    subtitles=SubtitleSettings(method="none"),
    people=CrowdSettings(method="none"),
    quality=QualitySettings(method="none"),
)


def texture(seed=0, height=HEIGHT, width=2 * WIDTH):
    """Soft coloured blobs, so that flow has something to hold on to."""
    coarse = np.random.default_rng(seed).integers(60, 230, (height // 8 + 1, width // 8 + 1, 3)).astype(np.float32)
    rows, columns = np.linspace(0, len(coarse) - 1.01, height), np.linspace(0, coarse.shape[1] - 1.01, width)
    top, left = rows.astype(int), columns.astype(int)
    down, right = (rows - top)[:, None, None], (columns - left)[None, :, None]
    upper = coarse[top][:, left] * (1 - right) + coarse[top][:, left + 1] * right
    lower = coarse[top + 1][:, left] * (1 - right) + coarse[top + 1][:, left + 1] * right
    return (upper * (1 - down) + lower * down).astype(np.uint8)


def panned(step=1, seed=0, count=FRAMES):
    wide = texture(seed, width=WIDTH + step * count)
    return [wide[:, step * number : step * number + WIDTH].copy() for number in range(count)]


def measured(tmp_path, frames, settings=NO_NETWORK, networks=None, name="clip.mp4", **options):
    folder = tmp_path / "cut"
    folder.mkdir(exist_ok=True)
    write(folder / name, frames, **options)
    facts = {"source": {"path": "gone"}, "cut": {"file": name}}
    stage = Filter(settings, networks or FilterNetworks())
    [outcome] = stage.open()([Task("v-1", facts, {"cut": folder}, tmp_path)])
    return outcome


def test_a_good_clip_passes_with_all_its_scores(tmp_path):
    outcome = measured(tmp_path, panned())
    assert outcome.rejected == "" and outcome.facts["reasons"] == {}
    assert outcome.facts["greyscale"]["colour"] > 10
    assert max(outcome.facts["borders"].values()) == 0
    assert outcome.facts["hashes"]["height"] == HEIGHT and len(set(outcome.facts["hashes"]["key_frames"])) == 3
    assert outcome.facts["not_measured"] == {
        "subtitles": "filter.subtitles.method = 'none'",
        "people": "filter.people.method = 'none'",
        "quality": "filter.quality.method = 'none'",
        "embedding": "filter.embedding.method = 'none'",
    }


# Borders


@pytest.mark.parametrize(
    ("bars", "value", "rejected"),
    [
        ({"top": 12, "bottom": 12}, 0, "borders"),
        ({"left": 16, "right": 16}, 0, "borders"),
        ({"bottom": 10}, 0, "borders"),
        ({"top": 12, "bottom": 12}, 255, "borders"),
        ({"top": 12}, 255, ""),  # one white side may be a sky
        ({"top": 1}, 0, ""),  # a line at the edge, 1 % of the height
    ],
)
def test_bars_are_measured_and_rejected(tmp_path, bars, value, rejected):
    frames = panned()
    for frame in frames:
        frame[: bars.get("top", 0)] = value
        frame[HEIGHT - bars.get("bottom", 0) :] = value
        frame[:, : bars.get("left", 0)] = value
        frame[:, WIDTH - bars.get("right", 0) :] = value
    outcome = measured(tmp_path, frames)
    assert outcome.rejected == rejected
    if rejected:
        for side, width in bars.items():
            size = HEIGHT if side in ("top", "bottom") else WIDTH
            assert outcome.facts["borders"][side] == pytest.approx(width / size, abs=2.1 / size)
        assert "white" in outcome.facts["reasons"]["borders"] or value == 0


def test_a_bar_is_there_in_every_frame(tmp_path):
    frames = panned()
    for frame in frames[:20]:  # a shadow that goes away
        frame[:20] = 0
    assert measured(tmp_path, frames).rejected == ""


# Greyscale


def tinted(frames, tint):
    grey = [frame.astype(np.float32).mean(axis=2, keepdims=True) for frame in frames]
    return [(frame * np.array(tint)).clip(0, 255).astype(np.uint8) for frame in grey]


@pytest.mark.parametrize("tint", [(1, 1, 1), (1.08, 1.0, 0.85), (0.9, 1, 1.05)])
def test_grey_and_tinted_clips_are_rejected(tmp_path, tint):
    outcome = measured(tmp_path, tinted(panned(), tint))
    assert outcome.rejected == "greyscale"
    assert f"{outcome.facts['greyscale']['colour']:.2f} is less than 6" in outcome.facts["reasons"]["greyscale"]


def test_a_clip_of_two_strong_colours_is_not_tinted(tmp_path):
    """Their chroma is linear in their luma, too."""
    frames = panned()
    for frame in frames:
        high = frame.mean(axis=2) > 145
        frame[high], frame[~high] = (230, 220, 60), (40, 50, 160)
    assert measured(tmp_path, frames).rejected == ""
    assert colourfulness(np.array([(230, 220, 60), (40, 50, 160)] * 50, np.float32)) > 60


def test_a_little_colour_in_a_grey_clip_is_enough(tmp_path):
    frames = tinted(panned(), (1, 1, 1))
    for frame in frames:
        frame[30:60, 40:80] = (220, 40, 40)
    assert measured(tmp_path, frames).rejected == ""


# Motion


@pytest.mark.parametrize("step", [1, 2])
def test_flow_is_in_per_cent_of_the_short_side_for_a_sixteenth_of_a_second(tmp_path, step):
    settings = FilterSettings(**{**vars(NO_NETWORK), "motion": MotionSettings(max_flow=50)})
    expected = 100 * step / HEIGHT
    assert measured(tmp_path, panned(step), settings).facts["motion"]["flow"] == pytest.approx(expected, rel=0.15)


def test_neither_the_rate_nor_the_size_changes_the_flow(tmp_path):
    settings = FilterSettings(**{**vars(NO_NETWORK), "motion": MotionSettings(max_flow=50)})
    flow = measured(tmp_path, panned(2), settings).facts["motion"]["flow"]
    twice = [frame for frame in panned(1, count=66)]
    faster = measured(tmp_path, twice, settings, rate=32, name="fast.mp4").facts["motion"]["flow"]
    slower = measured(tmp_path, panned(4, count=17), settings, rate=8, name="slow.mp4").facts["motion"]["flow"]
    assert slower == pytest.approx(flow, rel=0.2)
    large = [frame.repeat(3, axis=0).repeat(3, axis=1) for frame in panned(2)]
    larger = measured(tmp_path, large, settings, name="large.mp4").facts["motion"]["flow"]
    assert faster == pytest.approx(flow, rel=0.2) and larger == pytest.approx(flow, rel=0.2)


def test_still_and_too_fast_clips_are_rejected_and_say_by_how_much(tmp_path):
    still = measured(tmp_path, [panned()[0]] * FRAMES)
    assert still.rejected == "motion" and "less than 0.05 %" in still.facts["reasons"]["motion"]
    fast = measured(tmp_path, panned(4), name="fast.mp4")
    assert fast.rejected == "motion" and "more than 2 %" in fast.facts["reasons"]["motion"]


def test_a_missed_cut_is_not_motion(tmp_path):
    frames = panned(1, seed=0)[:16] + panned(1, seed=1)[:17]
    assert measured(tmp_path, frames).rejected == ""


# Subtitles


class Reader:
    """Reads what the test wrote: the frame's brightest row of the first column says which lines there are."""

    def __init__(self, lines):
        self.lines = lines
        self.reads = 0

    def read(self, frame):
        number = self.reads
        self.reads += 1
        return self.lines(number)


def line(text="Where did you go?", left=30, top=80, width=60, height=8, score=0.9):
    return TextLine(text, Box(left, top, left + width, top + height), score)


def subtitles(tmp_path, lines, **settings):
    chosen = FilterSettings(**{**vars(NO_NETWORK), "subtitles": SubtitleSettings(**settings)})
    return measured(tmp_path, panned(), chosen, FilterNetworks(reader=lambda: Reader(lines)))


@pytest.mark.parametrize(
    ("lines", "rejected"),
    [
        (lambda number: [line()], "subtitles"),
        (lambda number: [line()] if number < 5 else [], "subtitles"),  # 11 frames are read, 0.19 s apart
        (lambda number: [line()] if number < 3 else [], ""),  # 0.38 s
        (lambda number: [line()] if number % 2 else [], ""),  # never twice in a row
        (lambda number: [line(left=2 + 9 * number)], ""),  # moves with the scene
        (lambda number: [line(text=f"{number}{number * 7}{number * 3}abc"[:3] + "xyz" * (number % 2))], ""),  # noise
        (lambda number: [line(left=1, top=1, width=30, height=10)], ""),  # a logo in the corner
        (lambda number: [line(left=1, top=1, width=80, height=10)], "subtitles"),  # wider than a corner
        (lambda number: [line(top=20, height=40)], ""),  # large letters belong to the scene
        (lambda number: [line(text="o o]")], ""),  # eyes
        (lambda number: [line(score=0.4)], ""),
        (lambda number: [line(), line("a second line", top=60)], "subtitles"),
    ],
)
def test_subtitles_are_text_that_stays(tmp_path, lines, rejected):
    outcome = subtitles(tmp_path, lines)
    assert outcome.rejected == rejected
    if rejected:
        assert outcome.facts["subtitles"]["text"] == "Where did you go?"
        assert outcome.facts["subtitles"]["seconds"] >= 0.5


def test_a_long_clip_is_read_at_most_so_often(tmp_path):
    reader = Reader(lambda number: [])
    chosen = FilterSettings(**{**vars(NO_NETWORK), "subtitles": SubtitleSettings(most_frames=4)})
    measured(tmp_path, panned(), chosen, FilterNetworks(reader=lambda: reader))
    assert reader.reads == 4


@pytest.mark.slow
def test_rapidocr_reads_a_subtitle_and_nothing_in_a_clip_without():
    pytest.importorskip("rapidocr")
    from PIL import Image, ImageDraw

    frame = texture(height=384, width=512)
    image = Image.fromarray(frame)
    ImageDraw.Draw(image).text(
        (110, 340), "Where did you go?", fill="white", font_size=30, stroke_width=3, stroke_fill="black"
    )
    reader = RapidReader()
    [read] = reader.read(np.asarray(image))
    assert "".join(read.text.lower().split()) == "wheredidyougo?"
    assert read.box.iou(Box(110, 345, 360, 375)) > 0.5 and read.score > 0.6
    assert reader.read(frame) == []


# People and quality


class Finder:
    """Finds so many faces, or persons twice, whatever the image."""

    def __init__(self, *numbers):
        self.numbers = list(numbers)

    def find(self, image, phrases=None):
        number = self.numbers.pop(0)
        boxes = [Box(20 * place, 10, 20 * place + 12, 30) for place in range(number)]
        if phrases is None:
            return [Face(box, 0.9) for box in boxes] + [Face(Box(0, 50, 9, 60), 0.3)]
        return [[Detection(box.moved(shift, 0), 0.9) for box in boxes for shift in (0, 1)]]


@pytest.mark.parametrize("kind", ["faces", "persons"])
@pytest.mark.parametrize(
    ("numbers", "people"), [((3, 3, 3, 3, 3), 3), ((4, 3, 3, 3, 3), 3), ((4, 3, 4, 3, 2), 4), ((5, 5, 5, 5, 5), 5)]
)
def test_the_number_of_people_is_what_enough_frames_show(tmp_path, kind, numbers, people):
    count = (count_faces if kind == "faces" else count_persons)(Finder(*numbers), 0.65)
    chosen = FilterSettings(**{**vars(NO_NETWORK), "people": CrowdSettings(agreeing=0.4)})
    outcome = measured(tmp_path, panned(), chosen, FilterNetworks(people=lambda: count))
    assert outcome.facts["people"] == {"people": people, "counts": list(numbers)}
    assert outcome.rejected == ("people" if people > 3 else "")


class Scorer:
    def __init__(self, *scores):
        self.scores = scores

    def score(self, frames):
        assert len(frames) == 3 and frames[0].shape == (HEIGHT, WIDTH, 3)
        return [Scores(*each) for each in self.scores]


@pytest.mark.parametrize(
    ("scores", "rejected"),
    [
        ([(3.6, 2.1)] * 3, ""),
        ([(3.5, 4.0)] * 3, "quality"),  # the paper keeps more than 3.5
        ([(4.0, 2.0)] * 3, "quality"),
        ([(5.0, 4.0), (2.0, 4.0), (4.0, 4.0)], ""),
        ([(float("nan"), 4.0)] * 3, "quality"),
    ],
)
def test_quality_is_the_mean_over_key_frames(tmp_path, scores, rejected):
    chosen = FilterSettings(**{**vars(NO_NETWORK), "quality": QualitySettings()})
    outcome = measured(tmp_path, panned(), chosen, FilterNetworks(scorer=lambda: Scorer(*scores)))
    assert outcome.rejected == rejected


# All together


def test_networks_are_not_asked_about_what_is_rejected_already_unless_all_is_measured(tmp_path):
    networks = FilterNetworks(reader=lambda: Reader(lambda number: [line()]))
    chosen = {**vars(NO_NETWORK), "subtitles": SubtitleSettings()}
    still = [panned()[0]] * FRAMES
    outcome = measured(tmp_path, still, FilterSettings(**chosen), networks)
    assert outcome.rejected == "motion" and "subtitles" not in outcome.facts
    assert outcome.facts["not_measured"]["subtitles"] == "rejected by another filter"
    outcome = measured(tmp_path, still, FilterSettings(**chosen | {"measure_all": True}), networks)
    assert outcome.rejected == "motion" and set(outcome.facts["reasons"]) == {"motion", "subtitles"}


@pytest.mark.parametrize(
    ("package", "table"), [("rapidocr", "subtitles"), ("pyiqa", "quality"), ("cv2", "motion"), ("imagehash", "")]
)
def test_a_missing_package_is_an_error_before_the_first_clip(monkeypatch, package, table):
    monkeypatch.setitem(sys.modules, package, None)
    chosen = {**vars(NO_NETWORK)}
    if table:
        chosen[table] = getattr(FilterSettings(), table)
    with pytest.raises(MissingPackageError):
        Filter(FilterSettings(**chosen)).open()


def test_a_missing_detector_says_how_to_do_without():
    chosen = FilterSettings(**{**vars(NO_NETWORK), "people": CrowdSettings(model="/gone/det.onnx")})
    with pytest.raises(LumosXError, match=r"filter\.people\.method = 'none'"):
        Filter(chosen).open()


def test_the_version_changes_with_settings_networks_and_weights(tmp_path):
    weights = tmp_path / "det.onnx"
    weights.write_bytes(b"one")
    chosen = FilterSettings(**{**vars(NO_NETWORK), "people": CrowdSettings(model=str(weights))})
    versions = [
        Filter(NO_NETWORK).version(),
        Filter(FilterSettings(**{**vars(NO_NETWORK), "borders": BorderSettings(tolerance=9)})).version(),
        Filter(NO_NETWORK, FilterNetworks(note="other")).version(),
        Filter(chosen).version(),
    ]
    weights.write_bytes(b"two")
    versions.append(Filter(chosen).version())
    assert len(set(versions)) == len(versions)


def test_a_re_encoded_smaller_copy_is_a_duplicate_and_a_mirrored_one_only_if_asked(tmp_path):
    frames = [frame.repeat(3, axis=0).repeat(3, axis=1) for frame in panned(1)]
    made = {
        "original": frames,
        "smaller": [frame[::2, ::2] for frame in frames],
        "brighter": [(frame * 1.08 + 4).clip(0, 255).astype(np.uint8) for frame in frames],
        "mirrored": [frame[:, ::-1] for frame in frames],
        "other": [frame.repeat(3, axis=0).repeat(3, axis=1) for frame in panned(1, seed=5)],
    }
    facts = {name: dict(measured(tmp_path, each, name=f"{name}.mp4").facts) for name, each in made.items()}
    outcomes = Duplicates(DuplicateSettings()).gather(facts)
    kept = {name for name, outcome in outcomes.items() if not outcome.rejected}
    assert len(kept & {"original", "brighter"}) == 1  # of the same size, whichever comes first
    assert kept - {"original", "brighter"} == {"mirrored", "other"}
    outcomes = Duplicates(DuplicateSettings(mirrored=True)).gather(facts)
    assert sum(not outcome.rejected for outcome in outcomes.values()) == 2
