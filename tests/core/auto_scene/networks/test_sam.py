import json
import sys
from contextlib import contextmanager

import numpy as np
import pytest
import tiny_networks
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_networks import photo

from lumosx_core.auto_scene.cutouts.regions import Box
from lumosx_core.auto_scene.networks.sam import load_segmenter
from lumosx_core.auto_scene.networks.sam_networks import _build
from lumosx_core.errors import LumosXError, MissingPackageError

SIZES = [(480, 700), (900, 350), (90, 60), (400, 400)]


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """The three kinds, as far as their packages are installed."""
    folder = tmp_path_factory.mktemp("models")
    paths = {}
    for kind, package, write, name in (
        ("checkpoint", "segment_anything", tiny_networks.write_sam, "sam.pth"),
        ("hub sam", "transformers", tiny_networks.write_hub_sam, "sam"),
        ("hub sam2", "transformers", tiny_networks.write_sam2, "sam2"),
    ):
        try:
            __import__(package)
        except ImportError:
            continue
        paths[kind] = write(folder / name)
    return paths


def path_of(paths, kind):
    if kind not in paths:
        pytest.skip("segment_anything is missing" if kind == "checkpoint" else "transformers is missing")
    return paths[kind]


@pytest.fixture(scope="module", params=["checkpoint", "hub sam", "hub sam2"])
def segmenter(paths, request):
    return load_segmenter(path_of(paths, request.param))


@pytest.fixture
def checkpoint(paths):
    return path_of(paths, "checkpoint")


def boxes_in(height, width):
    shares = [(0.1, 0.1, 0.5, 0.8), (0.4, 0.2, 0.95, 0.95), (0, 0, 1, 1), (0.3, 0.5, 0.4, 0.6)]
    return [Box(*share).scaled(width, height).within(height, width) for share in shares]


def rooms_of(boxes, height, width):
    """What the network is shown of them: the boxes with their leeway."""
    return [box.with_leeway().within(height, width) for box in boxes]


def as_bytes(image):
    return (image.numpy() * 255).round().astype(np.uint8)


@contextmanager
def counted(module):
    calls = []
    hook = module.register_forward_hook(lambda *_: calls.append(1))
    yield calls
    hook.remove()


# The same masks as the packages' own predictors. These round resized images to whole 255ths: of the pixels 1 in 200
# may differ, at the edges of the masks.


def assert_same(regions, boxes, masks):
    assert len(regions) == len(boxes)
    inside = 0
    for region, box, mask in zip(regions, boxes, masks, strict=True):
        assert region.box == box.with_leeway().within(*mask.shape)
        theirs = region.box.crop(mask).float()
        inside += theirs.mean()
        assert (region.opacity.float() - theirs).abs().mean() <= max(0.005, 2 / theirs.numel())
    assert 0.1 < inside / len(boxes) < 0.95  # else the comparison says little


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_masks_are_those_of_segment_anything(checkpoint, height, width):
    from segment_anything import SamPredictor

    segmenter, image, boxes = load_segmenter(checkpoint), photo(height, width), boxes_in(height, width)
    predictor = SamPredictor(segmenter.model)
    predictor.set_image(as_bytes(image))
    rooms = rooms_of(boxes, height, width)
    corners = np.array([[box.left, box.top, box.right, box.bottom] for box in rooms])
    masks = [torch.from_numpy(predictor.predict(box=each, multimask_output=False)[0][0]) for each in corners]
    assert_same(segmenter.look_at(image)(boxes), boxes, masks)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_masks_are_those_of_transformers_sam(paths, height, width):
    segmenter = load_segmenter(path_of(paths, "hub sam"))
    pil = pytest.importorskip("transformers.models.sam.image_processing_pil_sam")
    pictures = pil.SamImageProcessorPil(size={"longest_edge": 128}, pad_size={"height": 128, "width": 128})
    image, boxes = photo(height, width), boxes_in(height, width)
    inputs = pictures(as_bytes(image), return_tensors="pt")
    scale = 128 / max(height, width)
    scale_x, scale_y = int(width * scale + 0.5) / width, int(height * scale + 0.5) / height
    corners = torch.tensor(
        [
            [box.left * scale_x, box.top * scale_y, box.right * scale_x, box.bottom * scale_y]
            for box in rooms_of(boxes, height, width)
        ]
    )
    with torch.no_grad():
        answer = segmenter.model(inputs["pixel_values"], input_boxes=corners[None], multimask_output=False)
    [masks] = pictures.post_process_masks(answer.pred_masks, inputs["original_sizes"], inputs["reshaped_input_sizes"])
    assert_same(segmenter.look_at(image)(boxes), boxes, masks[:, 0])


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_masks_are_those_of_transformers_sam2(paths, height, width):
    segmenter = load_segmenter(path_of(paths, "hub sam2"))
    pytest.importorskip("torchvision", reason="transformers' own preparation for SAM 2 needs torchvision")
    from transformers import Sam2ImageProcessor, Sam2Processor

    processor = Sam2Processor(Sam2ImageProcessor(size={"height": 128, "width": 128}), target_size=128)
    image, boxes = photo(height, width), boxes_in(height, width)
    corners = [[[box.left, box.top, box.right, box.bottom] for box in rooms_of(boxes, height, width)]]
    inputs = processor(original_sizes=[[height, width]], input_boxes=corners, return_tensors="pt")
    small = Image.fromarray(as_bytes(image)).resize((128, 128), Image.Resampling.BILINEAR)
    pixels = (np.asarray(small) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    pixels = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    with torch.no_grad():
        answer = segmenter.model(pixels, input_boxes=inputs["input_boxes"], multimask_output=False)
    [masks] = processor.post_process_masks(answer.pred_masks, [[height, width]])
    assert_same(segmenter.look_at(image)(boxes), boxes, masks[:, 0])


# Regions


def test_the_image_encoder_runs_once_for_a_photo(segmenter):
    model = segmenter.model
    with counted(model.image_encoder if hasattr(model, "image_encoder") else model.vision_encoder) as calls:
        regions_in = segmenter.look_at(photo(480, 700))
        regions_in(boxes_in(480, 700))
        regions_in(boxes_in(480, 700))
    assert len(calls) == 1


def test_many_boxes_go_through_the_mask_decoder_in_parts(segmenter):
    regions_in = segmenter.look_at(photo(240, 320))
    boxes = [Box(4 * i, 2 * i, 4 * i + 120, 2 * i + 100) for i in range(40)]
    with counted(segmenter.model.mask_decoder) as calls:
        together = regions_in(boxes)
    assert len(calls) == 3
    for box, region in zip(boxes, together, strict=True):
        [alone] = regions_in([box])
        assert region.box == alone.box == box.with_leeway().within(240, 320)
        assert (region.opacity ^ alone.opacity).float().mean() < 0.001


def test_no_boxes_give_no_regions(segmenter):
    assert segmenter.look_at(photo(60, 80))([]) == []


def test_regions_have_a_hard_edge_and_take_a_byte_for_a_pixel(segmenter):
    for region in segmenter.look_at(photo(480, 700))(boxes_in(480, 700)):
        assert region.opacity.dtype == torch.bool
        assert region.opacity.untyped_storage().nbytes() == region.box.area


def test_a_box_is_brought_within_the_photo(segmenter):
    regions_in = segmenter.look_at(photo(60, 80))
    outside, whole, far = regions_in([Box(-10, -20, 500, 600), Box(0, 0, 80, 60), Box(200, 200, 300, 300)])
    assert outside.box == whole.box == Box(0, 0, 80, 60)
    assert torch.equal(outside.opacity, whole.opacity)
    assert far.box == Box(79, 59, 80, 60)


def test_the_threshold_decides_what_belongs_to_a_region(checkpoint):
    boxes, areas = boxes_in(480, 700), []
    for threshold in (-1e9, -0.02, 0.0, 1e9):
        segmenter = load_segmenter(checkpoint, mask_threshold=threshold)
        regions = segmenter.look_at(photo(480, 700))(boxes)
        assert [region.box for region in regions] == [box.with_leeway().within(480, 700) for box in boxes]
        areas.append([region.area / region.box.area for region in regions])
    everything, more, some, nothing = areas
    assert everything == [1] * 4 and nothing == [0] * 4
    assert sum(more) > sum(some) > 0


def test_a_mask_may_leave_its_box_by_a_tenth(checkpoint):
    segmenter = load_segmenter(checkpoint, mask_threshold=-1e9)  # everything is in the mask
    [region] = segmenter.look_at(photo(200, 300))([Box(100, 50, 200, 100)])
    assert region.box == Box(90, 45, 210, 105) and region.area == 120 * 60


def test_each_mask_has_its_estimate_and_its_stability(segmenter):
    regions = segmenter.look_at(photo(480, 700))(boxes_in(480, 700))
    assert all(0 <= region.quality.stability <= 1 for region in regions)
    assert len({region.quality.predicted_iou for region in regions}) > 1
    assert regions[0].moved(3, 4).quality == regions[0].quality


@pytest.mark.parametrize(("threshold", "stability"), [(-1e9, 1.0), (1e9, 0.0)])
def test_a_mask_of_everything_is_stable_and_one_of_nothing_is_not(checkpoint, threshold, stability):
    [region] = load_segmenter(checkpoint, mask_threshold=threshold).look_at(photo(200, 300))([Box(9, 9, 99, 99)])
    assert region.quality.stability == stability


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 3000), (3000, 2), (2000, 3000)])
def test_photographs_of_any_size_are_cut(segmenter, height, width):
    [region] = segmenter.look_at(torch.rand(height, width, 3))([Box(0, 0, width, height)])
    assert region.opacity.shape == (height, width)


# Files


def test_a_checkpoint_in_safetensors_is_the_same(checkpoint, tmp_path):
    save_file(torch.load(checkpoint, weights_only=True), tmp_path / "sam.safetensors")
    image, boxes = photo(480, 700), boxes_in(480, 700)
    for one, other in zip(
        load_segmenter(checkpoint).look_at(image)(boxes),
        load_segmenter(str(tmp_path / "sam.safetensors")).look_at(image)(boxes),
        strict=True,
    ):
        assert torch.equal(one.opacity, other.opacity)


def test_the_size_of_the_picture_is_read_from_the_weights(checkpoint, tmp_path):
    assert load_segmenter(checkpoint).network.side == 128
    larger = load_segmenter(tiny_networks.write_sam(tmp_path / "larger.pth", side=192))
    assert larger.network.side == 192
    assert larger.look_at(photo(60, 80))([Box(0, 0, 80, 60)])


@pytest.mark.parametrize("name", ["vit_b", "vit_l", "vit_h"])
def test_the_released_sizes_are_recognised_by_their_tensors(name):
    segment_anything = pytest.importorskip("segment_anything")
    with torch.device("meta"):
        released = segment_anything.sam_model_registry[name]()
    ours = _build(released.state_dict())
    assert str(ours) == str(released)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in released.state_dict().items()}
    assert ours.image_encoder.img_size == 1024
    for block, theirs in zip(ours.image_encoder.blocks, released.image_encoder.blocks, strict=True):
        assert (block.window_size, block.attn.num_heads) == (theirs.window_size, theirs.attn.num_heads)
    for layer, theirs in zip(
        ours.mask_decoder.transformer.layers, released.mask_decoder.transformer.layers, strict=True
    ):
        assert layer.self_attn.num_heads == theirs.self_attn.num_heads
    assert ours.image_encoder.blocks[0].norm1.eps == 1e-6


def test_the_weights_do_not_hang_on_the_file(checkpoint, tmp_path):
    copy = tmp_path / "sam.pth"
    copy.write_bytes(checkpoint.read_bytes())
    segmenter = load_segmenter(copy)
    before = {name: tensor.clone() for name, tensor in segmenter.model.state_dict().items()}
    copy.write_bytes(bytes(copy.stat().st_size))
    assert all(torch.equal(tensor, before[name]) for name, tensor in segmenter.model.state_dict().items())


def test_sam2_in_its_authors_format_is_recognised(tmp_path):
    torch.save(
        {"model": {"image_encoder.trunk.pos_embed": torch.zeros(1, 4, 7, 7)}}, tmp_path / "sam2.1_hiera_small.pt"
    )
    with pytest.raises(LumosXError, match="sam2.1_hiera_small.pt is SAM 2 in its authors' own format.*Give the folder"):
        load_segmenter(tmp_path / "sam2.1_hiera_small.pt")


def test_one_file_of_a_folder_is_recognised(paths):
    with pytest.raises(LumosXError, match="Give its folder"):
        load_segmenter(path_of(paths, "hub sam2") / "model.safetensors")


def test_another_network_is_refused(tmp_path):
    save_file({"blocks.0.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(
        LumosXError, match=r"other.safetensors is not a SAM \(found blocks.0.weight\).*sam_vit_b_01ec64"
    ):
        load_segmenter(tmp_path / "other.safetensors")


def test_a_variant_with_other_tensors_is_refused(checkpoint, tmp_path):
    tensors = torch.load(checkpoint, weights_only=True)
    for changed in (
        {name: tensor for name, tensor in tensors.items() if name != "mask_decoder.iou_token.weight"},
        {name: tensor for name, tensor in tensors.items() if name != "image_encoder.neck.0.weight"},
        {**tensors, "mask_decoder.hf_token.weight": torch.zeros(1, 32)},
        {**tensors, "mask_decoder.iou_token.weight": torch.zeros(1, 31)},
    ):
        torch.save(changed, tmp_path / "sam.pth")
        with pytest.raises(LumosXError, match="not a SAM of the released kind, or is incomplete"):
            load_segmenter(tmp_path / "sam.pth")


def test_damaged_and_missing_files_are_named(checkpoint, tmp_path):
    (tmp_path / "sam.pth").write_bytes(checkpoint.read_bytes()[:-500])
    with pytest.raises(LumosXError, match="sam.pth is a truncated or damaged"):
        load_segmenter(tmp_path / "sam.pth")
    with pytest.raises(LumosXError, match="nowhere.pth does not exist"):
        load_segmenter(tmp_path / "nowhere.pth")
    with pytest.raises(LumosXError, match="is not a folder with a model.*sam2.1-hiera-small"):
        load_segmenter(tmp_path)


# Folders


def copied(folder, tmp_path, **config):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    stored = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**stored, **config}))
    return tmp_path


def test_the_hubs_sam2_for_videos_is_accepted(paths, tmp_path):
    folder = path_of(paths, "hub sam2")
    image, boxes = photo(480, 700), boxes_in(480, 700)
    expected = load_segmenter(folder).look_at(image)(boxes)
    video = load_segmenter(copied(folder, tmp_path, model_type="sam2_video", architectures=["Sam2VideoModel"]))
    for one, other in zip(video.look_at(image)(boxes), expected, strict=True):
        assert torch.equal(one.opacity, other.opacity)


def test_a_folder_with_another_model_is_refused(paths, tmp_path):
    with pytest.raises(LumosXError, match="type 'clip', expected sam or sam2"):
        load_segmenter(copied(path_of(paths, "hub sam2"), tmp_path, model_type="clip"))


def test_a_damaged_folder_is_named(paths, tmp_path):
    copied(path_of(paths, "hub sam2"), tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["no_memory_embedding"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(LumosXError, match="lacks weights.*no_memory_embedding"):
        load_segmenter(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"short")
    with pytest.raises(LumosXError, match="cannot be opened.*Download it again"):
        load_segmenter(tmp_path)
    for content in ("{", '["sam2"]'):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(LumosXError, match="config.json is damaged.*Download it again"):
            load_segmenter(tmp_path)


# Packages


@pytest.mark.parametrize(
    ("kind", "modules", "package"),
    [
        ("checkpoint", ["segment_anything", "segment_anything.modeling"], "segment-anything"),
        ("hub sam", ["transformers"], "transformers"),
    ],
)
def test_a_missing_package_is_named(paths, kind, modules, package, monkeypatch):
    path = path_of(paths, kind)
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingPackageError, match=f"Cutting things out.*{package}"):
        load_segmenter(path)
