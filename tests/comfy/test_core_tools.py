"""ComfyUI's own SAM3 and MediaPipe face detection in the place of networks that need packages.

The networks are replaced by some that see painted colours; all around them, from the text encoder's tokens to the
refined masks, is ComfyUI's own. So this checks where things are, and not how well the released weights find them.
"""

import pytest

has_tools = pytest.mark.host(since="0.23.0")


SETUP = """
import types
import numpy as np
import comfy.sd, comfy.model_base, comfy.model_patcher, comfy.supported_models
import comfy.text_encoders.sam3_clip as words
from comfy_extras import nodes_mediapipe
bridge = sys.modules["pack.nodes.bridges.core_tools_bridge"]
node = sys.modules["pack.nodes.core_tools"].LumosXCoreTools
auto = sys.modules["pack.nodes.auto_scene"].LumosXAutoScene
torch.manual_seed(0)

words.SAM3_CLIP_CONFIG.update(num_hidden_layers=1, intermediate_size=64)
target = comfy.supported_models.SAM3({}).clip_target()
target.params = {}
clip = comfy.sd.CLIP(target, parameters=0)

def patched(model):
    return comfy.model_patcher.ModelPatcher(model, torch.device("cpu"), torch.device("cpu"))

# A man left, a woman right, each with a face and a garment: what is where in a photo of 300 x 200.
THINGS = {
    "man": (20, 20, 120, 190), "woman": (180, 30, 280, 195), "person": None,
    "denim jacket": (30, 90, 110, 150), "red dress": (190, 100, 270, 180), "lamp": (135, 5, 160, 45),
}
PAINT = {
    "man": (0.2, 0.4, 0.2), "woman": (0.4, 0.2, 0.4),
    "denim jacket": (0.1, 0.2, 0.8), "red dress": (0.9, 0.1, 0.1), "lamp": (1.0, 1.0, 0.2),
}
FACES = [(55, 30, 85, 70), (215, 40, 245, 80)]
photo = torch.full((1, 200, 300, 3), 0.6)
for name, colour in PAINT.items():
    x1, y1, x2, y2 = THINGS[name]
    photo[0, y1:y2, x1:x2] = torch.tensor(colour)

asked = []
tokenize = clip.tokenize
clip.tokenize = lambda text, **more: asked.append(text) or tokenize(text, **more)

class Sees(torch.nn.Module):
    # Finds a painted colour in the 1008 x 1008 pixels it is given, as SAM3 answers: scores and masks as logits.
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, images, text_embeddings, text_mask, boxes, threshold, orig_size):
        name = asked[-1].rpartition(":")[0]
        names = [name] if name != "person" else ["man", "woman"]
        masks = [m for m in map(lambda n: self.painted(images, n), names) if m.any()]
        boxes = [[float(v) for v in (c.min(), r.min(), c.max() + 1, r.max() + 1)]
                 for r, c in (m.nonzero(as_tuple=True) for m in masks)]
        height, width = orig_size
        boxes = torch.tensor(boxes).reshape(1, -1, 4) / 1008 * torch.tensor([width, height, width, height])
        logits = torch.stack(masks)[None].float() * 20 - 10 if masks else torch.zeros(1, 0, 1008, 1008)
        logits = torch.nn.functional.interpolate(logits, size=orig_size, mode="bilinear") if masks else logits
        return {"boxes": boxes, "scores": torch.full((1, len(masks)), 3.0), "masks": logits}

    def painted(self, images, name):
        return (images[0] - torch.tensor(PAINT[name])[:, None, None]).abs().amax(0) < 0.05

    def forward_segment(self, images, box_inputs=None, mask_inputs=None, **more):
        if mask_inputs is not None:
            return mask_inputs
        [[(x1, y1), (x2, y2)]] = box_inputs.tolist()
        logits = torch.full((1, 1, 1008, 1008), -10.0)
        logits[..., round(y1):round(y2), round(x1):round(x2)] = 10.0
        return logits

class Fake(comfy.model_base.SAM3):
    def __init__(self):
        torch.nn.Module.__init__(self)
        self.diffusion_model = Sees()
        self.device = torch.device("cpu")
    def get_dtype(self):
        return torch.float32

def faces_of(images, num_faces, score_thresh, variant):
    found = []
    for x1, y1, x2, y2 in FACES if variant == "full" else FACES[:1]:
        points = np.random.default_rng(0).uniform((x1, y1), (x2, y2), (478, 2)).astype(np.float32)
        for index, point in {468: (x1 + 8, y1 + 15), 473: (x2 - 8, y1 + 15), 1: ((x1 + x2) / 2, y1 + 24),
                             61: (x1 + 9, y2 - 8), 291: (x2 - 9, y2 - 8)}.items():
            points[index] = point
        found.append({"bbox_xyxy": np.array([x1, y1, x2, y2], np.float32), "landmarks_xy": points, "score": 0.9,
                      "landmarks_3d": np.zeros((478, 3), np.float32), "presence": 1.0, "blendshapes": {}})
    return [found]

nodes_mediapipe.transformation_matrix_from_detection = lambda *a: None
face_model = types.SimpleNamespace(canonical_data={}, connection_sets={}, detect_batch=faces_of)

def message(call):
    try:
        call()
    except Exception as error:
        return str(error)
"""

PROMPT = "A man in a denim jacket and a woman in a red dress by a lamp."
PLAN = "man: denim jacket | woman: red dress || lamp"


@has_tools
def test_auto_scene_with_sam3_and_mediapipe_finds_everybody_and_needs_no_package(run_in_comfyui):
    result = run_in_comfyui(
        SETUP
        + """
for package in ("insightface", "segment_anything", "transformers", "onnxruntime"):
    for name in [m for m in sys.modules if m.split(".")[0] == package and package != "transformers"]:
        del sys.modules[name]
held = sys.modules["pack.nodes.bridges.photo_models_bridge"]
held._path = None  # no model of our own may be looked for
[tools] = node.execute(patched(Fake()), clip, face_model).args
made = auto.execute(
    arguments["prompt"], arguments["plan"], "rules", "auto", "auto", "auto", "auto", 0.5, 0.5, 0.0, "inpaint", "error",
    photographs={"photograph_1": photo}, core_tools=tools)
scene, removed = made.args[0], made.args[5]
def middle(image):
    return image[image.shape[0] // 2, image.shape[1] // 2].tolist()
def cut(reference):
    return reference.phrase, list(reference.image.shape[:2]), middle(reference.image)
result = {
    "people": [[s.face.phrase, *map(cut, s.attributes)] for s in scene.subjects],
    "objects": [cut(o) for o in scene.objects],
    "asked": sorted(set(asked)),
    "removed": [float(removed[0, y, x]) for x, y in ((70, 100), (230, 100), (148, 20), (5, 5), (150, 100))],
    "faces": [[f.box.left, f.box.top, f.box.right, f.box.bottom, f.landmarks]
              for f in bridge.MediaPipeFaces(face_model, 0.5).find(photo[0])],
}
""",
        prompt=PROMPT,
        plan=PLAN,
    )
    man, woman = result["people"]
    assert man[0] == "man" and woman[0] == "woman"
    (phrase, size, colour), (dress, dress_size, red) = man[1], woman[1]
    assert phrase == "denim jacket" and colour == pytest.approx([0.1, 0.2, 0.8], abs=0.01)
    assert dress == "red dress" and red == pytest.approx([0.9, 0.1, 0.1], abs=0.01)
    assert size == pytest.approx([60, 80], abs=3) and dress_size == pytest.approx([80, 80], abs=3)
    [(lamp, lamp_size, yellow)] = result["objects"]
    assert lamp == "lamp" and yellow == pytest.approx([1, 1, 0.2], abs=0.01)
    assert lamp_size == pytest.approx([40, 25], abs=3)
    assert result["removed"] == [1, 1, 1, 0, 0]
    assert [face[:4] for face in result["faces"]] == [[55, 30, 85, 70], [215, 40, 245, 80]]
    assert result["faces"][0][4] == [[63, 45], [77, 45], [70, 54], [64, 62], [76, 62]]
    assert all(text.endswith(":20") for text in result["asked"])


@pytest.mark.host(before="0.23.0")
def test_an_older_comfyui_says_which_version_has_the_tools(run_in_comfyui):
    said = run_in_comfyui(
        """
try:
    sys.modules["pack.nodes.core_tools"].LumosXCoreTools.execute(object(), object(), None)
except Exception as error:
    result = str(error)
"""
    )
    assert "came with ComfyUI 0.23.0, but this is 0.8.0. Update ComfyUI" in said


@has_tools
def test_models_of_other_networks_are_refused_by_name(run_in_comfyui):
    said = run_in_comfyui(
        SETUP
        + """
other = patched(torch.nn.Linear(1, 1))
t5 = types.SimpleNamespace(cond_stage_model=torch.nn.Linear(1, 1))
result = [message(lambda: node.execute(*given)) for given in
          [(other, clip), (patched(Fake()), t5), (patched(Fake()), None), (None, clip), ()]]
"""
    )
    assert "sam3_model is a Linear model, expected SAM3." in said[0]
    assert "sam3_clip is Linear, expected the text encoder of SAM3." in said[1]
    assert "sam3_clip is not connected." in said[2] and "sam3_model is not connected." in said[3]
    assert "has no model" in said[4]


@has_tools
def test_commas_brackets_and_colons_of_a_phrase_do_not_become_several_things(run_in_comfyui):
    result = run_in_comfyui(
        SETUP
        + """
result = [words._parse_prompts(bridge.sam3_prompt(p)) for p in ("cozy, warmly lit room", "shirt (white)", "size: 3")]
"""
    )
    assert result == [[["cozy warmly lit room", 20]], [["shirt white", 20]], [["size 3", 20]]]
