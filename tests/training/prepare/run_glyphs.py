"""Raw glyph videos end to end: made, served a model for, prepared, and compared with what is in them.

    python tests/training/prepare/run_glyphs.py FOLDER --videos 1000 --scale 4 --workers 2

prints how right the owners are, what became of each kind of video, and how long each step took, and writes the same to
FOLDER/figures.json. The same command resumes.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from glyph_endpoint import GlyphModel, Known, Misbehaviour, serving
from glyph_finders import CountedFaces, GlyphFinders
from prepared_truth import Score, outcomes, owners, table_rows
from raw_glyphs import RawVideo, make_up, read_truth, write_videos

from lumosx_training.prepare.dataset import Dataset
from lumosx_training.prepare.filters.all_filters import FilterNetworks
from lumosx_training.prepare.pipeline import LAST, build_stages
from lumosx_training.prepare.runner.local import LocalExecution
from lumosx_training.prepare.runner.on_ray import RayExecution
from lumosx_training.prepare.runner.run import RunOptions, run
from lumosx_training.prepare.scene_settings import ChatSettings, PeopleSettings
from lumosx_training.prepare.settings import (
    CrowdSettings,
    CutSettings,
    FilterSettings,
    MotionSettings,
    PrepareSettings,
    ProbeSettings,
    QualitySettings,
    SubtitleSettings,
)
from lumosx_training.prepare.stage import Gathering, Stage
from lumosx_training.prepare.videos import find_videos

KEY = "LUMOSX_TEST_KEY"


def settings_for(scale: int, url: str, *, subtitles: bool = True) -> PrepareSettings:
    """The paper's thresholds, as far as drawings of this size can meet them."""
    return PrepareSettings(
        probe=ProbeSettings(min_short_side=64 * scale),
        cut=CutSettings(min_seconds=1.0),
        filter=FilterSettings(
            motion=MotionSettings(min_flow=0.005),
            subtitles=SubtitleSettings(method="rapidocr" if subtitles else "none", every=12),
            people=CrowdSettings(frames=3),
            quality=QualitySettings(method="none"),
        ),
        chat=ChatSettings(
            method="endpoint", base_url=url, model="glyphs", key_variable=KEY, timeout_seconds=20.0, wait_seconds=0.1
        ),
        people=PeopleSettings(min_side=16 * scale),
    )


def stages_for(settings: PrepareSettings, scale: int) -> list[Stage | Gathering]:
    """All stages, with finders that read glyph people."""
    networks = FilterNetworks(note=f"glyph people {scale}", people=CountedFaces(scale))
    return build_stages(settings, networks, GlyphFinders(scale))


def known_of(videos: Sequence[RawVideo]) -> list[Known]:
    """Every scene that the model may be shown."""
    shots = {shot for video in videos for shot in video.shots}
    return [Known(*shot.scene()) for shot in sorted(shots, key=lambda shot: shot.seed)]


def prepare(
    root: Path, videos: Sequence[RawVideo], scale: int, *, workers: int, misbehaves: Misbehaviour, subtitles: bool
) -> dict[str, Any]:
    """Prepare the videos in root/raw into root/data; returns the report as JSON values."""
    os.environ.setdefault(KEY, "none")
    with serving(GlyphModel(known_of(videos), misbehaves), stall=0.5) as url:
        settings = settings_for(scale, url, subtitles=subtitles)
        stages = stages_for(settings, scale)
        sources = ((video.id, {"path": str(video.path)}) for video in find_videos([root / "raw"]).videos)
        # Where the server is changes from run to run, so it is not part of what a data set is made from.
        run(
            Dataset(root / "data", LAST),
            sources,
            stages,
            LocalExecution() if workers == 1 else RayExecution(workers),
            {"scale": scale},
            RunOptions(retry_failed=True),
        )
    report: dict[str, Any] = json.loads((root / "data" / "report.json").read_text(encoding="utf-8"))
    return report


def now_and_then(kind: str, number: int) -> str:
    """One bad answer to the first question about a clip, of every kind in turn; then right ones."""
    kinds = ("", "", "", "error", "", "", "nonsense", "", "truncated", "", "", "fenced", "", "twice")
    now_and_then.count = getattr(now_and_then, "count", 0) + 1  # type: ignore[attr-defined]
    return kinds[now_and_then.count % len(kinds)] if number == 0 else ""  # type: ignore[attr-defined]


def figures(root: Path, score: Score, seconds: dict[str, float], report: Any) -> dict[str, Any]:
    """Everything that was measured."""
    kinds = {kind: dict(counts) for kind, counts in outcomes(root / "data", read_truth(root / "truth.json")).items()}
    return {
        "samples": score.samples,
        "owner accuracy": round(score.accuracy, 5),
        "right": score.right,
        "wrong": score.wrong,
        "expected": score.expected,
        "found": round(score.found, 4),
        "mistakes": score.mistakes[:50],
        "kinds": kinds,
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "report": report,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--videos", type=int, default=1000)
    parser.add_argument("--scale", type=int, default=4, help="pixels of a video to one of the glyph world")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-subtitles", action="store_true", help="leave out the filter that reads text")
    options = parser.parse_args()
    times = [time.monotonic()]
    videos = make_up(options.videos, options.seed)
    write_videos(videos, options.folder / "raw", options.scale)
    times.append(time.monotonic())
    report = prepare(
        options.folder,
        videos,
        options.scale,
        workers=options.workers,
        misbehaves=now_and_then,
        subtitles=not options.no_subtitles,
    )
    times.append(time.monotonic())
    truth = read_truth(options.folder / "truth.json")
    data = options.folder / "data"
    score = owners(data / "samples", table_rows(data), truth)
    seconds = {"made": times[1] - times[0], "prepared": times[2] - times[1]}
    result = figures(options.folder, score, seconds, report)
    (options.folder / "figures.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    print(json.dumps({name: value for name, value in result.items() if name != "report"}, indent=1))


if __name__ == "__main__":
    main()
