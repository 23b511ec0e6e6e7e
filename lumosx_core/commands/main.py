"""The command line: `lumosx scene | subject | generate | evaluate | convert | download | tiny`, and what other rooms
add to it.

Heavy imports are in the commands that need them: converting a file needs no video library.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Sequence
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec

from ..auto_scene.networks.known import DEFAULTS, PHOTO_MODELS
from ..errors import LumosXError, shown
from ..own_command import FOLDER
from ..version import __version__
from .console import console
from .evaluate import add_evaluate
from .failures import failure_message
from .generate import add_generate
from .scene import add_scene
from .subject import add_subject

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
    add_subject(commands)
    add_generate(commands)
    add_evaluate(commands)
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


def _add_convert(commands) -> None:
    parser = commands.add_parser("convert", help="write a checkpoint as one safetensors file that ComfyUI loads")
    parser.add_argument(
        "source",
        metavar="SRC",
        help="LumosX or Wan2.1: .safetensors, .pt, or a DCP directory; Ingredients (CogVideoX): the released folder, "
        "its folder transformer, or .safetensors",
    )
    parser.add_argument("destination", metavar="DST", help="a new .safetensors file")
    parser.add_argument("--dtype", choices=["bf16", "fp16", "fp8_e4m3fn"], default="bf16", help="default bf16")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it is there")
    parser.set_defaults(run=_convert)


def _add_download(commands) -> None:
    parser = commands.add_parser(
        "download",
        help="fetch the released weights from the hub",
        description="Fetch LumosX, the Wan VAE and UMT5; or, instead, Ingredients (CogVideoX) with all it needs, or "
        "the models that photos are read with.",
    )
    parser.add_argument("directory", metavar="DIR", nargs="?", help="used instead of ComfyUI's models folder")
    parser.add_argument("--comfyui", metavar="DIR", help="a ComfyUI folder, instead of DIR")
    parser.add_argument(
        "--ingredients",
        action="store_true",
        help="fetch Ingredients (CogVideoX), its VAE, text encoder and face encoder, instead",
    )
    parser.add_argument("--dtype", choices=["bf16", "fp16", "fp8_e4m3fn"], help="of the network (default bf16)")
    parser.add_argument(
        "--text-encoder",
        choices=["fp8", "fp16", "bf16"],
        help="LumosX: fp8 (default, 6.7 GB) or fp16; Ingredients (CogVideoX): fp8 (4.9 GB), fp16 or bf16 (default)",
    )
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


def _convert(options: argparse.Namespace) -> None:
    from ..models.conversion import convert_any
    from ..models.write_checkpoint import conversion_bar

    with conversion_bar() as progress:
        path = convert_any(
            options.source, options.destination, options.dtype, overwrite=options.overwrite, progress=progress
        )
    print(f"The model is {path.resolve()}  (ComfyUI: models/diffusion_models)")


def _download(options: argparse.Namespace) -> None:
    place = {"comfyui": options.comfyui, "cache": options.cache, "overwrite": options.overwrite}
    of_weights = {name: getattr(options, name) for name in ("dtype", "text_encoder", "file")}
    of_weights = {name: value for name, value in of_weights.items() if value is not None}
    names = [*(DEFAULTS if options.photographs else ()), *options.photo_model]
    if options.ingredients:
        _download_ingredients(options, names, place)
        return
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


def _download_ingredients(options: argparse.Namespace, photo_models: Sequence[str], place: dict) -> None:
    from ..models.ingredients.weights.download import download_ingredients

    if photo_models or options.file:
        name = "--file" if options.file else "--photo-model" if options.photo_model else "--photographs"
        raise LumosXError(
            f"{name} has no meaning together with --ingredients. Leave it out, or fetch that by a download of its own."
        )
    chosen = {name: getattr(options, name) for name in ("dtype", "text_encoder") if getattr(options, name) is not None}
    download_ingredients(options.directory, **place, **chosen)


def _tiny(options: argparse.Namespace) -> None:
    from ..models.lumosx.tiny import write_tiny

    for folder, path in write_tiny(options.directory).by_folder.items():
        print(f"{path.resolve()}  (ComfyUI: models/{folder})")
