"""LumosX Load Image's reading of files: alpha on the background, the mask the right way round, cropping."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from lumosx_core.errors import LumosXError
from lumosx_core.media.loaded_image import load_image

RED, CLEAR = (200, 10, 10, 255), (0, 90, 0, 0)


def subject(size=(100, 60), box=(40, 20, 60, 40)) -> Image.Image:
    """A red square on transparency whose hidden colour is green."""
    image = Image.new("RGBA", size, CLEAR)
    image.paste(RED, box)
    return image


def saved(tmp_path, image: Image.Image, name: str = "a.png", **options):
    path = tmp_path / name
    image.save(path, **options)
    return path


def palette(image: Image.Image) -> Image.Image:
    small = Image.new("P", image.size, 0)
    small.putpalette([0, 90, 0, 200, 10, 10])
    small.paste(1, mask=image.getchannel("A"))
    small.info["transparency"] = 0
    return small


def grey(image: Image.Image) -> Image.Image:
    return Image.merge("LA", (image.convert("L"), image.getchannel("A")))


def sixteen_bit(image: Image.Image) -> Image.Image:
    values = np.where(np.array(image.getchannel("A")) > 0, 20000, 7).astype(np.uint16)
    return Image.fromarray(values)


KINDS = {
    "RGBA": (lambda image: image, {}),
    "palette": (palette, {"transparency": 0}),
    "grey and alpha": (grey, {}),
    "one transparent colour": (lambda image: image.convert("RGB"), {"transparency": CLEAR[:3]}),
    "16-bit grey with a transparent value": (sixteen_bit, {"transparency": 7}),
}


@pytest.mark.parametrize(("convert", "options"), KINDS.values(), ids=KINDS)
def test_every_kind_of_transparency_becomes_white_and_the_mask_is_where_the_subject_is(tmp_path, convert, options):
    loaded = load_image(saved(tmp_path, convert(subject()), **options))
    assert loaded.image.shape == (60, 100, 3) and loaded.image.dtype == torch.float32
    expected = torch.zeros(60, 100)
    expected[20:40, 40:60] = 1
    assert torch.equal(loaded.mask, expected)
    assert (loaded.image[expected == 0] == 1).all()
    assert (loaded.image[expected == 1] < 0.9).all()


def test_a_soft_edge_fades_into_the_background(tmp_path):
    image = Image.new("RGBA", (2, 1), (100, 100, 100, 51))
    image.putpixel((0, 0), (100, 100, 100, 255))
    loaded = load_image(saved(tmp_path, image), "black")
    assert loaded.mask[0].tolist() == pytest.approx([1, 0.2])
    assert loaded.image[0, 1].tolist() == pytest.approx([20 / 255] * 3)


@pytest.mark.parametrize(("background", "value"), [("white", 255), ("grey", 128), ("black", 0)])
def test_the_background_is_chosen(tmp_path, background, value):
    loaded = load_image(saved(tmp_path, subject()), background)
    assert (loaded.image[0, 0] * 255).round().tolist() == [value] * 3


def test_an_image_without_transparency_is_all_subject(tmp_path):
    photo = Image.effect_noise((40, 30), 90).convert("RGB")
    loaded = load_image(saved(tmp_path, photo))
    assert torch.equal(loaded.mask, torch.ones(30, 40))
    assert np.array_equal((loaded.image * 255).round().byte().numpy(), np.array(photo))


def test_a_photo_of_a_phone_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    assert load_image(saved(tmp_path, Image.new("RGB", (40, 30)), "a.jpg", exif=exif)).image.shape == (40, 30, 3)


def test_cropping_keeps_the_box_of_the_subject_and_a_small_margin(tmp_path):
    path = saved(tmp_path, subject((300, 300), (100, 50, 200, 150)))
    loaded = load_image(path, crop_to_content=True)
    assert loaded.image.shape == (104, 104, 3)
    assert loaded.mask[2:102, 2:102].all() and loaded.mask.sum() == 100 * 100


def test_cropping_stays_inside_the_image_and_leaves_a_photo_whole(tmp_path):
    assert load_image(saved(tmp_path, subject((100, 60), (0, 0, 100, 30))), crop_to_content=True).mask.shape == (
        32,
        100,
    )
    photo = saved(tmp_path, Image.new("RGB", (50, 20)), "b.png")
    assert load_image(photo, crop_to_content=True).mask.shape == (20, 50)


def test_what_is_painted_in_the_mask_editor_is_the_subject(tmp_path):
    """The editor stores painted pixels as transparent and keeps their colours."""
    image = Image.new("RGBA", (100, 60), (9, 9, 9, 255))
    image.paste((200, 10, 10, 0), (40, 20, 60, 40))
    path = saved(tmp_path, image)
    loaded = load_image(path, painted=True)
    assert loaded.mask[20:40, 40:60].all() and loaded.mask.sum() == 400
    assert (loaded.image[30, 50] * 255).round().tolist() == [200, 10, 10]
    assert loaded.image[0, 0].tolist() == [1, 1, 1]
    assert load_image(path, crop_to_content=True, painted=True).mask.shape == (20, 20)


def test_a_mask_editor_file_with_nothing_painted_is_all_subject(tmp_path):
    loaded = load_image(saved(tmp_path, Image.new("RGBA", (10, 10), RED)), painted=True)
    assert loaded.mask.all()


def heic() -> bytes:
    return b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(500)


UNREADABLE = {
    "a HEIC photo": (heic(), "it is a HEIC photo.*export it as JPEG"),
    "a HEIC sequence": (b"\0\0\0\x18ftypmsf1\0\0\0\0msf1hevc" + bytes(99), "it is a HEIC photo"),
    "a video": (b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + bytes(99), "it is a video"),
    "an SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "Export the image as PNG"),
    "a web page": (b"\n<!DOCTYPE html><html></html>", "a web page"),
    "nothing": (b"", "the file is empty"),
    "a text": (b"hello", "it is not an image"),
}


@pytest.mark.parametrize(("content", "message"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_named_with_the_way_to_convert_it(tmp_path, content, message):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(LumosXError, match=message):
        load_image(path)


def test_a_truncated_image_is_refused(tmp_path):
    stream = io.BytesIO()
    Image.effect_noise((64, 64), 90).convert("RGB").save(stream, "PNG")
    (tmp_path / "a.png").write_bytes(stream.getvalue()[:2000])
    with pytest.raises(LumosXError, match="damaged.*save it again as PNG or JPEG"):
        load_image(tmp_path / "a.png")


def test_a_wholly_transparent_image_and_an_unknown_background_are_refused(tmp_path):
    path = saved(tmp_path, Image.new("RGBA", (5, 5), CLEAR))
    with pytest.raises(LumosXError, match="wholly transparent"):
        load_image(path)
    with pytest.raises(LumosXError, match="'red'.*white, grey, black"):
        load_image(path, "red")
