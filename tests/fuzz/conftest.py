"""The table of a fuzz, behind the results."""

from __future__ import annotations

import pytest

_FIGURES = pytest.StashKey[list]()


def pytest_configure(config) -> None:
    config.stash[_FIGURES] = []


@pytest.fixture
def fuzz_figures(request) -> list[dict]:
    """Collects what each reader's process reports."""
    return request.config.stash[_FIGURES]


def pytest_terminal_summary(terminalreporter, config) -> None:
    figures = config.stash[_FIGURES]
    if not figures:
        return
    terminalreporter.section("fuzz")
    terminalreporter.line(
        f"{'reader':28}{'inputs':>8}{'read':>8}{'refused':>9}{'slowest':>10}{'largest':>10}{'time':>9}"
    )
    for each in figures:
        terminalreporter.line(
            f"{each['reader']:28}{each['inputs']:8}{each['read']:8}{each['refused']:9}{each['slowest']:8.2f} s"
            f"{each['largest'] / 2**20:6.0f} MiB{each['seconds']:7.0f} s"
        )
    inputs, seconds = (sum(each[name] for each in figures) for name in ("inputs", "seconds"))
    terminalreporter.line(f"{len(figures)} readers, {inputs} inputs, {seconds:.0f} s")
