"""Opening an image file: odd kinds come out right, and bombs, pipes and broken files are refused before they cost."""

from __future__ import annotations

import importlib.util
import io
import os
import random
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile
from stated_colours import png

from lumosx_core.errors import LumosXError
from lumosx_core.media import image_file
from lumosx_core.media.image_file import read_frames
from lumosx_core.media.images import cut_out, read_picture
from lumosx_core.scene.scene import Reference


def as_bytes(picture):
    return (picture * 255).round().byte().numpy()


def empty_png(width: int, height: int, kind: int = 2) -> bytes:
    """The head of a PNG of any size: what is read before anything is decoded."""
    head = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for name, each in ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")):
        content += struct.pack(">I", len(each)) + name + each + struct.pack(">I", zlib.crc32(name + each))
    return content


@pytest.mark.parametrize("size", [(13000, 13000), (200000, 400), (11000, 11000), (1, 70000), (2**31 - 1, 2**31 - 1)])
def test_a_size_out_of_bounds_is_refused_before_decoding(tmp_path, monkeypatch, size):
    Image.init()  # plugins of Pillow decode small images of their own as they are imported
    monkeypatch.setattr(Image.Image, "load", lambda image: pytest.fail("decoded"))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda image: pytest.fail("decoded"))
    (tmp_path / "a.png").write_bytes(empty_png(*size))
    for read in (read_picture, read_frames):
        with pytest.raises(LumosXError, match=r"a.png is too large to be safe to open"):
            read(tmp_path / "a.png")


def test_an_animation_is_read_up_to_the_bound_and_no_further(tmp_path, monkeypatch):
    frames = [Image.new("P", (64, 64), i % 2) for i in range(9)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], optimize=False)
    Image.new("RGB", (64, 64)).save(tmp_path / "still.gif")
    assert len(read_frames(tmp_path / "a.gif")) == 9
    monkeypatch.setattr(image_file, "KEPT_PIXELS", 64 * 64 * 3)
    decoded = []
    finished = image_file._finished
    monkeypatch.setattr(image_file, "_finished", lambda *given: decoded.append(1) or finished(*given))
    with pytest.raises(LumosXError, match=r"a.gif has too many frames, or too large ones, of 64 x 64 pixels"):
        read_frames(tmp_path / "a.gif")
    assert len(decoded) == 3
    assert len(read_frames(tmp_path / "still.gif")) == 1
    monkeypatch.setattr(image_file, "KEPT_PIXELS", 2**25)
    monkeypatch.setattr(image_file, "MAX_FRAMES", 4)
    with pytest.raises(LumosXError, match="Together .* 4 frames"):
        read_frames(tmp_path / "a.gif")


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.tif", "a.avif"])
def test_an_animation_is_no_reference_image(tmp_path, name):
    frames = [Image.new("RGB", (32, 32), (i * 9, 0, 0)) for i in range(3)]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    with pytest.raises(LumosXError, match=r"holds (3|many) images .* Save the one you mean"):
        read_picture(tmp_path / name)
    assert len(read_frames(tmp_path / name)) == 3


@pytest.mark.parametrize("chunk", [b"iTXt", b"zTXt", b"iCCP"])
def test_a_chunk_that_unfolds_into_gigabytes_is_not_unfolded(tmp_path, chunk):
    packed = zlib.compress(bytes(2**27), 9)
    content = {b"iTXt": b"k\0\1\0\0\0", b"zTXt": b"k\0\0", b"iCCP": b"k\0\0"}[chunk] + packed
    path = png(tmp_path / "a.png", np.zeros((4, 4, 3)), (chunk, content))
    try:
        assert read_picture(path).shape == (4, 4, 3)
    except LumosXError as error:
        assert "a.png" in str(error)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are of POSIX")
def test_what_is_no_file_of_bytes_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to("/dev/zero")
    (tmp_path / "loose.png").symlink_to(tmp_path / "nothing")
    for name in ("pipe.png", "folder.png", "link.png"):
        for read in (read_picture, read_frames):
            with pytest.raises(LumosXError, match=f"{name}: it is a folder, a pipe or a device"):
                read(tmp_path / name)
    with pytest.raises(LumosXError, match=r"There is no image .*loose.png"):
        read_picture(tmp_path / "loose.png")
    for name in ("a" * 300 + ".png", "a\0b.png", "loop/x.png"):
        with pytest.raises(LumosXError):
            read_picture(tmp_path / name)


KINDS = {
    "grey": (Image.new("L", (6, 4), 90), {}, "png"),
    "1 bit": (Image.new("1", (6, 4), 1), {}, "png"),
    "1 bit TIFF, white is zero": (Image.new("1", (6, 4), 1), {"compression": "group4"}, "tif"),
    "grey and alpha": (Image.new("LA", (6, 4), (90, 255)), {}, "png"),
    "grey and alpha TIFF": (Image.new("LA", (6, 4), (90, 255)), {}, "tif"),
    "palette": (Image.new("RGB", (6, 4), (90, 90, 90)).quantize(2), {}, "png"),
    "palette TIFF": (Image.new("RGB", (6, 4), (90, 90, 90)).quantize(2), {}, "tif"),
    "palette BMP": (Image.new("RGB", (6, 4), (90, 90, 90)).quantize(2), {}, "bmp"),
    "deep grey": (Image.fromarray(np.full((4, 6), 90 * 257, np.uint16)), {}, "png"),
    "deep grey TIFF": (Image.fromarray(np.full((4, 6), 90 * 257, np.uint16)), {}, "tif"),
    "deep grey TIFF of a Mac": (Image.fromarray(np.full((4, 6), 90 * 257, ">u2")), {}, "tif"),
    "deep grey PGM": (Image.fromarray(np.full((4, 6), 90 * 257, np.uint16)), {}, "pgm"),
    "deep grey JPEG 2000": (Image.fromarray(np.full((4, 6), 90 * 257, np.uint16)), {}, "jp2"),
    "CMYK": (Image.new("CMYK", (6, 4), (165, 165, 165, 0)), {"quality": 98}, "jpg"),
    "CMYK TIFF": (Image.new("CMYK", (6, 4), (165, 165, 165, 0)), {}, "tif"),
    "YCbCr TIFF": (Image.new("YCbCr", (6, 4), (90, 128, 128)), {}, "tif"),
    "TGA": (Image.new("RGBA", (6, 4), (90, 90, 90, 255)), {}, "tga"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_numbers_gives_the_same_grey(tmp_path, kind):
    image, options, ending = KINDS[kind]
    image.save(tmp_path / f"a.{ending}", **options)
    expected = 255 if "1 bit" in kind else 90
    assert np.abs(as_bytes(read_picture(tmp_path / f"a.{ending}")).astype(int) - expected).max() <= 1
    [frame] = read_frames(tmp_path / f"a.{ending}")
    assert np.abs(np.asarray(frame.convert("RGB")).astype(int) - expected).max() <= 1


def test_a_deep_grey_tiff_whose_zero_is_white_is_no_negative(tmp_path):
    Image.fromarray(np.full((4, 6), 10000, np.uint16)).save(tmp_path / "a.tif", tiffinfo={262: 0})
    assert (as_bytes(read_picture(tmp_path / "a.tif")) == 216).all()


def test_a_host_that_fills_truncated_images_with_grey_does_not_change_what_is_read(tmp_path, monkeypatch):
    Image.effect_noise((64, 64), 90).save(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(content[: len(content) // 2])
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    for read in (read_picture, read_frames):
        with pytest.raises(LumosXError, match="damaged"):
            read(tmp_path / "a.jpg")
    assert ImageFile.LOAD_TRUNCATED_IMAGES


def test_deep_colours_and_alpha_are_read(tmp_path):
    for channels in (2, 3, 4):
        values = np.full((4, 6, channels), 90 * 257)
        values[..., 3:] = 65535
        if channels == 2:
            values[..., 1] = 65535
        path = png(tmp_path / "a.png", values, bits=16)
        assert (as_bytes(read_picture(path)) == 90).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3.5, -1.0, 0.5])
def test_floating_point_images_are_refused_truly(tmp_path, value):
    Image.fromarray(np.full((4, 4), value, np.float32)).save(tmp_path / "a.tif")
    expected = "not numbers" if not np.isfinite(value) else f"values from {value:g}"
    for read in (read_picture, read_frames):
        with pytest.raises(LumosXError, match=f"a.tif has .*{expected}.* Save it with 8 or 16 bits"):
            read(tmp_path / "a.tif")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_images_and_masks_with_values_that_are_not_numbers_are_refused(value):
    image, mask = torch.zeros(4, 4, 3), torch.ones(4, 4)
    image[1, 2, 0] = mask[1, 2] = value
    with pytest.raises(LumosXError, match="image of 'coat' has values that are not numbers"):
        Reference("coat", image)
    with pytest.raises(LumosXError, match="mask has values that are not numbers"):
        cut_out(torch.zeros(4, 4, 3), mask)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize(("name", "mode"), [("a.jpg", "RGB"), ("a.png", "I;16"), ("a.tif", "L"), ("a.webp", "RGBA")])
def test_every_orientation_is_turned_upright(tmp_path, name, mode, turn):
    values = np.zeros((40, 60), np.uint8)
    values[:20, :30] = 200  # top left
    stored = Image.fromarray(values)
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # of Image.Transpose, from upright to stored
    if turn > 1:
        stored = stored.transpose(Image.Transpose(undo[turn]))
    exif = Image.Exif()
    exif[0x0112] = turn
    stored = Image.fromarray(np.asarray(stored).astype(np.uint16) * 257) if mode == "I;16" else stored.convert(mode)
    stored.save(tmp_path / name, exif=exif)
    picture = read_picture(tmp_path / name)
    assert picture.shape == (40, 60, 3)
    assert picture[5:15, 5:25].min() > 0.7 and picture[25:, :].max() < 0.2 and picture[:, 35:].max() < 0.2


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
@pytest.mark.parametrize("exif", [b"nonsense", b"II*\0\xff\xff\xff\x7f", b"II*\0\x08\0\0\0\xff\xff" + bytes(9), b"MM"])
def test_damaged_exif_data_does_not_make_a_damaged_image(tmp_path, name, exif):
    Image.new("RGB", (9, 8)).save(tmp_path / name, exif=b"Exif\0\0" + exif)
    assert read_picture(tmp_path / name).shape == (8, 9, 3)


def test_a_raw_photo_that_calls_itself_tiff_is_not_read_as_its_thumbnail(tmp_path):
    for name, tag, value in (("a.tif", 254, 1), ("b.tif", 50706, b"\1\4\0\0")):
        Image.new("RGB", (16, 12)).save(tmp_path / name, tiffinfo={tag: value})
        with pytest.raises(LumosXError, match="raw photo of a camera, and only its thumbnail"):
            read_picture(tmp_path / name)


def samples() -> dict[str, bytes]:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8))
    found = {}
    for ending in ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "TGA", "JPEG2000", "AVIF"):
        stream = io.BytesIO()
        image.save(stream, format=ending)
        found[ending] = stream.getvalue()
    if importlib.util.find_spec("pillow_heif"):
        import pillow_heif

        stream = io.BytesIO()
        pillow_heif.from_pillow(image).save(stream)
        found["HEIC"] = stream.getvalue()
    return found


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(4))
def test_malformed_files_end_in_our_own_error(tmp_path, seed):
    chance = random.Random(seed)
    for kind, content in samples().items():
        for number in range(60):
            broken = bytearray(content)
            for _ in range(chance.choice((1, 2, 8))):
                place = chance.randrange(min(len(broken), chance.choice((40, 200, len(broken)))))
                broken[place] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
            if chance.random() < 0.3:
                del broken[chance.randrange(len(broken)) :]
            path = tmp_path / f"{number}.{kind.lower()}"
            path.write_bytes(broken)
            for read in (read_picture, read_frames):
                try:
                    read(path)
                except LumosXError as error:
                    assert len(str(error)) < 800
