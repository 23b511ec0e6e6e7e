"""Binding accuracy: does everyone wear their own clothes? On glyph scenes in colours and patterns never trained.

    python benchmarks/binding.py score                       # lumosx-tiny, 1 to 4 people
    python benchmarks/binding.py ablate --cache data/glyphs-plain --casting plain --steps 5000 --seeds 0 1 --out results

`score` evaluates one model file. `ablate` first trains, with an equal budget, from the same start and in the same order
of clips, a model without the relational parts, and models that each add one part, as in the paper's table:

    none        reference images one by one in random order, plain attention
    +r2pe       one position in time for each subject's reference images
    +csam       and groups that see only themselves
    +mcam R     and words bound to groups, with ratio R; the ratio falls to R during the first two thirds of the
                steps

Reported, as fractions of people:

    paired      the person's own face, garments, hat and prop are together: at one position each fits better than
                anyone else's in the scene (chance: at most 1 of n for n people; undefined for one)
    bound       and all of them are clearly visible: they fit nearly as well as in the true clip
    face        the face is the person's own rather than that of anyone else in the scene
    exact       bound, and face and garments also fit better than eight strangers' each (chance: below 1 of 80)
    placed      as a fraction of scenes whose caption says who stands where: everyone stands there

These look at the middle frame and at people. `score` also looks at all frames and at what surrounds people:

    steady      in each frame the person is there with all parts and none of anyone else's, does not leap, and the
                clip moves
    clear       the person is neither blurred by half a head nor mixed with anyone else, as in a double exposure
    pattern     the shirt's own pattern fits better than its colours in any other
    scene       as a fraction of scenes: the background and the object are those of the reference images
    single      likewise: nobody and nothing is there twice, and nobody else
    strict      likewise: all of these, and bound, and placed

`benchmarks/exam_faults.py` measures what these refuse.

The intervals are 95 % bootstrap intervals over scenes. "rebuilt" is the true clip through the VAE: the upper bound.
Pairing and placement are scored separately: a person counts wherever they stand.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import Tensor

from lumosx_core import RelationalOptions
from lumosx_core.files.model_files import ModelFiles
from lumosx_core.models.lumosx.tiny import tiny_files
from lumosx_core.models.lumosx.weights.load import load_model
from lumosx_core.models.wan.umt5 import TextEncoder
from lumosx_core.models.wan.vae import WanVae
from lumosx_training.glyph_world import CASTINGS
from lumosx_training.glyph_world.exam import EXAM_SEED, Answer, Question, Sampling, examine, make_questions, rebuild
from lumosx_training.glyph_world.source import WORLD_VERSION
from lumosx_training.loop.config import TrainConfig, read_config
from lumosx_training.loop.trainer import Trainer

RECIPE = Path(__file__).resolve().parent.parent / "training" / "tiny" / "phase1.toml"
VARIANTS = {
    "none": {"r2pe": False, "csam": False, "mcam_ratio": 0.0, "shuffle_references": True},
    "+r2pe": {"r2pe": True, "csam": False, "mcam_ratio": 0.0},
    "+csam": {"r2pe": True, "csam": True, "mcam_ratio": 0.0},
    "+mcam 0.1": {"r2pe": True, "csam": True, "mcam_ratio": 0.1},
    "+mcam 0.5": {"r2pe": True, "csam": True, "mcam_ratio": 0.5},
    "+mcam 1.0": {"r2pe": True, "csam": True, "mcam_ratio": 1.0},
}
NO_FALL = {"mcam_ratio_start": None, "mcam_ratio_steps": 0}
RESAMPLES = 2000
COLUMNS = ("paired", "bound", "face", "exact", "placed")
STRICT_COLUMNS = ("steady", "clear", "pattern", "scene", "single", "strict")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    score = commands.add_parser("score", help="evaluate one model file")
    score.add_argument("model", nargs="?", type=Path, default=tiny_files().diffusion_model)
    ablate = commands.add_parser("ablate", help="train variants and evaluate them")
    ablate.add_argument("--cache", type=Path, required=True, help="of glyph clips, made by lumosx cache")
    ablate.add_argument(
        "--start", type=Path, help="a model file from which all variants start; default: random weights"
    )
    ablate.add_argument("--steps", type=int, default=1500)
    ablate.add_argument("--seeds", type=int, nargs="+", default=[0])
    ablate.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    ablate.add_argument("--out", type=Path, required=True, help="folder for the trained models")
    for command in (score, ablate):
        command.add_argument("--people", type=int, nargs="+", default=[1, 2, 3, 4])
        command.add_argument("--scenes", type=int, default=100, help="of each number of people")
        command.add_argument(
            "--exam-seed",
            type=int,
            default=EXAM_SEED,
            help=f"of the scenes; fresh ones from {EXAM_SEED + 10} on, in steps of 10 (default {EXAM_SEED})",
        )
        command.add_argument("--casting", choices=CASTINGS, default="all", help="how scenes are made up")
        command.add_argument("--steps-of-sampling", type=int, default=16)
        command.add_argument("--cfg", type=float, default=1.0)
        command.add_argument("--seed", type=int, default=0, help="of the noise")
        command.add_argument("--json", type=Path, help="also write every answer there")
    options = parser.parse_args()
    exam = Exam(tiny_files(), options)
    if options.command == "score":
        exam.score("rebuilt", lambda questions: rebuild(exam.vae, questions, strict=True))
        exam.score_model(options.model.stem, options.model)
    else:
        compare(exam, options)
    if options.json:
        options.json.write_text(json.dumps(exam.record, indent=1))


class Exam:
    """The questions, and a table that grows by a line with every model and number of people."""

    def __init__(self, files: ModelFiles, options: argparse.Namespace):
        self.sampling = Sampling(steps=options.steps_of_sampling, cfg=options.cfg, seed=options.seed)
        self.vae = WanVae.load(files.vae)
        self.empty_text = TextEncoder(files.text_encoder).encode("")[1]
        self.questions = {
            people: make_questions(files, people, options.scenes, CASTINGS[options.casting], options.exam_seed)
            for people in options.people
        }
        self.record: dict = {
            "world": WORLD_VERSION,
            "casting": options.casting,
            "exam_seed": options.exam_seed,
            "sampling": asdict(self.sampling),
            "answers": {},
        }
        self.strict = options.command == "score"
        self.columns = COLUMNS + STRICT_COLUMNS * self.strict
        print(f"exam seed {options.exam_seed}")
        print(f"{'model':<22} {'people':>6} {'scenes':>6} |{''.join(f'{name:>21}' for name in self.columns)}")

    def score_model(self, name: str, path: Path, **switches) -> dict[int, list[Answer]]:
        """Examine a model file with these relational parts (as in VARIANTS)."""
        shuffle = switches.pop("shuffle_references", False)
        model = load_model(path).eval().requires_grad_(False)
        options = RelationalOptions(**switches, join_text_padding=True)

        def answers(questions: Sequence[Question]) -> list[Answer]:
            return examine(
                model,
                self.vae,
                questions,
                self.sampling,
                options=options,
                empty_text=self.empty_text,
                shuffle_pictures=shuffle,
                strict=self.strict,
            )

        return self.score(name, answers)

    def score(self, name: str, answers: Callable[[Sequence[Question]], list[Answer]]) -> dict[int, list[Answer]]:
        found = {}
        for people, questions in self.questions.items():
            found[people] = answers(questions)
            table = fractions(found[people])
            columns = [interval(table[name]) for name in self.columns]
            texts = " ".join(f"{column:>20}" for column in columns)
            print(f"{name:<22} {people:>6} {len(questions):>6} | {texts}", flush=True)
            self.record["answers"].setdefault(name, {})[people] = [asdict(answer) for answer in found[people]]
        return found


def compare(exam: Exam, options: argparse.Namespace) -> None:
    """Train and examine the variants, then say how each differs from the one without relational parts."""
    exam.score("rebuilt", lambda questions: rebuild(exam.vae, questions))
    results: dict[str, dict[int, list[list[Answer]]]] = {}
    for name in options.variants:
        for seed in options.seeds:
            folder = options.out / f"{name.replace(' ', '-').strip('+')}-seed{seed}"
            file = train(variant_config(name, folder, seed, options))
            for people, answers in exam.score_model(f"{name} seed {seed}", file, **VARIANTS[name]).items():
                results.setdefault(name, {}).setdefault(people, []).append(answers)
    base = results.pop("none", None)
    if base is None:
        return
    print("\ndifference to none in points, with 95 % interval over scenes (the same scenes and noise for both)")
    print(f"{'model':<22} {'people':>6} | {'paired':>22} {'bound':>22}")
    for name, by_people in results.items():
        for people, runs in by_people.items():
            paired, bound = (difference(base[people], runs, column) for column in ("paired", "bound"))
            print(f"{name:<22} {people:>6} | {paired:>22} {bound:>22}", flush=True)


def variant_config(name: str, folder: Path, seed: int, options: argparse.Namespace) -> TrainConfig:
    config = read_config(str(RECIPE))
    model = dict(VARIANTS[name])
    if options.start:
        model |= {"file": str(options.start), "sizes": None}
    # A start that has learnt to read words would be thrown off by the strong bias of a run from nothing.
    falls = model["mcam_ratio"] and not options.start
    model |= {"mcam_ratio_steps": max(1, 2 * options.steps // 3)} if falls else NO_FALL
    return replace(
        config,
        model=replace(config.model, **model),
        data=replace(config.data, cache=str(options.cache)),
        training=replace(config.training, output=str(folder), steps=options.steps, seed=seed, save_every=500, keep=1),
    )


def train(config: TrainConfig) -> Path:
    started = time.time()
    outcome = Trainer(config, say=lambda line: None).run()
    if outcome.file is None:
        raise SystemExit(f"stopped after step {outcome.step}; run again to go on")
    print(f"  trained {config.training.output} in {time.time() - started:.0f} s", file=sys.stderr, flush=True)
    return outcome.file


def fractions(answers: Sequence[Answer]) -> dict[str, list[list[bool]]]:
    """For each column, what was seen in each scene: a list of people, or of the one scene."""
    verdicts = [answer.strict for answer in answers if answer.strict is not None]
    return {
        "paired": [[person.paired for person in answer.people] for answer in answers if len(answer.people) > 1],
        "bound": [[person.bound for person in answer.people] for answer in answers],
        "face": [[person.face for person in answer.people] for answer in answers],
        "exact": [
            [person.bound and person.known and all(person.own.values()) for person in answer.people]
            for answer in answers
        ],
        "placed": [[answer.placed] for answer in answers if answer.placed is not None],
        "steady": [list(verdict.steady) for verdict in verdicts],
        "clear": [list(verdict.clear) for verdict in verdicts],
        "pattern": [list(verdict.pattern) for verdict in verdicts],
        "scene": [[verdict.scene] for verdict in verdicts],
        "single": [[verdict.single] for verdict in verdicts],
        "strict": [[answer.passed] for answer in answers if answer.strict is not None],
    }


def interval(rows: Sequence[Sequence[bool]]) -> str:
    """The share in percent, with its 95 % interval over scenes."""
    return spread([(sum(row), len(row)) for row in rows], percent, ".1f") if rows else "-"


def difference(base: Sequence[Sequence[Answer]], runs: Sequence[Sequence[Answer]], column: str) -> str:
    """The difference in a share of people, over all seeds of both, with its 95 % interval over scenes."""
    counts = []
    for seeds in (base, runs):
        by_scene = zip(*(fractions(answers)[column] for answers in seeds), strict=True)
        people = [[person for row in rows for person in row] for rows in by_scene]
        counts.append([(sum(each), len(each)) for each in people])
    pairs = [theirs + mine for theirs, mine in zip(*counts, strict=True)]
    return "-" if not pairs else spread(pairs, lambda sums: percent(sums[..., 2:]) - percent(sums[..., :2]), "+.1f")


def percent(sums: Tensor) -> Tensor:
    """(..., 2) hits and people -> (...)."""
    return 100 * sums[..., 0] / sums[..., 1]


def spread(scenes: Sequence[tuple[int, ...]], statistic: Callable[[Tensor], Tensor], form: str) -> str:
    """A statistic of the counts summed over scenes, with its 95 % bootstrap interval over whole scenes."""
    table = torch.tensor(scenes, dtype=torch.float64)
    chance = torch.Generator().manual_seed(0)
    resampled = table[torch.randint(len(table), (RESAMPLES, len(table)), generator=chance)].sum(1)
    low, high = statistic(resampled).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return f"{statistic(table.sum(0)).item():{form}} [{low:{form}}, {high:{form}}]"


if __name__ == "__main__":
    main()
