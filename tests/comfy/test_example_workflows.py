"""The example workflows fit the nodes they are made of: ids, inputs, links, and values in their order."""

import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "example_workflows"
WORKFLOWS = sorted(FOLDER.glob("*.json"))
NOTES = {"Note", "MarkdownNote"}  # of the page alone
TYPED = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
FILES = {"image", "ckpt_name"}  # what the user brings: a photograph, the weights of an inpainting model


def api_prompt(workflow: dict, known: dict) -> dict:
    """The workflow as the page sends it to the server."""
    sources = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    prompt = {}
    for node in workflow["nodes"]:
        if node["type"] in NOTES:
            continue
        values = iter(node["widgets_values"])
        inputs = {}
        for slot in node["inputs"]:
            if "widget" in slot:
                inputs[slot["name"]] = next(values)
                options = spec(known[node["type"]], slot["name"])[1:]
                if slot["name"] in ("seed", "noise_seed") or options and options[0].get("image_upload"):
                    next(values)  # what the page keeps beside the value
            if slot["link"] is not None:
                inputs[slot["name"]] = sources[slot["link"]]
        assert list(values) == [], f"{node['type']} has more values than inputs"
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return prompt


def spec(node: dict, name: str) -> list:
    inputs = {**node["input"].get("required", {}), **node["input"].get("optional", {})}
    if name in inputs:
        return inputs[name]
    template = inputs[name.partition(".")[0]][1]["template"]  # a slot of a growing list
    [kind] = template["input"]["optional"].values()
    return kind


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.stem)
def workflow(request):
    return json.loads(request.param.read_text(encoding="utf-8"))


def test_there_are_examples():
    assert WORKFLOWS


def test_every_link_joins_an_output_to_an_input_of_its_type(server, workflow):
    known = server.get("/object_info")
    nodes = {node["id"]: node for node in workflow["nodes"]}
    for number, source, output, target, place, kind in workflow["links"]:
        slot = nodes[target]["inputs"][place]
        assert slot["link"] == number and number in nodes[source]["outputs"][output]["links"]
        assert known[nodes[source]["type"]]["output"][output] == kind
        expected = spec(known[nodes[target]["type"]], slot["name"])[0]
        assert expected == kind, f"{nodes[target]['type']}.{slot['name']} takes {expected}"


def test_the_server_takes_it_but_for_the_files_that_the_user_brings(server, workflow):
    known = server.get("/object_info")
    assert {node["type"] for node in workflow["nodes"]} - NOTES <= set(known)
    with pytest.raises(Exception) as refused:
        server.queue(api_prompt(workflow, known))
    errors = json.loads(refused.value.message)["node_errors"]
    names = {error["extra_info"]["input_name"] for node in errors.values() for error in node["errors"]}
    assert names == FILES, errors


def test_models_that_the_page_offers_are_those_that_are_chosen(workflow):
    for node in workflow["nodes"]:
        for model in node["properties"].get("models", []):
            assert model["name"] in node["widgets_values"] and model["url"].endswith(model["name"])
            assert model["url"].startswith("https://huggingface.co/") and model["directory"]
