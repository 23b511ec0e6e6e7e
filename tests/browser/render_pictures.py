"""Pictures of nodes for their help, taken from ComfyUI's real page.

    python tests/browser/render_pictures.py [NODE_ID ...]    web/docs/NODE_ID/node.png, of all nodes

Needs a ComfyUI (the first of COMFYUI_PATH) and chromium (LUMOSX_CHROMIUM), as the tests do.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

from comfy_hosts import pages
from comfy_server import ROOT, running
from conftest import FLAGS
from desk import Desk
from node_pictures import PICTURES, Graph
from PIL import Image

DOCS = ROOT / "web" / "docs"
VIEW = (2000, 1700)  # of the browser's window, pixels
MARGIN = 16  # around what is shown, pixels
LARGEST_FILE = 60_000  # bytes of a picture of the help
# Menus, side bar and dialogs lie over the canvas; text widgets do, too, but belong to the nodes.
ONLY_NODES = """
body * { visibility: hidden !important }
#graph-canvas, .dom-widget, .dom-widget * { visibility: visible !important }
"""


@contextmanager
def open_desk() -> Iterator[Desk]:
    """ComfyUI's page in a large window without menus over the canvas, with the example cases in the input folder."""
    from playwright.sync_api import sync_playwright

    comfyui = pages()[0]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        directory = Path(folder)
        shutil.copytree(ROOT / "examples", directory / "input")
        with running(comfyui, directory) as server:
            chromium = os.environ.get("LUMOSX_CHROMIUM", "/usr/bin/chromium")
            browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
            page = browser.new_page(viewport={"width": VIEW[0], "height": VIEW[1]}, locale="en-US")
            desk = Desk(page, server, directory)
            desk.set("Comfy.Graph.CanvasInfo", False)
            desk.set("Comfy.NodeBadge.NodeSourceBadgeMode", "None")
            desk.set_locale("en")
            page.add_style_tag(content=ONLY_NODES)
            yield desk
            browser.close()


def picture_of_graph(desk: Desk, largest_zoom: float = 1.0, shown: Sequence[int] = ()) -> Image.Image:
    """All nodes and groups on the canvas with a small margin, RGB.

    Args:
        largest_zoom: pixels of the picture for a unit of the canvas; fewer if the graph would not fit the window.
        shown: ids of the nodes that are to be in the picture; none: everything.
    """
    box = desk.page.evaluate(
        """([zoom, margin, shown]) => {
            const canvas = app.canvas, element = canvas.canvas.getBoundingClientRect()
            canvas.deselectAll()
            const title = LiteGraph.NODE_TITLE_HEIGHT
            const nodes = app.graph.nodes.filter(node => !shown.length || shown.includes(node.id))
            const boxes = nodes.map(({ pos: [x, y], size: [width, height], flags, _collapsed_width }) =>
                flags.collapsed ? [x, y - title, x + _collapsed_width, y] : [x, y - title, x + width, y + height])
            for (const { pos: [x, y], size: [width, height] } of shown.length ? [] : app.graph.groups)
                boxes.push([x, y, x + width, y + height])
            const [left, top] = [0, 1].map(i => Math.min(...boxes.map(box => box[i])))
            const [right, bottom] = [2, 3].map(i => Math.max(...boxes.map(box => box[i])))
            const room = Math.min((element.width - 2 * margin) / (right - left),
                                  (element.height - 2 * margin) / (bottom - top))
            const scale = Math.min(zoom, room)
            canvas.ds.scale = scale
            canvas.ds.offset[0] = margin / scale - left
            canvas.ds.offset[1] = margin / scale - top
            canvas.setDirty(true, true)
            return [element.x, element.y, (right - left) * scale + 2 * margin, (bottom - top) * scale + 2 * margin]
        }""",
        [largest_zoom, MARGIN, list(shown)],
    )
    desk.settle()
    desk.page.wait_for_timeout(1500)  # text widgets move after the canvas, and their words are coloured after that
    x, y, width, height = box
    clip = {"x": x, "y": y, "width": width, "height": height}
    return Image.open(io.BytesIO(desk.page.screenshot(clip=clip))).convert("RGB")


def empty(desk: Desk) -> None:
    """Take everything off the canvas, and forget what earlier runs have shown on nodes of the same ids."""
    desk.page.evaluate("() => { app.clean(); app.graph.clear() }")
    desk.settle()


def build(desk: Desk, graph: Graph) -> dict[str, int]:
    """Put a described graph on the empty canvas; the id of each node by its name."""
    empty(desk)
    ids = {name: desk.add(node.kind, *node.at) for name, node in graph.nodes.items()}
    for name, node in graph.nodes.items():
        for widget, value in node.values.items():
            desk.set_widget(ids[name], widget, value)
    for source, output, target, slot in graph.links:
        desk.connect(ids[source], output, ids[target], slot)
    for name, node in graph.nodes.items():
        desk.page.evaluate(
            """([id, size, collapsed]) => {
                const node = app.graph.getNodeById(id)
                if (size) node.setSize(size)
                if (collapsed) node.collapse()
            }""",
            [ids[name], node.size, node.collapsed],
        )
    desk.settle()  # only then do collapsed nodes know how wide they are
    return ids


def run(desk: Desk) -> None:
    """Run the graph on the canvas and let the page show what comes of it."""
    with desk.page.expect_response(lambda response: response.url.endswith("/api/prompt")) as answer:
        desk.page.evaluate("async () => { await app.queuePrompt(0) }")
    desk.server.wait(answer.value.json()["prompt_id"])
    desk.page.wait_for_timeout(2000)


def save_png(image: Image.Image, path: Path) -> None:
    """Write a picture; with few colours if its file would be too large otherwise."""
    for colours in (None, 256, 192, 128, 64, 32, 16):
        (image.quantize(colours, dither=Image.Dither.NONE) if colours else image).save(path, optimize=True)
        if path.stat().st_size <= LARGEST_FILE:
            return
    raise ValueError(f"{path} has {path.stat().st_size} bytes with 16 colours, expected {LARGEST_FILE}. Show less.")


def render_nodes(names: Sequence[str]) -> None:
    with open_desk() as desk:
        for name in names or PICTURES:
            graph = PICTURES[name]
            ids = build(desk, graph)
            if graph.run:
                run(desk)
            path = DOCS / name / "node.png"
            save_png(picture_of_graph(desk, graph.zoom, [ids[node] for node in graph.shown]), path)
            print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NODE_ID")
    render_nodes(parser.parse_args().names)
