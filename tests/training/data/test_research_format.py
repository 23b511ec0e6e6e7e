"""The research format becomes scenes: frames within masks, faces within boxes, people as groups or whole bodies."""

import csv
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from sample_files import make_picture, make_video

from lumosx_core.errors import LumosXError
from lumosx_training.data.clips import ClipSettings
from lumosx_training.data.samples import BadSample, SampleSettings
from lumosx_training.data.sources.open_source import open_source
from lumosx_training.data.sources.research_scene import SceneReader

TEXT = "A man in a denim jacket lifts a red cup in a bright kitchen."
SELECTED = [1, 4, 7]
BLUES = {1: 40, 4: 120, 7: 200}  # of the frame, so that a picture tells which one it is from
SETTINGS = SampleSettings(ClipSettings((5,)), whole_body=0)
WHOLE_BODY = SampleSettings(ClipSettings((5,)), whole_body=1)


@pytest.fixture
def root(tmp_path):
    """A table of one video: red over green, its blue growing with time."""
    frames = torch.zeros(9, 32, 48, 3)
    frames[:, :16, :, 0] = frames[:, 16:, :, 1] = 0.8
    for place, blue in BLUES.items():
        frames[place, ..., 2] = blue / 255
    (tmp_path / "clips").mkdir()
    make_video(tmp_path / "clips" / "abc.mp4", frames)
    folder = tmp_path / "clips" / "abc"
    for name, box in {"man": (4, 2, 20, 30), "jacket": (6, 18, 18, 28), "cup": (30, 4, 40, 12)}.items():
        for place in SELECTED:
            write_mask(folder / f"{name}_frame{place}.png", box)
    for place in range(3):
        make_picture(folder / f"kitchen_{place}.png", (48, 32), (place, 0, 0))
    write_info(tmp_path, {})
    write_table(tmp_path, [{"path": "clips/abc.mp4", "text": TEXT, "duration": 0.56, "height": 32, "width": 48}])
    return tmp_path


def write_mask(path, box, size=(48, 32)):
    make_picture(path, size, 0, "L")
    with Image.open(path) as mask:
        mask.paste(255, box)
        mask.save(path)


def info():
    def three(name):
        return [f"{name}_frame{place}.png" for place in SELECTED]

    return {
        "video": "/somewhere/else/abc.mp4",
        "selected_frames": SELECTED,
        "word_tags_path": {
            "person": [
                {
                    "subject": {"man": three("man"), "face": {str(place): [5, 3, 15, 13] for place in SELECTED}},
                    "attributes": [{"denim jacket": three("jacket")}],
                }
            ],
            "other_subjects": [{"red cup": three("cup")}],
            "background": {"bright kitchen": [f"kitchen_{place}.png" for place in range(3)]},
        },
    }


def write_info(root, changes, tags=None):
    content = info() | changes
    content["word_tags_path"] |= tags or {}
    (root / "clips/abc/info.json").write_text(json.dumps(content))


def write_table(root, rows, name="table.csv"):
    with (root / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def load(root, settings=SETTINGS, key="clips/abc.mp4"):
    return open_source(root / "table.csv", settings).load(key)


def reasons(root, settings=SETTINGS, key="clips/abc.mp4"):
    with pytest.raises(BadSample) as caught:
        load(root, settings, key)
    assert "table.csv, row" in caught.value.path
    return " ".join(caught.value.reasons)


def phrases(scene):
    return {label: reference.phrase for label, reference in scene.labelled()}


def blue(image):
    """The selected frame that a picture is from."""
    value = float(image[..., 2].median()) * 255
    return min(BLUES, key=lambda place: abs(BLUES[place] - value))


def test_people_are_groups_of_face_and_attributes(root):
    sample = load(root)
    assert phrases(sample.case.scene) == {
        "background": "bright kitchen",
        "object 1": "red cup",
        "face of subject 1": "man",
        "attribute 1 of subject 1": "denim jacket",
    }
    assert sample.case.prompt == TEXT and sample.video.shape == (5, 32, 48, 3)


def test_a_face_is_its_box_and_a_thing_is_cut_out_of_its_frame(root):
    scene = load(root).case.scene
    face, jacket, cup = scene.subjects[0].face, scene.subjects[0].attributes[0], scene.objects[0]
    assert face.image.shape == (10, 10, 3) and jacket.image.shape == (10, 12, 3) and cup.image.shape == (8, 10, 3)
    assert face.image[..., 0].mean() > 0.6 > 0.3 > face.image[..., 1].mean()  # red, of the upper half
    assert jacket.image[..., 1].mean() > 0.6 > 0.3 > jacket.image[..., 0].mean()  # green, of the lower one


def test_what_lies_outside_a_mask_is_white(root):
    for place in SELECTED:
        path = root / "clips/abc" / f"cup_frame{place}.png"
        with Image.open(path) as mask:
            mask.paste(0, (30, 4, 35, 8))
            mask.save(path)
    image = load(root).case.scene.objects[0].image
    assert image.shape == (8, 10, 3) and (image[:4, :5] == 1).all() and image[6, 7, 1] < 0.3


def test_whole_bodies_stand_alone_under_their_word(root):
    scene = load(root, WHOLE_BODY).case.scene
    assert phrases(scene) == {"background": "bright kitchen", "object 1": "man", "object 2": "red cup"}
    assert scene.objects[0].image.shape == (28, 16, 3)


def scenes(root, count, settings=SETTINGS):
    info = root / "clips/abc/info.json"
    return [SceneReader(root / "clips/abc.mp4", info, settings, f"{seed}:x").read() for seed in range(count)]


def test_seven_in_ten_videos_have_groups(root):
    found = scenes(root, 60, SampleSettings(ClipSettings((5,))))
    assert 0.5 < sum(bool(scene.subjects) for scene in found) / 60 < 0.9


def test_every_entity_draws_its_frame_and_the_seed_decides(root):
    drawn = [
        tuple(blue(reference.image) for reference in (*scene.objects, scene.subjects[0].attributes[0]))
        for scene in scenes(root, 12)
    ]
    assert {place for pair in drawn for place in pair} == set(SELECTED)
    assert any(cup != jacket for cup, jacket in drawn)
    assert drawn == [
        tuple(blue(reference.image) for reference in (*scene.objects, scene.subjects[0].attributes[0]))
        for scene in scenes(root, 12)
    ]
    first, again = load(root).case.scene, load(root).case.scene
    assert all(torch.equal(a.image, b.image) for a, b in zip(first.references, again.references, strict=True))


def test_a_frame_that_does_not_show_a_thing_is_never_chosen(root):
    for place in (1, 7):
        write_mask(root / "clips/abc" / f"cup_frame{place}.png", (0, 0, 0, 0))
    assert {blue(scene.objects[0].image) for scene in scenes(root, 8)} == {4}


@pytest.mark.parametrize(("count", "chosen"), [(3, 1), (2, 0), (1, 0)])
def test_the_second_of_three_backgrounds_is_taken(root, count, chosen):
    write_info(root, {}, {"background": {"bright kitchen": [f"kitchen_{place}.png" for place in range(count)]}})
    assert load(root).case.scene.background.image[0, 0, 0] * 255 == chosen


def test_a_person_without_a_face_is_left_out_unless_allowed(root):
    person = info()["word_tags_path"]["person"][0]
    del person["subject"]["face"]
    write_info(root, {}, {"person": [person]})
    assert load(root).case.scene.subjects == ()
    allowed = SampleSettings(ClipSettings((5,)), require_faces=False, whole_body=0)
    [subject] = load(root, allowed).case.scene.subjects
    assert subject.face is None and len(subject.attributes) == 1


def test_the_masks_may_lie_beside_the_table(root):
    (root / "masks/clips").mkdir(parents=True)
    (root / "clips/abc").rename(root / "masks/clips/abc")
    assert len(load(root).case.scene.references) == 4


# Mistakes


@pytest.mark.parametrize(
    ("changes", "tags", "reason"),
    [
        ({"selected_frames": None}, None, "has a selected_frames that is not of the research format"),
        ({"selected_frames": [1, 4]}, None, "names frame 7, which is not among its selected_frames"),
        ({"selected_frames": [1, 4, 7, 99]}, None, "abc.mp4 has no frame 99"),
        ({}, {"person": [{"subject": []}]}, "has a person that is not of"),
        ({}, {"person": [{"subject": {"face": {"1": [0, 1]}}}]}, "has a person that is not of"),
        ({}, {"person": {"subject": {}}}, "has a person that is not of"),
        ({}, {"other_subjects": [{"cup": "x.png"}]}, "has a other_subjects that is not of"),
        ({}, {"background": {"room": []}}, "has a background that is not of"),
        ({}, {"background": {"room": ["none.png"]}}, "There is no image .*none.png"),
        ({}, {"other_subjects": [{"cup": ["cup.png"]}]}, "'cup.png' .* does not say its frame"),
        ({}, {"other_subjects": [{"cup": ["none_frame4.png"]}]}, "There is no image .*none_frame4.png"),
        ({}, {"person": [], "other_subjects": [], "background": {}}, "gives no reference image"),
    ],
)
def test_what_is_wrong_with_an_info_file_is_said(root, changes, tags, reason):
    write_info(root, changes, tags)
    found = reasons(root, SampleSettings(ClipSettings((5,), whole=True), whole_body=0))
    assert re.search(reason, found), found


def test_masks_of_another_size_or_all_empty_are_named(root):
    for place in SELECTED:
        write_mask(root / "clips/abc" / f"cup_frame{place}.png", (0, 0, 5, 5), (24, 16))
    assert "cup_frame" in reasons(root) and "The mask has shape (16, 24)" in reasons(root)
    for place in SELECTED:
        write_mask(root / "clips/abc" / f"cup_frame{place}.png", (0, 0, 0, 0))
    assert "has no frame that shows 'red cup'" in reasons(root)


def test_reading_to_the_end_finds_the_bad_mask_that_was_not_chosen(root):
    whole = SampleSettings(ClipSettings((5,), whole=True), whole_body=0)
    for place in SELECTED:
        good = (root / "clips/abc" / f"cup_frame{place}.png").read_bytes()
        (root / "clips/abc" / f"cup_frame{place}.png").write_bytes(b"")
        assert f"cup_frame{place}.png: the file is empty" in reasons(root, whole)
        (root / "clips/abc" / f"cup_frame{place}.png").write_bytes(good)
    load(root, whole)


def test_a_box_outside_the_frame_shows_no_face(root):
    person = info()["word_tags_path"]["person"][0]
    person["subject"]["face"] = {"1": [60, 3, 70, 13], "4": [-5, -5, 10, 10], "7": [9, 9, 9, 9]}
    write_info(root, {}, {"person": [person]})
    for scene in scenes(root, 5):
        assert scene.subjects[0].face.image.shape == (10, 10, 3) and blue(scene.subjects[0].face.image) == 4


def test_bad_rows_hide_no_others(root):
    rows = [
        {"path": "clips/abc.mp4", "text": TEXT},
        {"path": "", "text": TEXT},
        {"path": "clips/abc.mp4", "text": TEXT},
        {"path": "clips/none.mp4", "text": " "},
    ]
    write_table(root, rows)
    source = open_source(root / "table.csv", SETTINGS)
    assert source.keys() == ["clips/abc.mp4", "clips/none.mp4", "row 2", "clips/abc.mp4 (row 3)"]
    source.load("clips/abc.mp4")
    assert "It has no path" in reasons(root, key="row 2")
    assert "is in" in reasons(root, key="clips/abc.mp4 (row 3)")
    found = reasons(root, key="clips/none.mp4")
    assert "The caption is empty" in found and "has no info.json" in found and "There is no video" in found


def test_a_table_that_is_none_says_what_is_missing(root):
    (root / "table.csv").write_text("video,text\na,b\n")
    with pytest.raises(LumosXError, match="has no column 'path', only video, text"):
        load(root)
    (root / "table.csv").write_text("path,text\n")
    with pytest.raises(LumosXError, match="has no row"):
        load(root)
    (root / "table.csv").write_bytes(b"path,text\n\xff\xfe,x\n")
    with pytest.raises(LumosXError, match="Cannot read the table"):
        load(root)
    (root / "table.csv").unlink()
    with pytest.raises(LumosXError, match="Cannot read the table .*table.csv"):
        load(root)


def test_a_parquet_table_says_the_same(root):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {"path": ["clips/abc.mp4", None], "text": [TEXT, "x"], "duration": [0.56, 1.0]}
    parquet.write_table(pyarrow.table(columns), root / "table.parquet")
    source = open_source(root / "table.parquet", SETTINGS)
    assert source.keys() == ["clips/abc.mp4", "row 2"]
    one, two = source.load("clips/abc.mp4").case.scene, load(root).case.scene
    assert all(torch.equal(a.image, b.image) for a, b in zip(one.references, two.references, strict=True))
    (root / "table.parquet").write_bytes(b"not parquet")
    with pytest.raises(LumosXError, match="Cannot read the table"):
        open_source(root / "table.parquet")
    parquet.write_table(pyarrow.table({"text": np.arange(3)}), root / "table.parquet")
    with pytest.raises(LumosXError, match="has no column 'path'"):
        open_source(root / "table.parquet")
