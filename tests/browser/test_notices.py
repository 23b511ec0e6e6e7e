"""Warnings of a run in the page: who is left out, by the name the artist gave, until the run no longer says so."""

from __future__ import annotations

import pytest

MUTED, BYPASSED = 2, 4


@pytest.fixture
def scene(desk) -> dict[str, int]:
    """Two people, each with a face, in a scene on a contact sheet; the ids of the nodes."""
    desk.clear()
    ids = {"scene": desk.add("LumosXScene", 800, 0), "sheet": desk.add("LumosXPreviewScene", 1200, 0)}
    desk.connect(ids["scene"], 0, ids["sheet"], "scene")
    for i, name in enumerate(("Anna", "Ben"), 1):
        ids[f"{name}'s photo"] = desk.add("LumosXExamplePicture", 0, 600 * (i - 1))
        ids[name] = desk.add("LumosXSubject", 400, 600 * (i - 1))
        desk.page.evaluate("([id, title]) => { app.graph.getNodeById(id).title = title }", [ids[name], name])
        desk.connect(ids[f"{name}'s photo"], 0, ids[name], "face")
        desk.connect(ids[name], 0, ids["scene"], f"subject_{i}")
        desk.set_widget(ids[name], "face_phrase", f"woman#{i}")
    desk.look_at(ids["scene"], 0.5)
    return ids


def set_mode(desk, node: int, mode: int) -> None:
    """As Ctrl+M and Ctrl+B do."""
    desk.page.evaluate("([id, mode]) => { app.graph.getNodeById(id).mode = mode }", [node, mode])


def said(desk) -> str:
    panel = desk.page.locator(".lumosx-notices")
    return panel.inner_text() if panel.count() else ""


@pytest.mark.parametrize("mode", [MUTED, BYPASSED])
def test_a_muted_photo_is_named_with_its_person_until_it_is_back(desk, scene, mode):
    set_mode(desk, scene["Anna's photo"], mode)
    desk.run()
    desk.page.locator(".lumosx-notices").wait_for()
    assert 'The face has the phrase "woman#1" but no image, so it is left out.' in said(desk)
    assert "Anna\n" in said(desk)
    desk.screenshot(f"left out {mode}")
    set_mode(desk, scene["Anna's photo"], 0)
    desk.run()
    desk.page.locator(".lumosx-notices").wait_for(state="detached")


@pytest.mark.parametrize("mode", [MUTED, BYPASSED])
def test_a_muted_person_is_named(desk, scene, mode):
    set_mode(desk, scene["Ben"], mode)
    for _ in range(2):  # the second time ComfyUI takes everything from its cache
        desk.run()
        desk.page.locator(".lumosx-notices").wait_for()
        assert "subject_2 is left out: Ben, or a node before it, is muted or bypassed." in said(desk)
    set_mode(desk, scene["Ben"], 0)
    desk.run()
    desk.page.locator(".lumosx-notices").wait_for(state="detached")


def test_a_bypassed_person_whose_attributes_take_the_place_is_named(desk, scene):
    desk.connect(scene["Anna"], 0, scene["Ben"], "more_attributes_1")
    set_mode(desk, scene["Ben"], BYPASSED)
    desk.run()
    desk.page.locator(".lumosx-notices").wait_for()
    assert "Ben is bypassed, so subject_2 gets only what is connected to the first scene input of Ben." in said(desk)


def test_a_muted_mask_is_named(desk, scene):
    mask = desk.add("SolidMask", 0, 1200)
    desk.connect(mask, 0, scene["Ben"], "face_mask")
    set_mode(desk, mask, MUTED)
    desk.run()
    desk.page.locator(".lumosx-notices").wait_for()
    assert "face_mask is left out: " in said(desk) and "or a node before it, is muted or bypassed." in said(desk)


def test_a_person_muted_within_a_subgraph_is_named(desk, scene):
    desk.page.evaluate(
        """ids => {
            for (const id of ids) app.canvas.select(app.graph.getNodeById(id))
            app.graph.convertToSubgraph(new Set(ids.map(id => app.graph.getNodeById(id))))
        }""",
        [scene["scene"], scene["Ben"]],
    )
    desk.page.evaluate(
        """mode => {
            const around = app.graph.nodes.find(node => node.isSubgraphNode?.())
            around.subgraph.nodes.find(node => node.title === "Ben").mode = mode
        }""",
        MUTED,
    )
    desk.run()
    desk.page.locator(".lumosx-notices").wait_for()
    assert "subject_2 is left out: Ben, or a node before it, is muted or bypassed." in said(desk)


def test_a_notice_leads_to_its_node_and_can_be_closed(desk, scene):
    set_mode(desk, scene["Anna's photo"], MUTED)
    desk.run()
    desk.page.locator(".lumosx-notices").get_by_role("button", name="Anna").click()
    selected = desk.page.evaluate("() => Object.keys(app.canvas.selected_nodes)")
    assert selected == [str(scene["Anna"])]
    desk.page.get_by_role("button", name="Close", exact=True).last.click()
    assert said(desk) == ""


def test_a_notice_stays_with_its_workflow(desk, scene):
    desk.set_widget(scene["Anna"], "strength", 0.55)  # so that nothing comes from the cache of another test's run
    set_mode(desk, scene["Anna's photo"], MUTED)
    workflow = desk.workflow()
    desk.load(workflow)  # as a file of its own, which the page keeps while it shows another one
    desk.run()
    desk.page.locator(".lumosx-notices").wait_for()
    for node in workflow["nodes"]:
        node["mode"] = 0
    first = desk.page.evaluate("() => app.extensionManager.workflow.activeWorkflow.path")
    desk.load(workflow)  # another file, whose nodes have the same ids
    assert desk.page.evaluate("() => app.extensionManager.workflow.activeWorkflow.path") != first
    desk.page.locator(".lumosx-notices").wait_for(state="detached")
    desk.page.evaluate("() => app.extensionManager.command.execute('Workspace.PreviousOpenedWorkflow')")
    desk.page.wait_for_function("path => app.extensionManager.workflow.activeWorkflow.path === path", arg=first)
    desk.page.locator(".lumosx-notices").wait_for()
    assert 'The face has the phrase "woman#1" but no image' in said(desk)


def test_another_file_whose_nodes_come_from_the_cache_has_the_notice_too(desk, scene):
    desk.set_widget(scene["Anna"], "strength", 0.65)
    set_mode(desk, scene["Anna's photo"], MUTED)
    workflow = desk.workflow()
    desk.load(workflow)
    desk.run()
    desk.page.locator(".lumosx-notices").wait_for()
    desk.load(workflow)
    desk.page.locator(".lumosx-notices").wait_for(state="detached")
    desk.run()
    desk.page.locator(".lumosx-notices").wait_for()
    assert 'The face has the phrase "woman#1" but no image' in said(desk)


def test_a_run_without_anything_to_say_says_nothing(desk, scene):
    desk.run()
    desk.settle()
    assert said(desk) == ""
    assert desk.errors == []
