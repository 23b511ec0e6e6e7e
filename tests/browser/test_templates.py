"""The example workflows as an artist meets them: chosen and opened in Templates, and the first of them run."""

from __future__ import annotations

import itertools
import json
import os

import pytest
from comfy_server import PACK, ROOT
from desk import HEIGHT, WIDTH
from recorded_prompts import NEEDS_HOST, record_prompt, recorded_prompt, template_params

FOLDER = ROOT / "example_workflows"
WORKFLOWS = sorted(path.stem for path in FOLDER.glob("*.json"))
TRY_IT = "1 Try it (tiny model, no GPU)"


def workflows_for(comfyui) -> list[str]:
    """The templates whose nodes this host has."""
    return [name for name in WORKFLOWS if comfyui.is_at_least(NEEDS_HOST.get(name, "0"))]


def models_to_fetch(name: str) -> set[str]:
    """The files that a workflow's loaders name together with an address."""
    nodes = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["nodes"]
    return {model["name"] for node in nodes for model in node["properties"].get("models", [])}


def test_templates_shows_every_workflow_with_its_thumbnail(desk):
    desk.page.get_by_role("button", name="Templates").first.click()
    dialog = desk.page.get_by_role("dialog")
    dialog.get_by_text(PACK, exact=True).first.click()
    for name in WORKFLOWS:
        card = dialog.get_by_test_id(f"template-workflow-{name}")
        card.scroll_into_view_if_needed()
        assert name in card.inner_text()
        picture = card.locator("img").first
        picture.wait_for()
        desk.page.wait_for_function("image => image.complete", arg=picture.element_handle())
        assert picture.evaluate("image => image.naturalWidth") >= 400, name
    cards = dialog.locator("[data-testid^='template-workflow-']")
    assert [
        card.removeprefix("template-workflow-")
        for card in cards.evaluate_all("all => all.map(each => each.dataset.testid)")
    ] == WORKFLOWS
    cards.first.scroll_into_view_if_needed()
    desk.screenshot("templates")


@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), (1920, 950)], ids=["1600x1000", "1920x950"])
def test_templates_open_whole_and_near_enough_for_their_text_to_be_drawn(desk, comfyui, size):
    """Below a zoom of 8/14 the canvas leaves out all text, and later front ends choose the zoom by the graph's size."""
    desk.page.set_viewport_size({"width": size[0], "height": size[1]})
    far = {}
    for name in workflows_for(comfyui):
        desk.load_template(name)
        desk.page.wait_for_function("() => app.graph.nodes.length > 5")
        desk.page.wait_for_timeout(300)
        zoom, unreadable = desk.page.evaluate("() => [app.canvas.ds.scale, app.canvas.low_quality]")
        if unreadable:
            far[name] = zoom
        if models_to_fetch(name):
            desk.wait_until_something_is_missing()
            desk.close_dialogs()
    assert far == {}


@pytest.mark.parametrize("name", template_params(WORKFLOWS))
def test_a_template_opens_whole_and_sends_the_recorded_prompt(shared_desk, comfyui, name):
    desk = shared_desk
    desk.clear()
    desk.load_template(name)
    desk.page.wait_for_function("() => app.graph.nodes.length > 5")
    if to_fetch := models_to_fetch(name):
        desk.wait_until_something_is_missing()
        [said] = desk.close_dialogs()
        assert all(model in said for model in to_fetch)
    assert desk.missing_nodes() == []
    assert desk.red_links() == []
    if os.environ.get("LUMOSX_RECORD_PROMPTS") == "1" and comfyui.front_end is None:
        record_prompt(name, comfyui, desk.api_prompt())
    assert comparable(desk.api_prompt()) == comparable(recorded_prompt(name, comfyui.version))
    assert desk.errors == []
    desk.screenshot(name)


def comparable(prompt: dict) -> dict:
    """A prompt without what depends on the front end: titles of ComfyUI's own nodes, and what PreviewAny shows."""
    return {
        id: {
            "class_type": node["class_type"],
            "inputs": {
                name: value
                for name, value in node["inputs"].items()
                if node["class_type"] != "PreviewAny" or not name.startswith("preview")
            },
            "title": node["_meta"]["title"] if node["class_type"].startswith("LumosX") else "",
        }
        for id, node in prompt.items()
    }


@pytest.mark.parametrize("name", list(NEEDS_HOST))
@pytest.mark.host(before="0.23.0")
def test_a_template_of_newer_nodes_opens_on_an_older_host_with_its_notes(desk, name):
    desk.load_template(name)
    desk.page.wait_for_function("() => app.graph.nodes.length > 5")
    desk.page.wait_for_timeout(1000)  # the page says what it misses
    desk.close_dialogs()
    lacking = desk.missing_nodes()
    assert len(lacking) == (3 if name == "With ComfyUI SAM3 and face detection" else 1)
    [text] = desk.page.evaluate(
        "() => app.graph.nodes.filter(node => node.title === 'What it needs').map(node => node.widgets[0].value)"
    )
    assert f"ComfyUI {NEEDS_HOST[name]} or newer" in text
    desk.screenshot(f"{name}, older host")


NODE_BOXES = """() => app.graph.nodes.map(node => {
    const box = document.querySelector(`[data-node-id="${node.id}"]`)?.getBoundingClientRect()
    const [width, height] = node.flags.collapsed ? [node._collapsed_width ?? 0, 0]
        : [node.size[0], Math.max(node.size[1], node.computeSize()[1])]
    const scale = app.canvas.ds.scale, title = LiteGraph.NODE_TITLE_HEIGHT
    const [right, bottom] = box ? [box.width / scale, box.height / scale - title] : [width, height]
    return [node.title, node.pos[0], node.pos[1] - title, node.pos[0] + right, node.pos[1] + bottom, !!box]
})"""
WHOLE = """() => {
    const nodes = app.graph.nodes, edge = (i, pick) => pick(...nodes.map(node => node.pos[i]))
    app.canvas.ds.scale = 0.55
    app.canvas.ds.offset[0] = 100 - edge(0, Math.min)
    app.canvas.ds.offset[1] = 130 - edge(1, Math.min)
    app.canvas.setDirty(true, true)
}"""


@pytest.mark.parametrize("nodes_2", [False, True], ids=["canvas", "nodes 2.0"])
def test_nodes_of_templates_do_not_overlap(desk, comfyui, nodes_2):
    """As the page draws them: a node that needs more room than the file gives it is larger there."""
    desk.set("Comfy.VueNodes.Enabled", nodes_2)
    try:
        desk.open()
        for name in workflows_for(comfyui):
            desk.load(json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")))
            desk.page.evaluate(WHOLE)
            desk.page.wait_for_timeout(700)  # the page lays its nodes out after it has drawn them
            boxes = desk.page.evaluate(NODE_BOXES)
            assert all(box[5] == nodes_2 for box in boxes), name
            assert overlaps(boxes) == [], name
            desk.screenshot(f"{name}, {'nodes 2.0' if nodes_2 else 'canvas'}")
    finally:
        desk.set("Comfy.VueNodes.Enabled", False)


def test_try_it_becomes_a_playable_video_with_one_click(desk):
    desk.load_template(TRY_IT)
    desk.run()
    videos = desk.page.locator("video")
    desk.page.wait_for_function("() => document.querySelectorAll('video').length === 2")
    for number in range(2):  # both are in sight as the template opens
        video = videos.nth(number)
        box = video.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= WIDTH and box["y"] + box["height"] <= HEIGHT, box
        desk.page.wait_for_function("video => video.readyState >= 2", arg=video.element_handle())  # a frame is there
        assert video.evaluate("video => [video.videoWidth, video.videoHeight]") == [6 * 80, 6 * 64]
        assert video.evaluate("video => video.duration") == pytest.approx(9 / 8, abs=0.01)
    desk.screenshot("try it, run")


@pytest.mark.parametrize("renderer", ["classic", "Nodes 2.0"])
@pytest.mark.parametrize("name", [TRY_IT, "Three people, objects, background"])
def test_pictures_that_come_with_a_run_lie_over_no_other_node(desk, name, renderer):
    desk.draw_by(renderer)
    desk.load_template(name)
    desk.run()
    desk.page.wait_for_timeout(2000)  # the page makes room for what it shows
    boxes = desk.page.evaluate(NODE_BOXES)
    desk.screenshot(f"{name}, {renderer}, run")
    desk.draw_by("classic")
    assert overlaps(boxes) == []


def overlaps(boxes: list) -> list[tuple[str, str]]:
    """Titles of nodes of which one lies over the other."""
    return [
        (one[0], other[0])
        for one, other in itertools.combinations(boxes, 2)
        if not (one[3] <= other[1] + 1 or other[3] <= one[1] + 1 or one[4] <= other[2] + 1 or other[4] <= one[2] + 1)
    ]
