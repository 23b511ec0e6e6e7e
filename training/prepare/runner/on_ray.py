"""Work on the items of a stage in many processes, on this machine or on a Ray cluster, with Ray Data.

What each process does is in worker.py, and what it leaves on the disk decides what is done: after the death of a
process Ray sends the batch to another one, which finds the finished items there. Processes that die are started again
without limit; worker.py ends what kills each process, and `most_openings` a stage that kills them while it starts.

Rows that Ray handles are positions in a file, not items, and each process has at most `IN_FLIGHT` blocks of them at
once, so that memory does not grow with the number of items.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lumosx_core.errors import LumosXError, MissingPackageError, shown
from lumosx_core.own_command import FOLDER

from ..dataset import Dataset
from ..stage import Stage, StopRun
from .todo import Todo
from .worker import StageWorker, Status, message_of

OBJECT_STORE = 256 << 20  # bytes; rows are small
IN_FLIGHT = 2
LARGEST_BLOCK = 16  # batches; statuses come back by the block
MOST_OPENINGS = 5
_STOP, _BUG = "stop", "bug"


class RayExecution:
    """Works in processes that Ray starts.

    Args:
        workers: processes at once. None: as many as the cluster has CPUs, or GPUs for a stage that needs them.
        most_openings: as many processes may die while they load a stage's networks before the run ends.
        address: of a cluster that runs already ("auto", "HOST:PORT", "ray://HOST:PORT"). None: Ray is started on this
            machine, and ended with the run.

    Raises:
        MissingPackageError: Ray is not installed.
        LumosXError: there is no cluster at the address, or it has no GPU for a stage that needs one.
    """

    most_deaths = 4

    def __init__(self, workers: int | None, address: str | None = None, *, most_openings: int = MOST_OPENINGS):
        self.workers, self.address, self.most_openings = workers, address, most_openings

    def __enter__(self) -> RayExecution:
        # Reports of usage go to the makers of Ray; nothing of a run leaves the machine unless the user asks for it.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray = _ray()
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}
        try:
            if self.address is None:
                with _import_path():
                    ray.init(
                        address="local",  # whatever RAY_ADDRESS says
                        num_cpus=self.workers,
                        object_store_memory=OBJECT_STORE,
                        include_dashboard=False,
                        **quiet,
                    )
            else:
                ray.init(address=self.address, **quiet)
        except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
            where = "on this machine" if self.address is None else f"at {self.address!r}"
            raise LumosXError(
                f"Ray could not be reached {where} ({type(error).__name__}: {error}). Check that the cluster runs (ray "
                f"status), or leave out --ray to work on this machine; --workers 1 works without Ray."
            ) from error
        return self

    def __exit__(self, *_) -> None:
        _ray().shutdown()

    def run(self, dataset: Dataset, stage: Stage, todo: Path, size: int) -> Iterator[Status]:
        """Work on all entries of a list, `size` at once; a status for each as it is dealt with, in any order.

        Raises:
            StopRun: the disk is full, or the stage cannot load what it needs.
        """
        ray = _ray()
        import pyarrow
        import ray.data as ray_data

        offsets = list(Todo(todo).offsets(size))
        if not offsets:
            return
        processes = self._processes(ray.cluster_resources(), stage)
        context = ray_data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.max_errored_blocks = 0  # any other number drops whole blocks without a word
        # Of processes that are at work, Ray Data starts again as many as die; of those that begin, none by default.
        context.max_consecutive_actor_init_deaths = self.most_openings
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        length = max(1, min(LARGEST_BLOCK, len(offsets) // (8 * processes)))
        blocks = [
            pyarrow.table({"offset": offsets[start : start + length]}) for start in range(0, len(offsets), length)
        ]
        _openings(dataset, stage).unlink(missing_ok=True)
        statuses = ray_data.from_arrow(blocks).map_batches(
            _RayWorker,
            fn_constructor_kwargs={
                "dataset": dataset,
                "stage": stage,
                "todo": todo,
                "size": size,
                "most_openings": self.most_openings,
            },
            compute=ray_data.ActorPoolStrategy(size=processes, max_tasks_in_flight_per_actor=IN_FLIGHT),
            # Half a CPU: processes that take all of them leave none for Ray's own tasks, which then wait for ever.
            num_cpus=0.5 if self.address is None else 1,
            num_gpus=stage.gpus or None,
            batch_size=1,
            batch_format="numpy",
        )
        try:
            for rows in statuses.iter_batches(batch_size=None, batch_format="numpy"):
                for state, reason in zip(rows["state"], rows["reason"], strict=True):
                    if state == _STOP:
                        raise StopRun(str(reason))
                    if state == _BUG:
                        raise RuntimeError(f"A process of stage {stage.name!r} failed:\n{reason}")
                    yield Status(str(state), str(reason))
        except ray.exceptions.RayError as error:
            last = str(error).strip().splitlines() or [type(error).__name__]
            raise StopRun(
                f"Ray ended the run in stage {stage.name!r}: {shown(last[-1], 500)} Finished items are kept: run the "
                f"same command again, with fewer --workers if memory is short."
            ) from error

    def _processes(self, resources: dict[str, float], stage: Stage) -> int:
        if stage.gpus:
            most = int(resources.get("GPU", 0) / stage.gpus)
            if not most:
                raise LumosXError(
                    f"Stage {stage.name!r} needs {stage.gpus:g} GPU for each process, but Ray sees "
                    f"{resources.get('GPU', 0):g}. Check the drivers (nvidia-smi), or set its device to 'cpu' in the "
                    f"config."
                )
            return min(most, self.workers) if self.workers else most
        return self.workers or max(1, int(resources.get("CPU", 1)) - 1)


@contextmanager
def _import_path() -> Iterator[None]:
    """Processes that Ray starts meanwhile import from where this one does, also in a checkout that is not installed."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(FOLDER), *filter(None, sys.path)])
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


class _RayWorker:
    """What Ray Data calls in each process: positions in the list in, statuses out."""

    def __init__(self, dataset: Dataset, stage: Stage, todo: Path, size: int, most_openings: int):
        self._dataset, self._stage, self._todo, self._size = dataset, stage, Todo(todo), size
        self._most_openings = most_openings
        self._worker: StageWorker | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        # An exception would make Ray end the run with a page of its own frames, or hang when the process exits.
        try:
            statuses = [status for offset in batch["offset"] for status in self._batch(int(offset))]
        except LumosXError as error:
            statuses = [Status(_STOP, str(error))]
        except OSError as error:
            statuses = [Status(_STOP, f"{message_of(error)} Check the disk and the rights of {self._dataset.root}.")]
        except Exception:
            statuses = [Status(_BUG, traceback.format_exc())]
        return {"state": [each.state for each in statuses], "reason": [each.reason for each in statuses]}

    def _batch(self, offset: int) -> list[Status]:
        if not self._todo.path.exists():
            raise StopRun(
                f"A worker sees no {self._todo.path}. On a cluster, the data set must be in a folder that all machines "
                f"share under the same path."
            )
        if self._worker is None:
            self._worker = self._opened()
        return self._worker(self._todo.batch_at(offset, self._size))

    def _opened(self) -> StageWorker:
        """The stage, its networks loaded; counts the processes that died meanwhile."""
        log = _openings(self._dataset, self._stage)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab", buffering=0) as file:
            file.write(b"+")
            marks = log.read_bytes()
            worker = StageWorker(self._dataset, self._stage)
            if marks.count(b"+") - marks.count(b"-") > self._most_openings:
                raise StopRun(
                    f"{self._most_openings} processes died while stage {self._stage.name!r} loaded what it needs, "
                    f"perhaps for want of memory. Use fewer --workers, or smaller networks."
                )
            worker.open()
            file.write(b"-")
        return worker


def _openings(dataset: Dataset, stage: Stage) -> Path:
    return dataset.root / "attempts" / stage.name / ".openings"


def _ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingPackageError("ray[data]", "Preparing data in several processes", error) from error
    return ray
