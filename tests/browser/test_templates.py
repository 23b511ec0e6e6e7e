"""The example workflows as an artist meets them: chosen and opened in Templates, and the first of them run."""

from __future__ import annotations

import json
import os

import pytest
from comfy_server import PACK, ROOT
from recorded_prompts import record_prompt, recorded_prompt

FOLDER = ROOT / "example_workflows"
WORKFLOWS = sorted(path.stem for path in FOLDER.glob("*.json"))
TRY_IT = "Try it (tiny model, no GPU)"


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
    desk.screenshot("templates")


@pytest.mark.parametrize("name", WORKFLOWS)
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
    assert desk.api_prompt() == recorded_prompt(name, comfyui.version)
    assert desk.errors == []
    desk.screenshot(name)


def test_try_it_becomes_a_playable_video_with_one_click(desk):
    desk.load_template(TRY_IT)
    desk.run()
    [save] = [node["id"] for node in desk.workflow()["nodes"] if node["type"] == "SaveVideo"]
    desk.look_at(save)  # what is out of sight is not on the page
    video = desk.page.locator("video").first
    video.wait_for()
    desk.page.wait_for_function("video => video.readyState >= 2", arg=video.element_handle())  # a frame can be shown
    assert video.evaluate("video => [video.videoWidth, video.videoHeight]") == [6 * 80, 6 * 64]
    assert video.evaluate("video => video.duration") == pytest.approx(9 / 8, abs=0.01)
    desk.screenshot("try it, run")
