"""Readers with faults, to see that a fuzz finds them."""

from __future__ import annotations

import time

from fuzz.readers import Reader
from hypothesis import strategies as st

from lumosx_core.errors import LumosXError


def _planted(act):
    def read(value, folder):
        if value > 10:
            act()

    return lambda: Reader(st.integers(0, 100), read)


def _raise(error: Exception):
    def act():
        raise error

    return act


READERS = {
    "nothing": _planted(_raise(LumosXError("This is not a number. Write one."))),
    "a KeyError": _planted(lambda: {}["people"]),
    "a slow input": _planted(lambda: time.sleep(0.4)),
    "a lot of memory": _planted(lambda: len(bytes([1]) * 1200 * 2**20)),
    "more memory than there is": _planted(lambda: bytearray(2**36)),
    "a message without words": _planted(_raise(LumosXError("no"))),
}
