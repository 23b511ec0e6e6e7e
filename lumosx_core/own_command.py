"""The command line that runs this program with this very Python, for messages that say what to run.

Nothing named `lumosx` is installed by unpacking the folder into ComfyUI's custom_nodes.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1]


def own_command(
    *arguments: str | Path,
    python: str = sys.executable,
    folder: str | Path = FOLDER,
    windows: bool = os.name == "nt",
    isolated: bool = bool(sys.flags.isolated),
) -> str:
    """One line for a terminal that runs `lumosx ARGUMENTS` from anywhere.

    Args:
        folder: the one with `lumosx_core` in it.
        windows: quote for Windows' Command Prompt, not for a POSIX shell.
        isolated: this Python does not import from the current folder, like the one that ComfyUI's portable version for
            Windows brings; the program is then named by its path.
    """
    slash = "\\" if windows else "/"
    if isolated:
        return _quoted([python, f"{folder}{slash}lumosx_core", *map(str, arguments)], windows)
    change = "cd /d" if windows else "cd"
    run = _quoted([python, "-m", "lumosx_core", *map(str, arguments)], windows)
    return f"{change} {_quoted([str(folder)], windows)} && {run}"


def pip_command(packages: Sequence[str], *, upgrade: bool = False) -> str:
    """One line for a terminal that installs packages for this very Python."""
    options = ["--upgrade"] if upgrade else []
    return _quoted([sys.executable, "-m", "pip", "install", *options, *packages], os.name == "nt")


def _quoted(words: Sequence[str], windows: bool) -> str:
    return subprocess.list2cmdline(words) if windows else shlex.join(words)
