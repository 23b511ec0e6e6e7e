"""How right a prepared data set of raw glyph videos is: whose each reference image is, and what became of each kind."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raw_glyphs import RawVideo

from lumosx_core.auto_scene.cutouts.regions import Box
from lumosx_core.media.images import read_mask
from lumosx_training.glyph_world.clip import FRAMES_A_SECOND

PARTS = ("shirt", "hat", "prop")
MOSTLY = 0.6  # of a mask inside the box of what it shows


@dataclass
class Score:
    """Counts over all samples.

    Args:
        right, wrong: reference images of people that show what their words name, of their owner, or not.
        expected: how many there would be if nothing were left out.
        mistakes: the samples of the wrong ones, with what they show.
    """

    right: int = 0
    wrong: int = 0
    expected: int = 0
    samples: int = 0
    mistakes: list[str] = field(default_factory=list)

    @property
    def accuracy(self) -> float:
        return self.right / max(1, self.right + self.wrong)

    @property
    def found(self) -> float:
        return (self.right + self.wrong) / max(1, self.expected)


def owners(samples: Path, rows: Iterator[tuple[str, Mapping[str, Any]]], truth: Mapping[str, RawVideo]) -> Score:
    """Compare each reference image of each person with what is in the video.

    Args:
        samples: the folder of sample folders.
        rows: the id and the facts of each sample.
    """
    score = Score()
    for id, facts in rows:
        score.samples += 1
        video = truth[Path(facts["source"]["path"]).name]
        shot, first = video.shot_at((facts["cut"]["start"] + facts["cut"]["end"]) / 2)
        scene, caption = shot.scene()
        before = round(facts["cut"]["start"] * FRAMES_A_SECOND) - first
        score.expected += sum(2 + bool(person.hat) + bool(person.prop) for person in scene.people)
        regions = shot.clip(before + max(facts["caption"]["frames"]) + 1).regions
        scale = facts["people"]["size"][0] / 64
        for part, frame in facts["sample"]["frames"].items():
            if not part.startswith("person"):
                continue
            number, _, what = part.removeprefix("person").partition("_")
            words = facts["words"]["people"][int(number)]
            there = [
                {name: Box(*box).scaled(scale, scale) for name, box in each.items()} for each in regions[before + frame]
            ]
            if what == "face":
                box = Box(*facts["references"]["people"][int(number)]["face"][str(frame)])
                fits = [(box.share_in(each["face"]), p, "face") for p, each in enumerate(there)]
                phrase = words["word"]
            else:
                mask = read_mask(samples / id / "key_frames" / f"{part}_frame{frame}.png")
                fits = [
                    (float(each[name].crop(mask).sum() / mask.sum()), p, name)
                    for p, each in enumerate(there)
                    for name in PARTS
                    if name in each
                ]
                phrase = words["attributes"][int(what.removeprefix("attribute"))]
            inside, owner, name = max(fits)
            if inside >= MOSTLY and getattr(caption.people[owner], name) == phrase:
                score.right += 1
            else:
                score.wrong += 1
                score.mistakes.append(f"{id}: {phrase!r} is the {name} of person {owner} ({inside:.0%})")
    return score


def outcomes(root: Path, truth: Mapping[str, RawVideo]) -> dict[str, Counter[str]]:
    """What became of the videos and clips of each kind: the stage and reason of rejections, failures, and samples."""
    paths = {
        record["id"]: Path(record["facts"]["source"]["path"]).name
        for record in map(json.loads, (root / "lists" / "source.jsonl").read_text(encoding="utf-8").splitlines())
    }
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for done in root.glob("stages/*/*/*/done.json"):
        record = json.loads(done.read_text(encoding="utf-8"))
        if record["rejected"]:
            kind = truth[paths[record["source"]]].kind
            counts[kind][f"{done.parents[2].name}: {record['rejected']}"] += 1
    for line in root.glob("stages/*/outcomes.jsonl"):
        for record in map(json.loads, line.read_text(encoding="utf-8").splitlines()):
            if isinstance(record, dict) and record.get("rejected"):
                source = record["id"].rpartition("-")[0]
                counts[truth[paths[source]].kind][f"{line.parent.name}: {record['rejected']}"] += 1
    for failed in root.glob("failed/*/*.json"):
        record = json.loads(failed.read_text(encoding="utf-8"))
        source = record["id"] if record["id"] in paths else record["id"].rpartition("-")[0]
        counts[truth[paths[source]].kind][f"failed in {failed.parent.name}"] += 1
    for done in root.glob("samples/*/done.json"):
        record = json.loads(done.read_text(encoding="utf-8"))
        counts[truth[paths[record["source"]]].kind]["sample"] += 1
    return counts


def table_rows(root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The id and the facts of each sample of a prepared data set."""
    from pyarrow import parquet

    for row in parquet.read_table(root / "table.parquet", columns=["id", "facts"]).to_pylist():
        yield row["id"], json.loads(row["facts"])
