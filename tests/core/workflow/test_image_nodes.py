"""Images and masks of a graph come from the input folder, and from nowhere else."""

from __future__ import annotations

import pytest
import torch
from workflow_graphs import node, write_picture

from lumosx_core.errors import LumosXError
from lumosx_core.media.example_images import read_example
from lumosx_core.media.loaded_image import load_image
from lumosx_core.workflow.image_nodes import Pictures
from lumosx_core.workflow.saved.graph import Graph
from lumosx_core.workflow.values import Values


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "input"
    (folder / "people").mkdir(parents=True)
    for name in ("see through.png", "plain.jpg", "wide.png", "two frames.gif"):
        write_picture(folder / name)
    write_picture(folder / "people" / "plain.jpg")
    (folder / "broken.png").write_bytes(b"\x89PNG and nothing")
    write_picture(tmp_path / "wide.png")
    return folder


def asked(folder, *, picture=None, mask=None, **nodes):
    inputs = {name: link for name, link in (("image", picture), ("mask", mask)) if link is not None}
    graph = Graph({**nodes, "0": node("Any", **inputs)})
    pictures = Pictures(Values(graph, None), folder)
    return pictures.image(graph.node("0"), "image") if mask is None else pictures.mask(graph.node("0"), "mask")


def loaded(folder, name):
    return asked(folder, picture=["1", 0], **{"1": node("LoadImage", image=name)})


def test_a_picture_is_named_within_the_input_folder(folder):
    plain = loaded(folder, "plain.jpg")
    assert plain.shape == (1, 13, 9, 3) and plain.dtype == torch.float32
    for name in ("people/plain.jpg", "people\\plain.jpg", "people/../plain.jpg", "plain.jpg [input]"):
        assert torch.equal(loaded(folder, name), plain)


@pytest.mark.parametrize(
    "name", ["/etc/motd.png", "../wide.png", "people/../../wide.png", "C:\\people\\a.png", "a.png [output]"]
)
def test_a_picture_elsewhere_is_refused(folder, name):
    with pytest.raises(LumosXError, match=r"image of node 1 \(LoadImage\) names .* outside of"):
        loaded(folder, name)


def test_a_picture_that_is_missing_or_damaged_is_named(folder):
    with pytest.raises(LumosXError, match=r"no image .*absent.png, which node 1 \(LoadImage\) names.*--input DIR"):
        loaded(folder, "absent.png")
    with pytest.raises(LumosXError, match="Cannot read the image .*broken.png"):
        loaded(folder, "broken.png")


def test_the_mask_of_a_picture_is_its_transparency(folder):
    load = {"1": node("LoadImage", image="see through.png"), "2": node("InvertMask", mask=["1", 1])}
    mask, visible = (asked(folder, mask=[id, slot], **load) for id, slot in (("1", 1), ("2", 0)))
    assert mask.shape == (1, 13, 9) and (mask[0, 3:9, 2:7] == 0).all() and mask.any()
    assert torch.equal(visible, 1 - mask)
    opaque = asked(folder, mask=["1", 1], **{"1": node("LoadImage", image="plain.jpg")})
    assert opaque.shape == (1, 64, 64) and not opaque.any()


def test_a_mask_may_be_a_channel(folder):
    image = loaded(folder, "see through.png")
    for i, channel in enumerate(("red", "green", "blue")):
        load = {"1": node("LoadImageMask", image="see through.png", channel=channel)}
        assert torch.equal(asked(folder, mask=["1", 0], **load), image[..., i])


def test_batches_have_the_size_of_the_first(folder):
    nodes = {
        "1": node("LoadImage", image="two frames.gif"),
        "2": node("LoadImage", image="wide.png"),
        "3": node("ImageBatch", image1=["1", 0], image2=["2", 0]),
        "4": node("BatchImagesNode", images__image1=["1", 0], images__image0=["2", 0]),
        "5": node("ImageFromBatch", image=["3", 0], batch_index=1, length=9),
    }
    one, two, batch = (asked(folder, picture=[id, 0], **nodes) for id in ("1", "2", "3"))
    assert (one.shape, two.shape, batch.shape) == ((2, 13, 9, 3), (1, 13, 40, 3), (3, 13, 9, 3))
    assert torch.equal(batch[:2], one)
    # The columns 16 to 23 in the middle of the wide one, scaled to 9.
    assert torch.equal(batch[2, :, 0], two[0, :, 16]) and torch.equal(batch[2, :, 8], two[0, :, 23])
    assert asked(folder, picture=["4", 0], **nodes).shape == (3, 13, 40, 3)
    assert torch.equal(asked(folder, picture=["5", 0], **nodes), batch[1:])


def test_an_example_picture_needs_no_folder(folder):
    name = "glyph_people/background/meadow.png"
    found = asked(folder, picture=["1", 0], **{"1": node("LumosXExamplePicture", picture=name)})
    assert torch.equal(found, read_example(name)[None])


def test_what_only_comfyui_runs_is_named_with_the_way_round(folder):
    with pytest.raises(LumosXError, match=r"image of node 0 \(Any\) comes from node 1 \(Blur\), .* Save Image into"):
        asked(folder, picture=["1", 0], **{"1": node("Blur")})
    with pytest.raises(LumosXError, match=r"mask of node 0 \(Any\) comes from node 1 \(Blur\)"):
        asked(folder, mask=["1", 0], **{"1": node("Blur")})
    with pytest.raises(LumosXError, match="image of node 0 .* is not connected"):
        asked(folder)


def test_lumosx_load_image_is_read_as_in_comfyui(folder):
    load = node("LumosXLoadImage", image="see through.png", background="white", crop_to_content=False)
    expected = load_image(folder / "see through.png")
    assert torch.equal(asked(folder, picture=["1", 0], **{"1": load})[0], expected.image)
    assert torch.equal(asked(folder, mask=["1", 1], **{"1": load})[0], expected.mask)
    example = node("LumosXLoadImage", image="two_people/subjects/2/face_man.png [lumosx]")
    assert torch.equal(
        asked(folder, picture=["1", 0], **{"1": example})[0], read_example("two_people/subjects/2/face_man.png")
    )
