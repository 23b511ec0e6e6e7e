"""One line for what may fail in every command: full memory, and files that the system refuses."""

from __future__ import annotations

import errno
import os

from ..errors import LumosXError, OutOfMemory, ran_out_of_memory, shown

_LESS_MEMORY = {
    "generate": "Use a smaller --size, fewer --frames, a smaller --batch or --dtype bfloat16, or close other programs.",
    "scene": "Use smaller or fewer photos, smaller models (--box-model, --mask-model), or close other programs.",
    "train": "Use a smaller training.batch_size, more training.gradient_accumulation_steps, "
    "training.gradient_checkpointing = true, smaller or shorter clips, or model.dtype = 'bfloat16' with a LoRA.",
    "cache": "Use a smaller --size, fewer --frames or fewer --workers, or close other programs.",
    "check-data": "Use fewer --workers, or close other programs.",
    "prepare": "Use fewer --workers, smaller networks, or close other programs.",
    "pack": "Close other programs, or pack on a machine with more memory.",
    "export": "Close other programs, or export on a machine with more memory.",
}
_OTHERWISE = "Close other programs, or use a machine with more memory."
_ADVICE = {
    errno.ENOSPC: "Free some space, or choose another folder.",
    errno.EDQUOT: "Free some space, or choose another folder.",
    errno.EFBIG: "Choose a folder on a disk that takes larger files.",
    errno.EACCES: "Check the rights of the file and its folder, or choose another one.",
    errno.EPERM: "Check the rights of the file and its folder, or choose another one.",
    errno.EROFS: "Choose a folder that may be written to.",
    errno.ENAMETOOLONG: "Use a shorter name: most disks take 255 bytes, about 85 Chinese characters.",
    errno.ENOENT: "Check the path.",
    errno.ENOTDIR: "Check the path: a part of it is a file.",
    errno.EISDIR: "Give a file, not a folder.",
    errno.ENXIO: "Give a file, not a named pipe or a device.",
    errno.EIO: "Check the disk, or copy the file to another one.",
    errno.EMFILE: "Allow more open files (ulimit -n), or use fewer --workers.",
    errno.ELOOP: "Links lead in a circle. Give the path of the file itself.",
}


def failure_message(error: BaseException, command: str) -> str | None:
    """The message about an error that is not a bug of the program; None for one that may be.

    Args:
        command: the command that was run, such as "generate".
    """
    if isinstance(error, OutOfMemory):
        return str(error)
    if ran_out_of_memory(error):
        return f"The memory is full ({_reason(error)}). {_LESS_MEMORY.get(command, _OTHERWISE)}"
    if isinstance(error, OSError):
        names = " and ".join(shown(os.fsdecode(name)) for name in (error.filename, error.filename2) if _is_path(name))
        advice = _ADVICE.get(error.errno or 0, "Check the path and the disk.")
        return f"{names + ': ' if names else ''}{error.strerror or shown(error) or type(error).__name__}. {advice}"
    if isinstance(error, UnicodeError) and "surrogates not allowed" in str(error):
        return (
            "A file name or an option has bytes that are not letters of UTF-8, which a part of the program cannot "
            "take. Rename the file or folder."
        )
    return None


def _is_path(name: object) -> bool:
    return isinstance(name, str | bytes | os.PathLike)


def _reason(error: BaseException) -> str:
    """The first line of what the library said, which has the size that was asked for."""
    cause: BaseException | None = error
    while isinstance(cause, LumosXError) and cause.__cause__ is not None:
        cause = cause.__cause__
    lines = str(cause).strip().splitlines()
    return shown(lines[0], 160).rstrip(".") if lines else type(cause).__name__
