"""The training benchmark runs, its ways of saving memory agree, and its search finds the smallest that fits."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("peft")
SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "training.py"


@pytest.fixture(scope="module")
def benchmark():
    sys.path.insert(0, str(SCRIPT.parent))  # a script finds its neighbours
    try:
        spec = importlib.util.spec_from_file_location("training_benchmark", SCRIPT)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(SCRIPT.parent))


TOY = "--tiny --device cpu --video 5 64 32 --references 3 --steps 1 --peak-tflops 1"


@pytest.mark.slow
def test_it_prints_a_line_for_each_way_and_all_have_the_same_loss_and_gradient():
    command = [sys.executable, str(SCRIPT), *TOY.split(), "--ways", "plain", "offload, host"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert f"{(2 + 3) * 2 * 4} tokens" in result.stdout
    rows = re.findall(r"^(\w+(?:, host)?) +([\d.]+) +[\d.]+ +- +\S+ +[\d.]+% +(\S+)$", result.stdout, re.MULTILINE)
    assert [way for way, *_ in rows] == ["plain", "offload, host"]
    assert all(float(difference) == 0 for *_, difference in rows)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["--full", "--rank=2"])
def test_every_way_trains_the_same(benchmark, what):
    results = set()
    for way in benchmark.WAYS:
        row = benchmark.measure(benchmark.parsed([*TOY.split(), what, "--measure", way]))
        assert row["fits"] and row["norm"] > 0
        results.add((row["loss"], row["norm"]))
    assert len(results) == 1


@pytest.mark.parametrize("need", [0.3, 5.0, 5.1, 7.9])
def test_the_search_finds_the_smallest_cap_that_fits(benchmark, need):
    tried = []

    def fits(cap):
        tried.append(cap)
        return cap >= need

    found = benchmark.smallest(fits, 0.1, 8.0, 0.25)
    assert need <= found < need + 0.25
    assert len(tried) <= 7


def test_the_search_gives_up_when_even_the_largest_cap_does_not_fit(benchmark):
    assert benchmark.smallest(lambda cap: False, 1.0, 8.0, 0.25) is None
