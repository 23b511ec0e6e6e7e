"""ComfyUI's own SAM3 network behind our finders, and its own nodes' boxes and masks in ours, really executed."""

import pytest

NETWORK = """
import comfy.model_patcher, comfy.sd, comfy.supported_models
import comfy.text_encoders.sam3_clip as words
from comfy_extras.nodes_sam3 import SAM3_Detect
torch.manual_seed(0)

# SAM3's own classes at a small size, with random weights: it sees nothing that a person would, but it computes.
words.SAM3_CLIP_CONFIG.update(num_hidden_layers=1, intermediate_size=64, hidden_size=64, num_attention_heads=2)
config = comfy.supported_models.SAM3({
    "image_model": "SAM3", "d_model": 64, "num_queries": 3, "embed_dim": 64, "depth": 2, "num_heads": 2,
    "global_att_blocks": (1,), "mlp_ratio": 1.0})
network = config.get_model({}, device="cpu")
target = config.clip_target()
target.params = {}
clip = comfy.sd.CLIP(target, parameters=0)
for part in (network, clip.cond_stage_model):
    for name, values in part.named_parameters():
        torch.nn.init.normal_(values.data, std=0.05 if values.ndim > 1 else 0.02)
        if values.ndim == 1 and name.endswith("weight"):
            values.data += 1
model = comfy.model_patcher.ModelPatcher(network, torch.device("cpu"), torch.device("cpu"))
photo = torch.rand(1, 60, 80, 3, generator=torch.Generator().manual_seed(1))
bridge = sys.modules["pack.nodes.bridges.core_tools_bridge"]
[tools] = sys.modules["pack.nodes.core_tools"].LumosXCoreTools.execute(model, clip, None).args
finder = bridge.Sam3(*tools.sam3, 0.3)
"""


@pytest.mark.host(since="0.33.0")
def test_sam3s_own_network_runs_behind_the_finders(run_in_comfyui):
    result = run_in_comfyui(
        NETWORK
        + """
[found] = finder.find(photo[0], ["red hat"])
conditioning = clip.encode_from_tokens_scheduled(clip.tokenize("red hat:20"))
with torch.no_grad():
    masks, boxes = SAM3_Detect.execute(model, photo, conditioning=conditioning, threshold=0.3, refine_iterations=2,
                                       individual_masks=True).args
def expected(f, m):  # a mask may leave its box by the leeway
    room = f.box.with_leeway().within(60, 80)
    rows = torch.arange(int(room.top), int(room.bottom))
    columns = torch.arange(int(room.left), int(room.right))
    return m.new_zeros(60, 80).index_put(torch.meshgrid(rows, columns, indexing="ij"), room.crop(m)) > 0.5
result = {
    "count": [len(found), len(boxes[0])],
    "scores": [[f.score for f in found], [b["score"] for b in boxes[0]]],
    "masks": [bool(torch.equal(f.region.mask(60, 80) > 0.5, expected(f, m))) for f, m in zip(found, masks)],
    "inside": all(0 <= f.box.left < f.box.right <= 80 and 0 <= f.box.top < f.box.bottom <= 60 for f in found),
}
""",
        timeout=600,
    )
    ours, theirs = result["count"]
    assert ours == theirs > 0 and result["inside"] and all(result["masks"])
    assert result["scores"][0] == pytest.approx(result["scores"][1]) and min(result["scores"][0]) > 0.3


PHOTO = """
segment = sys.modules["pack.nodes.segment"].LumosXSegment
faces = sys.modules["pack.nodes.faces"].LumosXFaces
photo = torch.full((1, 100, 160, 3), 0.5)
photo[0, 20:50, 30:50] = torch.tensor([0.9, 0.6, 0.4])
photo[0, 30:60, 100:125] = torch.tensor([0.4, 0.3, 0.2])
"""


@pytest.mark.host(since="0.33.0")
def test_boxes_and_masks_of_the_hosts_own_nodes_give_the_pixels_they_mark(run_in_comfyui):
    result = run_in_comfyui(
        PHOTO
        + """
from comfy_extras.nodes_images import BoundingBox
from comfy_extras.nodes_bounding_boxes import CreateBoundingBoxes
from comfy_extras.nodes_mask import ImageColorToMask, InvertMask, MaskToImage
def crops(**given):
    made = faces.execute(photo, "auto", 0.5, "left to right", "", **given).args
    return [[list(f.shape[1:3]), f[0].mean(dim=(0, 1)).tolist()] for f in made[0]], made[1]
[one] = BoundingBox.execute(30, 20, 20, 30).args
drawn = CreateBoundingBoxes.execute(160, 100, [{"x": 30, "y": 20, "width": 20, "height": 30},
                                               {"x": 100, "y": 30, "width": 25, "height": 30}]).args[1]
[colour] = ImageColorToMask.execute(photo, 0x808080).args
[mask] = InvertMask.execute(colour).args
result = {"box": crops(boxes=one), "drawn": crops(boxes=drawn), "mask": crops(masks=mask)}
""",
    )
    # A face is cropped with a margin above (17 % of its height) and below (3 %).
    [[size, colour]], [[box]] = result["box"]
    assert size == [36, 20] and colour == pytest.approx([0.9 - 0.4 / 6, 0.6 - 0.1 / 6, 0.4 + 0.1 / 6], abs=0.01)
    assert (box["x"], box["y"], box["width"], box["height"]) == (30, 20, 20, 30)
    for way in ("drawn", "mask"):
        (first, second), [boxes] = result[way]
        assert first == result["box"][0][0] and second[0] == [36, 25]
        assert second[1] == pytest.approx([0.4 + 0.1 / 6, 0.3 + 0.2 / 6, 0.2 + 0.3 / 6], abs=0.01)
        assert [(b["x"], b["y"], b["width"], b["height"]) for b in boxes] == [(30, 20, 20, 30), (100, 30, 25, 30)]
