"""A network's own names of its tensors, whatever saving, training or another program put in front of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

# What torch puts in between, in front of each part that it wraps.
_INSIDE = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")


def unwrapped_names(names: Iterable[str], wrappers: Sequence[str], is_native: Callable[[str], bool]) -> dict[str, str]:
    """Own names of a network's tensors -> the names they have in a file.

    Args:
        wrappers: prefixes, the outermost first; where a file holds several sets, the first of them wins.
        is_native: whether a name is the network's own already; the first such name ends the search.
    """
    found = {_unwrapped(name): name for name in names}
    while not any(map(is_native, found)):
        for wrapper in wrappers:
            inner = {name.removeprefix(wrapper): file for name, file in found.items() if name.startswith(wrapper)}
            if inner:
                found = inner
                break
        else:
            break
    return found


def _unwrapped(name: str) -> str:
    for wrapper in _INSIDE:
        name = name.replace(wrapper, "")
    return name
