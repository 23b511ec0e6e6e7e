"""The ComfyUIs, and the front ends for them, that the tests run on; none of them is part of the repository.

| variable | what it names | if it is not set |
|---|---|---|
| COMFYUI_PATH | checkouts of ComfyUI, separated as in PATH | ~/ComfyUI |
| COMFYUI_PYTHON | the Python of each of them, in the same order | each checkout's own .venv/bin/python |
| COMFYUI_FRONTEND | folders of built front ends, for pages beside those that the hosts have installed | none |
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

# The installed front end, asked of the host's own Python.
ASK = "from importlib.metadata import version; print(version('comfyui-frontend-package'))"


@dataclass(frozen=True)
class ComfyUI:
    """A real ComfyUI outside the repository.

    Args:
        path: its checkout.
        python: the Python that runs it.
        front_end: folder of the front end it serves; None: the one that is installed for its Python.
    """

    path: Path
    python: Path
    front_end: Path | None = None

    @property
    def version(self) -> str:
        """Such as "0.8.0"; the folder's name for a host that does not tell its version."""
        file = self.path / "comfyui_version.py"
        found = re.search(r'__version__ = "(.+)"', file.read_text()) if file.exists() else None
        return found[1] if found else self.path.name

    def is_at_least(self, version: str) -> bool:
        return _numbers(self.version) >= _numbers(version)

    @property
    def page_version(self) -> str:
        """The version of the front end it serves."""
        return version_of_folder(self.front_end) if self.front_end else installed_version(self.python)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


@cache
def installed_version(python: Path) -> str:
    if not python.exists():
        return "none"
    return subprocess.run([python, "-c", ASK], capture_output=True, text=True).stdout.strip() or "none"


@cache
def version_of_folder(root: Path) -> str:
    """The version that the built page itself writes into workflows; the folder's name if it cannot be found."""
    for file in sorted((root / "assets").glob("*.js")):
        if found := re.search(r"frontendVersion=[`'\"]([\d.]+)", file.read_text(encoding="utf-8")):
            return found[1]
    return root.name


def paths(variable: str) -> list[Path]:
    return [Path(part).expanduser() for part in os.environ.get(variable, "").split(os.pathsep) if part]


@cache
def hosts() -> tuple[ComfyUI, ...]:
    """The hosts that are named, or the usual one if it is there.

    Raises:
        ValueError: a named host has no main.py, or there are not as many Pythons as hosts.
    """
    named = paths("COMFYUI_PATH")
    for path in named:
        if not (path / "main.py").exists():
            raise ValueError(f"COMFYUI_PATH names {path}, which has no main.py. Name checkouts of ComfyUI.")
    usual = Path.home() / "ComfyUI"
    folders = named or ([usual] if (usual / "main.py").exists() else [])
    pythons = paths("COMFYUI_PYTHON") or [folder / ".venv" / "bin" / "python" for folder in folders]
    if len(pythons) != len(folders):
        raise ValueError(
            f"COMFYUI_PYTHON names {len(pythons)} Pythons for {len(folders)} hosts in COMFYUI_PATH. Name one for each, "
            f"in the same order, or none."
        )
    return tuple(map(ComfyUI, folders, pythons))


@cache
def pages() -> tuple[ComfyUI, ...]:
    """Each host with the front end that it has installed, and with each other one of COMFYUI_FRONTEND."""
    found = []
    for host in hosts():
        versions = {host.page_version: host}
        for root in paths("COMFYUI_FRONTEND"):
            if not (root / "index.html").exists():
                raise ValueError(f"COMFYUI_FRONTEND names {root}, which has no index.html. Name built front ends.")
            other = replace(host, front_end=root)
            versions.setdefault(other.page_version, other)
        found += [host for version, host in versions.items() if version != "none"]
    return tuple(found)


def name_of_page(host: ComfyUI) -> str:
    return f"{host.version}+{host.page_version}"
