"""The line of progress, and lists of items that are read from the disk."""

from __future__ import annotations

import io

import pytest

from lumosx_core.errors import LumosXError
from lumosx_training.prepare.runner import items
from lumosx_training.prepare.runner.items import FactsOnDisk, read_items, source_item, write_items
from lumosx_training.prepare.runner.progress import EVERY_LOG, Progress
from lumosx_training.prepare.runner.worker import FAILED, KEPT, REJECTED, Status


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_line_has_the_rate_the_time_left_and_what_became_of_the_items():
    clock = Clock()
    progress = Progress("filter", 200, 7, stream=io.StringIO(), clock=clock)
    assert progress.line() == "filter  0 of 200; kept 0, rejected 0, failed 0, 7 done before"
    for status in (
        [Status(KEPT)] * 5 + [Status(REJECTED, "subtitles")] * 2 + [Status(REJECTED, "borders"), Status(FAILED)]
    ):
        progress.add(status)
    clock.now += 4.5
    assert progress.line() == (
        "filter  9 of 200, 2/s, 0:01:36 left; kept 5, rejected 3 (subtitles 2, borders 1), failed 1, 7 done before"
    )


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_one_line_that_changes_and_a_log_one_now_and_then():
    clock, terminal, log = Clock(), Terminal(), io.StringIO()
    on_terminal, in_log = (Progress("cut", 3, stream=stream, clock=clock) for stream in (terminal, log))
    for seconds in (1.0, 1.0, EVERY_LOG):
        clock.now += seconds
        on_terminal.add(Status(KEPT))
        in_log.add(Status(KEPT))
    on_terminal.close()
    in_log.close()
    assert terminal.getvalue().count("\r") == 4 and terminal.getvalue().count("\n") == 1
    assert [line.split(",")[0] for line in log.getvalue().splitlines()] == ["cut  3 of 3", "cut  3 of 3"]


def numbered(path, number):
    write_items(path, (source_item(f"id{n}", {"number": n}) for n in range(number)))
    return FactsOnDisk(path, "source")


def test_facts_are_read_from_the_disk_in_the_order_of_the_list(tmp_path):
    facts = numbered(tmp_path / "list.jsonl", 50)
    assert len(facts) == 50 and list(facts) == [f"id{n}" for n in range(50)] == [id for id, _ in facts.items()]
    assert facts["id31"] == {"number": 31} and facts.position("id31") == 31 and "id50" not in facts
    assert dict(facts) == {f"id{n}": {"number": n} for n in range(50)}


def test_ids_with_equal_hashes_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(items, "_hash", lambda id: 7)
    facts = numbered(tmp_path / "list.jsonl", 9)
    assert [facts[f"id{n}"]["number"] for n in range(9)] == list(range(9))
    facts.check_unique()


def test_an_id_that_comes_twice_is_named(tmp_path):
    path = tmp_path / "list.jsonl"
    write_items(path, [source_item(id, {}) for id in ("a", "b", "a")])
    with pytest.raises(LumosXError, match="have the id 'a'"):
        FactsOnDisk(path, "cut").check_unique()


@pytest.mark.parametrize("line", ["{", "[1]", '{"id": 1}', "null", "[" * 100_000])
def test_a_damaged_list_is_refused_by_its_line(tmp_path, line):
    path = tmp_path / "list.jsonl"
    write_items(path, [source_item("a", {})])
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(LumosXError, match=r"list.jsonl, line 2, is damaged"):
        list(read_items(path))
