"""Requests of the page while a prompt is being typed: which words belong to which subject, and which phrases are
missing.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from server import PromptServer

from ...lumosx_core.drawing.contact_sheet import group_colour
from ...lumosx_core.errors import LumosXError
from ...lumosx_core.prompt.highlight import mark_prompt
from ...lumosx_core.workflow.outline import scene_outline
from ...lumosx_core.workflow.saved.graph import Graph
from ..inputs.case_folders import case_phrases

ROUTE = "/lumosx/match_phrases"
_QUESTION = {"prompt": dict, "node": str, "text": str, "dynamic": bool}


def add_prompt_route() -> None:
    """Answer POST /lumosx/match_phrases, if ComfyUI has a server and no other copy of LumosX answers already."""
    server = getattr(PromptServer, "instance", None)
    if server is None or any(route.path == ROUTE for route in server.routes):
        return
    from aiohttp import web

    @server.routes.post(ROUTE)
    async def match_phrases(request):
        body = await request.read()
        try:
            # In a thread: folders are read, and the server goes on with its other work.
            return web.json_response(await asyncio.to_thread(answer, body))
        except LumosXError as error:
            return web.json_response({"error": str(error)}, status=400)
        except RecursionError:
            message = "The scene is nested too deeply. Build it from fewer nodes."
            return web.json_response({"error": message}, status=400)


def answer(body: bytes) -> dict[str, Any]:
    """The highlighted prompt for a request of the page.

    Args:
        body: JSON: "prompt", the nodes of the workflow that the scene comes from, as they go to /prompt; "node", the
            id of the node with the prompt; "text", the prompt as it is typed; "dynamic", whether {a|b} is drawn in it.

    Returns: "spans", each with its text and the colours of its groups; "missing", each with phrase, colour, message,
        and "meant", what it was probably meant to be, or null; "warnings", as sentences.

    Raises:
        LumosXError: it is another question, or one about a node that is not there.
    """
    try:
        question = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise LumosXError(f"The request is not JSON: {error}.") from error
    if not isinstance(question, dict) or any(
        not isinstance(question.get(name), kind) for name, kind in _QUESTION.items()
    ):
        raise LumosXError(
            'The request must be a JSON object with "prompt" (nodes by their ids), "node" (an id), "text", and '
            '"dynamic" (true or false).'
        )
    scene = scene_outline(Graph(question["prompt"]), question["node"], case=case_phrases).scene
    marked = mark_prompt(question["text"], scene, dynamic=question["dynamic"])
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
            for each in marked.missing
        ],
        "warnings": list(marked.warnings),
    }
