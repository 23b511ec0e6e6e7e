"""The same clips as a prepared data set of raw glyph videos, with true words and owners instead of inferred ones.

    python tests/training/prepare/true_labels.py FOLDER OUT

makes OUT/prepared and OUT/true of the samples in FOLDER/data, which run_glyphs.py made. Reference images are cut from
the same frames and in the same way, so that training on both shows what the labels are worth.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from glyph_finders import Eye, Seen
from prepared_truth import table_rows
from raw_glyphs import RawVideo, read_truth
from torch import Tensor

from lumosx_core.auto_scene.cutouts.faces import crop_face
from lumosx_core.auto_scene.cutouts.mask_cleaning import clean
from lumosx_core.scene.case_folder import Case
from lumosx_core.scene.scene import Reference, Scene, Subject
from lumosx_core.scene.write_case import write_case
from lumosx_training.glyph_world import drawing
from lumosx_training.glyph_world.clip import FRAMES_A_SECOND, HAT_AT, PROP_AT, SHIRT_AT, place_picture
from lumosx_training.prepare.key_frames import MIDDLE, read_key_frames


def true_case(folder: Path, facts: Mapping[str, Any], truth: Mapping[str, RawVideo]) -> Case:
    """The case of a sample's clip as it is in truth: everyone who is in it, with everything that the caption names.

    Args:
        folder: of the sample.
        facts: of all stages.
    """
    video = truth[Path(facts["source"]["path"]).name]
    shot, first = video.shot_at((facts["cut"]["start"] + facts["cut"]["end"]) / 2)
    scene, caption = shot.scene()
    frame = facts["caption"]["frames"][MIDDLE]
    (image,) = read_key_frames(folder / "video.mp4", [frame])
    scale = image.shape[0] / 64
    at = round(facts["cut"]["start"] * FRAMES_A_SECOND) - first + frame
    regions = shot.clip(at + 1).regions[at]
    subjects = []
    for person, phrases, there in zip(scene.people, caption.people, regions, strict=True):
        seen = Seen(Eye(scale), image, there["face"][0], there["face"][1], 1.0)
        shirt = np.asarray(drawing.draw_garment(person.shirt, 8))[..., 3]
        attributes = [Reference(phrases.shirt, _cut(seen, SHIRT_AT, drawing.SHIRT, shirt))]
        for thing, phrase, place, size in (
            (person.hat, phrases.hat, HAT_AT, drawing.HAT),
            (person.prop, phrases.prop, PROP_AT, drawing.PROP),
        ):
            if thing is not None:
                opacity = np.asarray(drawing.draw_thing(thing, 8))[..., 3]
                attributes.append(Reference(phrase, _cut(seen, place, size, opacity)))
        subjects.append(Subject(Reference(phrases.face, crop_face(image, seen.face)), tuple(attributes)))
    background = None
    if scene.place is not None:
        pixels = place_picture(scene.place, 64, 80)
        scaled = pixels.repeat_interleave(round(scale), 0).repeat_interleave(round(scale), 1)
        background = Reference(caption.place, scaled)
    return Case(None, caption.text, Scene(tuple(subjects), (), background))


def _cut(seen: Seen, at: tuple[float, float], size: tuple[int, int], opacity: np.ndarray) -> Tensor:
    return clean(seen.region(at, size, opacity)).cut_out(seen.image)


def write_both(root: Path, out: Path) -> int:
    """Write both data sets; returns the number of their samples."""
    truth = read_truth(root / "truth.json")
    count = 0
    for id, facts in table_rows(root / "data"):
        folder = root / "data" / "samples" / id
        write_case(out / "true" / id, true_case(folder, facts, truth))
        shutil.copyfile(folder / "video.mp4", out / "true" / id / "video.mp4")
        shutil.copytree(folder, out / "prepared" / id)
        count += 1
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    print(f"{write_both(options.folder, options.out)} samples")


if __name__ == "__main__":
    main()
