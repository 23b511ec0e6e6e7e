"""Runs as processes of their own, forked from a server that has imported everything: a start takes milliseconds.

Tests kill and signal these processes; several of them can train together.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent


class ForkServer:
    """Starts runs; each is a line to the server, which answers with the process id."""

    def __init__(self, preload: Sequence[str] = (), environment: Mapping[str, str] | None = None):
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ
            | {"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])]), "OMP_NUM_THREADS": "1"}
            | {"LUMOSX_PRELOAD": ",".join(preload)}
            | dict(environment or {}),
        )
        self._running: dict[int, int] = {}

    def start(self, tables: dict, *, task: str = "train", environment: dict[str, str] | None = None, log: Path) -> int:
        """Begin a run of `tiny_config(**tables)`; its output goes to `log`. Returns its process id."""
        log.touch()
        order = {"tables": tables, "task": task, "environment": environment or {}, "log": str(log)}
        return int(self._ask(order))

    def wait(self, process: int) -> int:
        """The exit code, negative for a signal that killed it."""
        return int(self._ask({"wait": process}))

    def kill(self, process: int) -> int:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        return self.wait(process)

    def close(self) -> None:
        self._server.stdin.close()
        self._server.wait(timeout=30)

    def _ask(self, order: dict) -> str:
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        return self._server.stdout.readline()


@contextlib.contextmanager
def fork_server(preload: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> Iterator[ForkServer]:
    """A server that has imported these modules, too, and passes on these variables of the environment."""
    server = ForkServer(preload, environment)
    try:
        yield server
    finally:
        server.close()


def wait_for(happened, seconds: float = 300) -> None:
    """Look until `happened()` is true."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.002)


def _serve() -> None:
    import accelerate  # noqa: F401
    import torch
    import torch.distributed.fsdp

    import lumosx_training.data.buckets
    import lumosx_training.loop.trainer  # noqa: F401

    torch.set_num_threads(1)
    for module in filter(None, os.environ.get("LUMOSX_PRELOAD", "").split(",")):
        importlib.import_module(module)
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            print(os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1]), flush=True)
            continue
        process = os.fork()
        if process == 0:
            _run(order)
        print(process, flush=True)


def _run(order: dict) -> None:
    """The forked process: never returns."""
    output = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (0, 1, 2):
        os.dup2(output if stream else os.open(os.devnull, os.O_RDONLY), stream)
    os.environ.update(order["environment"])
    code = 1
    try:
        import tasks

        code = getattr(tasks, order["task"])(order["tables"])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
