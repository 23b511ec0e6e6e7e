"""What is named like an image is read or refused with the way to convert it; nothing is passed over."""

from __future__ import annotations

import sys

import pytest
from PIL import Image

from lumosx_core.errors import LumosXError
from lumosx_core.media.image_kinds import is_image, is_image_name
from lumosx_core.media.images import read_picture

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
UNREADABLE = {
    "face_man.jxl": (b"\xff\x0a\0\0", r"JPEG XL image.*djxl"),
    "face_man.JXL": (b"\0\0\0\x0cJXL \r\n\x87\n", r"JPEG XL"),
    "IMG_1.DNG": (b"II*\0\x08\0\0\0" + bytes(300), r"raw photo of a camera.* Develop it"),
    "IMG_1.CR3": (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", r"raw photo"),
    "IMG_1.nef": (b"MM\0*\0\0\0\x08" + bytes(300), r"raw photo"),
    "IMG_1.raf": (b"FUJIFILMCCD-RAW 0201", r"raw photo"),
    "coat.psd": (b"8BPS\0\1" + bytes(30), r"file of layers"),
    "coat.kra": (b"PK\3\4" + bytes(30), r"file of layers"),
    "coat.svg": (b"<svg xmlns=''/>", r"text file such as SVG.* Export the image as PNG"),
    "coat.pdf": (b"%PDF-1.7", r"drawing or document"),
    "coat.exr": (b"v/1\x01\2\0\0\0", r"scene-linear light.* view transform"),
    "coat.hdr": (b"#?RADIANCE\n", r"scene-linear"),
    "face_man.mp4": (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2", r"a video.* Save the frame"),
    "face_man.webm": (b"\x1a\x45\xdf\xa3" + bytes(30), r"a video"),
    "face_man.mov": (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", r"a video"),
    "coat.ico": (b"\0\0\1\0\1\0", r"an icon"),
    "coat.qoi": (b"qoif" + bytes(20), r"of a kind not read"),
    "really jxl.png": (b"\xff\x0a\0\0", r"JPEG XL"),
    "really psd.jpg": (b"8BPS\0\1" + bytes(30), r"file of layers"),
    "really text.png": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", r"placeholder of Git LFS"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_an_image_of_a_kind_not_read_here_says_how_to_convert_it(tmp_path, name):
    content, expected = UNREADABLE[name]
    (tmp_path / name).write_bytes(content)
    assert is_image(tmp_path / name)
    with pytest.raises(LumosXError, match=f"Cannot read the image .*{name}: it is .*{expected}"):
        read_picture(tmp_path / name)


@pytest.mark.parametrize("name", ["a.HEIC", "a.heif", "a.HIF", "named.jpg"])
def test_a_heic_photo_without_the_package_says_what_to_install_or_how_to_export(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / name).write_bytes(HEIC + bytes(100))
    assert is_image_name(name)
    with pytest.raises(LumosXError, match=r"it is a HEIC photo.* export it as JPEG"):
        read_picture(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("face_man.png.crdownload", "unfinished download"),
        ("face_man.jpg.part", "unfinished download"),
        (".face_man.heic.icloud", "unfinished download"),
        ("coat.png - Shortcut.lnk", "shortcut to an image"),
        ("coat.png.lnk", "shortcut to an image"),
    ],
)
def test_what_stands_for_an_image_is_an_error(tmp_path, name, expected):
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(LumosXError, match=expected):
        is_image(tmp_path / name)


@pytest.mark.parametrize("name", ["face_man", "face_man.image", "coat.png2", "coat.dat"])
@pytest.mark.parametrize("ending", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "AVIF"])
def test_an_image_under_another_name_is_an_error(tmp_path, name, ending):
    Image.new("RGB", (8, 8)).save(tmp_path / name, format=ending)
    with pytest.raises(LumosXError, match="holds an image, but its name does not end as one that is read here"):
        is_image(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", b"a coat"),
        ("photo.xmp", b"<?xpacket begin='' ?>"),
        ("photo.AAE", b"<?xml version='1.0'?><!DOCTYPE plist>"),
        ("photo.json", b"{}"),
        ("face_man.png.bak", b"\x89PNG\r\n\x1a\n"),
        ("face_man.png~", b"\x89PNG\r\n\x1a\n"),
        ("face_man.png.crdownload", b"\x89PNG\r\n\x1a\n"),
        ("face_man.png.lnk", b""),
        ("empty", b""),
    ],
)
def test_what_lies_beside_images_is_none(tmp_path, name, content):
    (tmp_path / "face_man.png").touch()
    (tmp_path / name).write_bytes(content)
    assert not is_image(tmp_path / name)


@pytest.mark.parametrize("name", ["a.PNG", "a.JpG", "a.jpe", "a.pgm", "a.png ", "a.heic", "a.mpo", "a.jpx", "a.png."])
def test_endings_are_compared_without_case_and_without_what_windows_drops(name):
    assert is_image_name(name)
