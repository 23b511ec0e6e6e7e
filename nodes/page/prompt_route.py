"""Requests of the page while a prompt is being typed: which words belong to which subject, and which phrases are
missing.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from server import PromptServer

from ...lumosx_core.drawing.contact_sheet import group_colour
from ...lumosx_core.errors import LumosXError, shown
from ...lumosx_core.prompt.highlight import mark_prompt
from ...lumosx_core.prompt.phrase_mask import MOST_LETTERS
from ...lumosx_core.workflow.outline import scene_outline
from ...lumosx_core.workflow.saved.graph import Graph
from ..inputs.case_folders import case_phrases
from ..inputs.subject_files import subject_phrases
from .page_work import Busy, Check, GivenUp, PageWork

ROUTE = "/lumosx/match_phrases"
MOST_BYTES = 4 * 2**20
MOST_NODES = 2000  # the page sends those that the scene comes from
_LONGEST_NAME = 100  # of a page
_QUESTION = {"prompt": dict, "node": str, "text": str, "dynamic": bool}


def add_prompt_route() -> None:
    """Answer POST /lumosx/match_phrases, if ComfyUI has a server and no other copy of LumosX answers already."""
    server = getattr(PromptServer, "instance", None)
    if server is None or any(route.path == ROUTE for route in server.routes):
        return
    from aiohttp import web

    work = PageWork()

    @server.routes.post(ROUTE)
    async def match_phrases(request):
        def refusal(status: int, message: str):
            return web.json_response({"error": message}, status=status)

        def is_gone() -> bool:
            return request.transport is None or request.transport.is_closing()

        try:
            question = await asyncio.to_thread(read_question, await _read(request))
            # A page without a name, as of an earlier version, is one of its own.
            page = question.get("page")
            page = page[:_LONGEST_NAME] if isinstance(page, str) and page else f"request {id(request)}"
            text = await work.run(page, lambda check: json.dumps(answer(question, check)), is_gone)
            return web.Response(text=text, content_type="application/json")
        except LumosXError as error:
            return refusal(413 if isinstance(error, _TooLarge) else 400, str(error))
        except RecursionError:
            return refusal(400, "The scene is nested too deeply. Build it from fewer nodes.")
        except GivenUp:
            return refusal(409, "The page has asked again. The answer to its last request is the one that counts.")
        except MemoryError:
            return refusal(503, "The memory of the server is full. Wait for its other work, or send a shorter prompt.")
        except Busy:
            return refusal(503, "Too many requests are waiting. Ask again in a moment.")


class _TooLarge(LumosXError):
    pass


async def _read(request) -> bytes:
    """The body of a request, of which no more is kept than is answered."""
    parts, size = [], 0
    async for part in request.content.iter_chunked(2**16):
        size += len(part)
        if size > MOST_BYTES:
            raise _TooLarge(f"The request is too large: at most {MOST_BYTES} bytes are read. Send fewer nodes.")
        parts.append(part)
    return b"".join(parts)


def read_question(body: bytes) -> dict[str, Any]:
    """What the page asks.

    Args:
        body: JSON: "prompt", the nodes of the workflow that the scene comes from, as they go to /prompt; "node", the
            id of the node with the prompt; "text", the prompt as it is typed; "dynamic", whether {a|b} is drawn in it;
            "page", optional, the name of the page that asks.

    Raises:
        LumosXError: it is another question.
    """
    try:
        question = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise LumosXError(f"The request is not JSON: {shown(error)}.") from error
    if not isinstance(question, dict) or any(
        not isinstance(question.get(name), kind) for name, kind in _QUESTION.items()
    ):
        raise LumosXError(
            'The request must be a JSON object with "prompt" (nodes by their ids), "node" (an id), "text", and '
            '"dynamic" (true or false).'
        )
    return question


def answer(question: dict[str, Any], check: Check = lambda: None) -> dict[str, Any]:
    """The highlighted prompt for a question of the page.

    Args:
        question: as `read_question` returns it.
        check: called now and then; what it raises ends the work.

    Returns: "spans", each with its text and the colours of its groups; "missing", each with phrase, colour, message,
        and "meant", what it was probably meant to be, or null; "warnings", as sentences.

    Raises:
        LumosXError: it is about a node that is not there, or beyond a limit.
    """
    if len(question["prompt"]) > MOST_NODES:
        raise LumosXError(
            f"The scene has {len(question['prompt'])} nodes, but at most {MOST_NODES} are read. Use fewer."
        )
    graph = Graph(question["prompt"])
    scene = scene_outline(graph, question["node"], case=case_phrases, subject=subject_phrases, check=check).scene
    letters = sum(len(reference.phrase) for reference in scene.references)
    if letters > MOST_LETTERS:
        raise LumosXError(f"The phrases have {letters} letters, but at most {MOST_LETTERS} are read. Shorten them.")
    marked = mark_prompt(question["text"], scene, dynamic=question["dynamic"], check=check)
    bound = graph.node(question["node"]).get("bind_phrases", True) is not False  # else no phrase is missed
    return {
        "spans": [
            {"text": span.text, "colours": [group_colour(scene, group) for group in span.groups]}
            for span in marked.spans
        ],
        "missing": [
            {
                "phrase": each.phrase,
                "colour": group_colour(scene, each.group),
                "message": each.message,
                "meant": each.meant,
            }
            for each in (marked.missing if bound else ())
        ],
        "warnings": list(marked.warnings) if bound else [],
    }
