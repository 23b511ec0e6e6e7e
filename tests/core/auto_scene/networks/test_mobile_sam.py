"""MobileSAM: its file recognised by its tensors, read into timm's TinyViT, and refused when it is not whole."""

import sys

import pytest
import torch

from lumosx_core.auto_scene.cutouts.regions import Box
from lumosx_core.auto_scene.networks.mobile_sam import as_timm_names, is_mobile_sam
from lumosx_core.auto_scene.networks.sam import load_segmenter
from lumosx_core.errors import LumosXError, MissingPackageError

pytest.importorskip("timm")
pytest.importorskip("segment_anything")
pytest.importorskip("torchvision")

from lumosx_core.auto_scene.networks.mobile_sam import mobile_encoder


@pytest.fixture(scope="module")
def checkpoint(real_networks):
    return real_networks / "mobile_sam.pt"


@pytest.fixture(scope="module")
def tensors(checkpoint):
    return torch.load(checkpoint, weights_only=True)


@pytest.fixture(scope="module")
def segmenter(checkpoint):
    return load_segmenter(checkpoint)


def test_every_tensor_of_the_file_has_its_place(tensors):
    assert is_mobile_sam(tensors)
    network = mobile_encoder(tensors, "cutting")
    names = {name.removeprefix("image_encoder.") for name in as_timm_names(tensors) if name.startswith("image_enc")}
    assert names == set(network.state_dict())
    assert network.body.stages[-1].downsample.conv2.conv.stride == (1, 1)


@pytest.mark.slow
def test_a_thing_is_cut_out(segmenter):
    image = torch.full((600, 800, 3), 0.8)
    rows, columns = torch.meshgrid(torch.arange(600), torch.arange(800), indexing="ij")
    disc = (rows - 300) ** 2 + (columns - 420) ** 2 < 120**2
    image[disc] = torch.tensor([0.7, 0.1, 0.1])
    for box in (Box(300, 180, 540, 420), Box(310, 190, 530, 410)):  # exact, and 4 % tight on each side
        [region] = segmenter.look_at(image)([box])
        found = region.mask(600, 800) > 0.5
        assert float((found & disc).sum() / (found | disc).sum()) > 0.97
        assert region.quality.stability > 0.95 and region.quality.predicted_iou > 0.9


@pytest.mark.parametrize(
    "lost",
    [
        "image_encoder.neck.0.weight",
        "image_encoder.patch_embed.seq.2.c.weight",
        "image_encoder.layers.1.blocks.0.attn.attention_biases",
        "image_encoder.layers.0.downsample.conv3.c.weight",
        "image_encoder.layers.3.blocks.1.mlp.fc1.weight",
        "mask_decoder.mask_tokens.weight",
    ],
)
def test_an_incomplete_file_is_named(tensors, tmp_path, lost):
    path = tmp_path / "mobile_sam.pt"
    torch.save({name: tensor for name, tensor in tensors.items() if name != lost}, path)
    with pytest.raises(LumosXError, match=r"mobile_sam.pt is not a SAM of the released kind, or is incomplete"):
        load_segmenter(path)


@pytest.mark.parametrize(("package", "module"), [("timm", "timm.models.tiny_vit"), ("segment-anything", None)])
def test_a_missing_package_is_named(checkpoint, monkeypatch, package, module):
    monkeypatch.setitem(sys.modules, module or "segment_anything.modeling", None)
    with pytest.raises(MissingPackageError, match=package):
        load_segmenter(checkpoint)
