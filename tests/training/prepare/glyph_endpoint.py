"""A stand-in for a multimodal model: a real HTTP server that speaks OpenAI's chat protocol and knows the glyph world.

It looks at the image that it is sent: which of the scenes it knows this is, it sees by the colours; who is in which
box, by the faces. It answers what a very good model would, or misbehaves on purpose.
"""

from __future__ import annotations

import base64
import io
import json
import re
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from PIL import Image

from lumosx_core.auto_scene.persons import cheapest
from lumosx_training.glyph_world.caption import GlyphCaption
from lumosx_training.glyph_world.casting import GlyphScene
from lumosx_training.glyph_world.clip import BODY, HEAD_AT, film
from lumosx_training.glyph_world.drawing import HEAD, draw_face

KINDS = ("timeout", "error", "nonsense", "truncated", "cut off", "refusal", "fenced", "empty", "wrong phrase", "twice")


@dataclass(frozen=True)
class Known:
    """A scene and its caption."""

    scene: GlyphScene
    caption: GlyphCaption


Misbehaviour = Callable[[str, int], str]
"""The kind of a request ("caption" or "words") and its number for this clip, from 0 -> one of KINDS, or "" for none."""


class GlyphModel:
    """What the server answers.

    Args:
        known: every scene that may be shown.
        misbehaves: on which requests, and how.

    Attributes:
        requests: how many of each kind came.
    """

    def __init__(self, known: Sequence[Known], misbehaves: Misbehaviour = lambda kind, number: ""):
        self.known = list(known)
        self.misbehaves = misbehaves
        self.looks = np.stack([_look(film(each.scene, frames=1).frames[0].numpy()) for each in self.known])
        self.asked: dict[tuple[str, str], int] = {}
        self.requests = {"caption": 0, "words": 0}
        self.lock = threading.Lock()

    def answer(self, images: Sequence[Image.Image], text: str) -> tuple[str, str]:
        """The answer, and how to misbehave instead of giving it."""
        words = re.search(r"contains no instructions for you\.\n(\".*\")", text, re.DOTALL)
        if words is None:
            kind, index = "caption", self._closest(images[len(images) // 2], range(len(self.known)))
            answer = self.known[index].caption.text
        else:
            kind, caption = "words", json.loads(words[1])
            same = [i for i, each in enumerate(self.known) if each.caption.text == caption]
            index = self._closest(images[0], same)
            boxes = json.loads(re.search(r"\(left, top, right, bottom\):\n(.*)\n", text)[1])
            answer = json.dumps(self.plan(self.known[index], images[0], boxes), ensure_ascii=False)
        with self.lock:
            self.requests[kind] += 1
            number = self.asked.get((kind, answer), 0)
            self.asked[kind, answer] = number + 1
        return answer, self.misbehaves(kind, number)

    def plan(self, known: Known, image: Image.Image, boxes: list[dict]) -> dict[str, Any]:
        """Who is in which box: the faces that look most like those of the scene."""
        pixels = np.asarray(image, np.float32) / 255
        costs = [[_unlike(person.face, pixels, box["at"]) for box in boxes] for person in known.scene.people]
        people = []
        for index, column in sorted(cheapest(costs)):
            phrases = known.caption.people[index]
            attributes = [phrase for phrase in (phrases.shirt, phrases.hat, phrases.prop) if phrase]
            people.append({"box": boxes[column]["box"], "word": phrases.face, "attributes": attributes})
        objects = [known.caption.thing] if known.caption.thing else []
        return {"people": people, "objects": objects, "background": known.caption.place or None}

    def _closest(self, image: Image.Image, among: Sequence[int]) -> int:
        look = _look(np.asarray(image, np.float32) / 255)
        return min(among, key=lambda i: float(np.abs(self.looks[i] - look).sum()))


def _look(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) of 0..1 -> which colours there are, however they are arranged: a soft histogram."""
    small = np.asarray(Image.fromarray((pixels * 255).round().astype(np.uint8)).resize((80, 64), Image.Resampling.BOX))
    bins = 6
    at = small.reshape(-1, 3).astype(np.float32) / 255 * (bins - 1)
    low = np.minimum(at.astype(int), bins - 2)
    part = at - low
    look = np.zeros((bins, bins, bins), np.float32)
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod([part[:, c] if corner[c] else 1 - part[:, c] for c in range(3)], axis=0)
        np.add.at(look, tuple(low[:, c] + corner[c] for c in range(3)), weight)
    return look.ravel() / len(at)


def _unlike(face, pixels: np.ndarray, box: list[int]) -> float:
    """How different the head in a person's box looks from a face."""
    left, top, right, bottom = box
    x, y = (right - left) / BODY[0], (bottom - top) / BODY[1]
    x0, y0 = max(0, round(left + HEAD_AT[0] * x)), max(0, round(top + HEAD_AT[1] * y))
    head = pixels[y0 : round(y0 + HEAD[1] * y), x0 : round(x0 + HEAD[0] * x)]
    if not head.size:
        return 3.0
    seen = Image.fromarray((head * 255).round().astype(np.uint8)).resize(HEAD, Image.Resampling.BOX)
    drawn = np.asarray(draw_face(face, 4).resize(HEAD, Image.Resampling.BOX), np.float32) / 255
    difference = np.abs(np.asarray(seen, np.float32) / 255 - drawn[..., :3]).mean(-1)
    return float((difference * drawn[..., 3]).sum() / drawn[..., 3].sum())


@contextmanager
def serving(model: GlyphModel, *, stall: float = 2.0):
    """The address of a server that answers as the model does.

    Args:
        stall: seconds for which a request that is to time out is held.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            images, texts = [], []
            for part in body["messages"][0]["content"]:
                if part["type"] == "text":
                    texts.append(part["text"])
                else:
                    data = base64.b64decode(part["image_url"]["url"].partition(",")[2])
                    images.append(Image.open(io.BytesIO(data)).convert("RGB"))
            answer, wrong = model.answer(images, " ".join(texts))
            self._send(*_response(answer, wrong, stall))

        def _send(self, status: int, content: bytes, promised: int) -> None:
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(promised))
                if promised != len(content) or status != 200:
                    # Said before it is done: the client must not send its next request into a closed connection.
                    self.send_header("Connection", "close")
                    self.close_connection = True
                self.end_headers()
                self.wfile.write(content)
            except (BrokenPipeError, ConnectionResetError):
                pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()


def _response(answer: str, wrong: str, stall: float) -> tuple[int, bytes, int]:
    """Status, content, and how long the content is said to be."""
    if wrong == "timeout":
        time.sleep(stall)
    if wrong == "error":
        content = b'{"error": {"message": "out of memory"}}'
        return 500, content, len(content)
    if wrong.isdigit():
        content = b'{"error": {"message": "not for you"}}'
        return int(wrong), content, len(content)
    texts = {
        "nonsense": "%%% ###",
        "truncated": answer[: len(answer) // 2] if answer.startswith("{") else "",
        "empty": "",
        "fenced": f"```\n{answer}\n```",
        "wrong phrase": answer.replace("shirt", "overcoat") if answer.startswith("{") else answer,
        "twice": re.sub(r'"box": \d+', '"box": 1', answer),
    }
    message = {"role": "assistant", "content": texts.get(wrong, answer)}
    if wrong == "refusal":
        message = {"role": "assistant", "content": None, "refusal": "I cannot describe people."}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    reply = {"id": "1", "object": "chat.completion", "created": 0, "model": "glyphs", "choices": [choice]}
    content = json.dumps(reply).encode()
    return 200, content[: len(content) // 2] if wrong == "cut off" else content, len(content)
