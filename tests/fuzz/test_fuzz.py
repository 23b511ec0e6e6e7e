"""Every reader takes damaged input or refuses it: no other exception, no hang, no memory bomb.

Each reader runs in a process of its own, on inputs that hypothesis derives from valid ones, the same in every run.
LUMOSX_FUZZ_INPUTS sets how many inputs each reader gets; by default all of them together get more than 20,000.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz.readers import READERS

RUN = Path(__file__).with_name("run.py")
NEEDS = {
    "SAM 1 checkpoints": "segment_anything",
    "CogVideoX VAEs": "diffusers",
    "replies of an endpoint": "openai",
}  # packages that are not always installed
INPUTS = int(os.environ.get("LUMOSX_FUZZ_INPUTS", -(-20_000 // len(READERS))))


def fuzz(reader: str, *options: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, str(RUN), reader, *options], capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("reader", READERS)
def test_a_reader_reads_or_refuses_whatever_it_is_given(reader, fuzz_figures):
    if reader in NEEDS:
        pytest.importorskip(NEEDS[reader])
    done = fuzz(reader, "--inputs", str(INPUTS))
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
    figures = json.loads(done.stdout.splitlines()[-1])
    fuzz_figures.append(figures)
    assert figures["inputs"] == figures["read"] + figures["refused"] >= INPUTS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("planted", "message"),
    [
        ("a KeyError", "KeyError at the reader itself: \"'people'\""),
        ("a slow input", "took 0."),
        ("a lot of memory", "MiB"),
        ("more memory than there is", "asked for more memory than there is"),
        ("a message without words", "a message that says nothing"),
    ],
)
def test_a_planted_fault_is_found(planted, message):
    done = fuzz(planted, "--inputs", "60", "--module", "fuzz.planted", "--seconds", "0.2")
    assert done.returncode == 1, done.stderr[-3000:]
    [fault, *_] = json.loads(done.stdout.splitlines()[-1])["faults"]
    assert message in fault


@pytest.mark.slow
def test_a_reader_without_fault_passes():
    assert fuzz("nothing", "--inputs", "20", "--module", "fuzz.planted").returncode == 0
