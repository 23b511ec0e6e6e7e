"""A client of ComfyUI's websocket: receives what the page receives of a run, as it happens."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

TEXT, BINARY, CLOSE = 1, 2, 8  # kinds of frames, RFC 6455
ENDS = ("execution_success", "execution_interrupted", "execution_error")  # kinds of a run's last message
PREVIEW = 1  # ComfyUI's kind of binary message for a picture of the running node


@dataclass(frozen=True)
class Message:
    """
    Args:
        kind: such as "progress" or "execution_interrupted"; "preview" for a picture.
        data: what the message says; the bytes of the picture file of a preview.
        at: when it arrived, seconds of `time.monotonic`.
    """

    kind: str
    data: Any
    at: float


class Listener:
    """One connection, and the runs that are queued in its name: ComfyUI tells a run only to whom it belongs.

    Args:
        server: a running ComfyUI, of `comfy_server`.
    """

    def __init__(self, server, timeout: float = 120):
        self.server = server
        self.name = f"listener-{os.urandom(4).hex()}"
        address = urlsplit(server.address)
        self._socket = socket.create_connection((address.hostname, address.port), timeout=timeout)
        key = base64.b64encode(os.urandom(16)).decode()
        request = (
            f"GET /ws?clientId={self.name} HTTP/1.1\r\nHost: {address.netloc}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        self._socket.sendall(request.encode())
        self._stream = self._socket.makefile("rb")
        status = self._stream.readline()
        assert b" 101 " in status, status
        while self._stream.readline().strip():
            pass

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *error) -> None:
        self._stream.close()
        self._socket.close()

    def queue(self, graph: dict, **extra) -> str:
        """Queue a graph and return the number of its run. `extra`: settings the page sends, such as preview_method."""
        content = {"prompt": graph, "client_id": self.name, "extra_data": extra}
        return self.server.post("/prompt", content)["prompt_id"]

    def hear(self) -> Message:
        """The next message."""
        while True:
            head, length = self._stream.read(2)
            if length == 126:
                [length] = struct.unpack(">H", self._stream.read(2))
            elif length == 127:
                [length] = struct.unpack(">Q", self._stream.read(8))
            data = self._stream.read(length)
            kind, at = head & 15, time.monotonic()
            if kind == TEXT:
                message = json.loads(data)
                return Message(message["type"], message["data"], at)
            if kind == BINARY and struct.unpack(">I", data[:4])[0] == PREVIEW:
                return Message("preview", data[8:], at)  # four bytes more name the file's format
            if kind == CLOSE:
                raise ConnectionError("ComfyUI closed the connection")

    def until_end(self, run: str) -> list[Message]:
        """The messages of a run up to its last one, which says how it ended."""
        heard = []
        while True:
            message = self.hear()
            if message.kind != "preview" and message.data.get("prompt_id") != run:
                continue
            heard.append(message)
            if message.kind in ENDS:
                return heard


def progress_of(messages: list[Message], node: str) -> list[tuple[float, float]]:
    """The (value, most) that a node's bar was set to, in order."""
    return [(m.data["value"], m.data["max"]) for m in messages if m.kind == "progress" and m.data["node"] == node]
