"""The benchmark of bookkeeping at its smallest: a line for each number of videos, with what it says it prints."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_each_number_of_videos_gets_a_line(tmp_path):
    pytest.importorskip("pyarrow")
    pytest.importorskip("resource")
    command = [sys.executable, str(ROOT / "benchmarks" / "prepare.py"), "20", "40", "--folder", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    header, *rows = (line.split() for line in result.stdout.splitlines())
    assert header == ["videos", "stages", "resume", "cpu", "us/item", "MiB", "entries"]
    assert [int(row[0]) for row in rows] == [20, 40] and all(len(row) == len(header) for row in rows)
    # Of 40 videos 4 are rejected by the filter and one is a duplicate: 3 stages store a folder and a file of each.
    assert int(rows[1][-1]) >= 2 * (40 + 40 + 35)
    assert not list(tmp_path.iterdir())
