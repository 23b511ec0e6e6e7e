"""Killed at any moment, a run loses nothing and makes nothing twice; the same command goes on.

Kills are of three kinds: a worker of Ray at a random moment, the driver at a random moment, and whichever process comes
next to the moment between writing a result and its rename. `LUMOSX_KILLS` sets their number; with `pytest -s` their
counts are printed.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from synthetic_stages import Dataset, digest, stages, unfinished, videos

from lumosx_training.prepare.runner.local import LocalExecution
from lumosx_training.prepare.runner.run import run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(7200),
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes by /proc"),
]
KILLS = int(os.environ.get("LUMOSX_KILLS", "20"))
EACH = 20  # kills of one data set before a run completes it
WORKER, DRIVER, RENAME = "worker", "driver", "between write and rename"
KINDS = {"ray": (DRIVER, RENAME, WORKER, WORKER, RENAME, WORKER, WORKER), "local": (DRIVER, RENAME)}
VIDEOS = {"ray": 60 + 12 * min(KILLS, EACH), "local": 60}
SECONDS = {"ray": 0.08, "local": 0.02}  # that work on an item takes
HERE = Path(__file__).resolve().parent
PATIENCE = 180.0  # seconds


class Victim:
    """A run in a process of its own, and the processes that it starts: all have a mark in their environment."""

    def __init__(self, folder: Path, where: str):
        self.folder, self.where = folder, where
        self.mark = uuid.uuid4().hex
        self.ray = Path(tempfile.mkdtemp(prefix="r"))  # the paths of Ray's sockets may not be long
        environment = {
            **os.environ,
            "LUMOSX_TEST_MARK": self.mark,
            "RAY_AUTH_MODE": "disabled",
            "RAY_TMPDIR": str(self.ray),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(map(str, (HERE.parents[2], HERE))),
        }
        script = HERE / "killed_run.py"
        arguments = [str(folder), str(VIDEOS[where]), str(SECONDS[where]), where]
        self.log = (folder / "log.txt").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, str(script), *arguments],
            env=environment,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def processes(self) -> dict[int, str]:
        """Process id -> command line of all that are alive."""
        found = {}
        for path in Path("/proc").iterdir():
            if path.name.isdigit():
                try:
                    if self.mark.encode() in (path / "environ").read_bytes():
                        found[int(path.name)] = (path / "cmdline").read_bytes().decode(errors="replace")
                except OSError:
                    continue
        return found

    def workers(self) -> list[int]:
        return [process for process, line in self.processes().items() if line.startswith("ray::MapWorker")]

    def ended(self) -> bool:
        return self.process.poll() is not None

    def wait_until_gone(self) -> None:
        """Wait for the driver, and fail unless all that it started ends, too."""
        self.process.wait(PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while left := self.processes():
            assert time.monotonic() < deadline, f"left running: {left}"
            time.sleep(0.1)
        self.log.close()
        shutil.rmtree(self.ray, ignore_errors=True)


def kill_worker(victim: Victim, moments: random.Random) -> bool:
    """Kill one of the workers at a random moment; whether there was one."""
    deadline = time.monotonic() + PATIENCE
    while not victim.workers():
        if victim.ended() or time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    time.sleep(moments.uniform(0, 3))
    workers = victim.workers()
    if victim.ended() or not workers:
        return False
    os.kill(moments.choice(workers), signal.SIGKILL)
    return True


def kill_driver(victim: Victim, moments: random.Random) -> bool:
    """Kill the driver at a random moment; whether it was still there."""
    time.sleep(moments.uniform(0.5, 30) if victim.where == "ray" else moments.uniform(0.5, 5))
    if victim.ended():
        return False
    victim.process.kill()
    victim.process.wait()
    return True


def kill_before_rename(victim: Victim, moments: random.Random) -> bool:
    """Have the next process kill itself between writing a result and its rename; whether one did."""
    order, killed = victim.folder / "kill_before_rename", victim.folder / "killed_before_rename"
    killed.unlink(missing_ok=True)
    time.sleep(moments.uniform(0, 3))
    order.touch()
    deadline = time.monotonic() + PATIENCE
    while not killed.exists() and not victim.ended() and time.monotonic() < deadline:
        time.sleep(0.01)
    order.unlink(missing_ok=True)
    return killed.exists()


BY_KIND = {WORKER: kill_worker, DRIVER: kill_driver, RENAME: kill_before_rename}


@contextmanager
def fresh_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        yield Path(folder)


def clean_run(where: str) -> dict[str, str]:
    with fresh_folder() as folder:
        run(Dataset(folder / "data", "sample"), videos(VIDEOS[where]), stages(), LocalExecution(), {})
        return digest(folder / "data")


def kill_one_data_set(folder: Path, where: str, kinds: list[str], moments: random.Random, expected) -> Counter[str]:
    """Kill runs of one data set, one kill of each kind that is listed, then complete it; returns the kills."""
    done: Counter[str] = Counter()
    victim = Victim(folder, where)
    try:
        for kind in kinds:
            if BY_KIND[kind](victim, moments):
                done[kind] += 1
                assert digest(folder / "data").items() <= expected.items()  # nothing half-written under a final name
            if kind == DRIVER or where == "local" or victim.ended():
                victim.wait_until_gone()
                victim = Victim(folder, where)
        victim.wait_until_gone()
        if victim.process.returncode:  # the last kill was of the driver itself
            victim = Victim(folder, where)
            victim.wait_until_gone()
        assert victim.process.returncode == 0, (folder / "log.txt").read_text(errors="replace")[-4000:]
    finally:
        for process in victim.processes():
            os.kill(process, signal.SIGKILL)
    assert digest(folder / "data") == expected
    assert unfinished(folder / "data") == []
    return done


def kill_many(where: str, kills: int) -> Counter[str]:
    moments, began = random.Random(where), time.monotonic()
    expected = clean_run(where)
    done: Counter[str] = Counter()
    while done.total() < kills:
        start = done.total()
        kinds = [KINDS[where][number % len(KINDS[where])] for number in range(start, min(start + EACH, kills))]
        with fresh_folder() as folder:
            done += kill_one_data_set(folder, where, kinds, moments, expected)
        print(f"{where}: {dict(done)}", flush=True)
    print(f"\n{where}: {done.total()} kills in {time.monotonic() - began:.0f} s: {dict(done)}")
    return done


def test_killed_workers_and_drivers_of_ray_lose_nothing_and_make_nothing_twice():
    pytest.importorskip("ray.data")
    assert kill_many("ray", KILLS).total() >= KILLS


def test_a_killed_run_in_one_process_loses_nothing_and_makes_nothing_twice():
    assert kill_many("local", KILLS).total() >= KILLS
