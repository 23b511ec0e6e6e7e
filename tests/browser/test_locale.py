"""With ComfyUI in Chinese, the nodes of this pack are, too."""

import json

import pytest
from comfy_server import PACK, ROOT

LOCALE = "zh"


@pytest.fixture(scope="module")
def chinese_desk(shared_desk):
    shared_desk.set("LiteGraph.Node.TooltipDelay", 10)
    shared_desk.set_locale(LOCALE)
    yield shared_desk
    shared_desk.set("Comfy.Locale", "en")


@pytest.fixture(scope="module")
def translations():
    return json.loads((ROOT / "locales" / LOCALE / "nodeDefs.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def own_nodes(server):
    known = server.get("/object_info")
    return sorted(name for name, node in known.items() if node["python_module"] == f"custom_nodes.{PACK}")


def test_every_node_has_its_chinese_title_and_names(chinese_desk, translations, own_nodes):
    assert own_nodes
    wrong = {}
    for name in own_nodes:
        chinese_desk.clear()
        node = chinese_desk.add(name)
        shown = chinese_desk.page.evaluate(
            """id => {
                const node = app.graph.getNodeById(id)
                const label = each => each.label ?? each.localized_name ?? each.name
                return {
                    title: node.title,
                    inputs: Object.fromEntries([...node.inputs, ...node.widgets ?? []].map(i => [i.name, label(i)])),
                }
            }""",
            node,
        )
        expected = translations[name]
        if shown["title"] != expected["display_name"]:
            wrong[name] = shown["title"]
        for key, texts in expected.get("inputs", {}).items():
            if "name" in texts and key in shown["inputs"] and shown["inputs"][key] != texts["name"]:
                wrong[f"{name}.{key}"] = shown["inputs"][key]
    assert wrong == {}


def test_every_input_and_output_has_its_chinese_tooltip(chinese_desk, translations, own_nodes):
    wrong = {}
    for name in own_nodes:
        chinese_desk.clear()
        node = chinese_desk.add(name)
        chinese_desk.look_at(node)
        # Text boxes of several lines have a tooltip of the browser.
        inputs, outputs = chinese_desk.page.evaluate(
            """id => {
                const node = app.graph.getNodeById(id), boxes = (node.widgets ?? []).filter(widget => widget.element)
                const plain = input => !boxes.some(box => box.name === input.name)
                return [node.inputs.filter(plain).map(i => i.name), node.outputs.map(output => output.name)]
            }""",
            node,
        )
        expected = translations[name]
        for key, output, texts in [
            *((key, False, expected["inputs"].get(key.replace(".", "_"), {})) for key in inputs),
            *((key, True, expected["outputs"].get(str(place), {})) for place, key in enumerate(outputs)),
        ]:
            found = chinese_desk.tooltip(node, key, output) if "tooltip" in texts else None
            if found != texts.get("tooltip"):
                wrong[f"{name}.{key}"] = found
    assert wrong == {}


def test_the_list_of_missing_phrases_is_in_chinese(chinese_desk):
    chinese_desk.clear()
    picture, subject, video = map(chinese_desk.add, ("LumosXExamplePicture", "LumosXSubject", "LumosXSceneToVideo"))
    chinese_desk.connect(picture, 0, subject, "face")
    chinese_desk.set_widget(subject, "face_phrase", "man")
    chinese_desk.connect(subject, 0, video, "scene")
    chinese_desk.look_at(video)
    missing = chinese_desk.page.locator(".lumosx-missing")
    missing.wait_for()
    assert missing.inner_text().startswith("提示词中没有：")
    chinese_desk.screenshot("chinese")
