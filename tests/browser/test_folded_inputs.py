"""Inputs that few people change are folded away, where the page can; what a workflow changed is never hidden."""

import pytest

FOLDED = {"face_strength", "attribute_1_strength", "strength", "start_percent", "end_percent"}


@pytest.fixture
def desk(shared_desk):
    shared_desk.clear()
    shared_desk.draw_by("Nodes 2.0")
    yield shared_desk
    shared_desk.draw_by("classic")


@pytest.fixture
def folds(desk) -> bool:
    """Whether this front end folds at all: front end 1.35 shows every input."""
    return desk.page.evaluate(
        "() => app.extensionManager.setting.settings['Comfy.Node.AlwaysShowAdvancedWidgets'] !== undefined"
    )


def test_a_new_subject_shows_its_phrases_alone_and_the_rest_on_demand(desk, folds):
    subject = desk.add("LumosXSubject")
    desk.look_at(subject)
    shown = inputs_in_sight(desk, subject)
    assert "face_phrase" in shown
    assert shown.isdisjoint(FOLDED) == folds
    desk.screenshot("folded")
    if folds:
        desk.page.locator(f"[data-node-id='{subject}']").get_by_text("Show advanced inputs").click()
    desk.settle()
    assert inputs_in_sight(desk, subject) >= FOLDED


def test_a_workflow_that_leaves_the_defaults_opens_folded(desk, folds):
    opened = reopened(desk)
    assert inputs_in_sight(desk, opened).isdisjoint(FOLDED) == folds


@pytest.mark.parametrize(("name", "value"), [("strength", 0.5), ("end_percent", 0.6), ("attribute_1_strength", 0)])
def test_a_workflow_that_changed_one_opens_with_all_in_sight(desk, name, value):
    opened = reopened(desk, **{name: value})
    assert inputs_in_sight(desk, opened) >= FOLDED
    assert (
        desk.page.evaluate(
            "([id, name]) => app.graph.getNodeById(id).widgets.find(w => w.name == name).value", [opened, name]
        )
        == value
    )


def test_a_changed_choice_counts_as_well(desk):
    model = desk.add("LumosXLoadModel")
    change(desk, model, weight_dtype="fp8_e4m3fn")
    desk.load(desk.workflow())
    desk.look_at(model)
    assert "weight_dtype" in inputs_in_sight(desk, model)


def test_the_classic_renderer_has_no_button_and_shows_all(desk):
    subject = desk.add("LumosXSubject")
    desk.draw_by("classic")
    desk.look_at(subject)
    drawn = desk.page.evaluate(
        """id => {
            const node = app.graph.getNodeById(id)
            return node.widgets.filter(widget => node.isWidgetVisible(widget)).map(widget => widget.name)
        }""",
        subject,
    )
    assert set(drawn) >= FOLDED


def reopened(desk, **values) -> int:
    """A LumosX Subject with these values, saved and opened again."""
    subject = desk.add("LumosXSubject")
    change(desk, subject, **values)
    saved = desk.workflow()
    for node in saved["nodes"]:
        node.pop("showAdvanced", None)  # as files of earlier versions
    desk.load(saved)
    desk.look_at(subject)
    return subject


def change(desk, node: int, **values) -> None:
    desk.page.evaluate(
        """([id, values]) => {
            for (const widget of app.graph.getNodeById(id).widgets) {
                if (widget.name in values) widget.value = values[widget.name]
            }
        }""",
        [node, values],
    )


def inputs_in_sight(desk, node: int) -> set[str]:
    """The names of a node's widgets in Nodes 2.0."""
    box = desk.page.locator(f"[data-node-id='{node}']")
    box.get_by_text("face_phrase", exact=True).or_(box.get_by_text("model_name", exact=True)).first.wait_for()
    desk.settle()
    return set(box.first.inner_text().split("\n"))
