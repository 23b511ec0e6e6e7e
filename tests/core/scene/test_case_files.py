"""Nothing in a case folder is passed over: it is read, known junk, reported, or a mistake."""

from __future__ import annotations

import os
import unicodedata

import pytest
from PIL import Image

from lumosx_core.errors import LumosXError
from lumosx_core.scene.case_folder import read_case
from lumosx_core.scene.scene import MOST_IMAGES

PNG = b"\x89PNG\r\n\x1a\n"


def case(folder, *files: str, caption: str | bytes = "a man, a woman, a cup, a red hat in a room", **more: bytes):
    folder.mkdir(exist_ok=True)
    (folder / "caption.txt").write_bytes(caption if isinstance(caption, bytes) else caption.encode())
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (3, 2)).save(folder / file, format="PNG")
    return folder


def read(folder):
    """Phrases, and what was reported, without the folder."""
    said: list[str] = []
    scene = read_case(folder, say=said.append).scene
    return [reference.phrase for reference in scene.references], [text.replace(f"{folder}/", "") for text in said]


JUNK = ["__MACOSX/1", "@eaDir/1", "System Volume Information", "$RECYCLE.BIN", "lost+found", ".git", "#recycle/1"]


@pytest.mark.parametrize("junk", JUNK)
@pytest.mark.parametrize("where", ["", "subjects", "subjects/1", "objects", "background"])
def test_junk_changes_nothing(tmp_path, junk, where):
    folder = case(tmp_path / "c", "subjects/1/face_man.png", "objects/cup.png", "background/room.png")
    (folder / where / junk).mkdir(parents=True)
    (folder / where / junk / "face_man.png").write_bytes(b"x")
    for name in (".DS_Store", "Thumbs.db", "DESKTOP.INI", "._face_man.png", "Icon\r", "a.png~", "b.zip.crdownload"):
        (folder / where / name).write_bytes(b"x")
    assert read(folder) == (["room", "cup", "man"], [])


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        *(("subject", "subjects"), ("subjets", "subjects"), ("people", "subjects"), ("object", "objects")),
        *(("Objets", "objects"), ("backgrounds", "background"), ("back ground", "background"), ("bg", "background")),
    ],
)
def test_a_folder_under_another_name_is_a_mistake(tmp_path, name, meant):
    folder = case(
        tmp_path / "c", f"{name}/1/face_man.png", f"{'objects' if meant != 'objects' else 'subjects/1'}/cup.png"
    )
    with pytest.raises(LumosXError, match=f"{name} is not part of a case folder. Did you mean {meant}"):
        read(folder)


@pytest.mark.parametrize("names", [("Subjects", "Objects", "Background"), ("SUBJECTS", "OBJECTS", "BACKGROUND")])
def test_capitals_of_folders_do_not_matter(tmp_path, names):
    subjects, objects, background = names
    folder = case(tmp_path / "c", f"{subjects}/1/Face_man.PNG", f"{objects}/cup.png", f"{background}/room.png")
    (folder / "caption.txt").rename(folder / "Caption.TXT")
    (folder / "Order.txt").write_text(f"{subjects}/1/face_man.png")
    assert read(folder)[0] == ["room", "cup", "man"]


@pytest.mark.skipif(os.name == "nt", reason="one folder there")
def test_two_folders_that_look_alike_are_a_mistake(tmp_path):
    folder = case(tmp_path / "c", "subjects/1/face_man.png", "Subjects/2/face_woman.png")
    if len(list(folder.iterdir())) == 3:
        with pytest.raises(LumosXError, match="has Subjects and subjects, which look alike"):
            read(folder)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("face_man.png", "face_man.png belongs to nothing. Move it into"),
        ("background.png", "background.png belongs to nothing"),
        ("subjects/face_man.png", "belongs to nobody. Move it"),
        ("subjects/1/more/hat.png", "more is a folder within 1, where images are expected"),
        ("objects/lamps/lamp.png", "lamps is a folder within objects"),
        ("subjects/1/face.png", "does not say which words of the prompt name the person. Rename it to face_PHRASE.png"),
    ],
)
def test_an_image_in_the_wrong_place_is_a_mistake(tmp_path, file, message):
    with pytest.raises(LumosXError, match=message):
        read(case(tmp_path / "c", "objects/cup.png", file))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("red hat", PNG),
        ("red hat.png_", PNG),
        ("red hat.jpg.bak", b"\xff\xd8\xff\xe0"),
        ("red hat.image", b"RIFF\x10\0\0\0WEBP"),
        ("red hat.foto", b"\0\0\0\x18ftypheic"),
        ("red hat.dat", b"\0\0\0\x0cJXL \r\n\x87\n"),
    ],
)
def test_an_image_without_an_ending_that_is_read_is_a_mistake(tmp_path, name, content):
    folder = case(tmp_path / "c", "subjects/1/face_man.png")
    (folder / "subjects/1" / name).write_bytes(content)
    with pytest.raises(LumosXError, match="its name does not end as one that is read here"):
        read(folder)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("notes.md", "notes.md is left out: not part of a case folder."),
        ("old/1/face_man.png", "old is left out: the folders of a case are background, objects, subjects."),
        ("preview.png", "preview.png is left out: images of a case are in subjects/1, objects and background."),
        ("objects/cup.txt", "objects/cup.txt is left out: not an image."),
        ("subjects/read me.txt", "subjects/read me.txt is left out: not an image."),
        (
            "subjects_old/1/face_man.png",
            "subjects_old is left out: the folders of a case are background, objects, subjects.",
        ),
    ],
)
def test_anything_else_is_reported(tmp_path, file, said):
    folder = case(tmp_path / "c", "subjects/1/face_man.png")
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / file).write_bytes(PNG if file.endswith("png") else b"text")
    assert read(folder) == (["man"], [said])


@pytest.mark.parametrize("video", ["video.mp4", "out.mp4", "result.WEBM", "take 2.mov"])
def test_a_video_may_lie_there(tmp_path, video):
    folder = case(tmp_path / "c", "subjects/1/face_man.png")
    (folder / video).write_bytes(b"x")
    assert read(folder) == (["man"], [])


@pytest.mark.parametrize("name", ["prompt.txt", "captions.txt", "caption.txt.txt", "caption.md", "001.txt", "caption"])
def test_a_missing_caption_is_named_after_the_text_that_is_there(tmp_path, name):
    folder = case(tmp_path / "c", "subjects/1/face_man.png")
    (folder / "caption.txt").rename(folder / name)
    with pytest.raises(
        LumosXError, match=f"'{name}': if the prompt is in it, rename|{name} is not part.*mean caption.txt"
    ):
        read(folder)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_caption_is_read_in_every_unicode_encoding(tmp_path, encoding):
    caption = "title;Ein Mann mit Röcken\r\nund 红色帽子".encode(encoding)
    assert (
        read_case(case(tmp_path / "c", "objects/Mann.png", caption=caption)).prompt
        == "Ein Mann mit Röcken\nund 红色帽子"
    )


@pytest.mark.parametrize("caption", ["Köln".encode("cp1252"), "帽子".encode("gbk"), b"{\\rtf1 a man}", b"a\0man"])
def test_a_caption_of_an_unknown_encoding_is_refused(tmp_path, caption):
    with pytest.raises(LumosXError, match=r"caption.txt is .*(UTF-8|text)"):
        read(case(tmp_path / "c", "objects/cup.png", caption=caption))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("name", ["caption.txt", "order.txt", "objects/cup.png", "subjects/1/face_man.png"])
def test_a_named_pipe_is_refused_at_once(tmp_path, name):
    folder = case(tmp_path / "c", "objects/red hat.png", "subjects/1/face_man.png")
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    with pytest.raises(LumosXError, match="a named pipe, a socket or a device, expected a file"):
        read(folder)


@pytest.mark.parametrize(
    ("name", "caption", "phrase"),
    [
        ("no. 5 bottle.png", "A woman with no hat holds a no. 5 bottle", "no. 5 bottle"),
        ("no. 5 bottle.png", "A woman with no hat holds bottle no. 5", "no. 5 bottle"),
        ("Dr. Pepper can.png", "Dr. Smith holds a can", "Dr. Pepper can"),
        ("St. Bernard#2.png", "a St. Bernard and a St. Bernard", "St. Bernard#2"),
        ("U.S. flag.png", "a U.S. flag", "U.S. flag"),
        ("vol.2 book.png", "vol. 1 and vol.2 book", "vol.2 book"),
        ("No.5.png", "No man has No.5", "No.5"),
        ("3.5 inch disk.png", "3 people and a 3.5 inch disk", "3.5 inch disk"),
        ("a.b.c.png", "a man", "a.b.c"),
        ("white lamp.2.png", "a white lamp", "white lamp"),
        ("white lamp.mask.png", "a white lamp", "white lamp"),
        ("mr. big.tiff.png", "mr. big.tiff", "mr. big.tiff"),
    ],
)
def test_a_dot_in_the_words_of_an_object_does_not_end_its_phrase(tmp_path, name, caption, phrase):
    assert read(case(tmp_path / "c", f"objects/{name}", caption=caption))[0] == [phrase]


def test_a_phrase_that_ends_at_a_dot_is_reported(tmp_path):
    said = read(case(tmp_path / "c", "objects/white lamp.2.png", caption="a white lamp"))[1]
    assert said == ["'white lamp.2.png' is bound to 'white lamp': the phrase of an object ends at the first dot."]


def test_one_phrase_in_two_forms_is_one_phrase(tmp_path):
    names = (unicodedata.normalize(form, "objects/Röcke.png") for form in ("NFC", "NFD"))
    folder = case(tmp_path / "c", *names)
    if len(list((folder / "objects").iterdir())) == 2:
        with pytest.raises(LumosXError, match="both mean the phrase"):
            read(folder)


def test_images_that_order_does_not_list_are_reported(tmp_path):
    folder = case(tmp_path / "c", "objects/cup.png", "objects/red hat.png")
    (folder / "order.txt").write_text("objects/red hat.png")
    phrases, said = read(folder)
    assert phrases == ["red hat", "cup"]
    assert said == ["order.txt does not list objects/cup.png: it follows the listed images, by name."]


def test_a_prompt_that_is_taken_for_a_name_is_reported(tmp_path):
    folder = case(tmp_path / "c", "objects/cup.png", caption="A man walks along the beach; a cup stands there")
    assert "are the name of the video, not part of the prompt" in read(folder)[1][0]


def test_a_thousand_subjects_are_refused_before_they_are_read(tmp_path):
    folder = case(tmp_path / "c", "objects/cup.png")
    for number in range(MOST_IMAGES):
        (folder / f"subjects/{number}").mkdir(parents=True)
        (folder / f"subjects/{number}/face_man.png").write_bytes(b"not opened")
    with pytest.raises(LumosXError, match=f"has {MOST_IMAGES + 1} images, but a scene has at most {MOST_IMAGES}"):
        read(folder)


@pytest.mark.parametrize("name", ["x" * 300, "nul\0", "a/" * 3000, ""])
def test_a_folder_that_no_disk_has_is_named(tmp_path, name):
    with pytest.raises(LumosXError, match="There is no case folder|no part|caption"):
        read_case(tmp_path / name)
