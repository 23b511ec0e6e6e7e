"""Stages over items on this machine: nothing lost, nothing twice, resumed after whatever stopped it."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from synthetic_stages import Cut, Probe, Sample, Unique, digest, id_of, stages, unfinished, videos

from lumosx_core.errors import LumosXError, MissingPackageError
from lumosx_training.prepare.dataset import DONE, Dataset
from lumosx_training.prepare.runner.local import LocalExecution
from lumosx_training.prepare.runner.lock import only_run
from lumosx_training.prepare.runner.run import RunOptions, run
from lumosx_training.prepare.stage import Outcome

SETTINGS = {"probe": {"min_seconds": 2.0}}


@pytest.fixture
def tmp_path():
    """In memory where that is possible: each finished item waits for the disk four times."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def prepare(root, number=60, these=None, **options):
    lines: list[str] = []
    settings = options.pop("settings", SETTINGS)
    sources = options.pop("sources", None) or videos(number)
    dataset = options.pop("dataset", None) or Dataset(root, "sample")
    report = run(
        dataset,
        sources,
        these or stages(),
        LocalExecution(),
        settings,
        RunOptions(**options),
        say=lines.append,
    )
    report.lines = lines
    return report


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("clean") / "data"
    prepare(root)
    return root


def expected(number: int) -> tuple[list[int], int]:
    """The numbers of the videos that fail in `probe`, and how many clips there are."""
    failed = [n for n in range(number) if n % 11 == 5]
    kept = [n for n in range(number) if n % 11 != 5 and n % 7 != 3]
    return failed, sum(n % 3 for n in kept)


def test_every_item_is_accounted_for(tmp_path):
    report = prepare(tmp_path / "data", 60)
    failed, clips = expected(60)
    probe, cut, unique, sample = report.stages
    assert probe.taken == 60 and probe.failed.total() == len(failed) and probe.rejected["odd"] == 8
    assert cut.taken == probe.kept and cut.children == clips == unique.taken
    assert sample.taken == unique.kept and sample.kept == report.samples
    for stage in report.stages:
        assert stage.taken == stage.kept + stage.rejected.total() + stage.failed.total() + stage.waiting
    for before, after in zip(report.stages, report.stages[1:], strict=False):
        assert before.passed_on == after.taken
    written = json.loads((tmp_path / "data" / "report.json").read_text())
    assert sum(each["count"] for each in written["stages"][0]["failed"]) == len(failed)
    assert len(list((tmp_path / "data" / "failed" / "probe").iterdir())) == len(failed)
    assert len(list((tmp_path / "data" / "samples").iterdir())) == report.samples
    assert "failed" in report.table() and "Video 1 cannot be read." in report.table()


def test_a_report_that_does_not_add_up_is_refused(tmp_path):
    report = prepare(tmp_path / "data", 20)
    report.stages[1].kept -= 1
    with pytest.raises(LumosXError, match="accounted for"):
        report.check()


def test_the_table_has_a_row_for_each_sample(clean):
    from pyarrow import parquet

    rows = parquet.read_table(clean / "table.parquet").to_pylist()
    assert len(rows) == len({row["id"] for row in rows}) == len(list((clean / "samples").iterdir()))
    for row in rows:
        assert (clean / row["path"]).is_file()
        assert (row["duration"], row["height"], row["width"]) == (2.5, 64, 80)
        facts = json.loads(row["facts"])
        assert row["text"] == f"clip of {facts['source']['number']}" and row["source"] == id_of(
            facts["source"]["number"]
        )


def test_a_second_run_does_nothing_again(tmp_path, clean):
    root = tmp_path / "data"
    prepare(root)
    times = {path: path.stat().st_mtime_ns for path in root.rglob(DONE)}
    report = prepare(root)
    assert times == {path: path.stat().st_mtime_ns for path in root.rglob(DONE)}
    assert report.stages[0].failed.total() == 5 and digest(root) == digest(clean)
    assert unfinished(root) == [] and not list((root / "attempts").iterdir())


def test_stages_may_be_run_one_after_the_other(tmp_path, clean):
    root = tmp_path / "data"
    first = prepare(root, only=["probe"])
    assert [stage.name for stage in first.stages] == ["probe"] and not (root / "table.parquet").exists()
    skipped = prepare(root, only=["unique"])  # no clip has been cut
    assert skipped.stages[1].waiting == skipped.stages[1].taken > 0
    prepare(root, only=["cut", "unique"])
    prepare(root)
    assert digest(root) == digest(clean)
    with pytest.raises(LumosXError, match="no stage 'words'"):
        prepare(root, only=["words"])


def test_a_failed_item_is_tried_again_only_if_that_is_asked_for(tmp_path):
    root = tmp_path / "data"
    prepare(root, 20)

    @dataclass(frozen=True)
    class Repaired(Probe):
        def one(self, task):
            return Outcome(facts={"number": task.facts["source"]["number"]})

    these = [Repaired(), *stages()[1:]]
    assert prepare(root, 20, these).failed == 2
    path = root / "failed" / "probe" / f"{id_of(5)}.json"
    prepare(root, 20, retry_failed=True)  # fails again
    assert json.loads(path.read_text()) == {
        "id": id_of(5),
        "stage": "probe",
        "error": "Video 1 cannot be read.",
        "tries": 2,
    }
    report = prepare(root, 20, these, retry_failed=True)
    assert report.failed == 0 and not path.exists()


def test_one_bad_item_of_a_batch_does_not_take_the_others_with_it(tmp_path):
    prepare(tmp_path / "one", 40, [Probe(batch_size=1), *stages()[1:]])
    prepare(tmp_path / "many", 40, [Probe(batch_size=40), *stages()[1:]])
    assert digest(tmp_path / "one") == digest(tmp_path / "many")


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (Outcome(facts={"a": float("nan")}), "not JSON compliant"),
        (Outcome(facts={"a": Path("x")}), "not JSON serializable"),
        (Outcome(children={"../x": {}}), "is not possible"),
        (Outcome(children={"con": {}}), "is not possible"),
        (Outcome("late", children={"abc": {}}), "has no children"),
        (Outcome(children={"abc": {}}), "is the last one"),
    ],
    ids=["nan", "a path", "two dots", "a device", "children of a rejected item", "children of the last stage"],
)
def test_outcomes_that_cannot_be_stored_are_failures_of_the_item(tmp_path, outcome, message):
    @dataclass(frozen=True)
    class Odd(Probe):
        def one(self, task):
            return outcome if task.facts["source"]["number"] == 2 else Outcome()

    report = prepare(tmp_path / "data", 5, [Odd()], dataset=Dataset(tmp_path / "data", "probe"))
    assert report.samples == 4
    [failure] = report.stages[0].failed
    assert message in failure and unfinished(tmp_path / "data") == []


def test_other_settings_are_refused_by_name_or_make_the_later_stages_again(tmp_path, clean):
    root = tmp_path / "data"
    prepare(root)
    probed = {path: path.stat().st_mtime_ns for path in (root / "stages" / "probe").rglob(DONE)}
    changed = stages(salt={"cut": "other"})
    with pytest.raises(
        LumosXError, match=r"cut.margin was not there and is now 0.7.*rerun-changed.*cut, unique, sample"
    ):
        prepare(root, these=changed, settings={**SETTINGS, "cut": {"margin": 0.7}})
    report = prepare(root, these=changed, rerun_changed=True)
    assert "'cut'" in report.lines[0] and digest(root) == digest(clean)
    assert probed == {path: path.stat().st_mtime_ns for path in (root / "stages" / "probe").rglob(DONE)}
    with pytest.raises(LumosXError, match="stage 'cut' was cut 1 other and is now cut 1"):
        prepare(root)


def test_videos_may_be_added_and_a_sample_that_becomes_a_duplicate_is_put_aside(tmp_path):
    @dataclass(frozen=True)
    class LastWins(Unique):
        """Of clips with an equal remainder the last one stays."""

        def gather(self, facts):
            last = {len(item) * 0 + int(item[:2], 16) % 5: item for item in facts}
            return {item: Outcome("" if item in last.values() else "duplicate", dict(facts[item])) for item in facts}

    these = [*stages()[:2], LastWins(), stages()[3]]
    root = tmp_path / "data"
    prepare(root, 10, these)
    before = {path.name for path in (root / "samples").iterdir()}
    report = prepare(root, 40, these)
    after = {path.name for path in (root / "samples").iterdir()}
    assert before - after and report.samples == len(after) and report.videos == 40
    fresh = prepare(tmp_path / "fresh", 40, these)
    assert {path.name for path in (tmp_path / "fresh" / "samples").iterdir()} == after
    assert fresh.samples == report.samples
    fewer = prepare(root, 3, these)  # the videos of earlier runs stay
    assert fewer.videos == 40 and fewer.samples == report.samples


def test_a_video_that_was_moved_is_found_under_its_new_path(tmp_path):
    root = tmp_path / "data"
    prepare(root, 6, only=["probe"])
    moved = [(id, {**facts, "path": facts["path"].replace("/videos", "/elsewhere")}) for id, facts in videos(6)]
    prepare(root, sources=moved)
    notes = [path.read_text() for path in (root / "samples").rglob("note.txt")]
    assert notes and all(note.startswith("/elsewhere") for note in notes)


def test_videos_of_equal_content_are_one_and_that_is_said(tmp_path):
    [(id, facts)] = videos(1)
    report = prepare(tmp_path / "data", sources=[(id, facts), *videos(3), (id, {**facts, "path": "/videos/copy.mp4"})])
    assert report.videos == 3 and report.repeated == 2
    assert report.lines[-1] == "/videos/copy.mp4 has the same content as /videos/0.mp4 and is left out."
    assert "2 more repeat" in report.table()


def test_two_items_of_one_id_are_refused(tmp_path):
    @dataclass(frozen=True)
    class Careless(Cut):
        def one(self, task):
            return Outcome(children={"clip": {"clip": 0}})

    with pytest.raises(LumosXError, match="Two items of stage 'cut' have the id 'clip'"):
        prepare(tmp_path / "data", 5, [Probe(), Careless(), Sample(after="cut")])


def test_stages_that_do_not_fit_together_are_refused(tmp_path):
    for these, message in (
        ([Probe(), Probe()], "called 'probe'"),
        ([Cut(), Probe()], "not before it"),
        ([Probe(name="source")], "name of the source"),
    ):
        with pytest.raises(LumosXError, match=message):
            prepare(tmp_path / "data", 3, these)


def test_a_gathering_stage_must_speak_of_every_item(tmp_path):
    @dataclass(frozen=True)
    class Forgetful(Unique):
        def gather(self, facts):
            outcomes = dict(super().gather(facts))
            outcomes.popitem()
            return outcomes

    with pytest.raises(LumosXError, match="gave no outcome of item"):
        prepare(tmp_path / "data", 30, [*stages()[:2], Forgetful(), stages()[3]])
    assert prepare(tmp_path / "data", 30).samples > 0


@pytest.mark.parametrize("where", ["stage", "runner"])
def test_a_full_disk_stops_the_run_with_one_message_and_the_same_command_goes_on(tmp_path, clean, monkeypatch, where):
    root = tmp_path / "data"
    full = OSError(errno.ENOSPC, "No space left on device")
    left = 20

    def fills(function):
        def limited(*arguments, **options):
            nonlocal left
            left -= 1
            if left < 0:
                raise full
            return function(*arguments, **options)

        return limited

    with monkeypatch.context() as patch:
        if where == "stage":
            patch.setattr(Cut, "one", fills(Cut.one))
        else:
            patch.setattr(Dataset, "_publish", fills(Dataset._publish))
        with pytest.raises(LumosXError, match="is full. What is finished is kept") as caught:
            prepare(root)
        assert str(root) in str(caught.value) and unfinished(root) == []
        assert digest(root).items() <= digest(clean).items()
    prepare(root)
    assert digest(root) == digest(clean)


def test_a_small_disk_that_really_fills(tmp_path, clean):
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        os.name != "posix"
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", disk], capture_output=True).returncode
    ):
        pytest.skip("no rights to mount a small disk")
    try:
        with pytest.raises(LumosXError, match=r"The disk of .* is full"):
            prepare(disk / "data")
        assert unfinished(disk / "data") == [] and digest(disk / "data").items() <= digest(clean).items()
        subprocess.run(["mount", "-o", "remount,size=20m", disk], check=True)
        prepare(disk / "data")
        assert digest(disk / "data") == digest(clean)
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_missing_package_ends_the_run_instead_of_setting_every_item_aside(tmp_path):
    @dataclass(frozen=True)
    class Needy(Probe):
        def one(self, task):
            raise MissingPackageError("pyiqa", "The filter of quality", ImportError("pyiqa"))

    with pytest.raises(MissingPackageError, match="pyiqa"):
        prepare(tmp_path / "data", 5, [Needy()])
    assert not (tmp_path / "data" / "failed").exists()


def test_a_stage_that_cannot_start_ends_the_run(tmp_path):
    @dataclass(frozen=True)
    class Broken(Probe):
        def open(self):
            raise OSError(errno.ENOENT, "No such file", "weights.pt")

    with pytest.raises(LumosXError, match=r"'probe' could not start. FileNotFoundError.*weights.pt"):
        prepare(tmp_path / "data", 5, [Broken()])


def test_ctrl_c_leaves_nothing_unfinished_and_counts_against_no_item(tmp_path, clean):
    @dataclass(frozen=True)
    class Interrupted(Cut):
        def one(self, task):
            (task.output / "half.txt").write_text("half")
            raise KeyboardInterrupt

    root = tmp_path / "data"
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            prepare(root, these=[Probe(), Interrupted(), *stages()[2:]])
        assert unfinished(root) == [] and not list((root / "attempts").iterdir())
    prepare(root)
    assert digest(root) == digest(clean)


def test_an_item_that_was_begun_three_times_without_a_result_is_set_aside_and_no_other(tmp_path):
    root = tmp_path / "data"
    dataset = Dataset(root, "sample")
    for item, starts in ((0, 2), (1, 3), (2, 4)):
        for _ in range(starts):
            dataset.begin("probe", id_of(item))
    report = prepare(root, 4)
    assert report.stages[0].failed == {
        "Each of the 3 processes that worked on it died.": 1,
        "Each of the 4 processes that worked on it died.": 1,
    }
    assert (root / "failed" / "probe" / f"{id_of(1)}.json").exists()
    assert not (root / "failed" / "probe" / f"{id_of(0)}.json").exists()
    assert prepare(root, 4, retry_failed=True).failed == 0


def test_two_runs_at_once_are_refused(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    with only_run(root), pytest.raises(LumosXError, match="Another run works"):
        prepare(root, 3)
    prepare(root, 3)


def test_what_a_killed_run_left_unfinished_is_removed(tmp_path, clean):
    root = tmp_path / "data"
    prepare(root, only=["probe"])
    dead = subprocess.Popen(["true"])
    dead.wait()
    output = Dataset(root, "sample").new_output("cut", id_of(1))
    stale = output.with_name(output.name.replace(f"-{os.getpid()}-", f"-{dead.pid}-"))
    output.rename(stale)
    (stale / "half.mp4").write_bytes(b"half")
    prepare(root)
    assert not stale.exists() and unfinished(root) == [] and digest(root) == digest(clean)


@pytest.mark.parametrize("path", ["manifest.json", "done", "failed", "outcomes"])
def test_damaged_records_are_refused_by_name(tmp_path, path):
    root = tmp_path / "data"
    prepare(root, 20)
    file = {
        "manifest.json": root / "manifest.json",
        "done": next((root / "stages" / "cut").rglob(DONE)),
        "failed": next((root / "failed" / "probe").iterdir()),
        "outcomes": root / "stages" / "unique" / "outcomes.jsonl",
    }[path]
    first, _, _ = file.read_text().partition("\n")
    file.write_text((f"{first}\n" if path == "outcomes" else "") + '{"rejected": 1')
    with pytest.raises(LumosXError, match="is damaged") as caught:
        prepare(root, 20)
    assert file.name in str(caught.value)


def test_only_what_is_in_work_has_an_attempt(tmp_path):
    attempts = tmp_path / "data" / "attempts" / "probe"

    @dataclass(frozen=True)
    class Looking(Probe):
        def one(self, task):
            return Outcome(facts={"in work": sorted(path.name for path in attempts.iterdir())})

    prepare(tmp_path / "data", 9, [Looking(batch_size=4)], dataset=Dataset(tmp_path / "data", "probe"))
    records = [json.loads(path.read_text()) for path in (tmp_path / "data" / "samples").rglob(DONE)]
    assert sorted(len(record["facts"]["in work"]) for record in records) == [1, 4, 4, 4, 4, 4, 4, 4, 4]
    assert all(record["source"] in record["facts"]["in work"] for record in records)


def test_a_folder_in_the_way_of_a_result_is_named_and_left_alone(tmp_path):
    root = tmp_path / "data"
    own = root / "samples" / id_of(id_of(2), 0)
    own.mkdir(parents=True)
    (own / "mine.txt").write_text("mine")
    report = prepare(root, 3)
    [(message, count)] = report.stages[3].failed.items()
    assert count == 1 and f"{own} is in the way" in message and (own / "mine.txt").read_text() == "mine"
    (own / "mine.txt").unlink()
    own.rmdir()
    assert prepare(root, 3, retry_failed=True).failed == 0


def test_facts_that_the_table_has_no_column_for_are_named(tmp_path):
    @dataclass(frozen=True)
    class Wordy(Probe):
        def one(self, task):
            return Outcome(facts={"duration": "two seconds"})

    with pytest.raises(LumosXError, match="The duration of sample .* is 'two seconds', but the table has a number"):
        prepare(tmp_path / "data", 2, [Wordy()], dataset=Dataset(tmp_path / "data", "probe"))
