import io
import json
import logging
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from safetensors import safe_open

from lumosx_core.errors import LumosXError
from lumosx_core.media import image_file
from lumosx_core.media.images import cut_out, fit_on_canvas, read_picture, to_pil


def noise(height, width, channels=3, seed=0):
    values = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return values[..., 0] if channels == 1 else values


def as_bytes(tensor):
    return (tensor * 255).round().to(torch.uint8).numpy()


def test_canvas_equals_the_released_one(golden):
    with safe_open(golden / "image_canvas.safetensors", "pt") as file:
        items = json.loads(file.metadata()["items"])
        for item in items:
            image = Image.open(io.BytesIO(file.get_tensor(f"{item['i']}.png").numpy().tobytes()))
            expected = file.get_tensor(f"{item['i']}.canvas")
            canvas = fit_on_canvas(image, *item["target_hw"])
            network_range = ((canvas - 0.5) / 0.5).permute(2, 0, 1)  # as the VAE reads it
            assert image.mode == item["mode"]
            assert canvas.dtype == torch.float32
            assert torch.equal(network_range, expected), item
            if item["mode"] == "RGB":
                tensor = torch.from_numpy(np.array(image)) / 255
                assert torch.equal(fit_on_canvas(tensor, *item["target_hw"]), canvas), item
    assert {item["mode"] for item in items} == {"RGB", "RGBA", "P", "L"}


def test_canvas_keeps_proportions_centres_and_leaves_white_around():
    canvas = fit_on_canvas(torch.zeros(10, 20, 3), 40, 40)
    assert canvas.shape == (40, 40, 3)
    assert (canvas[10:30] == 0).all()
    assert (canvas[:10] == 1).all() and (canvas[30:] == 1).all()


def test_canvas_rounds_a_tensor_to_eight_bits_and_leaves_it_as_it_was():
    image = torch.tensor([0.0, 0.4 / 255, 0.6 / 255, 1.2]).reshape(1, 4, 1).expand(1, 4, 3).clone()
    before = image.clone()
    assert (fit_on_canvas(image, 1, 4)[0, :, 0] * 255).round().tolist() == [0, 0, 1, 255]
    assert torch.equal(image, before)
    assert fit_on_canvas(image.to(torch.float16), 1, 4).dtype == torch.float32


def test_a_hair_thin_picture_keeps_a_line():
    assert (fit_on_canvas(torch.zeros(1, 500, 3), 20, 20) == 0).any()


def test_canvas_scales_sixteen_bit_pictures():
    image = Image.fromarray(np.full((4, 4), 65535 // 2, np.uint16))
    assert (fit_on_canvas(image, 4, 4) - 0.5).abs().max() < 0.01


def test_a_canvas_without_pixels_is_refused():
    with pytest.raises(LumosXError, match="height 0 and width 8"):
        fit_on_canvas(torch.zeros(2, 2, 3), 0, 8)


def test_a_picture_is_read_pixel_by_pixel(tmp_path):
    values = noise(5, 7)
    Image.fromarray(values).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    assert picture.dtype == torch.float32
    assert np.array_equal(as_bytes(picture), values)
    assert np.array_equal(np.array(to_pil(picture)), values)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
def test_a_photograph_is_turned_upright(tmp_path, name):
    image = Image.new("RGB", (20, 10), "red")
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / name, exif=exif)
    assert read_picture(tmp_path / name).shape == (20, 10, 3)


def test_a_transparent_picture_is_cut_out_on_white(tmp_path):
    values = np.zeros((10, 12, 4), np.uint8)
    values[..., :3] = 77  # what hides under the transparency must not show
    values[2:5, 3:9] = (10, 20, 30, 255)
    values[5, 3:9] = (0, 0, 0, 51)  # a soft edge, one fifth opaque
    Image.fromarray(values).save(tmp_path / "a.png")
    picture = as_bytes(read_picture(tmp_path / "a.png"))
    assert picture.shape == (4, 6, 3)
    assert (picture[:3] == (10, 20, 30)).all()
    assert (picture[3] == 204).all()


@pytest.mark.parametrize("mode", ["P", "LA", "L", "RGB"])
def test_every_kind_of_transparency_is_cut_out(tmp_path, mode):
    image = Image.new(mode, (8, 6), 0)
    options = {} if mode == "LA" else {"transparency": (0, 0, 0) if mode == "RGB" else 0}
    if mode == "P":
        image.putpalette([0, 0, 0, 90, 90, 90])
    inside = {"P": 1, "LA": (90, 255), "L": 90, "RGB": (90, 90, 90)}[mode]
    image.paste(inside, (2, 1, 5, 5))
    image.save(tmp_path / "a.png", **options)
    picture = as_bytes(read_picture(tmp_path / "a.png"))
    assert picture.shape == (4, 3, 3)
    assert (picture == 90).all()


def test_an_opaque_picture_with_an_alpha_channel_is_unchanged(tmp_path):
    values = noise(4, 5, 4)
    values[..., 3] = 255
    Image.fromarray(values).save(tmp_path / "a.png")
    assert np.array_equal(as_bytes(read_picture(tmp_path / "a.png")), values[..., :3])


def test_a_wholly_transparent_picture_is_refused(tmp_path):
    Image.new("RGBA", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(LumosXError, match="a.png is wholly transparent"):
        read_picture(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_a_sixteen_bit_picture_is_scaled_not_clipped(tmp_path, caplog, name):
    Image.fromarray(np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)).save(tmp_path / name)
    with caplog.at_level(logging.INFO, logger="lumosx_core"):
        picture = as_bytes(read_picture(tmp_path / name))
    assert np.array_equal(picture[..., 0].flatten(), np.arange(256))
    assert np.array_equal(picture[..., 0], picture[..., 2])
    assert "16-bit" in caplog.text


def test_a_sixteen_bit_colour_picture_is_scaled(tmp_path):
    values = np.array([[[0, 0x8000, 0xFFFF], [0x1234, 0xABCD, 0x00FF]]], ">u2")
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0" + values.tobytes())),
        (b"IEND", b""),
    ]
    data = b"".join(struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    assert np.abs(as_bytes(read_picture(tmp_path / "a.png")).astype(int) - values.astype(int) / 257).max() <= 1


def test_a_picture_of_unknown_range_is_refused(tmp_path):
    Image.fromarray(np.full((4, 4), 3.5, np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(LumosXError, match="a.tif has values from 3.5 to 3.5"):
        read_picture(tmp_path / "a.tif")


@pytest.mark.parametrize(("mode", "color", "rgb"), [("L", 90, (90, 90, 90)), ("1", 1, (255, 255, 255))])
def test_grey_and_bilevel_pictures_become_rgb(tmp_path, mode, color, rgb):
    Image.new(mode, (4, 3), color).save(tmp_path / "a.png")
    assert (as_bytes(read_picture(tmp_path / "a.png")) == rgb).all()


def test_a_cmyk_picture_becomes_rgb(tmp_path, caplog):
    Image.new("CMYK", (4, 3), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=95)
    with caplog.at_level(logging.INFO, logger="lumosx_core"):
        red = as_bytes(read_picture(tmp_path / "a.jpg")).astype(int)
    assert np.abs(red - (255, 0, 0)).max() <= 4
    assert "CMYK" in caplog.text


def test_an_unusable_cmyk_profile_falls_back_on_the_plain_formula(tmp_path, caplog):
    image = Image.new("CMYK", (4, 3), (0, 255, 255, 0))
    # a profile of RGB cannot be applied to inks
    image.save(tmp_path / "a.tif", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    assert (as_bytes(read_picture(tmp_path / "a.tif")) == (255, 0, 0)).all()
    assert "colour profile" in caplog.text


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.tif"])
def test_animated_pictures_and_pages_are_refused(tmp_path, name):
    frames = [Image.fromarray(noise(8, 8, seed=seed)) for seed in range(3)]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    with pytest.raises(LumosXError, match=f"{name} holds 3 images .* Save the one you mean"):
        read_picture(tmp_path / name)


def test_a_still_gif_is_read(tmp_path):
    Image.new("RGB", (4, 3), (255, 0, 0)).save(tmp_path / "a.gif")
    assert (as_bytes(read_picture(tmp_path / "a.gif")) == (255, 0, 0)).all()


def test_what_is_no_picture_is_refused_by_name(tmp_path):
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "empty.png").touch()
    (tmp_path / "drawing.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    with pytest.raises(LumosXError, match="text.png: it is not an image"):
        read_picture(tmp_path / "text.png")
    with pytest.raises(LumosXError, match="empty.png: the file is empty"):
        read_picture(tmp_path / "empty.png")
    with pytest.raises(LumosXError, match="drawing.png: it is a drawing or document, not pixels, .* Export it as PNG"):
        read_picture(tmp_path / "drawing.png")
    with pytest.raises(LumosXError, match="There is no image .*absent.png"):
        read_picture(tmp_path / "absent.png")
    with pytest.raises(LumosXError, match="Cannot read the image"):
        read_picture(tmp_path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif", "a.gif"])
def test_a_truncated_picture_is_refused_wherever_it_ends(tmp_path, name):
    Image.fromarray(noise(40, 40)).save(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    for length in (10, len(data) // 4, len(data) // 2, len(data) * 3 // 4):
        (tmp_path / name).write_bytes(data[:length])
        with pytest.raises(LumosXError, match=f"Cannot read the image .*{name}"):
            read_picture(tmp_path / name)


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    Image.new("1", (20000, 20000)).save(tmp_path / "bomb.png")
    with pytest.raises(LumosXError, match="bomb.png is too large"):
        read_picture(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # as some programs do
    with pytest.raises(LumosXError, match="20000 x 20000"):
        read_picture(tmp_path / "bomb.png")


def test_a_very_large_picture_is_reduced(tmp_path, monkeypatch):
    monkeypatch.setattr(image_file, "KEPT_PIXELS", 400)
    values = np.repeat(np.repeat(noise(20, 10), 3, axis=0), 3, axis=1)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert np.array_equal(as_bytes(read_picture(tmp_path / "a.png")), values[::3, ::3])


def test_a_mask_cuts_a_subject_out_on_white():
    image = torch.rand(10, 12, 3)
    mask = torch.zeros(10, 12)
    mask[2:6, 3:9] = 1
    mask[6, 4] = 0.25
    cut = cut_out(image, mask)
    assert cut.shape == (5, 6, 3)
    assert torch.equal(cut[:4], image[2:6, 3:9])
    assert torch.allclose(cut[4, 1], image[6, 4] * 0.25 + 0.75)
    assert (cut[4, 0] == 1).all()


def test_faint_noise_of_a_mask_does_not_widen_the_box():
    mask = torch.full((10, 12), 0.004)
    mask[5, 5] = 1
    assert cut_out(torch.zeros(10, 12, 3), mask).shape == (1, 1, 3)


def test_an_empty_mask_and_a_mask_of_another_size_are_refused():
    with pytest.raises(LumosXError, match="mask is empty"):
        cut_out(torch.zeros(4, 5, 3), torch.zeros(4, 5))
    with pytest.raises(LumosXError, match=r"\(5, 4\).*4 pixels high and 5 wide"):
        cut_out(torch.zeros(4, 5, 3), torch.ones(5, 4))
    with pytest.raises(LumosXError, match=r"\(1, 4, 5\)"):
        cut_out(torch.zeros(4, 5, 3), torch.ones(1, 4, 5))
