"""Work for requests of the page: in threads, one at a time for a page, and given up when nobody waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")
Check = Callable[[], None]
"""Raises GivenUp when nobody waits for the work any more; the work calls it now and then."""

THREADS = 2
MOST_WAITING = 64
_LOOK = 0.1  # seconds between two looks whether the page is still there


class GivenUp(Exception):
    """The page has gone, or has asked again."""


class Busy(Exception):
    """Too many requests wait already."""


class PageWork:
    """Runs work in threads of its own, so that the server's event loop and its other threads go on."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="lumosx-page")
        self._last: dict[str, _Job] = {}  # of each page
        self._waiting = 0

    async def run(self, page: str, work: Callable[[Check], Result], is_gone: Callable[[], bool]) -> Result:
        """The result of some work.

        An earlier request of the same page is given up, and its work has ended before this one begins.

        Args:
            page: names the page that asks.
            work: called in a thread; computes what is asked for.
            is_gone: whether the page closed its connection.

        Raises:
            GivenUp: nobody waits for the result any more.
            Busy: too many requests wait.
        """
        if self._waiting >= MOST_WAITING:
            raise Busy
        job, earlier = _Job(), self._last.get(page)
        self._last[page] = job
        self._waiting += 1
        try:
            if earlier is not None:
                earlier.given_up.set()
                await earlier.ended.wait()
            job.check()
            future = asyncio.get_running_loop().run_in_executor(self._threads, job.run, work)
            while not future.done():
                if is_gone():
                    job.given_up.set()
                await asyncio.wait({future}, timeout=_LOOK)
            return future.result()
        finally:
            self._waiting -= 1
            job.given_up.set()
            job.ended.set()
            if self._last.get(page) is job:
                del self._last[page]


class _Job:
    def __init__(self) -> None:
        self.given_up = threading.Event()
        self.ended = asyncio.Event()

    def check(self) -> None:
        if self.given_up.is_set():
            raise GivenUp

    def run(self, work: Callable[[Check], Result]) -> Result:
        self.check()  # it may have waited for a thread
        return work(self.check)
