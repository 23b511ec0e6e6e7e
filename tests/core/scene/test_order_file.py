"""order.txt is matched as people see it; a line that names nothing is a mistake."""

from __future__ import annotations

import unicodedata

import pytest

from lumosx_core.errors import LumosXError
from lumosx_core.scene.order_file import read_order

NFD = unicodedata.normalize("NFD", "subjects/1/Röcke.png")
IMAGES = ["subjects/1/face_man.png", "subjects/1/shirt.PNG", "subjects/1/red hat.png", "objects/cup.png", NFD]


def order(folder, content: str | bytes, images=IMAGES, unused=()):
    path = folder / "order.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    lines = read_order(path, images, unused)
    return sorted(lines, key=lambda image: lines[image])


@pytest.mark.parametrize(
    "lines",
    [
        "subjects/1/red hat.png\nsubjects/1/shirt.PNG",
        "subjects\\1\\red hat.png\r\nsubjects\\1\\shirt.png\r\n",
        "./subjects/1/red hat.png\n.\\subjects\\1\\shirt.PNG",
        "\ufeffsubjects/1/red hat.png\n\n\nsubjects/1/shirt.PNG   ",
        "# first the hat\nsubjects/1/red hat.png\n  # then\nsubjects/1/shirt.PNG",
        "\"subjects/1/red hat.png\"\n'subjects/1/shirt.PNG'",
        "“subjects/1/red hat.png”\n„subjects/1/shirt.PNG“",
        "Subjects/1/Red Hat.PNG\nSUBJECTS/1/SHIRT.PNG",
        "subjects/1/red\u00a0hat.png\nsubjects/1/shirt\u200b.PNG",
        "subjects/1/red hat\nsubjects/1/shirt",
        "red hat.png\nshirt.png",
        "my_case/subjects/1/red hat.png\n/home/anna/my_case/subjects/1/shirt.PNG",
        "C:\\cases\\my_case\\subjects\\1\\red hat.png\n\\\\nas\\cases\\my_case\\subjects\\1\\shirt.PNG",
        "subjects/1/red hat.png\rsubjects/1/shirt.PNG",
        "subjects//1//red hat.png\nsubjects/1/./shirt.PNG",
    ],
)
def test_lines_are_read_as_people_see_them(tmp_path, lines):
    assert order(tmp_path, lines) == ["subjects/1/red hat.png", "subjects/1/shirt.PNG"]
    assert order(tmp_path, lines.encode("utf-16")) == ["subjects/1/red hat.png", "subjects/1/shirt.PNG"]


def test_accents_match_however_they_are_composed(tmp_path):
    assert order(tmp_path, "subjects/1/Röcke.png") == [NFD]
    composed = unicodedata.normalize("NFC", NFD)
    assert order(tmp_path, NFD, [composed]) == [composed]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            "subjects/1/shrit.png",
            r"Line 1 of .*order.txt, 'subjects/1/shrit.png', .* Did you mean 'subjects/1/shirt.PNG'",
        ),
        ("objects/cup.png\nsubject/1/face_man.png", "Line 2 .* Did you mean 'subjects/1/face_man.png'"),
        ("objects/cup.jpg", "Did you mean 'objects/cup.png'"),
        ("subjects/2/face_man.png", "Did you mean 'subjects/1/face_man.png'"),
        ("subjects/1", "names no image"),
        ("caption.txt", "names no image"),
        ("1. xyz", "names no image of the case. Write one image's path a line"),
        ("objects/cup.png\nobjects\\cup.png", "Line 2 .* that line 1 names already"),
        ("x" * 5000, "xxx \\.\\.\\.', names no image"),
        ("objects/c\x1bup.png", r"objects/c\\\\x1bup.png"),
    ],
)
def test_a_line_that_names_no_image_is_a_mistake(tmp_path, lines, message):
    with pytest.raises(LumosXError, match=message):
        order(tmp_path, lines)


def test_a_name_that_two_images_have_needs_its_folder(tmp_path):
    images = ["subjects/1/shirt.png", "subjects/2/shirt.png", "objects/a.png", "objects/a.jpg"]
    with pytest.raises(LumosXError, match="may mean 'subjects/1/shirt.png' or 'subjects/2/shirt.png'"):
        order(tmp_path, "shirt.png", images)
    with pytest.raises(LumosXError, match="may mean 'objects/a.jpg' or 'objects/a.png'"):
        order(tmp_path, "objects/a", images)
    assert order(tmp_path, "objects/A.png", images) == ["objects/a.png"]


def test_an_image_that_is_not_shown_may_be_named(tmp_path):
    assert order(tmp_path, "fullfullbody_man.png", unused=["subjects/1/fullfullbody_man.png"])


def test_names_that_begin_like_comments_are_names(tmp_path):
    assert order(tmp_path, "#1 shirt.png", ["objects/#1 shirt.png"]) == ["objects/#1 shirt.png"]
