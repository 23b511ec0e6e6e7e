"""Colours that a file states are converted to sRGB on every path; what is in sRGB already stays to the bit."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from stated_colours import (
    ADOBE,
    BT2020,
    D50_XY,
    P3,
    PROPHOTO,
    SRGB,
    chrm,
    cicp,
    gama,
    grey_profile,
    png,
    rgb_profile,
    srgb_of,
    with_nclx,
)

from lumosx_core.errors import LumosXError
from lumosx_core.media.images import read_mask, read_picture
from lumosx_core.media.loaded_image import load_image

COLOUR = (180, 90, 60)
FLAT = np.full((8, 12, 3), COLOUR, np.uint8)
PROFILES = {
    "Display P3": (P3, None, (0.3127, 0.3290)),
    "Adobe RGB": (ADOBE, 2.2, (0.3127, 0.3290)),
    "ProPhoto": (PROPHOTO, 1.8, D50_XY),
    "BT.2020": (BT2020, 2.4, (0.3127, 0.3290)),
    "linear": (SRGB, 1.0, (0.3127, 0.3290)),
}


def colour(picture: torch.Tensor) -> list[int]:
    values = (picture * 255).round().int()
    assert (values == values[:1, :1]).all() or values.reshape(-1, 3).float().std(dim=0).max() < 2
    return values[len(values) // 2, values.shape[1] // 2].tolist()


def near(found, expected, most=2) -> bool:
    return max(abs(one - two) for one, two in zip(found, expected, strict=True)) <= most


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif", "a.avif"])
@pytest.mark.parametrize("kind", PROFILES)
def test_a_profile_is_used_whatever_the_file(tmp_path, caplog, name, kind):
    profile = rgb_profile(*PROFILES[kind])
    options = {"quality": 100} if name != "a.png" else {}
    Image.fromarray(FLAT).save(tmp_path / name, icc_profile=profile, **options)
    with caplog.at_level(logging.INFO, logger="lumosx_core"):
        found = colour(read_picture(tmp_path / name))
    assert near(found, srgb_of(COLOUR, *PROFILES[kind]), 2 if name in ("a.png", "a.tif") else 6)
    assert "converted to sRGB" in caplog.text
    assert near(found, colour(load_image(tmp_path / name).image), 0)


def test_a_profile_of_srgb_changes_no_bit(tmp_path, caplog):
    values = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    profiles = [ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), rgb_profile(SRGB, None)]
    for profile in profiles:
        Image.fromarray(values).save(tmp_path / "a.png", icc_profile=profile)
        with caplog.at_level(logging.INFO, logger="lumosx_core"):
            assert np.array_equal((read_picture(tmp_path / "a.png") * 255).round().byte().numpy(), values)
    assert "converted" not in caplog.text


def test_transparency_and_palettes_keep_their_alpha_under_a_profile(tmp_path):
    profile, expected = rgb_profile(*PROFILES["Adobe RGB"]), srgb_of(COLOUR, *PROFILES["Adobe RGB"])
    image = Image.new("RGBA", (12, 8), (0, 0, 0, 0))
    image.paste((*COLOUR, 255), (3, 2, 9, 6))
    image.save(tmp_path / "alpha.png", icc_profile=profile)
    small = Image.new("P", (12, 8), 0)
    small.putpalette([0, 0, 0, *COLOUR])
    small.paste(1, (3, 2, 9, 6))
    small.save(tmp_path / "palette.png", icc_profile=profile, transparency=0)
    for name in ("alpha.png", "palette.png"):
        picture = read_picture(tmp_path / name)
        assert picture.shape == (4, 6, 3) and near(colour(picture), expected), name
        assert load_image(tmp_path / name).mask.sum() == 24


def test_the_profile_of_a_grey_image_is_used(tmp_path):
    Image.new("L", (6, 4), 128).save(tmp_path / "a.png", icc_profile=grey_profile(1.0))
    assert near(colour(read_picture(tmp_path / "a.png")), (188, 188, 188))
    Image.fromarray(np.full((4, 6), 128 * 257, np.uint16)).save(tmp_path / "deep.png", icc_profile=grey_profile(1.0))
    assert near(colour(read_picture(tmp_path / "deep.png")), (188, 188, 188))


def test_a_profile_that_does_not_fit_is_named_and_left_out(tmp_path, caplog):
    Image.fromarray(FLAT).save(tmp_path / "a.png", icc_profile=b"not a profile" * 20)
    assert colour(read_picture(tmp_path / "a.png")) == list(COLOUR)
    assert "colour profile of" in caplog.text and "is not usable" in caplog.text


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ((gama(1.0),), srgb_of(COLOUR, SRGB, 1.0)),
        ((gama(1.8),), srgb_of(COLOUR, SRGB, 1.8)),
        ((chrm(P3),), srgb_of(COLOUR, P3, None)),
        ((gama(2.2), chrm(ADOBE)), srgb_of(COLOUR, ADOBE, None)),
        ((gama(1.0), chrm(BT2020)), srgb_of(COLOUR, BT2020, 1.0)),
        ((cicp(12, 13),), srgb_of(COLOUR, P3, None)),
        ((cicp(9, 8),), srgb_of(COLOUR, BT2020, 1.0)),
        ((cicp(1, 4),), srgb_of(COLOUR, SRGB, 2.2)),
        # What means sRGB, or nothing, changes no bit.
        ((gama(2.2), chrm(SRGB)), list(COLOUR)),
        ((gama(2.2),), list(COLOUR)),
        (((b"sRGB", b"\0"), gama(1.0)), list(COLOUR)),
        (((b"gAMA", bytes(4)),), list(COLOUR)),
        (((b"cHRM", bytes(32)),), list(COLOUR)),
        ((cicp(1, 13),), list(COLOUR)),
        ((cicp(2, 2),), list(COLOUR)),
        ((cicp(12, 13), gama(1.0)), srgb_of(COLOUR, P3, None)),
    ],
)
def test_the_chunks_of_a_png_are_used_in_their_order(tmp_path, chunks, expected):
    path = png(tmp_path / "a.png", FLAT, *chunks)
    found = colour(read_picture(path))
    assert found == expected if expected == list(COLOUR) else near(found, expected)


def test_grey_and_deep_pngs_follow_their_chunks_too(tmp_path):
    grey = np.full((4, 6), 128)
    assert near(colour(read_picture(png(tmp_path / "a.png", grey, gama(1.0)))), (188, 188, 188))
    dark = np.full((4, 6), 40)  # of 65535: below the first step of 8 bits
    assert near(colour(read_picture(png(tmp_path / "b.png", dark, gama(1.0), bits=16))), (2, 2, 2), 0)
    assert near(
        colour(read_picture(png(tmp_path / "c.png", FLAT.astype(int) * 257, gama(1.0), bits=16))),
        srgb_of(COLOUR, SRGB, 1),
    )
    narrow = np.full((4, 6, 3), 235)
    assert colour(read_picture(png(tmp_path / "d.png", narrow, cicp(1, 1, full=False)))) == [255, 255, 255]


@pytest.mark.parametrize(("transfer", "signal"), [(18, 0.75), (16, 0.5807)])
def test_reference_white_of_an_hdr_image_becomes_white(tmp_path, transfer, signal):
    values = np.full((4, 6, 3), round(signal * 65535))
    assert near(colour(read_picture(png(tmp_path / "a.png", values, cicp(9, transfer), bits=16))), (243, 243, 243))


def test_code_points_of_an_avif_are_used(tmp_path):
    Image.fromarray(FLAT).save(tmp_path / "a.avif", quality=100)
    path = with_nclx(tmp_path / "a.avif", 12, 13)
    assert near(colour(read_picture(path)), srgb_of(COLOUR, P3, None), 4)


@pytest.mark.parametrize(
    ("codes", "shown", "expected"),
    [
        (None, COLOUR, COLOUR),
        ((12, 13), COLOUR, srgb_of(COLOUR, P3, None)),
        ((9, 16), (148, 148, 148), (243, 243, 243)),
        ((9, 18), (191, 191, 191), (243, 243, 243)),
    ],
)
def test_a_heic_photo_is_read_in_its_colours_where_pillow_heif_is_installed(tmp_path, codes, shown, expected):
    heif = pytest.importorskip("pillow_heif")
    path = tmp_path / "a.heic"
    photo = heif.from_pillow(Image.fromarray(np.full((64, 96, 3), shown, np.uint8)))
    photo.save(path, quality=100, save_nclx_profile=True)
    if codes:
        with_nclx(path, *codes)
    picture = read_picture(path)
    assert picture.shape == (64, 96, 3)
    assert near(colour(picture), expected, 6)


def test_adobe_rgb_of_a_camera_is_told_from_its_exif_data(tmp_path):
    exif = Image.Exif()
    exif[0x8769] = {0xA005: {1: "R03"}}
    Image.fromarray(FLAT).save(tmp_path / "_MG_1234.JPG", exif=exif, quality=100, subsampling=0)
    assert near(colour(read_picture(tmp_path / "_MG_1234.JPG")), srgb_of(COLOUR, ADOBE, 563 / 256), 3)


def test_lab_is_converted(tmp_path):
    lab = ImageCms.profileToProfile(
        Image.fromarray(FLAT), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    lab.save(tmp_path / "a.tif")
    assert near(colour(read_picture(tmp_path / "a.tif")), COLOUR, 3)


def test_the_numbers_of_a_mask_are_no_colours(tmp_path):
    path = png(tmp_path / "a.png", np.full((4, 6), 128), gama(1.0))
    assert torch.equal(read_mask(path), torch.full((4, 6), 128 / 255))


def test_a_mask_with_transparency_is_where_it_is_opaque_and_white(tmp_path):
    image = Image.new("RGBA", (6, 4), (255, 255, 255, 0))
    image.paste((255, 255, 255, 255), (1, 1, 3, 3))
    image.save(tmp_path / "a.png")
    mask = read_mask(tmp_path / "a.png")
    assert mask.shape == (4, 6) and mask.sum() == 4
    with pytest.raises(LumosXError, match="There is no image"):
        read_mask(tmp_path / "none.png")
