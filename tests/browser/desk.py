"""The artist's desk: ComfyUI's page in a browser, with the things that an artist does there."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from comfy_server import PACK, Server

WIDTH, HEIGHT = 1600, 1000

# What the page itself writes, with or without this pack: about its own work, and about the sizes of models that it asks
# the hub for.
NOT_OURS = re.compile(
    r"event listeners for graph|\[Jobs API\]|Content Security Policy|cannot load https://|fetching file size"
)

PROPERTIES_PANEL = re.compile("Toggle properties panel|开关属性面板")


class Desk:
    """ComfyUI's page, open in a browser.

    Args:
        page: a playwright page.
        server: the ComfyUI that it shows.
        pictures: the folder of screenshots.

    Attributes:
        errors: what the page wrote to the console as an error, and exceptions nobody caught; of failed requests only
            those for files of this pack or calls of its routes.
    """

    def __init__(self, page, server: Server, pictures: Path):
        self.page, self.server, self.pictures = page, server, pictures
        self.errors: list[str] = []
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def open(self) -> None:
        """Load the page, as an artist finds it on a later day: the dialog of the first run does not come."""
        self.set("Comfy.TutorialCompleted", True)
        self.page.goto(self.server.address)
        self.page.wait_for_function("() => window.app?.graph?.nodes && window.app.canvas && window.app.vueAppReady")
        self.page.get_by_test_id("queue-button").wait_for()
        self.page.wait_for_function("() => window.app.graph.nodes.length > 0")  # the default workflow is there

    def set(self, setting: str, value) -> None:
        """Change one of the user's settings; an open page applies it when it is reloaded."""
        self.server.post(f"/settings/{setting}", value)

    def set_locale(self, locale: str) -> None:
        """Choose the language ("en", "zh", ...) and reload the page."""
        self.set("Comfy.Locale", locale)
        self.open()

    def draw_by(self, renderer: str) -> None:
        """Choose who draws the nodes of the open page: "classic" or "Nodes 2.0"."""
        self.page.evaluate(
            "async (modern) => { await app.extensionManager.setting.set('Comfy.VueNodes.Enabled', modern) }",
            renderer == "Nodes 2.0",
        )
        self.settle()

    # Workflows

    def clear(self) -> None:
        """Start afresh on an open page: no nodes, no routes of an earlier test, no errors collected.

        The page keeps text boxes of nodes in subgraphs; a test with such takes the fixture `desk`.
        """
        self.page.unroute_all()
        self.close_dialogs()
        self.page.evaluate("() => { app.canvas.setGraph(app.rootGraph); app.rootGraph.clear() }")
        self.settle()
        self.errors.clear()

    def load(self, workflow: dict) -> None:
        """Open a workflow (of the page's own format, not of the API's) and wait until it is drawn."""
        self.page.evaluate("async (workflow) => { await app.loadGraphData(workflow, true, true) }", workflow)
        self.settle()

    def load_template(self, name: str) -> None:
        """Open a workflow of this pack from Templates."""
        self.page.get_by_role("button", name="Templates").first.click()
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_text(PACK, exact=True).first.click()
        dialog.get_by_test_id(f"template-workflow-{name}").click()
        # The dialog closes before the workflow is there.
        self.page.wait_for_function(
            "name => app.extensionManager.workflow.activeWorkflow?.filename?.startsWith(name)", arg=name
        )
        self.settle()

    def close_dialogs(self) -> list[str]:
        """Close what the page has to say, such as models that are missing; the texts of that.

        Front ends up to 1.35 say it in dialogs, later ones in a message that opens a panel.
        """
        said = []
        dialog = self.page.get_by_role("dialog")
        while open_ones := dialog.count():
            said.append(dialog.last.inner_text())
            self.page.keyboard.press("Escape")
            self.page.wait_for_function("n => document.querySelectorAll('[role=dialog]').length < n", arg=open_ones)
        if self.page.get_by_test_id("error-overlay-see-errors").count():
            self.page.get_by_test_id("error-overlay-see-errors").click()
            groups = self.page.locator("[data-testid^=error-group-missing]")
            groups.first.wait_for()
            said.append("\n".join(groups.all_inner_texts()))
            self.page.get_by_role("button", name=PROPERTIES_PANEL).click()
            groups.first.wait_for(state="detached")
        return said

    def wait_until_something_is_missing(self) -> None:
        """Wait until the page says so; `close_dialogs` tells what."""
        self.page.locator("[role=dialog], [data-testid=error-overlay]").last.wait_for()

    def settle(self) -> None:
        """Wait until the page has drawn twice."""
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def workflow(self) -> dict:
        """The workflow as it would be saved."""
        # As text, as it is written to a file: a value that is not there must not become a null.
        return json.loads(self.page.evaluate("() => JSON.stringify(app.graph.serialize())"))

    def api_prompt(self) -> dict:
        """The workflow as the page sends it to the server, without the names of packs that later pages add."""
        prompt = self.page.evaluate("async () => (await app.graphToPrompt()).output")
        for node in prompt.values():
            node["_meta"].pop("cnr_id", None)
        return prompt

    def add(self, node_type: str, x: float = 0, y: float = 0) -> int:
        """Put a new node on the canvas; its id."""
        return self.page.evaluate(
            """([type, x, y]) => {
                const node = LiteGraph.createNode(type)
                node.pos = [x, y]
                app.graph.add(node)
                return node.id
            }""",
            [node_type, x, y],
        )

    def connect(self, source: int, output: int, target: int, name: str) -> None:
        """Link an output of a node, by its place, to an input of another, by its name."""
        self.page.evaluate(
            """([source, output, target, name]) => {
                const node = app.graph.getNodeById(target)
                const place = node.inputs.findIndex(input => input.name === name)
                if (place < 0) throw new Error(`${node.type} has no input ${name}`)
                app.graph.getNodeById(source).connect(output, node, place)
            }""",
            [source, output, target, name],
        )

    def set_widget(self, node: int, name: str, value) -> None:
        """Give a widget of a node a value, as if it had been typed."""
        self.page.evaluate(
            """([id, name, value]) => {
                const node = app.graph.getNodeById(id)
                const widget = node.widgets.find(widget => widget.name === name)
                widget.value = value
                widget.callback?.(value)
                app.graph.setDirtyCanvas(true, true)
            }""",
            [node, name, value],
        )

    def type_into(self, node: int, name: str, text: str) -> None:
        """Click a one-line text widget and write another text: in Nodes 2.0 there, else in the page's dialog for it."""
        self.look_at(node)
        modern = self.page.evaluate_handle(
            """([id, name]) => {
                const { value } = app.graph.getNodeById(id).widgets.find(widget => widget.name === name)
                const inputs = document.querySelectorAll(`.lg-node[data-node-id="${id}"] input`)
                return LiteGraph.vueNodesMode ? [...inputs].find(input => input.value === value) : null
            }""",
            [node, name],
        ).as_element()
        if modern:
            modern.click(click_count=3)
            self.page.keyboard.type(text)
            self.page.keyboard.press("Enter")
            return
        place = self.page.evaluate(
            """([id, name]) => {
                const node = app.graph.getNodeById(id), widget = node.widgets.find(widget => widget.name === name)
                const { ds, canvas } = app.canvas, box = canvas.getBoundingClientRect()
                const x = node.pos[0] + node.size[0] / 2, y = node.pos[1] + widget.last_y + 10
                return [box.left + (x + ds.offset[0]) * ds.scale, box.top + (y + ds.offset[1]) * ds.scale]
            }""",
            [node, name],
        )
        self.page.mouse.click(*place)
        self.page.locator(".graphdialog input").fill(text)
        self.page.keyboard.press("Enter")

    def look_at(self, node: int, zoom: float = 1.0) -> None:
        """Move the canvas so that a node is in its middle."""
        self.page.evaluate(
            """([id, zoom]) => {
                const node = app.graph.getNodeById(id), ds = app.canvas.ds, canvas = app.canvas.canvas
                ds.scale = zoom
                ds.offset[0] = canvas.clientWidth / 2 / zoom - node.pos[0] - node.size[0] / 2
                ds.offset[1] = canvas.clientHeight / 2 / zoom - node.pos[1] - node.size[1] / 2
                app.canvas.setDirty(true, true)
            }""",
            [node, zoom],
        )
        self.settle()

    # What is wrong with the workflow

    def missing_nodes(self) -> list[str]:
        """Types in the workflow that no pack of this server has."""
        return self.page.evaluate(
            "() => [...new Set(app.graph.nodes.filter(n => n.type && !LiteGraph.registered_node_types[n.type])"
            ".map(n => n.type))]"
        )

    def red_links(self) -> list[str]:
        """Links with an end at nothing, or between an output and an input that do not fit."""
        return self.page.evaluate(
            """() => [...app.graph.links.values()].flatMap(link => {
                const source = app.graph.getNodeById(link.origin_id), target = app.graph.getNodeById(link.target_id)
                const output = source?.outputs?.[link.origin_slot], input = target?.inputs?.[link.target_slot]
                const name = `${source?.type}.${output?.name} -> ${target?.type}.${input?.name}`
                if (!output || !input || input.link !== link.id) return [name]
                return LiteGraph.isValidConnection(output.type, input.type) ? [] : [name]
            })"""
        )

    def red_nodes(self) -> dict:
        """Errors of the server's validation of the last run: node id to errors."""
        return self.page.evaluate("() => app.lastNodeErrors ?? {}")

    def run(self, timeout: float = 240) -> dict[str, dict]:
        """Press Run and wait; the outputs of each node, or `comfy_server.Failure`."""
        with self.page.expect_response(lambda response: response.url.endswith("/api/prompt")) as answer:
            self.page.get_by_test_id("queue-button").click()
        content = answer.value.json()
        assert "prompt_id" in content, content
        return self.server.wait(content["prompt_id"], timeout)

    # Help and looks

    def open_help(self, node: int):
        """Select a node, press its info button, and give the panel with its help, as a playwright locator."""
        self.look_at(node)
        self.page.evaluate("(id) => app.canvas.selectNode(app.graph.getNodeById(id))", node)
        self.page.get_by_test_id("info-button").click()
        panel = self.page.locator(".node-help-content")
        panel.locator(".markdown-content, .comfy-markdown-content, .fallback-content").wait_for()
        return panel

    def tooltip(self, node: int, name: str, output: bool = False) -> str:
        """The tooltip of an input (a slot or a one-line widget) or on an output."""
        place = self.page.evaluate(
            """([id, name, output]) => {
                const node = app.graph.getNodeById(id), { ds, canvas } = app.canvas
                const box = canvas.getBoundingClientRect(), of = slots => slots.findIndex(slot => slot.name === name)
                const widget = output ? null : node.widgets?.find(widget => widget.name === name)
                const [x, y] = output ? node.getOutputPos(of(node.outputs))
                    : widget ? [node.pos[0] + node.size[0] / 2, node.pos[1] + widget.last_y + 10]
                    : node.getInputPos(of(node.inputs))
                return [box.left + (x + ds.offset[0]) * ds.scale, box.top + (y + ds.offset[1]) * ds.scale]
            }""",
            [node, name, output],
        )
        self.page.mouse.move(place[0] + 3, place[1])
        self.page.mouse.move(*place)
        shown = self.page.locator(".node-tooltip")
        shown.wait_for(timeout=5000)
        return shown.inner_text()

    def screenshot(self, name: str) -> Path:
        """Save what the page looks like as NAME.png in the folder of screenshots."""
        path = self.pictures / f"{name}.png"
        self.page.screenshot(path=path)
        return path

    def _hear(self, message) -> None:
        if message.type != "error":
            return
        address = message.location.get("url", "")
        failed = "Failed to load resource" in message.text
        if NOT_OURS.search(message.text) or (failed and not re.search(rf"/extensions/{PACK}/|/lumosx/", address)):
            return
        self.errors.append(f"{message.text} ({address})")


def folder_of_screenshots(otherwise: Path) -> Path:
    """LUMOSX_SCREENSHOTS, made if need be, or `otherwise`."""
    folder = Path(os.environ.get("LUMOSX_SCREENSHOTS", otherwise))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
