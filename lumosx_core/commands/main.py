"""The command line: `lumosx scene | generate | convert | download | tiny`, and what other rooms add to it.

Heavy imports are in the commands that need them: converting a file needs no video library.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Sequence
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..auto_scene.networks.known import DEFAULTS, PHOTO_MODELS
from ..errors import LumosXError, MissingPackageError, OutOfMemory, ran_out_of_memory, shown
from ..media.video_size import parse_size
from ..models.lumosx.spec import SPEC
from ..own_command import FOLDER
from ..version import __version__
from .console import console
from .failures import failure_message
from .option_types import whole
from .scene import add_scene

RELEASED: dict[str, Any] = {
    "size": (SPEC.width, SPEC.height),
    "frames": SPEC.frames,
    "steps": SPEC.steps,
    "shift": SPEC.shift,
    "cfg": SPEC.cfg,
}
TINY: dict[str, Any] = {
    "size": (80, 64),
    "frames": 9,
    "steps": 16,
    "shift": 3.0,
    "cfg": 1.0,
}  # size and length as it was trained
MISTAKE, INTERRUPTED = 2, 130
_COMMANDS = "lumosx.commands"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 2 for a user's mistake, 130 after Ctrl-C."""
    own_process = arguments is None
    with console(own_process=own_process) as output:
        try:
            code = _run(arguments)
        except SystemExit as ended:  # --help, mistakes in options, and commands with an exit code of their own
            output.flush()
            if ended.code or output.failure is None:
                raise
            code = 0
        output.flush()
        if output.failure is not None:
            print(f"lumosx: What was printed could not be written: {output.failure.strerror}.", file=sys.stderr)
            code = code or MISTAKE
    return code


def _run(arguments: Sequence[str] | None) -> int:
    options = _parser().parse_args(arguments)
    command = options.run.__name__.strip("_").replace("_", "-")
    try:
        options.run(options)
    except KeyboardInterrupt:
        print("\nlumosx: stopped; no unfinished file was left.", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        message = failure_message(error, command)
        if message is None and isinstance(error, LumosXError):
            message = str(error)
        if message is None:
            raise
        print(f"lumosx: {message}", file=sys.stderr)
        return MISTAKE
    return 0


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with an option at a length that can be read, however long the option is."""

    def error(self, message: str):
        super().error(shown(message, 600))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="lumosx", description="Photos of people and what they wear, and a prompt, become a video.")
    parser.add_argument("--version", action="version", version=f"lumosx {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_scene(commands)
    _add_generate(commands)
    _add_convert(commands)
    _add_download(commands)

    tiny = commands.add_parser("tiny", help="copy the built-in miniature lumosx-tiny into ComfyUI's folder layout")
    tiny.add_argument("directory", metavar="DIR", help="such as a ComfyUI models folder")
    tiny.set_defaults(run=_tiny)
    # The core imports no other room: rooms such as training announce their commands to Python's package metadata.
    # A room may be announced and yet not be there: what is sent to ComfyUI's registry has no training in it.
    for command in sorted(_announced(), key=lambda command: command.name):
        if find_spec(command.module.partition(".")[0]) is not None:
            command.load()(commands)
    return parser


def _announced() -> Collection[EntryPoint]:
    """Commands of other rooms: of the installed package, or of a folder that was only unpacked into custom_nodes."""
    project = FOLDER / "pyproject.toml"
    if (installed := entry_points(group=_COMMANDS)) or not project.is_file():
        return installed
    try:
        import tomllib
    except ImportError:  # Python 3.10
        return installed
    announced = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["entry-points"][_COMMANDS]
    return [EntryPoint(name, value, _COMMANDS) for name, value in announced.items()]


def _add_generate(commands) -> None:
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
        "--model",
        metavar="tiny|FILE|DIR",
        help="LumosX weights, or a directory with diffusion_models, vae and text_encoders as in ComfyUI, of which a "
        "workflow names the files; tiny (default): the built-in miniature, which knows glyph people only",
    )
    parser.add_argument("--vae", metavar="FILE", help="Wan 2.1 VAE (not needed with a directory or tiny)")
    parser.add_argument("--text-encoder", metavar="FILE", help="UMT5-XXL (not needed with a directory or tiny)")
    parser.add_argument("--negative", metavar="TEXT", help="negative prompt (default: the one of Wan 2.1)")
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
    parser.add_argument("--device", help="cpu, cuda or mps (default: the best there is)")
    parser.add_argument(
        "--dtype",
        choices=["float32", "bfloat16", "float16"],
        help="of the LumosX network (default: bfloat16 on CUDA, float16 on MPS, float32 on the CPU)",
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


def _add_convert(commands) -> None:
    parser = commands.add_parser("convert", help="write a checkpoint as one safetensors file that ComfyUI loads")
    parser.add_argument("source", metavar="SRC", help=".safetensors, .pt, or a DCP directory")
    parser.add_argument("destination", metavar="DST", help="a new .safetensors file")
    parser.add_argument("--dtype", choices=["bf16", "fp16", "fp8_e4m3fn"], default="bf16", help="default bf16")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it is there")
    parser.set_defaults(run=_convert)


def _add_download(commands) -> None:
    parser = commands.add_parser(
        "download",
        help="fetch the released weights from the hub",
        description="Fetch LumosX, the Wan VAE and UMT5; or, instead, the models that photos are read with.",
    )
    parser.add_argument("directory", metavar="DIR", nargs="?", help="used instead of ComfyUI's models folder")
    parser.add_argument("--comfyui", metavar="DIR", help="a ComfyUI folder, instead of DIR")
    parser.add_argument("--dtype", choices=["bf16", "fp16", "fp8_e4m3fn"], help="of LumosX (default bf16)")
    parser.add_argument("--text-encoder", choices=["fp8", "fp16"], help="default fp8 (6.7 GB)")
    parser.add_argument("--file", help="which checkpoint of the LumosX repository, if it holds several")
    parser.add_argument(
        "--photographs",
        action="store_true",
        help="fetch what photos are read with, instead: a face detector, Grounding DINO and SAM",
    )
    parser.add_argument(
        "--photo-model",
        metavar="NAME",
        action="append",
        default=[],
        help="fetch this one, instead or with --photographs; may be repeated: "
        + ", ".join(model.name for model in PHOTO_MODELS),
    )
    parser.add_argument("--cache", metavar="DIR", help="for unfinished downloads (default ~/.cache/lumosx)")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    parser.set_defaults(run=_download)


def _generate(options: argparse.Namespace) -> None:
    from ..media.video import check_video_path, write_video

    path = check_video_path(options.out)
    scene, prompt, settings, files = _of_workflow(options) if _is_workflow(options) else _of_case(options)

    import torch

    from ..models.lumosx.pipeline import LumosXPipeline
    from ..prompt.scene_warnings import scene_warnings

    dtype = getattr(torch, options.dtype) if options.dtype else None
    pipeline = LumosXPipeline(files, device=options.device, dtype=dtype)
    print(
        f"{settings.width}x{settings.height}, {settings.frames} frames, {settings.steps} steps, seed {settings.seed}, "
        f"{len(scene.references)} images, on {pipeline.device} in {str(pipeline.dtype).removeprefix('torch.')}"
    )
    for warning in scene_warnings(scene, prompt):
        print(f"Warning: {warning}", file=sys.stderr)
    try:
        with _progress_bar() as progress:
            videos = pipeline.generate(scene, prompt, settings, progress=progress)
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
    """Scene, prompt, settings and files for a case folder."""
    from ..files.model_files import find_model_files
    from ..models.lumosx.pipeline import Settings
    from ..models.lumosx.tiny import TINY_DIRECTORY
    from ..scene.case_folder import read_case

    tiny = options.model in (None, "tiny")
    defaults = dict(TINY if tiny else RELEASED)
    width, height = defaults.pop("size")
    settings = Settings(**{"width": width, "height": height, **defaults, **_changes(options)})
    case = read_case(options.source)
    files = find_model_files(TINY_DIRECTORY if tiny else options.model, options.vae, options.text_encoder)
    return case.scene, case.prompt, settings, files


def _of_workflow(options: argparse.Namespace):
    """Scene, prompt, settings and files for a saved workflow."""
    from ..workflow.run import input_folder, read_video
    from ..workflow.saved.file import read_workflow

    graph = read_workflow(options.source)
    folder = input_folder(options.source, options.input)
    changes = _changes(options)
    video = read_video(graph, folder, node_id=options.node, released=options.released_sampler, changes=changes)
    for note in video.notes:
        print(note)
    files = video.weights.find(options.model, options.vae, options.text_encoder)
    return video.scene, video.prompt, video.settings, files


def _changes(options: argparse.Namespace) -> dict:
    """The settings that were asked for."""
    names = ("frames", "steps", "shift", "cfg", "batch", "seed")
    changes = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    if options.size is not None:
        changes["width"], changes["height"] = options.size
    if options.negative is not None:
        changes["negative_prompt"] = options.negative
    return changes


def _convert(options: argparse.Namespace) -> None:
    from ..models.lumosx.weights.convert import conversion_bar, convert

    with conversion_bar() as progress:
        path = convert(
            options.source, options.destination, options.dtype, overwrite=options.overwrite, progress=progress
        )
    print(f"The model is {path.resolve()}  (ComfyUI: models/diffusion_models)")


def _download(options: argparse.Namespace) -> None:
    place = {"comfyui": options.comfyui, "cache": options.cache, "overwrite": options.overwrite}
    of_weights = {name: getattr(options, name) for name in ("dtype", "text_encoder", "file")}
    of_weights = {name: value for name, value in of_weights.items() if value is not None}
    names = [*(DEFAULTS if options.photographs else ()), *options.photo_model]
    if not names:
        from ..models.lumosx.weights.download import download

        download(options.directory, **place, **of_weights)
        return
    if of_weights:
        raise LumosXError(
            f"--{next(iter(of_weights)).replace('_', '-')} is for the weights of LumosX, which are not fetched with "
            f"--photographs and --photo-model. Leave it out, or fetch the weights by a download of their own."
        )
    from ..auto_scene.networks.fetch import download_photo_models

    download_photo_models(names, options.directory, **place)


def _tiny(options: argparse.Namespace) -> None:
    from ..models.lumosx.tiny import write_tiny

    for folder, path in write_tiny(options.directory).by_folder.items():
        print(f"{path.resolve()}  (ComfyUI: models/{folder})")


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
