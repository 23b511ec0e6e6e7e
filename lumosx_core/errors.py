"""The one error type a user's mistake raises, and how its messages quote what the user gave."""

import errno
import re

from .own_command import pip_command

_LONGEST = 4000  # of a whole message; the end stays, because it says what to do
# Control characters and marks that a terminal obeys or nobody sees, and half surrogate pairs (bytes of a file name
# that are not UTF-8). Joiners stay: words of several scripts are written with them.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]")
_NO_MEMORY = re.compile(
    r"can't allocate memory|cannot allocate memory|not enough memory|out of memory|bad[ _]alloc(ation)?\b|"
    r"ALLOC_FAILED|failed to allocate memory|Unable to allocate|os error (12|1455|8)\)",
    re.IGNORECASE,
)
_LINE_ENDS = {"\n": "\\n", "\t": "\\t"}


def shown(text: object, limit: int = 200) -> str:
    """What a user gave, as a message quotes it: on one line, control characters escaped, cut behind `limit` letters.

    Args:
        text: anything; of what is not a text its `str`.
    """
    whole = text if isinstance(text, str) else str(text)
    cut = whole if len(whole) <= limit else whole[:limit].rstrip() + " ..."
    return _escaped("".join(_LINE_ENDS.get(letter, letter) for letter in cut))


def _escaped(text: str) -> str:
    def escape(match: re.Match[str]) -> str:
        code = ord(match[0])
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"

    return _UNPRINTABLE.sub(escape, text)


def _message(text: str) -> str:
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST * 3 // 4].rstrip()} ... {text[-_LONGEST // 4 :].lstrip()}"
    return _escaped(text)


class LumosXError(ValueError):
    """A mistake in what the user gave: the message names the value, what was expected, and the fix.

    The command line prints it as one line; ComfyUI shows it on the node. Whatever is quoted in it, the message has at
    most some thousand letters and no control character; quote with `shown` what may be long.
    """

    def __init__(self, *parts: object):
        super().__init__(*(_message(part) if isinstance(part, str) else part for part in parts))


class OutOfMemory(LumosXError):
    """The memory is full; the message says what to use less of."""


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or one that it was raised from, says that the memory of this computer or of its GPU is full.

    Python, torch, the libraries that read files and the system each say so in their own way.
    """
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        if isinstance(each, MemoryError | OutOfMemory) or type(each).__name__ == "OutOfMemoryError":
            return True
        if isinstance(each, OSError) and each.errno is not None:
            if each.errno == errno.ENOMEM:
                return True
        # A message of our own may quote a file that is called so.
        elif not isinstance(each, LumosXError) and _NO_MEMORY.search(str(each)[:2000]):
            return True
        each = each.__cause__ or each.__context__
    return False


class MissingPackageError(LumosXError):
    """An optional package that only this feature needs is not installed, or cannot be imported."""

    def __init__(self, package: str, feature: str, cause: ImportError):
        if isinstance(cause, ModuleNotFoundError) and cause.name == package.partition("[")[0].replace("-", "_"):
            state = f"is not installed. Run: {pip_command([package])}"
        else:
            state = f"is installed but cannot be imported ({cause}). Run: {pip_command([package], upgrade=True)}"
        super().__init__(f"{feature} needs the package {package!r}, which {state}")
