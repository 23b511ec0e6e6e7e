"""What multimodal models and the servers in front of them answer to the questions of `lumosx prepare`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from fuzz.inputs import edited_bytes, edited_text, edited_tree
from fuzz.reader import Make, Reader
from hypothesis import strategies as st

from lumosx_core.auto_scene.boxed_plan import plan_of_boxes
from lumosx_core.auto_scene.cutouts.regions import Box
from lumosx_training.prepare.models.endpoint import EndpointChat
from lumosx_training.prepare.scene_settings import ChatSettings
from lumosx_training.prepare.stages.caption import clean_caption

_CAPTION = "A man in a shirt and a man in a red hat stand in a café beside a lamp."
_BOXES = [Box(2, 4, 12, 23), Box(18, 3, 30, 23)]
_PEOPLE = [
    {"box": 2, "word": "man#1", "attributes": ["shirt"]},
    {"box": [2, 4, 12, 23], "word": "man#2", "attributes": ["red hat"]},
]
_OWNERS = {"people": _PEOPLE, "objects": ["lamp"], "background": "café"}


def _owners() -> Reader:
    """Which words mean whom; of a plan that is read, each box is somebody's once."""
    image = torch.zeros(24, 32, 3)

    def read(answer: str, folder: Path) -> None:
        boxed = plan_of_boxes(lambda images, messages: answer, image, _BOXES, _CAPTION, repairs=0)
        assert len(set(boxed.boxes)) == len(boxed.boxes) == len(boxed.plan.people)
        assert all(0 <= index < len(_BOXES) for index in boxed.boxes)

    texts = edited_text([json.dumps(_OWNERS), f"```json\n{json.dumps(_OWNERS)}\n```"], words=["man#9", '"box": 1', "["])
    return Reader(edited_tree([_OWNERS]) | texts, read)


def _captions() -> Reader:
    seeds = [_CAPTION, f"```\nCaption: {_CAPTION}\n```", f'Sure! Here is the description: "{_CAPTION}"', "I'm sorry, I"]

    def read(answer: str, folder: Path) -> None:
        caption = clean_caption(answer, 200)
        assert caption.strip() == caption and 0 < len(caption) <= 200 and "\n" not in caption

    return Reader(edited_text(seeds, words=["```", '"', "**", "{", "\ud800"]), read)


def _replies() -> Reader:
    """Bodies of a server's answer, with status 200 and others."""
    import openai

    httpx: Any = sys.modules["httpx2" if "httpx2" in sys.modules else "httpx"]  # whichever openai is built on

    os.environ.setdefault("LUMOSX_FUZZ_KEY", "text")
    address = {"base_url": "http://127.0.0.1:9/v1", "model": "m", "key_variable": "LUMOSX_FUZZ_KEY"}
    chat = EndpointChat(ChatSettings(method="endpoint", retries=1, **address), sleep=lambda seconds: None)
    message = {"role": "assistant", "content": _CAPTION, "refusal": None}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    reply = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": choices}
    error = {"error": {"message": "not for you", "code": 400}}
    usual = json.dumps(reply).encode()
    bodies = edited_tree([reply, error]).map(lambda text: text.encode("utf-8", "surrogatepass")) | edited_bytes([usual])
    kinds = st.sampled_from(["application/json", "text/html", "", "application/json; charset=utf-16"])
    again = st.sampled_from(["", "1", "-5", "nan", "inf", "1e999", "Fri, 31 Dec 1999 23:59:59 GMT"])

    def read(value: tuple[int, bytes, str, str], folder: Path) -> Any:
        status, body, kind, wait = value
        headers = {name: text for name, text in (("content-type", kind), ("retry-after", wait)) if text}
        transport = httpx.MockTransport(lambda request: httpx.Response(status, content=body, headers=headers))
        client = httpx.Client(transport=transport)
        chat._client = openai.OpenAI(base_url=address["base_url"], api_key="x", max_retries=0, http_client=client)
        answer = chat.ask([], [{"role": "user", "content": "?"}])
        assert isinstance(answer, str)

    statuses = st.sampled_from([200] * 6 + [204, 301, 400, 401, 404, 429, 500, 503])
    return Reader(st.tuples(statuses, bodies, kinds, again), read)


READERS: dict[str, Make] = {
    "owners that a model answers": _owners,
    "captions that a model answers": _captions,
    "replies of an endpoint": _replies,
}
