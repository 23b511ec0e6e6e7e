"""The benchmark of the faces runs, its two forms agree, and its predictions are those of PyTorch's own counter."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils.flop_counter import FlopCounterMode

from lumosx_core import IngredientsConfig

SCRIPT = Path(__file__).resolve().parent.parent.parent / "benchmarks" / "ingredients_shortcuts.py"


@pytest.mark.slow
def test_the_benchmark_of_faces_prints_a_line_for_each_number_and_both_forms_agree():
    toy = "--faces 1 3 --tokens 40 --heads 2 --repeats 1"
    result = subprocess.run([sys.executable, str(SCRIPT), *toy.split()], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    predicted, measured = result.stdout.split("\nmeasured")
    assert re.findall(r"^ +(\d+) \|", predicted, re.MULTILINE) == ["1", "3"]
    rows = re.findall(r"^ +(\d+) \|.*\| +(\S+)$", measured, re.MULTILINE)
    assert [faces for faces, _ in rows] == ["1", "3"]
    assert all(float(difference) <= 1e-5 for _, difference in rows)


@pytest.mark.slow
@pytest.mark.parametrize("faces", [1, 2, 5])
def test_the_predicted_operations_are_those_that_pytorch_counts(faces):
    """At the released width, on tensors without values."""
    specification = importlib.util.spec_from_file_location("ingredients_shortcuts", SCRIPT)
    benchmark = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(benchmark)
    config, arguments = IngredientsConfig(), benchmark.parsed(["--device", "meta", "--tokens", "40", "--faces", "5"])
    parts, work = benchmark.Parts(config, arguments), benchmark.Work(config, 40)

    def counted(compute) -> int:
        with FlopCounterMode(display=False) as counter:
            compute()
        return counter.get_total_flops()

    assert counted(lambda: benchmark.released(parts, faces)) == work.released(faces) + faces * work.extractor
    keys = [benchmark.face_keys(parts.router[0], parts.attention[0], parts.tokens(faces))]
    assert counted(lambda: benchmark.ours(parts, keys, 1)) == work.ours(faces)
    assert counted(lambda: benchmark.ours(parts, keys, 2)) == 2 * work.ours(faces)
    assert counted(lambda: benchmark.face_keys(parts.router[0], parts.attention[0], parts.tokens(faces))) == (
        faces * (work.keys + work.extractor)
    )
