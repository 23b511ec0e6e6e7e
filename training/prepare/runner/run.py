"""A run: each stage over all items that the stage before it passed on, then the table and the report.

A stage begins when the one before it has dealt with all its items. What a run has to do is read from the disk, so a run
that was killed is resumed by the same command.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from lumosx_core.errors import LumosXError, shown
from lumosx_core.files.hub import need_packages

from ..dataset import Dataset, check_id
from ..stage import Gathering, Outcome, Stage
from .gathered import gather, is_of, read_outcomes
from .items import SOURCE, FactsOnDisk, Item, read_items, source_item, write_items
from .lock import only_run
from .manifest import settle
from .passes import Execution, Passes
from .report import Report, StageReport
from .table import write_table
from .worker import disk_full, is_disk_full

REPORT = "report.json"
MOST_SAID = 10  # lines about repeated videos; the report has their number


@dataclass(frozen=True)
class RunOptions:
    """How a run treats what is on the disk already.

    Args:
        only: the names of the stages to run; None: all.
        retry_failed: work on items again that failed in earlier runs.
        rerun_changed: make results of stages again whose settings have changed.
    """

    only: Sequence[str] | None = None
    retry_failed: bool = False
    rerun_changed: bool = False


def run(
    dataset: Dataset,
    sources: Iterable[tuple[str, Mapping[str, Any]]],
    stages: Sequence[Stage | Gathering],
    execution: AbstractContextManager[Execution],
    settings: Mapping[str, Any],
    options: RunOptions | None = None,
    *,
    say: Callable[[str], None] = print,
) -> Report:
    """Run stages over source videos, and those that the data set has from earlier runs.

    Args:
        dataset: its `last` is the name of the last stage.
        sources: the id and facts of each video; facts have its `path`.
        stages: all of them, each behind the one that it takes items from.
        settings: JSON values for the manifest.
        say: takes lines about what is done before the work begins.

    Raises:
        LumosXError: the stages do not fit together, the settings are others than before, another run works in the
            folder, the disk is full, or a stage cannot start.
    """
    options = options or RunOptions()
    chosen = _chosen(stages, options.only)
    if chosen[-1].name == dataset.last:
        need_packages("The table of a data set", "pyarrow")  # before hours of work
    _check(chosen, options.only)
    try:
        dataset.root.mkdir(parents=True, exist_ok=True)
        with only_run(dataset.root):
            dataset.sweep()
            (dataset.root / REPORT).unlink(missing_ok=True)  # of an earlier run
            for name in settle(dataset, chosen, settings, rerun_changed=options.rerun_changed):
                say(f"The settings of stage {name!r} or of one before it have changed: its results are made again.")
            repeated = _add_sources(dataset, sources, say)
            reports = _run_stages(dataset, chosen, execution, options)
            report = _finish(dataset, reports, repeated)
            dataset.sweep()  # a process that outlived a killed run may have left something since the beginning
            return report
    except Exception as error:
        if is_disk_full(error):
            raise disk_full(dataset) from error
        raise


def _chosen(stages: Sequence[Stage | Gathering], only: Sequence[str] | None) -> list[Stage | Gathering]:
    """The stages up to the last one that is asked for."""
    names = [stage.name for stage in stages]
    for index, stage in enumerate(stages):
        check_id(stage.name, "a stage")
        if stage.name == SOURCE or stage.name in names[:index]:
            raise LumosXError(f"Two stages are called {stage.name!r}, or one has the name of the source videos.")
        if stage.after is not None and stage.after not in names[:index]:
            raise LumosXError(f"Stage {stage.name!r} takes items from {stage.after!r}, which is not before it.")
    if only is None:
        return list(stages)
    if unknown := [name for name in only if name not in names]:
        raise LumosXError(f"There is no stage {shown(unknown[0], 60)!r}. Stages are {', '.join(names)}.")
    if not only:
        raise LumosXError(f"No stage is chosen. Stages are {', '.join(names)}.")
    return list(stages[: max(names.index(name) for name in only) + 1])


def _check(stages: Sequence[Stage | Gathering], only: Sequence[str] | None) -> None:
    """Raise what would end the run later: a stage that is to work lacks a network, a setting or a package.

    Raises:
        LumosXError: the stage, what it lacks, and how to do without it for now.
    """
    earlier: list[str] = []
    for stage in stages:
        if only is None or stage.name in only:
            try:
                stage.check()
            except LumosXError as error:
                before = f" To run only the stages before it: --stages {','.join(earlier)}" if earlier else ""
                raise LumosXError(f"Stage {stage.name!r} could not start. {error}{before}") from error
            earlier.append(stage.name)


def _add_sources(dataset: Dataset, sources: Iterable[tuple[str, Mapping[str, Any]]], say: Callable[[str], None]) -> int:
    """Add videos to the list; returns how many were left out, because another one of this run has their content.

    Those of earlier runs stay, with the path that they have now.
    """
    path, given = dataset.list_path(SOURCE), dataset.list_path("given")
    write_items(given, (source_item(check_id(id, "a video"), facts) for id, facts in sources))
    new = FactsOnDisk(given, SOURCE)
    old = FactsOnDisk(path, SOURCE) if path.exists() else None
    repeated = 0

    def joined() -> Iterator[Item]:
        nonlocal repeated
        for item in read_items(path) if old is not None else ():
            yield source_item(item.id, new.get(item.id, item.facts[SOURCE]))
        for number, item in enumerate(read_items(given)):
            if new.position(item.id) != number:
                repeated += 1
                if repeated <= MOST_SAID:
                    first = new[item.id].get("path")
                    say(f"{item.facts[SOURCE].get('path')} has the same content as {first} and is left out.")
            elif old is None or item.id not in old:
                yield item

    write_items(path, joined())
    given.unlink()
    return repeated


def _run_stages(
    dataset: Dataset,
    stages: Sequence[Stage | Gathering],
    execution: AbstractContextManager[Execution],
    options: RunOptions,
) -> list[StageReport]:
    reports = []
    running: Execution | None = None

    def started() -> Execution:
        nonlocal running
        running = running or execution.__enter__()
        return running

    try:
        for stage in stages:
            if options.only is not None and stage.name not in options.only:
                pass  # what earlier runs have of it is passed on
            elif isinstance(stage, Gathering):
                gather(dataset, stage, stage.after or SOURCE)
            else:
                Passes(dataset, stage, started, retry=options.retry_failed).work()
            reports.append(_pass_on(dataset, stage))
    finally:
        if running is not None:
            execution.__exit__(None, None, None)
        shutil.rmtree(dataset.root / "lists" / "todo", ignore_errors=True)
        for stage in stages:
            dataset.forget_attempts(stage.name)
    return reports


def _pass_on(dataset: Dataset, stage: Stage | Gathering) -> StageReport:
    """Write the list of items that go on from a stage, and count what became of the others.

    Raises:
        LumosXError: the stage gave one id to two children.
    """
    report = StageReport(stage.name)
    path = dataset.list_path(stage.name)
    write_items(path, _passed_on(dataset, stage, report))
    if report.children is not None:
        FactsOnDisk(path, stage.name).check_unique()
    return report


def _passed_on(dataset: Dataset, stage: Stage | Gathering, report: StageReport) -> Iterator[Item]:
    for item, outcome in _with_outcomes(dataset, stage):
        report.taken += 1
        if outcome is None:
            failure = dataset.failure(stage.name, item.id)
            if failure is None:
                report.waiting += 1
            else:
                report.add_failure(item.id, failure.error)
        elif outcome.rejected:
            report.rejected[outcome.rejected] += 1
        else:
            report.kept += 1
            if outcome.children is not None:
                report.children = (report.children or 0) + len(outcome.children)
            yield from item.after(stage.name, outcome, folder=not isinstance(stage, Gathering))


def _with_outcomes(dataset: Dataset, stage: Stage | Gathering) -> Iterator[tuple[Item, Outcome | None]]:
    """Each item of a stage, with what became of it."""
    after = stage.after or SOURCE
    items = read_items(dataset.list_path(after))
    if not isinstance(stage, Gathering):
        for item in items:
            yield item, dataset.outcome(stage.name, item.id, item.source)
    elif is_of(dataset, stage.name, after):
        outcomes = read_outcomes(dataset, stage.name)
        for item in items:  # they were made from this very list
            id, outcome = next(outcomes, (None, None))
            if id != item.id:
                raise LumosXError(
                    f"The outcomes in {dataset.stage_folder(stage.name)} are damaged: that of item {item.id!r} is not "
                    f"in its place. Remove the folder: the next run makes them again."
                )
            yield item, outcome
    else:
        for item in items:
            yield item, None


def _finish(dataset: Dataset, reports: list[StageReport], repeated: int) -> Report:
    videos = sum(1 for _ in read_items(dataset.list_path(SOURCE)))
    report = Report(videos, repeated, reports)
    if reports[-1].name == dataset.last:
        dataset.arrange_samples(FactsOnDisk(dataset.list_path(dataset.last), dataset.last))
        samples = read_items(dataset.list_path(dataset.last))
        report.samples = write_table(dataset.root / "table.parquet", samples, dataset.last)
    report.check()
    report.write(dataset.root / REPORT)
    return report
