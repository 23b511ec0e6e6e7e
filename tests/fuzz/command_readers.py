"""The command line: options that nobody meant. What a command would compute is left out, its checks are not."""

from __future__ import annotations

import io
import os
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import torch
from fuzz.inputs import STRINGS, edited_text
from fuzz.measured import Refused
from fuzz.reader import Make, Reader, put
from fuzz.seeds import CAPTION, case, clip, images
from fuzz.workflow_readers import API
from hypothesis import strategies as st

from lumosx_core.commands.main import main
from lumosx_core.models.video_pipeline import VideoPipeline

_NUMBERS = st.sampled_from(
    (
        "0",
        "-1",
        "1",
        "5",
        "1e9",
        "nan",
        "inf",
        "1.5",
        "9" * 5000,
        "٣",
        "１",
        "0x10",
        "1_0",
        "",
        " 1",
        "2**3",
        "18446744073709551616",
    )
)
_SIZES = st.sampled_from(
    ("80x64", "0x0", "-8x8", "80X64", "80×64", "80x64x3", "x", "9" * 400 + "x8", "832x480", "1e3x8", "100000x100000")
)
_PATHS = st.sampled_from(
    (
        "case",
        "workflow.json",
        "image.png",
        "clip.mp4",
        "data",
        "missing",
        "",
        ".",
        "..",
        "/dev/null",
        "/proc/self/mem",
        "a" * 300,
        "C:\\x.png",
        "case/caption.txt",
        "~/x",
        "x\udcff",
        "pipe",
    )
)
_OUT = st.sampled_from(
    (
        "out.mp4",
        "out.safetensors",
        "out",
        "",
        "missing/out.mp4",
        "case",
        "out.avi",
        "o" * 300 + ".mp4",
        "/dev/null",
        ".mp4",
        "out.mp4/",
        "x\udcff.mp4",
    )
)
_WORDS = st.one_of(STRINGS, edited_text([CAPTION], words=("man", "woman")))

_OPTIONS = {
    "generate": {
        "--out": _OUT,
        "--model": _PATHS,
        "--vae": _PATHS,
        "--text-encoder": _PATHS,
        "--negative": _WORDS,
        "--seed": _NUMBERS,
        "--size": _SIZES,
        "--frames": _NUMBERS,
        "--steps": _NUMBERS,
        "--shift": _NUMBERS,
        "--cfg": _NUMBERS,
        "--batch": _NUMBERS,
        "--device": STRINGS,
        "--dtype": STRINGS,
        "--input": _PATHS,
        "--node": STRINGS,
    },
    "scene": {
        "--prompt": _WORDS,
        "--out": _OUT,
        "--plan": _WORDS,
        "--name": _WORDS,
        "--background": _PATHS,
        "--feather": _NUMBERS,
        "--face-threshold": _NUMBERS,
        "--box-threshold": _NUMBERS,
        "--preview": _OUT,
        "--models": _PATHS,
        "--face-model": _PATHS,
        "--device": STRINGS,
        "--read-prompt-by": STRINGS,
        "--plan-only": None,
    },
    "convert": {"--dtype": STRINGS, "--overwrite": None},
    "tiny": {},
    "check-data": {"--frames": _NUMBERS, "--size": _SIZES, "--json": _OUT, "--workers": _NUMBERS, "--report": _OUT},
    "pack": {"--samples": _NUMBERS, "--megabytes": _NUMBERS},
    "export": {"--format": st.sampled_from(("musubi-tuner", "ai-toolkit", "diffsynth", "ltx", "other"))},
    "cache": {
        "--frames": _NUMBERS,
        "--size": _SIZES,
        "--variants": _NUMBERS,
        "--model": _PATHS,
        "--batch": _NUMBERS,
        "--seed": _NUMBERS,
    },
    "train": {
        "--set": st.builds(
            "{}={}".format, st.sampled_from(("training.steps", "model.file", "data.cache", "x")), _NUMBERS
        )
    },
    "lora merge": {"--strength": _NUMBERS, "--out": _OUT},
    "lora extract": {"--rank": _NUMBERS, "--out": _OUT},
    "lora export": {"--out": _OUT, "--dtype": STRINGS},
    "glyphs": {"--seed": _NUMBERS, "--people": _NUMBERS},
}
_PLACES = {
    "generate": 1,
    "scene": 1,
    "convert": 2,
    "tiny": 0,
    "check-data": 1,
    "pack": 2,
    "export": 2,
    "cache": 2,
    "train": 1,
    "lora merge": 2,
    "lora extract": 2,
    "lora export": 1,
    "glyphs": 1,
}


def _commands(*commands: str) -> Make:
    def make() -> Reader:
        import json

        files = {f"case/{name}": content for name, content in case().items()}
        files |= {f"data/one/{name}": content for name, content in (*case().items(), ("video.mp4", clip()))}
        files |= {"workflow.json": json.dumps(API[0]).encode(), "image.png": images()[0], "clip.mp4": clip()}

        @st.composite
        def line(draw) -> list[str]:
            command = draw(st.sampled_from(commands))
            given = [draw(_PATHS) for _ in range(_PLACES[command])]
            if draw(st.integers(0, 3)) and given:
                given[0] = {
                    "generate": "case",
                    "scene": "image.png",
                    "check-data": "data",
                    "pack": "data",
                    "export": "data",
                    "cache": "data",
                }.get(command, given[0])
            options = _OPTIONS[command]
            chosen = draw(st.lists(st.sampled_from(sorted(options)), max_size=4)) if options else []
            needed = [
                name for name in ("--out", "--prompt", "--plan-only") if name in options and draw(st.integers(0, 5))
            ]
            for name in dict.fromkeys([*needed, *chosen]):
                value = options[name]
                if value is None:
                    given.append(name)
                elif draw(st.integers(0, 2)) or name not in needed:
                    given += [f"{name}={draw(value)}"] if draw(st.booleans()) else [name, draw(value)]
                else:
                    given += [name, {"--out": "out.mp4", "--prompt": CAPTION}[name]]
            if draw(st.integers(0, 9)) == 0:
                given.insert(draw(st.integers(0, len(given))), draw(STRINGS))
            if command == "export" and draw(st.integers(0, 5)):
                given += ["--format", "ltx"]
            if command == "glyphs":  # ten clips take seconds
                given += ["--count", "1"]
            return [*command.split(), *map(_handed_over, given)]

        def read(value: list[str], folder: Path) -> None:
            put(folder, files)
            os.mkfifo(folder / "pipe")
            before = os.getcwd()
            os.chdir(folder)
            said = io.StringIO()
            try:
                with (
                    redirect_stdout(io.StringIO()),
                    redirect_stderr(said),
                    patch.object(VideoPipeline, "generate", _one_frame),
                ):
                    code = main(value)
            except SystemExit as ended:
                code = ended.code
            finally:
                os.chdir(before)
            assert "Traceback" not in said.getvalue()
            if code:
                raise Refused(said.getvalue() or f"exit code {code} without a word")

        return Reader(line(), read)

    return make


def _handed_over(argument: str) -> str:
    """As the system hands it over: no zero bytes, and lone surrogates only for bytes that are not UTF-8."""
    without = argument.replace("\0", "")
    return without if "\udcff" in without else without.encode("utf-8", "replace").decode()


def _one_frame(self, scene, prompt, settings, **options) -> list[torch.Tensor]:
    return [torch.zeros(1, 8, 8, 3)]


READERS: dict[str, Make] = {
    "lumosx generate": _commands("generate"),
    "lumosx scene": _commands("scene"),
    "commands for weights": _commands("convert", "tiny", "lora merge", "lora extract", "lora export"),
    "commands for data": _commands("check-data", "pack", "export", "glyphs", "cache", "train"),
}
