"""`lumosx generate`: a case folder or a saved workflow becomes a video, with any model family."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import LumosXError, MissingPackageError, OutOfMemory, ran_out_of_memory, shown
from ..media.video_size import parse_size
from ..models.families import FAMILIES, family_named
from ..models.lumosx.config import PHANTOM_OPTIONS
from ..models.lumosx.spec import SPEC
from .option_types import whole

if TYPE_CHECKING:
    from ..attention_map.self_routing.routing import SelfRouting
    from ..files.model_files import ModelFiles
    from ..models.families import FamilyEntry
    from ..models.family import FaceSearch
    from ..sampling.best_of import BestOf

MOST_SUBJECTS = 999  # that --box can name
LUMOSX = "lumosx"  # the family of workflows, and where none is named
_PRESETS = {  # of the family lumosx: settings for weights that were trained for something else
    "released": {},
    "phantom": {"options": PHANTOM_OPTIONS, "negative_references": "zeroed"},
}
_OWN_SETTINGS = ("guidance", "face_crops")  # options that not every family has


def add_generate(commands) -> None:
    """Add the command to a parser's sub-parsers."""
    parser = commands.add_parser(
        "generate",
        help="make a video from a case folder or a saved ComfyUI workflow",
        description="Make a video from a case folder: caption.txt, subjects/N/face_PHRASE.png, subjects/N/PHRASE.png, "
        "objects/PHRASE.png, background/PHRASE.png; or from a workflow that was saved or exported in ComfyUI. The "
        "options below override the workflow.",
    )
    parser.add_argument("source", metavar="CASE_DIR|WORKFLOW.json")
    parser.add_argument("--out", required=True, metavar="VIDEO.mp4", help="several videos become VIDEO_0.mp4, ...")
    parser.add_argument(
        "--family",
        choices=list(FAMILIES),
        help="lumosx (default), or ingredients: Ingredients (CogVideoX), which reads the faces of a case only",
    )
    parser.add_argument(
        "--model",
        metavar="tiny|FILE|DIR",
        help="weights of the family, or a directory with diffusion_models, vae and text_encoders as in ComfyUI, of "
        "which a workflow names the files; tiny (default): the built-in miniature, which knows glyph people only",
    )
    parser.add_argument(
        "--preset",
        choices=list(_PRESETS),
        help="what the weights of a case were trained for: released (default), or phantom: Phantom, with R2PE, CSAM "
        "and MCAM off, and with one --cfg for prompt and images (its authors use 7.5 and 5, and --shift 5)",
    )
    parser.add_argument("--vae", metavar="FILE", help="its VAE (not needed with a directory or tiny)")
    parser.add_argument("--text-encoder", metavar="FILE", help="its text encoder (not needed with a directory or tiny)")
    parser.add_argument("--negative", metavar="TEXT", help="negative prompt (default: the released one)")
    parser.add_argument("--seed", type=whole(), help="0 to 2**64 - 1 (default 0)")
    parser.add_argument(
        "--size", type=_size, metavar="WIDTHxHEIGHT", help=f"default {SPEC.width}x{SPEC.height}, tiny 80x64"
    )
    parser.add_argument(
        "--frames",
        type=whole(),
        help=f"{SPEC.temporal_stride}n + 1, at {SPEC.frames_per_second} a second (default {SPEC.frames}, tiny 9)",
    )
    parser.add_argument("--steps", type=whole(), help=f"default {SPEC.steps}, tiny 16")
    parser.add_argument("--shift", type=float, help=f"of the noise schedule (default {SPEC.shift:g}, tiny 3)")
    parser.add_argument("--cfg", type=float, help=f"guidance; 1 does without (default {SPEC.cfg:g}, tiny 1)")
    parser.add_argument("--batch", type=whole(), help="number of videos (default 1)")
    best = parser.add_argument_group(
        "best of N (LumosX)",
        "Several seeds are sampled for a part of the steps; those that bind subjects best are finished, each "
        "bit-identical to a run of its seed alone.",
    )
    best.add_argument("--best-of", type=whole(), metavar="N", help="how many seeds start: --seed and those after it")
    best.add_argument(
        "--score-after", type=float, metavar="FRACTION", help="of the steps, before the score (default 0.25)"
    )
    best.add_argument("--keep", type=whole(), metavar="K", help="how many videos are finished (default 1)")
    routing = parser.add_argument_group(
        "self-routing (LumosX)",
        "The first steps show who is where; from then on each subject's region of the video attends more to the "
        "subject's own reference images, and less to those of others.",
    )
    routing.add_argument(
        "--self-routing", type=float, metavar="STRENGTH", help="0 (off) to 8; with --box the default is 1"
    )
    routing.add_argument(
        "--box",
        type=_box,
        action="append",
        metavar="N:LEFT,TOP,RIGHT,BOTTOM",
        help="where subject N of the scene is, in fractions of the frame, such as 1:0,0,0.5,1 for the left half; may "
        "be given once for each subject",
    )
    parser.add_argument("--device", help="cpu, cuda or mps (default: the best there is)")
    parser.add_argument(
        "--dtype",
        choices=["float32", "bfloat16", "float16"],
        help="of the video network (default: bfloat16 on CUDA, float16 on MPS, float32 on the CPU)",
    )
    ingredients = parser.add_argument_group(
        "for --family ingredients", "Defaults are 720x480, 49 frames at 8 a second, 50 steps, shift 1, cfg 6."
    )
    ingredients.add_argument(
        "--face-encoder", metavar="DIR", help="the released folder face_encoder (not needed with a directory or tiny)"
    )
    ingredients.add_argument(
        "--face-detector",
        metavar="FILE",
        help="another detector, such as insightface's scrfd_10g_bnkps.onnx, instead of the released one",
    )
    ingredients.add_argument(
        "--face-crops",
        choices=["find", "as-given"],
        help="find (default): the face in each face image is found and aligned; as-given: the images are crops already",
    )
    ingredients.add_argument(
        "--guidance",
        choices=["shared", "per_branch"],
        help="whether the negative pass shares its view of the faces with the positive one (default shared)",
    )
    workflow = parser.add_argument_group("for a workflow")
    workflow.add_argument(
        "--input",
        metavar="DIR",
        help="used instead of ComfyUI's input folder (default: the folder input beside the workflow, else its own)",
    )
    workflow.add_argument("--node", metavar="ID", help="which sampler, where a workflow has several")
    workflow.add_argument(
        "--released-sampler",
        action="store_true",
        help="where a workflow has another solver, such as KSampler's: take the released one, with its steps and seed",
    )
    parser.set_defaults(run=_generate)


def _generate(options: argparse.Namespace) -> None:
    from ..media.video import check_video_path, write_video

    path = check_video_path(options.out)
    plan, routing = _best_of(options), _self_routing(options)
    of_source = _of_workflow if _is_workflow(options) else _of_case
    entry, scene, prompt, settings, files = of_source(options)

    import torch

    from ..models.video_pipeline import VideoPipeline

    dtype = getattr(torch, options.dtype) if options.dtype else None
    find_faces = _face_search(options, files)
    pipeline = VideoPipeline(files, entry.family, device=options.device, dtype=dtype, find_faces=find_faces)
    print(
        f"{settings.width}x{settings.height}, {settings.frames} frames, {settings.steps} steps, seed {settings.seed}, "
        f"{len(scene.references)} images, on {pipeline.device} in {str(pipeline.dtype).removeprefix('torch.')}"
    )
    for warning in entry.family.scene_warnings(scene, prompt):
        print(f"Warning: {warning}", file=sys.stderr)
    try:
        with _progress_bar() as progress:
            if routing is not None:
                videos = _routed_videos(pipeline, scene, prompt, settings, routing, progress)
            elif plan is None:
                videos = pipeline.generate(scene, prompt, settings, progress=progress)
            else:
                videos = _best_videos(pipeline, scene, prompt, settings, plan, progress)
    except Exception as error:
        if not ran_out_of_memory(error):
            raise
        raise OutOfMemory(
            f"The memory of {pipeline.device} is too small for {settings.width}x{settings.height}, "
            f"{settings.frames} frames and {settings.batch} videos at once. Use a smaller --size, fewer --frames, a "
            f"smaller --batch or --dtype bfloat16."
        ) from error
    paths = [path] if len(videos) == 1 else [path.with_stem(f"{path.stem}_{i}") for i in range(len(videos))]
    for video, each in zip(videos, paths, strict=True):
        write_video(each, video, settings.family.spec.frames_per_second)
        print(f"The video is {each.resolve()}")


def _best_of(options: argparse.Namespace) -> BestOf | None:
    """How seeds are chosen; None: one run."""
    from ..sampling.best_of import BestOf

    if options.best_of is None:
        for name in ("score_after", "keep"):
            if getattr(options, name) is not None:
                raise LumosXError(f"--{name.replace('_', '-')} is for --best-of N. Add --best-of 4, or leave it out.")
        return None
    given = {name: getattr(options, name) for name in ("score_after", "keep")}
    return BestOf(options.best_of, **{name: value for name, value in given.items() if value is not None})


def _best_videos(pipeline, scene, prompt, settings, plan: BestOf, progress):
    from ..attention_map.best_of_seeds import generate_best
    from ..sampling.best_of import describe_choice

    videos, best = generate_best(pipeline, scene, prompt, settings, plan, progress=progress)
    scored = plan.scored_steps(settings.steps)
    print(describe_choice(best.scores, best.seeds, settings.steps, scored, best.steps_taken))
    return videos


def _self_routing(options: argparse.Namespace) -> SelfRouting | None:
    """How attention is routed; None: as released."""
    from ..attention_map.self_routing.routing import STRENGTH, SelfRouting, box_mask

    if options.self_routing is None and options.box is None:
        return None
    if options.best_of is not None:
        raise LumosXError(
            "--best-of chooses among runs without self-routing. Leave out --best-of, or --self-routing and --box. In "
            "ComfyUI LumosX Self-Routing and LumosX Best Of work together."
        )
    boxes = dict(options.box or ())
    if len(boxes) < len(options.box or ()):
        raise LumosXError("--box names a subject twice. Give each subject one box.")
    masks = tuple(box_mask(boxes[n], n) if n in boxes else None for n in range(1, max(boxes, default=0) + 1))
    return SelfRouting(STRENGTH if options.self_routing is None else options.self_routing, masks=masks)


def _routed_videos(pipeline, scene, prompt, settings, routing: SelfRouting, progress):
    from ..attention_map.self_routing.generate_routed import generate_routed

    return generate_routed(pipeline, scene, prompt, settings, routing, progress=progress)


def _is_workflow(options: argparse.Namespace) -> bool:
    from ..workflow.saved.file import SUFFIXES

    try:
        folder, file = Path(options.source).is_dir(), Path(options.source).is_file()
    except OSError:  # such as a name that no disk takes; reading it says so
        folder, file = False, False
    if file or (options.source.lower().endswith(SUFFIXES) and not folder):
        return True
    for name in ("input", "node", "released_sampler"):
        if getattr(options, name):
            raise LumosXError(
                f"--{name.replace('_', '-')} is for a workflow, but {options.source} is not one: its name does not end "
                f"in {', '.join(SUFFIXES)}. Leave the option out, or give a workflow."
            )
    return False


def _of_case(options: argparse.Namespace):
    """Family, scene, prompt, settings and files for a case folder."""
    from ..scene.case_folder import read_case

    entry = family_named(options.family or LUMOSX)
    tiny = options.model in (None, "tiny")
    if options.preset is not None and options.family not in (None, LUMOSX):
        raise LumosXError(f"--preset is for --family {LUMOSX}. Leave it out.")
    changes = _PRESETS[options.preset or "released"] | _changes(options, entry)
    settings = entry.settings(**{**(entry.tiny_settings if tiny else {}), **changes})
    case = read_case(options.source)
    companions = {} if options.face_encoder is None else {"face_encoder": options.face_encoder}
    model = entry.tiny_directory if tiny else options.model
    files = entry.family.find_files(model, options.vae, options.text_encoder, companions)
    return entry, case.scene, case.prompt, settings, files


def _of_workflow(options: argparse.Namespace):
    """Family, scene, prompt, settings and files for a saved workflow."""
    from ..workflow.run import input_folder, read_video
    from ..workflow.saved.file import read_workflow

    entry = family_named(LUMOSX)
    if options.family not in (None, LUMOSX):
        raise LumosXError(
            f"--family {options.family} is for case folders: of workflows, those with LumosX nodes can be run without "
            f"ComfyUI. Give a case folder, or run the workflow in ComfyUI."
        )
    if options.face_encoder is not None:
        raise LumosXError("--face-encoder is for --family ingredients. Leave it out.")
    if options.preset is not None:
        raise LumosXError("--preset is for case folders: a workflow has it in its LumosX Apply. Choose it there.")
    graph = read_workflow(options.source)
    folder = input_folder(options.source, options.input)
    changes = _changes(options, entry)
    video = read_video(graph, folder, node_id=options.node, released=options.released_sampler, changes=changes)
    for note in video.notes:
        print(note)
    files = video.weights.find(options.model, options.vae, options.text_encoder)
    return entry, video.scene, video.prompt, video.settings, files


def _changes(options: argparse.Namespace, entry: FamilyEntry) -> dict[str, Any]:
    """The settings that were asked for."""
    names = ("frames", "steps", "shift", "cfg", "batch", "seed", *_OWN_SETTINGS)
    changes = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    if options.face_detector is not None:
        changes["face_detector"] = "given"
    known = {field.name for field in fields(entry.settings)}
    for name in changes:
        if name not in known:
            raise LumosXError(f"--{name.replace('_', '-')} is not an option of {entry.family.spec.name}. Leave it out.")
    if "face_crops" in changes:
        changes["face_crops"] = changes["face_crops"].replace("-", " ")
    if options.size is not None:
        changes["width"], changes["height"] = options.size
    if options.negative is not None:
        changes["negative_prompt"] = options.negative
    return changes


def _face_search(options: argparse.Namespace, files: ModelFiles) -> FaceSearch:
    """Finds faces with a detector that is loaded when the first photo comes."""

    @cache
    def detector():
        from ..auto_scene.networks.face_detector import FaceDetector
        from ..auto_scene.networks.find import choose_model

        models = [Path(options.model)] if options.model and Path(options.model).is_dir() else [Path("models")]
        beside = [folder / "models" for folder in files.companions.values()]
        return FaceDetector.load(choose_model("faces", options.face_detector, models, own=beside))

    def find(photo) -> Sequence[Any]:
        from ..auto_scene.face_search import find_faces

        return find_faces(detector(), photo)

    return find


def _box(text: str) -> tuple[int, tuple[float, ...]]:
    number, _, sides = text.partition(":")
    try:
        box = tuple(float(side) for side in sides.split(","))
    except ValueError:
        box = ()
    if not (number.isascii() and number.isdecimal() and 1 <= int(number[:4]) <= MOST_SUBJECTS) or len(box) != 4:
        raise argparse.ArgumentTypeError(
            f"{shown(text, 60)!r} is not a box. Write the subject's number, from 1 on, and left, top, right and bottom "
            f"as fractions of the frame, such as 1:0,0,0.5,1"
        )
    return int(number), box


def _size(text: str) -> tuple[int, int]:
    try:
        return parse_size(text)
    except LumosXError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


@contextmanager
def _progress_bar():
    """A bar for the sampling steps, and a line for each other stage."""
    try:
        from tqdm import tqdm
    except ImportError as error:
        raise MissingPackageError("tqdm", "The progress bar", error) from error
    lines = {"text": "Reading the prompt", "images": "Encoding the images", "decoding": "Decoding the video"}
    bar = None

    def progress(stage: str, done: int, total: int) -> None:
        nonlocal bar
        if stage in lines:
            if done == 0:
                print(lines[stage], file=sys.stderr)
            return
        if bar is None:
            bar = tqdm(total=total, unit="step", desc="Sampling")
        bar.update(done - bar.n)
        if done == total:
            bar.close()

    try:
        yield progress
    finally:
        if bar is not None:
            bar.close()
