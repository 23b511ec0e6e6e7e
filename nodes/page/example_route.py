"""LumosX's example images for the page, served where ComfyUI serves the artist's own: an option "NAME [lumosx]" of
LumosX Load Image has a preview and a thumbnail like any image of the input folder, in every version of the page.
"""

from __future__ import annotations

from server import PromptServer

from ...lumosx_core.errors import LumosXError
from ...lumosx_core.media.example_images import SUFFIX, example_path

ROUTES = ("/view", "/api/view")


def add_example_route() -> None:
    """Answer GET /view for the names of examples only, if ComfyUI has a server."""
    server = getattr(PromptServer, "instance", None)
    if server is None:
        return
    from aiohttp import web

    @web.middleware
    async def view_example(request: web.Request, handler):
        name = request.query.get("filename", "")
        if request.method != "GET" or request.path not in ROUTES or not name.endswith(SUFFIX):
            return await handler(request)
        folder = request.query.get("subfolder", "")
        try:
            return web.FileResponse(example_path(f"{folder}/{name}" if folder else name))
        except LumosXError as error:
            return web.Response(status=404, text=str(error))

    # Not a separate route: the page builds the address from the option, and knows /view only.
    server.app.middlewares.append(view_example)
