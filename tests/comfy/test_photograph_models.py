"""The networks that read photographs as guests of ComfyUI: loaded once, moved away when room is needed, and missed by
nobody but the node that needs them."""

from pathlib import Path

import pytest

for package in ("insightface", "segment_anything", "transformers", "scipy"):
    pytest.importorskip(package, reason=f"{package} is not installed")

from tiny_language_model import write_tiny_model  # noqa: E402
from tiny_networks import write_face_detector, write_grounding_dino, write_sam, write_sam2  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def models(comfyui_reads_photographs, tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    (models / "insightface").mkdir()
    (models / "sams").mkdir()
    write_face_detector(models / "insightface" / "det_tiny.onnx")
    write_grounding_dino(models / "grounding-dino" / "one")
    write_grounding_dino(models / "grounding-dino" / "two")
    write_sam(models / "sams" / "sam_vit_test.pth")
    write_sam2(models / "sams" / "sam2")
    write_tiny_model(models / "LLM" / "qwen")
    return models


SETUP = """
import folder_paths
folder_paths.models_dir = arguments["models"]
held = sys.modules["pack.nodes.bridges.photo_models_bridge"]
import comfy.model_management as memory
image = torch.rand(1, 90, 120, 3, generator=torch.Generator().manual_seed(0))
segment = sys.modules["pack.nodes.segment"].LumosXSegment

def cut(box_model="one", mask_model="sam_vit_test.pth", phrases="lamp"):
    return segment.execute(image, phrases, box_model, mask_model, 0.01, "all", "", 0.05, 1.0)

def message(call):
    try:
        call()
    except Exception as error:
        return str(error)
"""


def test_a_model_is_loaded_once_and_held_by_comfyuis_memory_management(run_in_comfyui, models):
    result = run_in_comfyui(
        SETUP
        + """
loads = []
dino = sys.modules["pack.lumosx_core.auto_scene.networks.grounding_dino"].GroundingDino
load = dino.load.__func__
dino.load = classmethod(lambda cls, *rest, **more: loads.append(rest[0].name) or load(cls, *rest, **more))
first = cut()[1]
result = {"managed": sorted(type(each.model.network).__name__ for each in memory.loaded_models())}
memory.unload_all_models()
result["unloaded"] = len(memory.loaded_models())
result["same"] = torch.equal(first, cut()[1])
result["loads"] = list(loads)
cut("two")
result["exchanged"] = list(loads)
result["one of each kind"] = sorted(held._held)
""",
        models=str(models),
    )
    assert result["managed"] == ["GroundingDinoForObjectDetection", "Sam"]
    assert result["unloaded"] == 0 and result["same"]
    assert result["loads"] == ["one"] and result["exchanged"] == ["one", "two"]
    assert result["one of each kind"] == ["masks", "phrases"]


def test_thresholds_hold_for_a_model_that_is_already_loaded(run_in_comfyui, models):
    result = run_in_comfyui(
        SETUP
        + """
wide = cut()[1]
sam = "sam_vit_test.pth"
low = [len(segment.execute(image, "lamp", "one", sam, t, "all", "", 0.05, 1.0)[2][0]) for t in (0.01, 0.8)]
narrow = segment.execute(image, "lamp", "one", "sam_vit_test.pth", 0.01, "all", "", 0.5, 1.0)[1]
result = {"boxes": low, "area": [float(wide.sum()), float(narrow.sum())]}
""",
        models=str(models),
    )
    assert result["boxes"][0] > result["boxes"][1] > 0
    assert result["area"][0] > result["area"][1] > 0


def test_interrupt_stops_between_networks(run_in_comfyui, models):
    result = run_in_comfyui(
        SETUP
        + """
memory.interrupt_current_processing()
try:
    cut()
    result = "went on"
except memory.InterruptProcessingException:
    result = "stopped"
""",
        models=str(models),
    )
    assert result == "stopped"


@pytest.mark.parametrize(
    ("package", "fails", "works"),
    [
        ("insightface", "faces", "segment"),
        ("segment_anything", "segment", "faces"),
        ("transformers", "segment", "faces"),
    ],
)
def test_without_a_package_only_the_node_that_needs_it_explains_itself(run_in_comfyui, models, package, fails, works):
    result = run_in_comfyui(
        """
# ComfyUI itself needs transformers: what is missing is missing for this pack.
import builtins
imported = builtins.__import__
def without(name, globals=None, locals=None, fromlist=(), level=0):
    ours = (globals or {}).get("__name__", "").startswith("pack.")
    if ours and level == 0 and name.split(".")[0] == arguments["package"]:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name.split(".")[0])
    return imported(name, globals, locals, fromlist, level)
builtins.__import__ = without
"""
        + SETUP
        + """
import asyncio
extension = asyncio.run(pack.comfy_entrypoint())
faces = sys.modules["pack.nodes.faces"].LumosXFaces
given = {"x": 10, "y": 10, "width": 20, "height": 30}
nodes = {
    "faces": lambda: faces.execute(image, "det_tiny.onnx", 0.5, "left to right", ""),
    "segment": cut,
}
result = {
    "nodes": len(asyncio.run(extension.get_node_list())),
    "fails": message(nodes[arguments["fails"]]),
    "works": message(nodes[arguments["works"]]),
    "with boxes": message(lambda: faces.execute(image, "auto", 0.5, "left to right", "", boxes=given)),
    "sam 2": message(lambda: cut(mask_model="sam2")),
    "auto": message(lambda: sys.modules["pack.nodes.auto_scene"].LumosXAutoScene.execute(
        "A man in a red hat.", "man: red hat", "rules", "det_tiny.onnx", "one", "sam_vit_test.pth", "auto", 0.5, 0.99,
        1.0, "fill", "leave out", face_boxes=given, photographs={"photograph_1": image},
    )),
}
""",
        models=str(models),
        package=package,
        fails=fails,
        works=works,
    )
    written = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "nodes").rglob("*.py"))
    assert result["nodes"] == written.count("node_id=")
    assert "python -m pip install" in result["fails"]
    # the random picture shows no face, and that is what is said where the detector runs
    assert result["works"] is None or "No face was found" in result["works"]
    assert result["with boxes"] is None
    if package == "segment_anything":
        assert result["sam 2"] is None
    if package == "insightface":
        assert result["auto"] is None  # boxes of faces are given
    else:
        assert "python -m pip install" in result["auto"]


def test_a_language_model_that_talks_nonsense_is_told(run_in_comfyui, models):
    result = run_in_comfyui(
        SETUP
        + """
sys.modules["pack.lumosx_core.auto_scene.plan.language_model"].NEW_TOKENS = 8
auto = sys.modules["pack.nodes.auto_scene"].LumosXAutoScene
result = message(lambda: auto.execute(
    "A man in a red hat.", "", "language model", "det_tiny.onnx", "one", "sam_vit_test.pth", "qwen", 0.5, 0.3, 1.0,
    "none", "leave out", photographs={"photograph_1": image},
))
""",
        models=str(models),
    )
    assert "plan" in result and "rules" in result
