"""The example workflows fit the nodes they are made of: ids, inputs, links, values in their order, files, layout."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from comfy_server import Failure
from PIL import Image
from recorded_prompts import NEEDS_HOST, PROMPTS, recorded_from, recorded_prompt, template_params

FOLDER = Path(__file__).resolve().parents[2] / "example_workflows"
WORKFLOWS = sorted(FOLDER.glob("*.json"))
NOTES = {"Note", "MarkdownNote"}  # of the page alone
NEWER_NODES = {  # of templates, their titles
    "Scene for Bernini-R": {"BerniniConditioning": "Bernini Conditioning"},
    "Scene for LTX Ingredients": {"GetICLoRAParameters": "Get IC-LoRA Parameters"},
    "Scene for MiniMax H3": {"MiniMaxH3ReferenceToVideo": "MiniMax H3 Reference to Video"},
    "With ComfyUI SAM3 and face detection": {
        "LoadMediaPipeFaceLandmarker": "Load Face Detection Model (MediaPipe)",
        "LoadBackgroundRemovalModel": "Load Background Removal Model",
        "RemoveBackground": "Remove Background",
    },
}
BYPASSED = 4
TITLE = 30  # pixels above a node

RELEASED = {"lumosx_bf16.safetensors", "umt5_xxl_fp8_e4m3fn_scaled.safetensors", "wan_2.1_vae.safetensors"}
FEW_STEPS = "Wan21_CausVid_bidirect2_T2V_1_3B_lora_rank32.safetensors"
CORE_TOOLS = {
    "sam3.1_multiplex_fp16.safetensors",
    "mediapipe_face_fp32.safetensors",
    "birefnet.safetensors",
}
WAN = {"umt5_xxl_fp8_e4m3fn_scaled.safetensors", "wan_2.1_vae.safetensors"}
H3 = {
    *("minimax_h3_ref2va_pruned_int8_convrot.safetensors", "qwen3vl_32b_minimax_h3_nvfp4_awq.safetensors"),
    *("minimax_h3_video_vae_fp16.safetensors", "minimax_h3_audio_vae_fp32.safetensors"),
}
LTX = {
    *("ltx-2.3-22b-distilled-fp8.safetensors", "gemma_3_12B_it_fp4_mixed.safetensors"),
    "ltx-2.3-22b-ic-lora-ingredients-0.9.safetensors",
}
BERNINI = {
    *("wan2.2_bernini_r_high_noise_fp8_scaled.safetensors", "wan2.2_bernini_r_low_noise_fp8_scaled.safetensors"),
    *WAN,
}
INGREDIENTS = {
    *("ingredients_bf16.safetensors", "t5xxl_fp16.safetensors", "cogvideox_vae.safetensors"),
    "ingredients_face_encoder/",
}
# What a workflow needs and the pack does not bring, by the workflow's name.
BRINGS = {
    "1 Try it (tiny model, no GPU)": set(),
    "Batch of seeds": RELEASED,
    "Best of several seeds": RELEASED,
    "Clean background by inpainting": RELEASED | {"photograph.jpg", "512-inpainting-ema.safetensors"},
    "Face only": RELEASED,
    "Fine control (strength, timing, dual guidance)": set(),
    "From one photograph (auto scene)": set(),
    "Ingredients (CogVideoX), two people": INGREDIENTS,
    "Ingredients (CogVideoX), tiny model": set(),
    "LoRA and few-step LoRA": RELEASED | {FEW_STEPS},
    "Long video (context windows)": RELEASED,
    "Low memory (GGUF, fp8)": RELEASED,
    "One person, own outfit": RELEASED,
    "Phantom, two people": RELEASED - {"lumosx_bf16.safetensors"} | {"Phantom-Wan-1_3B_fp16.safetensors"},
    "Scene for Bernini-R": BERNINI,
    "Scene for LTX Ingredients": LTX,
    "Scene for MiniMax H3": H3,
    "Scene for Phantom": WAN | {"Phantom-Wan-1_3B_fp16.safetensors"},
    "Scene for VACE": WAN | {"wan2.1_vace_1.3B_fp16.safetensors"},
    "Three people, objects, background": set(),
    "Two people, own outfits": RELEASED,
    "Who looks at what (attention map)": set(),
    "With ComfyUI SAM3 and face detection": RELEASED | CORE_TOOLS | {"photograph.jpg"},
    "With core segmentation nodes": RELEASED | {"photograph.png"},
}


def api_prompt(workflow: dict, known: dict) -> dict:
    """The workflow as the page sends it to the server."""
    sources = {link[0]: (link[1], link[2]) for link in workflow["links"]}
    nodes = {node["id"]: node for node in workflow["nodes"]}

    def source(link: int) -> list:
        node, slot = sources[link]
        while nodes[node]["mode"] == BYPASSED:  # what comes in is what goes out
            kind = nodes[node]["outputs"][slot]["type"]
            node, slot = sources[next(each["link"] for each in nodes[node]["inputs"] if each["type"] == kind)]
        return [str(node), slot]

    prompt = {}
    for node in workflow["nodes"]:
        if node["type"] in NOTES or node["mode"] == BYPASSED:
            continue
        values = iter(node.get("widgets_values", []))
        inputs = {}
        for slot in node["inputs"]:
            if slot["type"] == "IMAGEUPLOAD":  # a button
                next(values)
                continue
            if "widget" in slot:
                inputs[slot["name"]] = next(values)
                if slot["name"] in ("seed", "noise_seed"):
                    next(values)  # control_after_generate
            if slot["link"] is not None:
                inputs[slot["name"]] = source(slot["link"])
        assert list(values) == [], f"{node['type']} has more values than inputs"
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return prompt


def spec(node: dict, name: str) -> list:
    inputs = {**node["input"].get("required", {}), **node["input"].get("optional", {})}
    if name in inputs:
        return inputs[name]
    template = inputs[name.partition(".")[0]][1]["template"]["input"]  # a slot of a growing list
    [kind] = (template.get("required") or template["optional"]).values()
    return kind


def used_notes(name: str) -> list[dict]:
    return [node for node in read(FOLDER / f"{name}.json")["nodes"] if node["type"] in NOTES]


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(params=template_params([path.stem for path in WORKFLOWS]))
def path(request) -> Path:
    return FOLDER / f"{request.param}.json"


@pytest.fixture
def workflow(path) -> dict:
    return read(path)


def test_every_workflow_says_here_what_it_needs_and_has_its_thumbnail_and_its_prompt():
    names = {path.stem for path in WORKFLOWS}
    assert names == set(BRINGS)
    assert names == {path.stem for path in FOLDER.glob("*.jpg")}
    assert all(recorded_from(name).exists() for name in names)
    assert {path.stem for path in PROMPTS.rglob("*.json")} == names


def test_its_name_is_a_file_name_on_every_system(path):
    assert not set(path.stem) & set('<>:"/\\|?*%#') and path.stem == path.stem.strip(". ")
    assert path.stem.isascii()


def test_its_thumbnail_is_a_small_square_image(path):
    picture = path.with_suffix(".jpg")
    assert picture.stat().st_size < 80_000
    with Image.open(picture) as image:
        assert image.format == "JPEG" and 400 <= image.width <= 800 and image.height == image.width


def test_every_link_joins_an_output_to_an_input_of_its_type(server, workflow):
    known = server.get("/object_info")
    nodes = {node["id"]: node for node in workflow["nodes"]}
    for number, source, output, target, place, kind in workflow["links"]:
        slot = nodes[target]["inputs"][place]
        assert slot["link"] == number and number in nodes[source]["outputs"][output]["links"]
        assert known[nodes[source]["type"]]["output"][output] == kind
        expected = spec(known[nodes[target]["type"]], slot["name"])[0]
        assert expected in (kind, "*"), f"{nodes[target]['type']}.{slot['name']} takes {expected}"


def test_the_page_sends_what_was_recorded_from_it(server, path, workflow):
    """A recorded prompt was taken from the real page, tests/browser/test_templates.py compares it again."""
    recorded = read(recorded_from(path.stem))
    for node in recorded.values():
        del node["_meta"]  # titles
        if node["class_type"] == "PreviewAny":  # where the page shows the text
            node["inputs"] = {"source": node["inputs"]["source"]}
    assert api_prompt(workflow, server.get("/object_info")) == recorded


def test_the_server_misses_only_the_files_that_the_user_brings(server, path):
    """Those that need none run in test_examples_run.py."""
    prompt = recorded_prompt(path.stem, server.version)
    assert {node["class_type"] for node in prompt.values()} <= set(server.get("/object_info"))
    if not BRINGS[path.stem]:
        return
    try:
        errors = server.post("/prompt", {"prompt": prompt})["node_errors"]  # of a part; the preview runs all the same
    except Failure as refused:
        errors = json.loads(refused.message)["node_errors"]
    missing = {
        prompt[node]["inputs"][error["extra_info"]["input_name"]]
        for node, found in errors.items()
        for error in found["errors"]
    }
    assert missing == BRINGS[path.stem], errors


@pytest.mark.parametrize("name", list(NEEDS_HOST))
@pytest.mark.host(before="0.23.0")
def test_the_note_names_each_node_that_an_older_host_lacks_and_the_version_to_update_to(server, name):
    used = {node["type"]: node for node in read(FOLDER / f"{name}.json")["nodes"]}
    lacking = set(used) - set(server.get("/object_info")) - NOTES
    assert lacking == set(NEWER_NODES[name])
    [text] = [n["widgets_values"][0] for n in used_notes(name) if n["title"] == "What it needs"]
    assert f"ComfyUI {NEEDS_HOST[name]} or newer" in text
    assert all(f"*{title}*" in text for title in NEWER_NODES[name].values())


@pytest.mark.parametrize("name", list(NEEDS_HOST))
@pytest.mark.host(since="0.33.0")
def test_nodes_that_older_hosts_lack_have_the_titles_that_the_note_says(server, name):
    known = server.get("/object_info")
    assert {node: known[node]["display_name"] for node in NEWER_NODES[name]} == NEWER_NODES[name]


def test_models_that_the_page_offers_are_those_that_are_chosen(workflow):
    offered = set()
    for node in workflow["nodes"]:
        for model in node["properties"].get("models", []):
            assert model["name"] in node["widgets_values"] and model["url"].endswith(f"/{model['name']}")
            assert model["url"].startswith("https://huggingface.co/") and model["directory"]
            offered.add(model["name"])
    values = {str(value) for node in workflow["nodes"] for value in node.get("widgets_values", [])}
    files = {value for value in values if value.endswith(".safetensors") and not value.startswith("lumosx-tiny")}
    # The hub has no safetensors of LumosX, and of Ingredients none that a loader lists; the last one is the user's own.
    ours = {"lumosx_bf16.safetensors", "ingredients_bf16.safetensors", "cogvideox_vae.safetensors"}
    assert files - ours - {"my_lora.safetensors"} == offered


def test_it_begins_with_a_note_of_what_it_does_and_what_it_needs(path, workflow):
    notes = [node for node in workflow["nodes"] if node["type"] == "MarkdownNote"]
    above = [note for note in notes if note["pos"][1] < min(group["bounding"][1] for group in workflow["groups"])]
    assert above and above[0]["title"] == path.stem
    text = "\n".join(note["widgets_values"][0] for note in above)
    assert "**Change first**" in text and "## What it needs" in text
    for name in BRINGS[path.stem]:
        assert f"`{name}`" in text or (name.startswith("photograph") and "our own photo" in text), name


def test_it_fits_one_screen_at_a_zoom_at_which_text_is_shown(workflow):
    """Later front ends fit a template into three quarters of the window; no text is drawn below a zoom of 8/14."""
    boxes = [(*node["pos"], *node["size"]) for node in workflow["nodes"] if not node["flags"].get("collapsed")]
    left, top = min(box[0] for box in boxes), min(box[1] for box in boxes) - TITLE
    width = max(box[0] + box[2] for box in boxes) - left
    height = max(box[1] + box[3] for box in boxes) - top
    assert width <= 2300
    for window in ((1600, 1000), (1920, 950)):
        assert min(0.75 * window[0] / width, 0.75 * window[1] / height) >= 8 / 14, window
    # Earlier pages open it where the file says.
    scale, (x, y) = workflow["extra"]["ds"]["scale"], workflow["extra"]["ds"]["offset"]
    assert scale >= 0.5
    assert (left + x) * scale >= 60 and (left + width + x) * scale <= 1600
    assert (top + y) * scale >= 40 and (top + height + y) * scale <= 1000


def test_no_node_lies_on_another_and_each_is_inside_one_group(workflow):
    boxes = {}
    for node in workflow["nodes"]:
        (x, y), (width, height) = node["pos"], node["size"]
        height = 0 if node["flags"].get("collapsed") else height
        boxes[node["id"], node["type"]] = (x, y - TITLE, x + width, y + height)
    for (first, a), (second, b) in itertools.combinations(boxes.items(), 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], (first, second)
    groups = [(x, y, x + width, y + height) for x, y, width, height in (g["bounding"] for g in workflow["groups"])]
    for node, box in boxes.items():
        around = [
            group
            for group in groups
            if group[0] <= box[0] and group[1] <= box[1] and box[2] <= group[2] and box[3] <= group[3]
        ]
        assert len(around) == (0 if node[1] in NOTES and box[3] <= min(group[1] for group in groups) else 1), node
