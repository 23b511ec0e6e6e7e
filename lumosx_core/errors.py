"""The one error type a user's mistake raises."""

from .own_command import pip_command


class LumosXError(ValueError):
    """A mistake in what the user gave: the message names the value, what was expected, and the fix.

    The command line prints it as one line; ComfyUI shows it on the node.
    """


class MissingPackageError(LumosXError):
    """An optional package that only this feature needs is not installed, or cannot be imported."""

    def __init__(self, package: str, feature: str, cause: ImportError):
        if isinstance(cause, ModuleNotFoundError) and cause.name == package.replace("-", "_"):
            state = f"is not installed. Run: {pip_command([package])}"
        else:
            state = f"is installed but cannot be imported ({cause}). Run: {pip_command([package], upgrade=True)}"
        super().__init__(f"{feature} needs the package {package!r}, which {state}")
