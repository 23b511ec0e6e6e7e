"""Copying, pasting, subgraphs and undo, with mouse and keyboard, keep all people of a scene with all they wear."""

from __future__ import annotations

import pytest
from crowd import Crowd, scenes

RENDERERS = {"classic": False, "nodes 2.0": True}


@pytest.fixture(scope="module", params=RENDERERS)
def renderer(request, shared_desk):
    shared_desk.set("Comfy.VueNodes.Enabled", RENDERERS[request.param])
    shared_desk.open()
    yield request.param
    shared_desk.set("Comfy.VueNodes.Enabled", False)


@pytest.fixture
def desk(shared_desk, renderer):
    shared_desk.clear()
    return shared_desk


@pytest.fixture
def new_workflow(desk):
    """Afterwards a file of its own is open, so that a test that saves does not write over what another one saved."""
    yield
    for command in ("Comfy.NewBlankWorkflow", "Comfy.LoadDefaultWorkflow"):
        desk.page.evaluate("command => app.extensionManager.command.execute(command)", command)
    desk.page.wait_for_function("() => app.graph.nodes.length > 1")


@pytest.fixture(params=[3, 5])
def crowd(request, desk) -> Crowd:
    crowd = Crowd(desk, request.param)
    assert scenes(desk.api_prompt()) == [request.param]
    return crowd


def people(crowd: Crowd) -> list[int]:
    return scenes(crowd.desk.api_prompt())


def assert_soon(crowd: Crowd, expected: list[int]) -> None:
    """Undo and redo reload the whole graph, which takes time on a busy machine."""
    for _ in range(40):
        if people(crowd) == expected:
            return
        crowd.desk.page.wait_for_timeout(250)
    assert people(crowd) == expected


def test_select_all_copy_and_paste(crowd):
    crowd.select_all()
    crowd.press("Control+c")
    crowd.focus()
    crowd.press("Control+v")
    assert people(crowd) == [crowd.people] * 2
    crowd.desk.screenshot(f"pasted {crowd.people}")


def test_a_scene_pasted_with_its_links(crowd):
    crowd.select(crowd.scene)
    crowd.press("Control+c")
    crowd.focus()
    crowd.press("Control+Shift+v")
    assert len([each for each in crowd.desk.workflow()["nodes"] if each["type"] == "LumosXScene"]) == 2
    assert people(crowd) == [crowd.people] * 2


@pytest.mark.parametrize("what", ["the scene", "all people", "one person"])
def test_convert_to_a_subgraph_and_unpack(crowd, what):
    nodes = {"the scene": [crowd.scene], "all people": crowd.persons, "one person": crowd.persons[1:2]}[what]
    crowd.select(*nodes)
    crowd.press("Control+Shift+e")
    inside = crowd.desk.page.evaluate(
        "() => app.graph.nodes.filter(node => node.isSubgraphNode?.()).map(node => node.id)"
    )
    assert len(inside) == 1
    assert people(crowd) == [crowd.people]
    crowd.desk.screenshot(f"subgraph of {what} {crowd.people}")

    crowd.select(inside[0])
    crowd.desk.page.get_by_test_id("convert-to-subgraph-button").click()
    crowd.desk.page.wait_for_function("() => !app.graph.nodes.some(node => node.isSubgraphNode?.())")
    assert people(crowd) == [crowd.people]


def test_a_subgraph_is_saved_and_opened(crowd):
    crowd.select(*crowd.persons)
    crowd.press("Control+Shift+e")
    saved = crowd.desk.workflow()
    crowd.desk.clear()
    crowd.desk.load(saved)
    assert people(crowd) == [crowd.people]


def test_duplicate_by_dragging_with_alt(crowd):
    """The copy of a node has no links; the one it was made of keeps them all."""
    x, y = crowd.title(crowd.scene)
    page = crowd.desk.page
    page.mouse.move(x, y)
    page.keyboard.down("Alt")
    page.mouse.down()
    page.mouse.move(x + 60, y + 320, steps=8)
    page.mouse.up()
    page.keyboard.up("Alt")
    crowd.desk.settle()
    assert len([each for each in crowd.desk.workflow()["nodes"] if each["type"] == "LumosXScene"]) == 2
    assert people(crowd)[-1] == crowd.people


def test_duplicate_from_the_menu(crowd):
    crowd.select_all()
    page = crowd.desk.page
    page.get_by_test_id("more-options-button").click()
    page.get_by_text("Duplicate", exact=True).click()
    crowd.desk.settle()
    assert people(crowd) == [crowd.people] * 2
    crowd.desk.screenshot(f"duplicated {crowd.people}")


def test_undo_brings_everybody_back(crowd):
    crowd.select_all()
    crowd.press("Control+c")
    crowd.focus()
    crowd.press("Control+v")
    crowd.press("Control+z")
    assert_soon(crowd, [crowd.people])
    crowd.desk.page.wait_for_timeout(1000)  # the page takes no redo while it is still busy with the undo
    crowd.press("Control+y")
    assert_soon(crowd, [crowd.people] * 2)


def test_undo_of_a_deleted_person(crowd):
    crowd.select(crowd.persons[1])
    crowd.press("Delete")
    assert people(crowd) == [crowd.people - 1]
    crowd.press("Control+z")
    assert_soon(crowd, [crowd.people])


def test_save_and_open(crowd):
    saved = crowd.desk.workflow()
    crowd.desk.clear()
    crowd.desk.load(saved)
    assert people(crowd) == [crowd.people]
    assert crowd.desk.red_links() == []


def test_saved_with_the_keyboard_and_opened_from_the_list(crowd, renderer, new_workflow):
    page, name = crowd.desk.page, f"{crowd.people} people {renderer}"
    crowd.focus()
    crowd.press("Control+s")
    page.get_by_role("dialog").locator("input").fill(name)
    page.keyboard.press("Enter")
    page.wait_for_function("() => app.extensionManager.workflow.activeWorkflow.isPersisted")
    tab = page.locator(".workflow-tab").filter(has_text=name)
    tab.click(button="middle")
    tab.wait_for(state="detached")
    crowd.focus()
    crowd.press("w")
    page.get_by_role("treeitem").filter(has_text=name).click()
    page.wait_for_function(
        "name => app.extensionManager.workflow.activeWorkflow?.filename === name && app.graph.nodes.length > 1",
        arg=name,
    )
    crowd.focus()
    crowd.press("w")
    assert people(crowd) == [crowd.people]
    assert crowd.desk.red_links() == []


def test_slots_appear_as_people_come_and_stay_when_they_go(desk):
    scene = desk.add("LumosXScene")

    def slots() -> int:
        return len([each for each in desk.workflow()["nodes"][0]["inputs"] if each["name"].startswith("subject_")])

    assert slots() == 4
    for i in range(1, 6):
        person = desk.add("LumosXSubject", 0, -500 * i)
        desk.connect(person, 0, scene, f"subject_{i}")
    assert slots() == 6
    desk.page.evaluate("id => app.graph.getNodeById(id).disconnectInput('subject_5')", scene)
    assert slots() == 6


def test_a_person_dragged_into_the_empty_canvas_offers_a_scene(desk):
    person = desk.add("LumosXSubject", 0, 0)
    desk.look_at(person, 0.8)
    page = desk.page
    x, y = page.evaluate(
        """id => {
            const node = app.graph.getNodeById(id), { ds, canvas } = app.canvas, box = canvas.getBoundingClientRect()
            const dot = document.querySelector(`[data-node-id="${id}"] .lg-slot--output [data-slot-key]`)
            if (dot) { const at = dot.getBoundingClientRect(); return [at.x + at.width / 2, at.y + at.height / 2] }
            const [px, py] = node.getOutputPos(0)
            return [box.left + (px + ds.offset[0]) * ds.scale, box.top + (py + ds.offset[1]) * ds.scale]
        }""",
        person,
    )
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(1450, 600, steps=10)
    page.mouse.up()
    offered = page.locator(".litecontextmenu, .comfy-vue-node-search-container, [role=dialog]").first
    offered.wait_for()
    desk.settle()
    desk.screenshot("a person in the empty canvas")
    assert "LumosXScene\n" in offered.inner_text() + "\n"
