"""The texts of the nodes in locales/: the English ones are the schemas' own, and every one has a Chinese counterpart;
and what the node help in web/docs says of the inputs' values.

After a change of a text: LUMOSX_RECORD_LOCALES=1 python -m pytest tests/comfy/test_locales.py re-creates the English
files; the Chinese ones are translated by hand.
"""

from __future__ import annotations

import json
import os
import re

import pytest
from comfy_server import ROOT, running
from node_schemas import OURS

LOCALES = ROOT / "locales"
RECORDING = "LUMOSX_RECORD_LOCALES=1 python -m pytest tests/comfy/test_locales.py"
SAME_IN_CHINESE = {"CLIP", "VAE", "R2PE", "CSAM", "MCAM", "Ingredients (CogVideoX)"}


@pytest.fixture(scope="module")
def schemas(comfyui, tmp_path_factory) -> dict[str, dict]:
    """The pack's nodes as a real ComfyUI sends them to its page; re-creates the English files if asked to."""
    with running(comfyui, tmp_path_factory.mktemp("comfyui")) as server:
        info = server.get("/object_info")
    found = {name: node for name, node in info.items() if name.startswith(OURS)}
    if os.environ.get("LUMOSX_RECORD_LOCALES") == "1":
        for file, content in (("nodeDefs", texts_of(found)), ("main", {"nodeCategories": categories_of(found)})):
            text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
            (LOCALES / "en" / f"{file}.json").write_text(text, encoding="utf-8")
    return found


def texts_of(schemas: dict[str, dict]) -> dict[str, dict]:
    """The translatable texts of the nodes, in the page's format."""
    return {name: _node(node) for name, node in schemas.items()}


def categories_of(schemas: dict[str, dict]) -> dict[str, str]:
    """The parts of the menu that are words, not the name of the pack."""
    parts = {part for node in schemas.values() for part in node["category"].split("/")} - {"LumosX"}
    return {part: part for part in sorted(parts)}


def _node(node: dict) -> dict:
    inputs = {}
    for kind in ("required", "optional"):
        for name in node["input_order"].get(kind, ()):
            inputs |= _input(name, *node["input"][kind][name])
    outputs = {}
    for number, kind in enumerate(node["output"]):
        name, tooltip = node["output_name"][number], node["output_tooltips"][number]
        # The page has a word of its own for an output that is called by its type.
        outputs[str(number)] = ({} if name == kind else {"name": _escaped(name)}) | {"tooltip": _escaped(tooltip)}
    texts = {"display_name": node["display_name"], "description": _escaped(node["description"])}
    return texts | ({"inputs": inputs} if inputs else {}) | {"outputs": outputs}


def _input(name: str, kind: str | list, options: dict) -> dict[str, dict]:
    """An input's texts by its key; those of all slots of a growing list, which are inputs of the page, too."""
    tooltip = _escaped(options.get("tooltip"))
    slots = options["template"]["names"] if kind == "COMFY_AUTOGROW_V3" else []
    names = {name: name} | {f"{name}_{slot}": slot for slot in slots}  # the page's keys have _ for the dot of an input
    return {key: {"name": shown, "tooltip": tooltip} for key, shown in names.items()}


def _escaped(text: str | None) -> str:
    """The page reads { } @ | in these texts as marks of its own, unless each is quoted."""
    return re.sub(r"[{}@|]", lambda mark: f"{{'{mark[0]}'}}", text or "")


def flat(texts: dict, path: str = "") -> dict[str, str]:
    """{"LumosXSubject.inputs.face.name": ...}"""
    found = {}
    for key, value in texts.items():
        at = f"{path}.{key}" if path else key
        found |= flat(value, at) if isinstance(value, dict) else {at: value}
    return found


def read(language: str, file: str) -> dict[str, str]:
    return flat(json.loads((LOCALES / language / f"{file}.json").read_text(encoding="utf-8")))


def test_every_node_input_and_output_has_a_text_of_its_own(schemas):
    without = [key for key, text in flat(texts_of(schemas)).items() if not text.strip()]
    assert not without, "Give these a tooltip or a description in nodes/: " + ", ".join(without)


def test_the_english_texts_are_those_of_the_nodes(schemas):
    expected = flat(texts_of(schemas)) | flat({"nodeCategories": categories_of(schemas)})
    found = read("en", "nodeDefs") | read("en", "main")
    differing = sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key))
    assert not differing, (
        f"Record the English texts, {RECORDING}, and translate in locales/zh what changed: {', '.join(differing)}"
    )


@pytest.mark.parametrize("file", ["nodeDefs", "main"])
def test_chinese_has_the_same_texts_as_english(file):
    assert read("zh", file).keys() == read("en", file).keys()


@pytest.mark.parametrize("file", ["nodeDefs", "main"])
def test_every_chinese_text_is_chinese(file):
    strange = {
        key: text
        for key, text in read("zh", file).items()
        if not re.search(r"[\u4e00-\u9fff]", text) and text not in SAME_IN_CHINESE
    }
    assert not strange


def test_chinese_tooltips_say_the_numbers_of_the_english_ones():
    """A translation most easily misses these when a text changes."""
    english, chinese = read("en", "nodeDefs"), read("zh", "nodeDefs")
    numbers = re.compile(r"\d+(?:\.\d+)?")
    differing = {
        key: (text, chinese[key])
        for key, text in english.items()
        if key.endswith(("tooltip", "description")) and set(numbers.findall(text)) != set(numbers.findall(chinese[key]))
    }
    assert not differing


def test_chinese_texts_call_the_nodes_by_their_chinese_names():
    english, chinese = read("en", "nodeDefs"), read("zh", "nodeDefs")
    # Texts leave out what the title explains in brackets: LumosX Scene, not LumosX Scene (people together).
    titles = [key for key in english if key.endswith("display_name")]
    names = {re.sub(r" \([^()]*\)$", "", english[key]): re.sub(r"（[^（）]*）$", "", chinese[key]) for key in titles}
    # The longest first: Scene To Video, Scene.
    named = re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True))))
    wrong = {
        key: (name, chinese[key])
        for key, text in english.items()
        for name in named.findall(text)
        if names[name] not in chinese[key]
    }
    assert not wrong
    assert not {key: text for key, text in chinese.items() if named.search(text)}


def test_no_chinese_text_has_a_mark_that_the_page_would_read_as_its_own():
    for key, text in read("zh", "nodeDefs").items():
        assert not re.search(r"[{}@|]", re.sub(r"\{'[{}@|]'\}", "", text)), key


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_help_says_the_ranges_and_defaults_of_the_inputs(schemas, language):
    wrong = {}
    for name, node in schemas.items():
        page = (ROOT / "web" / "docs" / name / f"{language}.md").read_text(encoding="utf-8")
        said = {
            each: values
            for names, values in re.findall(r"^\| (`\w+`.*?)<br>(.*?) \|", page, re.MULTILINE)
            for each in re.findall(r"`(\w+)`", names)
        }
        for group in ("required", "optional"):
            for key, (kind, options) in node["input"].get(group, {}).items():
                if kind in ("FLOAT", "INT"):
                    expected = [float(options[each]) for each in ("min", "max", "default")]
                    found = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", said[key])]
                elif kind == "COMBO" and "`" in said[key]:
                    expected = [options.get("default", options["options"][0])]
                    found = re.findall(r"`(.+)`", said[key])
                else:
                    continue
                if found != expected:
                    wrong[f"{name}.{key}"] = (said[key], expected)
    assert not wrong
