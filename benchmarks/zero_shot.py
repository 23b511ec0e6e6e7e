"""Do the relational parts help weights that never learned them? On glyph scenes of two people.

    python benchmarks/zero_shot.py train --out runs/zero-shot          # a model that never had them, and reads its text
    python benchmarks/zero_shot.py measure runs/zero-shot/model.safetensors

Base models that see reference images without R2PE, CSAM and MCAM (Phantom, for one) could be given these parts at
inference alone. `measure` does that to a model file: MCAM at ratios from 0.1 to 20, in single layers, in a part of the
steps; CSAM; R2PE; and several together. Settings are chosen on other scenes than those of the last table, and all get
the same scenes, reference images in the same order, and noise.

Predicted before it was measured: MCAM alone at a ratio of 0.5 to 2 binds a few more people (bound + 3 to + 10 points,
most where words do not tell people apart, as only the phrase mask says which occurrence is whose), and fewer above 5;
most of it comes from the first half of the steps. CSAM alone changes little or harms (0 to - 10). R2PE alone harms most
(- 20 or worse), as it moves garments to positions that these weights never saw; whatever includes it is below the
baseline.

The columns are those of `binding.py`. "placed" looks only at scenes whose caption says who stands where and whose nouns
differ: elsewhere reading the text does not suffice. "bound, told apart" and "bound, alike" are the scenes in which the
nouns differ, and the others.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import Tensor, nn

from lumosx_core import LumosXModel, RelationalOptions
from lumosx_core.models.lumosx.tiny import tiny_files
from lumosx_core.models.lumosx.weights.load import load_model
from lumosx_core.models.wan.vae import WanVae
from lumosx_core.sampling.schedule import flow_timesteps
from lumosx_core.scene.encoded import EncodedScene
from lumosx_training.glyph_world import CASTINGS
from lumosx_training.glyph_world.exam import EXAM_SEED, Answer, Question, Sampling, examine, make_questions

OFF = RelationalOptions(mcam_ratio=0.0, r2pe=False, csam=False, join_text_padding=True)
RATIOS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
RANGES = ((0.0, 0.25), (0.0, 0.5), (0.25, 0.75), (0.5, 1.0))
CHOICE_SEED = EXAM_SEED + 100
"""Of the scenes on which settings are chosen."""
RESAMPLES = 2000


@dataclass(frozen=True)
class Setting:
    """Which relational parts are on, and where.

    Args:
        layers: indices of the blocks that have them; None: all.
        steps: the part of the steps in which they are on, as fractions.
        shuffled: reference images in random order, as these weights were trained; else in the order of the scene.
    """

    options: RelationalOptions = OFF
    layers: tuple[int, ...] | None = None
    steps: tuple[float, float] = (0.0, 1.0)
    shuffled: bool = False

    @property
    def name(self) -> str:
        """As it is printed."""
        options = self.options
        parts = ["R2PE"] * options.r2pe + ["CSAM"] * options.csam
        parts += [f"MCAM {options.mcam_ratio:g}"] * bool(options.mcam_ratio)
        name = " + ".join(parts) or "none"
        if self.layers is not None:
            name += f", layer {' and '.join(map(str, self.layers))}"
        if self.steps != (0.0, 1.0):
            name += f", steps {self.steps[0]:.0%} to {self.steps[1]:.0%}"
        return name + ", shuffled" * self.shuffled


def parts(mcam_ratio: float = 0.0, *, r2pe: bool = False, csam: bool = False) -> Setting:
    """These parts in all layers and steps."""
    return Setting(replace(OFF, mcam_ratio=mcam_ratio, r2pe=r2pe, csam=csam))


class PartlyRelational(nn.Module):
    """A model whose relational parts are on in some layers and steps; shapes as in `LumosXModel.forward`."""

    def __init__(self, model: LumosXModel, setting: Setting, sampling: Sampling):
        super().__init__()
        self.model, self.setting = model, setting
        first, last = (round(fraction * sampling.steps) for fraction in setting.steps)
        self.active = set(flow_timesteps(sampling.steps, sampling.shift)[first:last].tolist())

    def forward(
        self, video: Tensor, timestep: Tensor, text: Tensor, scene: EncodedScene, options: RelationalOptions
    ) -> Tensor:
        model, setting = self.model, self.setting
        options = setting.options if int(timestep[0]) in self.active else OFF
        if setting.layers is None or options == OFF:
            return model(video, timestep, text, scene, options)
        tokens, grid = model.patchify(video, scene)
        time_embedding, modulation = model.embed_time(timestep, OFF)
        text, bias = model.embed_text(text, OFF)
        on, off = (model.relate(scene, video.shape[2], grid, each, text, bias) for each in (options, OFF))
        for layer, block in enumerate(model.blocks):
            tokens = block(tokens, modulation, text, on if layer in setting.layers else off)
        return model.unpatchify(model.head(tokens[:, : on.video_tokens], time_embedding), grid)


class Exam:
    """Scenes, and what becomes of them with each setting of the parts."""

    def __init__(self, model: LumosXModel, vae: WanVae, questions: Sequence[Question], sampling: Sampling):
        self.model, self.vae, self.questions, self.sampling = model, vae, questions, sampling
        self.answers: dict[Setting, list[Answer]] = {}

    def ask(self, setting: Setting) -> list[Answer]:
        """What becomes of the scenes with these parts, in the order of the questions; computed once."""
        if setting not in self.answers:
            network = PartlyRelational(self.model, setting, self.sampling).eval()
            answers = examine(network, self.vae, self.questions, self.sampling, shuffle_pictures=setting.shuffled)
            by_key = {each.key: each for each in answers}  # which come sorted by layout
            self.answers[setting] = [by_key[question.sample.key] for question in self.questions]
        return self.answers[setting]

    def best(self, settings: Iterable[Setting]) -> Setting:
        """The one that binds most people; of equals the first."""
        return max(settings, key=lambda setting: sum(person.bound for a in self.ask(setting) for person in a.people))


def choose(exam: Exam) -> dict[str, Setting]:
    """Of each kind of setting the one that binds most people.

    Layers and steps of MCAM are chosen for its chosen ratio. In the last layer MCAM and CSAM change nothing: what they
    do to the reference images is not read any more there.
    """
    layers = range(len(exam.model.blocks))
    mcam, csam, r2pe = exam.best(map(parts, RATIOS)), parts(csam=True), parts(r2pe=True)
    ratios = sorted({0.5, mcam.options.mcam_ratio})
    return {
        "MCAM, ratio": mcam,
        "MCAM, layer": exam.best(replace(mcam, layers=(layer,)) for layer in layers[:-1]),
        "MCAM, steps": exam.best(replace(mcam, steps=steps) for steps in RANGES),
        "CSAM, layer": exam.best(replace(csam, layers=(layer,)) for layer in layers[:-1]),
        "CSAM, steps": exam.best(replace(csam, steps=steps) for steps in RANGES),
        "R2PE, layer": exam.best(replace(r2pe, layers=(layer,)) for layer in layers),
        "R2PE, steps": exam.best(replace(r2pe, steps=steps) for steps in RANGES),
        "CSAM and MCAM, ratio": exam.best(parts(ratio, csam=True) for ratio in ratios),
        "R2PE and MCAM, ratio": exam.best(parts(ratio, r2pe=True) for ratio in ratios),
        "all, ratio": exam.best(parts(ratio, r2pe=True, csam=True) for ratio in ratios),
    }


BASELINE = parts()
FIXED = (
    BASELINE,
    replace(BASELINE, shuffled=True),
    parts(0.5),
    parts(1.0),
    parts(csam=True),
    parts(r2pe=True),
    parts(r2pe=True, csam=True),
    parts(0.5, r2pe=True, csam=True),
)
"""Settings that are measured whatever is chosen."""

Column = Callable[[Question, Answer], list[bool]]


def reads(question: Question) -> bool:
    """Whether the caption's words suffice to know who stands where."""
    return question.sample.caption.placed and not question.sample.scene.alike


COLUMNS: dict[str, Column] = {
    "placed": lambda question, each: [each.placed is True] * reads(question),
    "face": lambda question, each: [person.face for person in each.people],
    "paired": lambda question, each: [person.paired for person in each.people],
    "bound": lambda question, each: [person.bound for person in each.people],
    "bound, told apart": lambda question, each: [p.bound for p in each.people] * (not question.sample.scene.alike),
    "bound, alike": lambda question, each: [p.bound for p in each.people] * question.sample.scene.alike,
}


def counts(exam: Exam, setting: Setting, column: Column) -> Tensor:
    """(scenes, 2): hits, and what was counted, in each scene."""
    rows = [column(*each) for each in zip(exam.questions, exam.ask(setting), strict=True)]
    return torch.tensor([(sum(row), len(row)) for row in rows], dtype=torch.float64)


def spread(statistic: Callable[[Tensor], Tensor], scenes: int, form: str) -> str:
    """A statistic of scene indices (..., scenes) -> (...), with its 95 % bootstrap interval over scenes."""
    drawn = torch.randint(scenes, (RESAMPLES, scenes), generator=torch.Generator().manual_seed(0))
    low, high = statistic(drawn).nanquantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return f"{statistic(torch.arange(scenes)).item():{form}} [{low:{form}}, {high:{form}}]"


def percent(exam: Exam, setting: Setting, column: Column) -> str:
    """Of people (or of scenes, for "placed"), in percent."""
    table = counts(exam, setting, column)
    return spread(lambda drawn: rate(table[drawn]), len(table), ".1f") if table[:, 1].any() else "-"


def difference(exam: Exam, setting: Setting, column: Column) -> str:
    """To the baseline, in points: the same scenes, images and noise for both."""
    mine, base = (counts(exam, each, column) for each in (setting, BASELINE))
    if not base[:, 1].any():
        return "-"
    return spread(lambda drawn: rate(mine[drawn]) - rate(base[drawn]), len(base), "+.1f")


def rate(drawn: Tensor) -> Tensor:
    """(..., scenes, 2) -> (...), percent."""
    hits, counted = drawn.sum(-2).unbind(-1)
    return 100 * hits / counted


def print_table(exam: Exam, settings: Iterable[Setting]) -> None:
    """A line for each setting: percent, and the difference of "bound" to the baseline."""
    last = "bound, difference to none"
    print(f"| {' | '.join(['setting', *COLUMNS, last])} |\n|{'---|' * (len(COLUMNS) + 2)}")
    for setting in dict.fromkeys(settings):
        cells = [percent(exam, setting, column) for column in COLUMNS.values()]
        change = "–" if setting == BASELINE else difference(exam, setting, COLUMNS["bound"])
        print(f"| {' | '.join([setting.name, *cells, change])} |", flush=True)


def measure(options: argparse.Namespace) -> None:
    """Choose settings on some scenes, and print what they bring on others."""
    torch.set_num_threads(1)
    files, sampling = tiny_files(), Sampling(steps=options.steps)
    model, vae = load_model(options.model).eval().requires_grad_(False), WanVae.load(files.vae)

    def exam(scenes: int, seed: int) -> Exam:
        return Exam(model, vae, make_questions(files, 2, scenes, CASTINGS["plain"], seed), sampling)

    chosen: dict[str, Setting] = {}
    if not options.fixed_only:
        first = exam(options.choice_scenes, CHOICE_SEED)
        chosen = choose(first)
        print(f"chosen on {options.choice_scenes} scenes of exam seed {CHOICE_SEED}:\n")
        print_table(first, (BASELINE, *first.answers))
        print("\n" + "".join(f"best {kind}: {setting.name}\n" for kind, setting in chosen.items()), flush=True)
    final = exam(options.scenes, EXAM_SEED)
    print(f"measured on {options.scenes} scenes of exam seed {EXAM_SEED}:\n")
    print_table(final, (*FIXED, *chosen.values()))
    if options.json:
        record = {each.name: [asdict(one) for one in answers] for each, answers in final.answers.items()}
        options.json.write_text(json.dumps(record, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    measured = commands.add_parser("measure", help="measure what the parts bring to a model file")
    measured.add_argument("model", nargs="?", type=Path, default=tiny_files().diffusion_model)
    measured.add_argument("--scenes", type=int, default=150, help="of the last table (default 150)")
    measured.add_argument("--choice-scenes", type=int, default=64, help="on which settings are chosen (default 64)")
    measured.add_argument("--steps", type=int, default=Sampling.steps, help="of sampling")
    measured.add_argument("--fixed-only", action="store_true", help="choose nothing: the settings of the paper alone")
    measured.add_argument("--json", type=Path, help="also write every answer there")
    measure(parser.parse_args())


if __name__ == "__main__":
    main()
