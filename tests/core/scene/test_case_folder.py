import json
import logging

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lumosx_core import Reference, Scene, Subject
from lumosx_core.errors import LumosXError
from lumosx_core.scene.case_folder import Case, read_case
from lumosx_core.scene.write_case import write_case


def make(folder, files, caption="name;a prompt"):
    folder.mkdir(parents=True, exist_ok=True)
    if caption is not None:
        (folder / "caption.txt").write_text(caption, encoding="utf-8")
    for number, file in enumerate(files):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (3, 2), (number, 0, 0)).save(folder / file)
    return folder


def picture(phrase, seed=0, height=2, width=3):
    values = torch.randint(0, 256, (height, width, 3), generator=torch.Generator().manual_seed(seed))
    return Reference(phrase, values / 255)


def phrases(scene):
    return [(label, reference.phrase) for label, reference in scene.labelled()]


def assert_same(case, other):
    assert (case.name, case.prompt) == (other.name, other.prompt)
    assert phrases(case.scene) == phrases(other.scene)
    for one, two in zip(case.scene.references, other.scene.references, strict=True):
        assert torch.equal((one.image * 255).round(), (two.image * 255).round())


def test_phrases_and_groups_equal_those_of_the_released_code(golden, tmp_path):
    released = json.loads((golden / "folder_layout.json").read_text())
    scene = read_case(make(tmp_path, released["tree"])).scene
    order = released["token_order"]
    # Released, the phrase of an object ends at its first dot, which would bind the dog to every "st" of the prompt.
    assert [reference.phrase.split(".")[0] for reference in scene.standalone] == order["nonhuman"]
    # The released order within a subject is that of the disk; here the face comes first.
    assert [{r.phrase for r in subject.references} for subject in scene.subjects] == [set(s) for s in order["subjects"]]
    assert [subject.face.phrase for subject in scene.subjects] == ["man", "woman on the left"]


@pytest.mark.parametrize("name", ["man_and_woman_faces", "man_and_woman_outfits", "three_in_a_kitchen", "two_faces"])
def test_a_released_case_is_written_and_read_back(shared_cases, tmp_path, name):
    case = read_case(shared_cases / name)
    assert case.name.startswith("video_person")
    assert case.scene.subjects and all(subject.face for subject in case.scene.subjects)
    assert all(reference.phrase in case.prompt for reference in case.scene.references)
    write_case(tmp_path / "copy", case)
    assert_same(read_case(tmp_path / "copy"), case)
    names = {str(path.relative_to(shared_cases / name)) for path in (shared_cases / name).rglob("*")}
    assert {str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*")} == names


@pytest.mark.parametrize(
    ("caption", "name", "prompt"),
    [
        ("id;a man", "id", "a man"),
        (" id ; a man; a woman \n", "id", "a man; a woman"),
        ("a man\n", None, "a man"),
        (";a man; a woman", None, "a man; a woman"),
        ("\ufeffid;ein Mann in Köln", "id", "ein Mann in Köln"),
    ],
)
def test_the_caption_is_divided_at_the_first_semicolon(tmp_path, caption, name, prompt):
    case = read_case(make(tmp_path, ["objects/lamp.png"], caption))
    assert (case.name, case.prompt) == (name, prompt)


def test_the_face_comes_first_and_the_rest_by_name(tmp_path):
    files = ["subjects/1/zebra.png", "subjects/1/apron.png", "subjects/1/face_man.png", "subjects/1/face mask.png"]
    assert phrases(read_case(make(tmp_path, files)).scene) == [
        ("face of subject 1", "man"),
        ("attribute 1 of subject 1", "apron"),
        ("attribute 2 of subject 1", "face mask"),
        ("attribute 3 of subject 1", "zebra"),
    ]


def test_numbered_subjects_come_in_numerical_order_and_named_ones_by_name(tmp_path):
    numbered = read_case(make(tmp_path / "a", [f"subjects/{n}/face_p{n}.png" for n in ("10", "2", "1")])).scene
    assert [subject.face.phrase for subject in numbered.subjects] == ["p1", "p2", "p10"]
    named = read_case(make(tmp_path / "b", [f"subjects/{n}/face_p{n}.png" for n in ("x", "2", "10")])).scene
    assert [subject.face.phrase for subject in named.subjects] == ["p10", "p2", "px"]


def test_dots_numbers_and_suffixes_in_file_names(tmp_path):
    files = [
        "objects/st. bernard.PNG",
        "background/v. big room.jpg",
        "subjects/1/v. neck shirt.webp",
        "subjects/2/man#2.png",
    ]
    found = [phrase for _, phrase in phrases(read_case(make(tmp_path, files)).scene)]
    assert found == ["v. big room", "st. bernard", "v. neck shirt", "man#2"]


def test_what_is_not_a_picture_of_the_case_is_left_out(tmp_path, caplog):
    folder = make(tmp_path, ["subjects/1/face_man.png", "subjects/1/fullfullbody_man.png", "objects/lamp.png"])
    for name in ("subjects/1/.DS_Store", "subjects/1/Thumbs.db", "objects/._lamp.png", "objects/notes.txt", ".hidden"):
        (folder / name).write_bytes(b"x")
    (folder / "subjects/.cache").mkdir()
    (folder / "objects/more.png").mkdir()
    with caplog.at_level(logging.WARNING, logger="lumosx_core"):
        assert [phrase for _, phrase in phrases(read_case(folder).scene)] == ["lamp", "man"]
    assert [record.getMessage().split("/")[-1] for record in caplog.records] == [
        "more.png is left out: an empty folder.",
        "notes.txt is left out: not an image.",
    ]


def test_of_two_backgrounds_the_first_is_taken_and_said(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, logger="lumosx_core"):
        scene = read_case(make(tmp_path, ["background/room.png", "background/beach.png"])).scene
    assert scene.background.phrase == "beach"
    assert "2 images" in caplog.text and "beach.png" in caplog.text


@pytest.mark.parametrize(
    ("files", "caption", "message"),
    [
        ([], "a prompt", "has no images"),
        (["objects/lamp.png"], None, "caption.txt: No such file .* Write the prompt there"),
        (["objects/lamp.png"], " \n", "caption.txt has no prompt"),
        (["objects/lamp.png"], "name; ", "caption.txt has no prompt"),
        (["objects/shirt.png", "objects/shirt.jpg"], "x", 'shirt.jpg and shirt.png both mean the phrase "shirt"'),
        (["objects/lamp.1.png", "objects/lamp.2.png"], "a lamp", 'phrase "lamp".* ends at the first dot'),
        (["subjects/1/face_man.png", "subjects/1/man.png"], "x", 'both mean the phrase "man"'),
        (["subjects/1/face_man.png", "subjects/1/face_woman.png"], "x", "has 2 faces: face_man.png, face_woman.png"),
        (["subjects/1/fullfullbody_man.png"], "x", "subjects/1 has no image"),
        (["subjects/face_man.png"], "x", "face_man.png belongs to nobody. Move it"),
    ],
)
def test_a_mistake_in_the_folder_is_named(tmp_path, files, caption, message):
    with pytest.raises(LumosXError, match=message):
        read_case(make(tmp_path, files, caption))


def test_a_folder_that_is_none_a_foreign_encoding_and_a_broken_picture_are_named(tmp_path):
    with pytest.raises(LumosXError, match="no case folder .*absent"):
        read_case(tmp_path / "absent")
    folder = make(tmp_path / "case", ["objects/lamp.png"])
    (folder / "objects/lamp.png").write_bytes(b"")
    with pytest.raises(LumosXError, match="objects/lamp.png: the file is empty"):
        read_case(folder)
    (folder / "caption.txt").write_bytes("ein Mann in Köln".encode("latin-1"))
    with pytest.raises(LumosXError, match="caption.txt is not UTF-8"):
        read_case(folder)


words = st.text("abc #1éß男'(.", min_size=1, max_size=6).filter(lambda text: not text.startswith("."))
references = st.builds(picture, words, st.integers(0, 99), st.integers(1, 3), st.integers(1, 3))


def distinct(elements, **options):
    return st.lists(elements, unique_by=lambda reference: reference.phrase, **options)


@st.composite
def subjects(draw):
    pictures = draw(distinct(references, min_size=1, max_size=4))
    return Subject(pictures[0], tuple(pictures[1:])) if draw(st.booleans()) else Subject(None, tuple(pictures))


scenes = st.builds(
    Scene,
    st.lists(subjects(), max_size=12),
    distinct(references.filter(lambda reference: "." not in reference.phrase), max_size=4),
    st.none() | references,
).filter(lambda scene: scene.references)
text = st.text("ab; é\n", max_size=9).map(str.strip)


@settings(max_examples=30, deadline=None)
@given(scenes, st.none() | text.filter(lambda name: name and ";" not in name), text.filter(bool))
def test_any_scene_comes_back_as_it_was_written(tmp_path_factory, scene, name, prompt):
    folder = tmp_path_factory.mktemp("cases") / "case"
    write_case(folder, Case(name, prompt, scene))
    assert_same(read_case(folder), Case(name, prompt, scene))


def test_pictures_added_to_a_written_case_follow_the_ordered_ones(tmp_path):
    write_case(tmp_path / "case", Case(None, "x", Scene(objects=(picture("b"), picture("a")))))
    make(tmp_path / "case", ["objects/A new one.png"], None)
    assert [r.phrase for r in read_case(tmp_path / "case").scene.objects] == ["b", "a", "A new one"]


@pytest.mark.parametrize(
    "scene",
    [
        Scene(objects=(picture("and/or"),)),
        Scene(objects=(picture("st. bernard"),)),
        Scene(objects=(picture("two\nlines"),)),
        Scene(objects=(picture("nul\0"),)),
        Scene(objects=(picture(""),)),
        Scene(objects=(picture("x" * 252),)),
        Scene(objects=(picture("男" * 84),)),
        Scene(objects=(picture("\ud800"),)),
        Scene(objects=(picture("lamp"), picture("lamp"))),
        Scene(background=picture("..")),
        Scene(background=picture("a fullfullbody")),
        Scene((Subject(None, (picture("face_paint"),)),)),
        Scene((Subject(None, (picture("face"),)),)),
        Scene((Subject(picture("man"), (picture("man"),)),)),
        Scene((Subject(None),)),
        Scene(),
    ],
)
def test_a_scene_that_the_layout_cannot_tell_is_refused_before_anything_is_written(tmp_path, scene):
    with pytest.raises(LumosXError):
        write_case(tmp_path / "deep" / "case", Case("name", "a prompt", scene))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "prompt"), [("a;b", "x"), ("", "x"), (" a", "x"), ("a", ""), (None, " ")])
def test_a_caption_that_cannot_be_told_is_refused(tmp_path, name, prompt):
    with pytest.raises(LumosXError, match="cannot be written as caption.txt"):
        write_case(tmp_path / "case", Case(name, prompt, Scene(background=picture("room"))))
    assert not list(tmp_path.iterdir())


def test_an_unbound_face_survives(tmp_path):
    case = Case("a", "x", Scene((Subject(picture("")),)))
    write_case(tmp_path / "case", case)
    assert_same(read_case(tmp_path / "case"), case)


def test_only_a_new_or_an_empty_folder_is_written_to(tmp_path):
    case = Case("a", "x", Scene(background=picture("room")))
    (tmp_path / "empty").mkdir()
    write_case(tmp_path / "empty", case)
    with pytest.raises(LumosXError, match="empty is in use. Give a new or an empty folder"):
        write_case(tmp_path / "empty", case)
    (tmp_path / "file").touch()
    with pytest.raises(LumosXError, match="file is in use"):
        write_case(tmp_path / "file", case)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file"]


class Interrupting(Reference):
    """A picture during whose writing the user presses Ctrl+C."""

    def __getattribute__(self, name):
        if name == "image" and "shown" in object.__getattribute__(self, "__dict__"):
            raise KeyboardInterrupt
        return object.__getattribute__(self, name)


def test_an_interrupt_leaves_nothing_behind(tmp_path):
    bad = Interrupting("lamp", torch.zeros(1, 1, 3))
    bad.__dict__["shown"] = True
    with pytest.raises(KeyboardInterrupt):
        write_case(tmp_path / "case", Case("a", "x", Scene(objects=(picture("room"), bad))))
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(LumosXError, match="file/case could not be written: .*Choose another name"):
        write_case(tmp_path / "file" / "case", Case("a", "x", Scene(background=picture("room"))))
