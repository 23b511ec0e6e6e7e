"""Fuzz one reader in this process: `python tests/fuzz/run.py NAME [--inputs N] [--survey]`.

Prints a line of JSON with the figures. With `--survey` it goes on behind a fault and lists all of them, each kind once,
with the path of a file that has the input; without, hypothesis makes the first ones as small as it can.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import pickle
import re
import sys
import tempfile
import traceback
import warnings
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("", "tests", "tests/core", "tests/core/auto_scene", "tests/core/models/ingredients", "tests/training")
sys.path[:0] = [str(ROOT / each) for each in FOLDERS]

from fuzz.measured import Fault, Measured, limit_memory  # noqa: E402
from hypothesis import HealthCheck, Phase, given, settings  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reader")
    parser.add_argument("--inputs", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=5.0, help="that an input may take")
    parser.add_argument("--module", default="fuzz.readers", help="that has READERS")
    parser.add_argument("--survey", action="store_true")
    options = parser.parse_args()

    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a disk would take most of the time
    with tempfile.TemporaryDirectory(prefix="lumosx-fuzz-", dir=memory) as scratch:
        os.chdir(scratch)  # a name without a folder must not lead into the repository
        reader = importlib.import_module(options.module).READERS[options.reader]()
        limit_memory()
        measured = Measured(reader.read, Path(scratch), options.seconds)
        kept = Path(tempfile.gettempdir()) / "lumosx-fuzz-faults"

        @settings(
            max_examples=options.inputs,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate] if options.survey else [Phase.generate, Phase.shrink],
        )
        @given(reader.inputs)
        def fuzz(value: object) -> None:
            try:
                measured(value)
            except Exception as error:
                place = _place(error)
                if place not in measured.figures.faults:
                    kept.mkdir(exist_ok=True)
                    file = kept / f"{options.reader}-{len(measured.figures.faults)}.pickle"
                    file.write_bytes(pickle.dumps(value))
                    measured.figures.faults[place] = str(file)
                if not options.survey:
                    raise

        try:
            fuzz()
        except Exception as error:
            print(_shortened(error), file=sys.stderr)
            if not measured.figures.faults:
                raise
        print(json.dumps({"reader": options.reader, **asdict(measured.figures)}))
    return 1 if measured.figures.faults else 0


def _place(error: Exception) -> str:
    """What tells one kind of fault from another: the exception, and the last line of our own that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if str(ROOT) in frame.filename and "/tests/" not in frame.filename]
    own = [frame for frame in own if ".venv" not in frame.filename]
    cause = error.__cause__
    if isinstance(error, Fault) and cause is not None:
        return f"{error} <- {_place(cause)}" if isinstance(cause, Exception) else str(error)
    where = f"{Path(own[-1].filename).relative_to(ROOT)}:{own[-1].lineno}" if own else "the reader itself"
    said = re.sub(r"lumosx-fuzz-\w+/input-\d+", "...", str(error))
    return f"{type(error).__name__} at {where}: {said[:150]!r}"


def _shortened(error: Exception) -> str:
    lines = "".join(traceback.format_exception(error)).splitlines()
    return "\n".join(line[:400] for line in lines[-80:])


if __name__ == "__main__":
    sys.exit(main())
