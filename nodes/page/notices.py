"""Warnings of a run, shown in the page with the title of the node.

web/notices.js shows them; they are logged as well, for runs without a page.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from comfy_api.latest import io
from server import PromptServer

from ...lumosx_core.errors import LumosXError, MissingPackageError, OutOfMemory
from ...lumosx_core.workflow.saved.titles import own_title

EVENT = "lumosx.notice"
HIDDEN = [io.Hidden.unique_id, io.Hidden.prompt]
"""For a node's schema (`hidden=HIDDEN`), so that its notices can name it."""

# ComfyUI puts the kind of an error before its message, with its module: for custom nodes a path of several lines.
LumosXError.__module__ = MissingPackageError.__module__ = OutOfMemory.__module__ = "builtins"


def given_title(cls: type[io.ComfyNode]) -> str:
    """The title that the artist gave a running node; empty if it has none of its own."""
    return own_title((cls.hidden.prompt or {}).get(cls.hidden.unique_id, {}))


def title_of(cls: type[io.ComfyNode]) -> str:
    """The title of a running node in the graph; its display name if it has none of its own."""
    return given_title(cls) or _display_name(cls)


def notice(cls: type[io.ComfyNode], text: str) -> None:
    """Warn of something in a running node that does not stop it."""
    _send(cls.hidden.unique_id, title_of(cls), text)


def run_notice(title: str, text: str) -> None:
    """Warn of something in a sampler that is ComfyUI's own, or anybody's: whatever node runs now.

    Args:
        title: whose warning it is.
    """
    server = getattr(PromptServer, "instance", None)
    _send(None if server is None else server.last_node_id, title, text)


@contextmanager
def named(cls: type[io.ComfyNode]) -> Iterator[None]:
    """Begin a LumosXError with the node's title, if the artist gave it one.

    ComfyUI names the kind of node in the page, which does not say which of three subjects it is.
    """
    try:
        yield
    except LumosXError as error:
        if not (title := given_title(cls)):
            raise
        raise LumosXError(f"{title}: {error}") from error


def _display_name(cls: type[io.ComfyNode]) -> str:
    return cls.define_schema().display_name  # GET_SCHEMA would store it in the class, which is locked while it runs


def _send(node: str | None, title: str, text: str) -> None:
    logging.warning("%s: %s", title, text)
    server = getattr(PromptServer, "instance", None)
    if server is not None:  # None if a script runs nodes without a server
        server.send_sync(EVENT, {"node": node, "title": title, "text": text}, server.client_id)
