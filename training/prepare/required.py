"""What a stage requires, looked for before hours of work: packages, files and folders. Nothing is loaded."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from lumosx_core.errors import LumosXError, MissingPackageError, shown


def require_package(package: str, feature: str, module: str = "") -> None:
    """Raise MissingPackageError unless a package is installed.

    Args:
        feature: that needs it, for the message.
        module: its name in Python, where that is not the package's.
    """
    name = module or package.replace("-", "_")
    if find_spec(name) is None:
        error = ModuleNotFoundError(f"No module named {name!r}", name=package.replace("-", "_"))
        raise MissingPackageError(package, feature, error)


def require_path(setting: str, value: str, what: str) -> Path:
    """The path that a setting names.

    Args:
        what: is expected there, such as "the file with RAFT's weights".

    Raises:
        LumosXError: it is empty, or nothing is there.
    """
    path = Path(value).expanduser()
    if not value:
        raise LumosXError(f"{setting} is empty. Give {what}.")
    try:
        there = path.exists()
    except (OSError, ValueError):  # a name that no system takes
        there = False
    if not there:
        raise LumosXError(f"{setting} is {shown(value)!r}, but nothing is there. Give {what}.")
    return path
