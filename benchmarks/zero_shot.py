"""Do the relational parts help weights that never learned them? On glyph scenes of two people.

    python benchmarks/zero_shot.py train --out runs/zero-shot   # a model that never had them
    python benchmarks/zero_shot.py measure runs/zero-shot/reading/model.safetensors

Base models that see reference images without R2PE, CSAM and MCAM (Phantom, for one) could be given these parts at
inference alone. `measure` does that to a model file: MCAM at ratios from 0.1 to 20, in single layers, in a part of the
steps; CSAM; R2PE; and several together. Settings are chosen on other scenes than those of the last table, and all get
the same scenes, reference images in the same order, and noise.

Predicted before it was measured: MCAM alone at a ratio of 0.5 to 2 binds a few more people (bound + 3 to + 10 points,
most where words do not tell people apart, as only the phrase mask says which occurrence is whose), and fewer above 5;
most of it comes from the first half of the steps. CSAM alone changes little or harms (0 to - 10). R2PE alone harms most
(- 20 or worse), as it moves garments to positions that these weights never saw; whatever includes it is below the
baseline.

The columns are those of `binding.py`. All captions say who stands where. In half of the scenes the nouns differ, such
as a man and a girl; in the others they are alike, and only phrase masks say whose face is whose. "placed" and "bound"
are given for each kind.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lumosx_core import LumosXModel, RelationalOptions
from lumosx_core.models.lumosx.csam import scaled_dot_product_attention
from lumosx_core.models.lumosx.lumosx_training import LUMOSX_TRAINING
from lumosx_core.models.lumosx.tiny import tiny_files
from lumosx_core.models.lumosx.weights.load import build_model, open_network
from lumosx_core.models.wan.vae import WanVae
from lumosx_core.sampling.schedule import flow_timesteps
from lumosx_core.scene.encoded import EncodedScene
from lumosx_training.cache import CacheSettings, build_cache
from lumosx_training.glyph_world import CASTINGS, GlyphSource
from lumosx_training.glyph_world.casting import only
from lumosx_training.glyph_world.exam import EXAM_SEED, Answer, Question, Sampling, examine, make_questions
from lumosx_training.loop.batches.step_batches import NoisyBatch
from lumosx_training.loop.config import read_config
from lumosx_training.loop.trainer import Trainer

RECIPE = Path(__file__).resolve().parent.parent / "training" / "tiny" / "phase1.toml"
OFF = RelationalOptions(mcam_ratio=0.0, r2pe=False, csam=False, join_text_padding=True)
RATIOS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
RANGES = ((0.0, 0.25), (0.0, 0.5), (0.5, 1.0))
CASTING = replace(CASTINGS["plain"], people=only(2), place=0.0)
CLIPS = 3000  # for training
OWN_PHRASE = 0.3  # weight of the second loss, see ReadingTrainer
TEXT_LEN = 40  # tokens: among little padding a network finds the words sooner
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
    mcam = exam.best(map(parts, RATIOS))
    ratios = sorted({0.5, mcam.options.mcam_ratio})
    return {
        "ratio of MCAM": mcam,
        "layer of MCAM": exam.best(replace(mcam, layers=(layer,)) for layer in range(len(exam.model.blocks) - 1)),
        "steps of MCAM": exam.best(replace(mcam, steps=steps) for steps in RANGES),
        "ratio with CSAM": exam.best(parts(ratio, csam=True) for ratio in ratios),
        "ratio with R2PE": exam.best(parts(ratio, r2pe=True) for ratio in ratios),
        "ratio with both": exam.best(parts(ratio, r2pe=True, csam=True) for ratio in ratios),
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


COLUMNS: dict[str, Column] = {
    "placed, nouns differ": lambda question, each: [each.placed is True] * (not question.sample.scene.alike),
    "placed, alike": lambda question, each: [each.placed is True] * question.sample.scene.alike,
    "face": lambda question, each: [person.face for person in each.people],
    "paired": lambda question, each: [person.paired for person in each.people],
    "bound": lambda question, each: [person.bound for person in each.people],
    "bound, nouns differ": lambda question, each: [p.bound for p in each.people] * (not question.sample.scene.alike),
    "bound, alike": lambda question, each: [p.bound for p in each.people] * question.sample.scene.alike,
}
DIFFERENCES = ("placed, alike", "face", "paired", "bound")


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
    """A line for each setting: percent, and differences to the baseline."""
    heads = ["setting", *COLUMNS, *(f"{name}, difference" for name in DIFFERENCES)]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for setting in dict.fromkeys(settings):
        cells = [percent(exam, setting, column) for column in COLUMNS.values()]
        cells += ["–" if setting == BASELINE else difference(exam, setting, COLUMNS[name]) for name in DIFFERENCES]
        print(f"| {' | '.join([setting.name, *cells])} |", flush=True)


class ReadingTrainer(Trainer):
    """Training in which each reference image is also drawn to its own phrase, by a loss and not by a bias.

    The loss is the negative log of the cross-attention that the tokens of an image pay to their phrase, in the mean of
    heads and layers. It does not suffice alone: layers for the text that have shrunk must be re-initialised.
    """

    def losses(self, part: NoisyBatch) -> Tensor:
        words, found = part.batch.scene.words, []  # (B, R, J)

        def attention(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None) -> Tensor:
            # Only cross-attention has a bias, that of the padding; the last layer has no queries of images.
            if attn_mask is not None and q.shape[2] > video_tokens:
                logits = q[:, :, video_tokens:] @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + attn_mask
                shares = logits.log_softmax(-1).unflatten(2, (words.shape[1], -1))  # (B, N, R, P, J)
                outside = ~words[:, None, :, None, : k.shape[2]]
                found.append(-shares.masked_fill(outside, -1e9).logsumexp(-1).mean((1, 2, 3)))
            return scaled_dot_product_attention(q, k, v, attn_mask=attn_mask)

        height, width = (side // 2 for side in part.batch.video.shape[-2:])
        video_tokens = part.batch.video.shape[2] * height * width
        self.network.attention = attention
        try:
            return super().losses(part) + OWN_PHRASE * torch.stack(found).mean(0)
        finally:
            self.network.attention = scaled_dot_product_attention


def train(options: argparse.Namespace) -> None:
    """Train a model without relational parts from random weights; run again it resumes.

    First it learns to copy reference images, then, with new layers for the text, whose image goes where.
    """
    torch.set_num_threads(1)
    clips = options.out / "clips"
    settings = CacheSettings(frames=(9,), sizes=((64, 80),), augment="none", dtype="float32")
    source = GlyphSource(41, options.clips, casting=replace(CASTING, alike=0.0), placed=True)
    build_cache(source, clips, tiny_files(), settings, device="cpu")
    recipe = read_config(str(RECIPE))
    off = {"mcam_ratio": 0.0, "mcam_ratio_start": None, "mcam_ratio_steps": 0, "r2pe": False, "csam": False}
    config = replace(
        recipe,
        model=replace(recipe.model, **off, shuffle_references=True, text_len=TEXT_LEN),
        data=replace(recipe.data, cache=str(clips), text_dropout=0.0, preload=True, num_workers=0),
        timesteps=replace(recipe.timesteps, shift=6.0),
        export=replace(recipe.export, precision="fp32"),
    )
    loop = replace(recipe.training, output=str(options.out / "copying"), steps=options.copying)
    copied = finished(Trainer(replace(config, training=loop)))
    start = options.out / "start.safetensors"
    save_file(with_new_text_layers(load_file(copied)), start)
    model = replace(config.model, file=str(start), sizes=None)
    loop = replace(recipe.training, output=str(options.out / "reading"), steps=options.reading, batch_size=8)
    finished(ReadingTrainer(replace(config, model=model, training=loop)))


def finished(trainer: Trainer) -> Path:
    """The file of a run."""
    outcome = trainer.run()
    if outcome.file is None:
        raise SystemExit(f"Stopped after step {outcome.step}. Run again to resume.")
    return outcome.file


def with_new_text_layers(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights with random ones in every layer that reads text, as those of no use yet have shrunk to nothing."""
    chance = torch.Generator().manual_seed(0)
    new = dict(weights)
    for name, weight in weights.items():
        if name.startswith("text_embedding") or (".cross_attn." in name and "norm" not in name):
            scale = math.sqrt(3 * 2 / sum(weight.shape)) if weight.ndim == 2 else 0.0  # Xavier
            new[name] = (2 * torch.rand(weight.shape, generator=chance) - 1) * scale
        elif ".cross_attn." in name:
            new[name] = torch.ones_like(weight)
    return new


def padded(question: Question, text_len: int) -> Question:
    """The question for a model whose text is padded to `text_len` tokens."""
    item = question.item
    scene = LUMOSX_TRAINING.shortened(item.scene, text_len)
    return replace(question, item=replace(item, text=LUMOSX_TRAINING.text(item.text, text_len), scene=scene))


def measure(options: argparse.Namespace) -> None:
    """Choose settings on some scenes, and print what they bring on others."""
    torch.set_num_threads(1)
    files, sampling = tiny_files(), Sampling(steps=options.steps)
    network = open_network(options.model)
    network = replace(network, config=replace(network.config, text_len=options.text_len))
    model, vae = build_model(network).eval().requires_grad_(False), WanVae.load(files.vae)

    def exam(scenes: int, seed: int) -> Exam:
        questions = make_questions(files, 2, scenes, CASTING, seed, placed=True)
        return Exam(model, vae, [padded(question, options.text_len) for question in questions], sampling)

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
    trained = commands.add_parser("train", help="train a model that never had the parts")
    trained.add_argument("--out", type=Path, required=True, help="folder for clips, checkpoints and the model")
    trained.add_argument("--clips", type=int, default=CLIPS, help=f"of each phase (default {CLIPS})")
    trained.add_argument("--copying", type=int, default=2500, help="steps of the first part (default 2500)")
    trained.add_argument("--reading", type=int, default=1500, help="steps of the second part (default 1500)")
    trained.set_defaults(run=train)
    measured = commands.add_parser("measure", help="measure what the parts bring to a model file")
    measured.add_argument("model", nargs="?", type=Path, default=tiny_files().diffusion_model)
    measured.add_argument("--scenes", type=int, default=128, help="of the last table (default 128)")
    measured.add_argument("--choice-scenes", type=int, default=48, help="on which settings are chosen (default 48)")
    measured.add_argument(
        "--text-len", type=int, default=TEXT_LEN, help=f"tokens the text is padded to (default {TEXT_LEN})"
    )
    measured.add_argument("--steps", type=int, default=Sampling.steps, help="of sampling")
    measured.add_argument("--fixed-only", action="store_true", help="choose nothing: the settings of the paper alone")
    measured.add_argument("--json", type=Path, help="also write every answer there")
    measured.set_defaults(run=measure)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
