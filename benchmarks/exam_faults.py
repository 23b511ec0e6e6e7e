"""What the strict examination of glyph clips refuses: faults planted into true clips, and true clips.

    python benchmarks/exam_faults.py                                  # 100 scenes of two people for each fault
    python benchmarks/exam_faults.py --people 3 --faults "double exposure" twice --scenes 200

Clips go through lumosx-tiny's VAE, as generated ones do, and then faults are planted. Reported for each fault, in
percent of the scenes to which it applies: clips that pass by the middle frame alone (everyone bound, and placed), that
pass each strict column for everyone, and that pass all of it. In the first line nothing is planted: it is to be near
100, and the last column of all others near 0.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from torch import Tensor

from lumosx_core.models.lumosx.tiny import tiny_files
from lumosx_core.models.wan.vae import WanVae
from lumosx_training.glyph_world import Casting, GlyphSource
from lumosx_training.glyph_world.casting import only
from lumosx_training.glyph_world.scoring import judge, placed_right
from lumosx_training.glyph_world.source import GlyphSample
from lumosx_training.glyph_world.strict import judge_strictly
from lumosx_training.glyph_world.strict.faults import FAULTS, applies, plant_fault

SEED = 770_000  # not of the exam, nor of the clips on which the limits were set
COLUMNS = ("middle", "steady", "clear", "pattern", "scene", "single", "strict")
NOTHING = "(nothing)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=2, choices=(1, 2, 3, 4))
    parser.add_argument("--scenes", type=int, default=100, help="for each fault")
    parser.add_argument("--seed", type=int, default=SEED, help="of the scenes")
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=list(FAULTS), metavar="FAULT")
    options = parser.parse_args()
    vae = WanVae.load(tiny_files().vae)
    # Hats, props and objects are rare in clips for training; faults need them.
    casting = replace(Casting(people=only(options.people), new=True), hat=0.5, prop=0.4, thing=0.5)
    source = GlyphSource(options.seed, 20 * options.scenes, casting=casting)
    rows: dict[str, list[tuple[bool, ...]]] = {name: [] for name in (NOTHING, *options.faults)}
    with suppress(KeyboardInterrupt):  # Ctrl-C shows what is known by then
        fill(rows, source, options.scenes, vae)
    print(f"{'fault':<24} {'scenes':>6} |" + "".join(f"{name:>9}" for name in COLUMNS))
    for name, seen in rows.items():
        percents = (f"{100 * sum(column) / len(seen):>9.1f}" for column in zip(*seen, strict=True))
        print(f"{name:<24} {len(seen):>6} |" + ("".join(percents) or " does not apply"))


def fill(rows: dict[str, list[tuple[bool, ...]]], source: GlyphSource, scenes: int, vae: WanVae) -> None:
    """Examine each fault in so many scenes to which it applies."""
    size = (source.frames, source.height, source.width)
    for number, key in enumerate(source.keys()):
        missing = [name for name, seen in rows.items() if len(seen) < scenes]
        if not missing:
            return
        sample = source.sample(key)
        rebuild = Rebuild(vae)
        for name in missing:
            if name == NOTHING:
                rows[name].append(passed(rebuild(sample.clip.frames), sample))
            elif applies(name, sample.scene, placed=sample.caption.placed):
                rows[name].append(passed(plant_fault(name, sample.scene, size, number, rebuild), sample))


class Rebuild:
    """Passes clips through the VAE, each once: most faults of a scene begin with the same true clip."""

    def __init__(self, vae: WanVae):
        self.vae = vae
        self._rebuilt: dict[bytes, Tensor] = {}

    def __call__(self, frames: Tensor) -> Tensor:
        key = frames.numpy().tobytes()
        if key not in self._rebuilt:
            self._rebuilt[key] = self.vae.decode_frames(self.vae.encode_video(frames))
        return self._rebuilt[key].clone()


def passed(frames: Tensor, sample: GlyphSample) -> tuple[bool, ...]:
    """Whether a clip passes each of COLUMNS."""
    verdicts, strict = judge(frames, sample.scene), judge_strictly(frames, sample.scene)
    middle = all(verdict.bound for verdict in verdicts)
    middle = middle and (not sample.caption.placed or placed_right(verdicts, sample.scene))
    columns = (all(strict.steady), all(strict.clear), all(strict.pattern), strict.scene, strict.single)
    return (middle, *columns, middle and strict.passed)


if __name__ == "__main__":
    main()
