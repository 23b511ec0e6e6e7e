"""The attention benchmark runs, and in the same run its two forms agree."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent.parent / "benchmarks" / "attention.py"


@pytest.mark.slow
def test_the_attention_benchmark_prints_a_line_for_each_number_of_pictures_and_both_forms_agree():
    toy = "--frames 2 --height 6 --width 11 --dim 256 --heads 2 --words 16 --repeats 1 --references 2 9"
    result = subprocess.run([sys.executable, str(SCRIPT), *toy.split()], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert re.search(r"^ +plain .* 132 \|", result.stdout, re.MULTILINE)
    rows = re.findall(r"^ +(\d+) +([\d+]+) +(\d+) \|.*\| +(\S+)$", result.stdout, re.MULTILINE)
    assert [(pictures, groups, tokens) for pictures, groups, tokens, _ in rows] == [
        ("2", "2", str(4 * 66)),
        ("9", "1+1+4+3", str(11 * 66)),
    ]
    assert all(float(difference) <= 1e-5 for *_, difference in rows)
