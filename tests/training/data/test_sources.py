"""Any address opens a source, and one bad sample of it never hides another."""

import json
import pickle
import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_files import CAPTION, SHORT, assert_same_case, make_picture, make_sample, numbers

from lumosx_core import Scene
from lumosx_core.errors import LumosXError
from lumosx_core.prompt.phrase_mask import match_phrases_in_text
from lumosx_core.scene.case_folder import Case
from lumosx_core.scene.scene import Reference
from lumosx_training.data.phrase_check import check_phrases
from lumosx_training.data.samples import BadSample
from lumosx_training.data.sources.open_source import open_source
from lumosx_training.glyph_world import GlyphSource


def loads(source):
    """The result of loading each key: "good", or the reasons."""
    found = {}
    keys = source.keys()
    for key in keys:
        try:
            assert source.load(key).key == key
            found[key] = "good"
        except BadSample as error:
            found[key] = " ".join(error.reasons)
    return found


# Folders


def test_samples_are_found_at_any_depth_in_the_order_of_their_names(tmp_path):
    for name in ("b/2", "b/10", "a", ".hidden"):
        make_sample(tmp_path / name)
    source = open_source(str(tmp_path), SHORT)
    assert loads(source) == {"a": "good", "b/10": "good", "b/2": "good"}
    assert open_source(str(tmp_path), SHORT).keys() == source.keys()


def test_a_folder_that_is_a_sample_itself_is_a_source_of_one(tmp_path):
    assert loads(open_source(make_sample(tmp_path / "clip"), SHORT)) == {"clip": "good"}


@pytest.mark.parametrize("kept", ["caption.txt", "video.mp4", "subjects", "objects", "background"])
def test_a_folder_with_one_part_of_a_sample_is_reported_not_passed_over(tmp_path, kept):
    make_sample(tmp_path / "set" / "good")
    whole = make_sample(tmp_path / "whole")
    (tmp_path / "set" / "part").mkdir()
    shutil.move(whole / kept, tmp_path / "set" / "part" / kept)
    found = loads(open_source(tmp_path / "set", SHORT))
    assert list(found) == ["good", "part"] and found["good"] == "good" and found["part"] != "good"


def test_an_empty_folder_is_a_bad_sample(tmp_path):
    make_sample(tmp_path / "good")
    (tmp_path / "forgotten").mkdir()
    found = loads(open_source(tmp_path, SHORT))
    assert found["good"] == "good" and "The folder holds no sample: none of caption.txt" in found["forgotten"]


def test_a_link_that_leads_back_ends(tmp_path):
    make_sample(tmp_path / "in" / "good")
    (tmp_path / "in" / "loop").symlink_to(tmp_path)
    assert loads(open_source(tmp_path, SHORT)) == {"in/good": "good"}


def test_a_folder_without_samples_says_what_was_looked_for(tmp_path):
    with pytest.raises(LumosXError, match=r"has no sample folder in it. Give a folder of sample folders"):
        open_source(tmp_path)
    (tmp_path / "a.tar").touch()
    with pytest.raises(LumosXError, match=r"Did you mean its shards, '.*\*\.tar'"):
        open_source(tmp_path)


# Addresses


def test_an_address_that_means_nothing_says_what_there_is():
    for address in ("nowhere", "nowhere.mp4", ""):
        with pytest.raises(LumosXError, match=r"Give a folder of sample folders, a manifest"):
            open_source(address or "?")
    for address in ("none.jsonl", "none.csv", "none-{000..003}.tar"):
        with pytest.raises(LumosXError, match="Check the path|No such file"):
            open_source(address)


def test_the_glyph_world_opens_by_seed_and_count():
    source = open_source("glyphs:3:4:5x32x48")
    assert isinstance(source, GlyphSource)
    assert len(source.keys()) == 4
    assert source.load(source.keys()[0]).video.shape == (5, 32, 48, 3)


def test_the_glyph_world_opens_with_a_casting_by_name():
    plain, all_ = (open_source(f"glyphs:3:20:5x32x48{casting}") for casting in (":plain", ""))
    layouts = [{source.sample(key).case.scene.layout for key in source.keys()} for source in (plain, all_)]  # noqa: SIM118
    assert {subject for layout in layouts[0] for subject in layout.subjects} == {2}  # a face and a shirt
    assert {subject for layout in layouts[1] for subject in layout.subjects} > {2}
    assert open_source("glyphs:3:4:plain").casting == plain.casting


@pytest.mark.parametrize(
    "address",
    [
        *("glyphs:", "glyphs:1", "glyphs:1:x", "glyphs:-1:5", "glyphs:1:5:9x", "glyphs:1:5:9x64"),
        *("glyphs:1:5:fancy", "glyphs:1:5:plain:9x64x80", "glyphs:1:5:9x64x80:9x64x80"),
    ],
)
def test_a_glyph_world_without_its_numbers_says_how_to_write_them(address):
    with pytest.raises(LumosXError, match="Write glyphs:SEED:COUNT"):
        open_source(address)


@pytest.mark.parametrize("address", ["glyphs:0:2", "folder", "manifest.jsonl"])
def test_a_source_travels_between_processes(tmp_path, monkeypatch, address):
    monkeypatch.chdir(tmp_path)
    make_sample(tmp_path / "folder" / "clip")
    (tmp_path / "manifest.jsonl").write_text('{"case": "folder/clip"}')
    source = open_source(address, SHORT)
    same = pickle.loads(pickle.dumps(source))
    assert same.keys() == source.keys()
    assert torch.equal(same.load(same.keys()[0]).video, source.load(source.keys()[0]).video)


# Manifests


@pytest.fixture
def record(tmp_path):
    """A record spelled out, of the files of a good sample."""
    make_sample(tmp_path / "clip")
    return {
        "video": "clip/video.mp4",
        "caption": CAPTION,
        "name": "clip",
        "subjects": [
            {
                "face": {"image": "clip/subjects/1/face_man.png", "phrase": "man"},
                "attributes": [{"image": "clip/subjects/1/denim jacket.png", "phrase": "denim jacket"}],
            }
        ],
        "objects": [{"image": "clip/objects/red cup.png", "phrase": "red cup"}],
        "background": {"image": "clip/background/bright kitchen.png", "phrase": "bright kitchen"},
    }


def manifest(tmp_path, *lines):
    texts = [line if isinstance(line, str | bytes) else json.dumps(line) for line in lines]
    content = b"\n".join(text if isinstance(text, bytes) else text.encode() for text in texts)
    (tmp_path / "manifest.jsonl").write_bytes(content + b"\n")
    return open_source(tmp_path / "manifest.jsonl", SHORT)


def test_a_record_spelled_out_says_what_its_folder_says(tmp_path, record):
    source = manifest(tmp_path, {"case": "clip"}, record)
    folder, spelled = map(source.load, source.keys())
    assert (folder.key, spelled.key) == ("clip", "clip/video.mp4")
    assert_same_case(spelled.case, folder.case)
    assert torch.equal(spelled.video, folder.video) and numbers(spelled.video) == [0, 1, 2, 3, 4]


def test_a_mask_cuts_a_picture_out_on_white(tmp_path, record):
    make_picture(tmp_path / "photo.png", (8, 6), (200, 0, 0))
    make_picture(tmp_path / "mask.png", (8, 6), 0, "L")
    from PIL import Image

    with Image.open(tmp_path / "mask.png") as mask:
        mask.paste(255, (2, 1, 6, 4))
        mask.putpixel((2, 1), 0)
        mask.save(tmp_path / "mask.png")
    record["objects"] = [{"image": "photo.png", "phrase": "red cup", "mask": "mask.png"}]
    source = manifest(tmp_path, record)
    image = source.load(source.keys()[0]).case.scene.objects[0].image
    assert image.shape == (3, 4, 3)
    assert image[0, 0].tolist() == [1, 1, 1] and image[2, 3].tolist() == pytest.approx([200 / 255, 0, 0])


def broken(record, **changes):
    return {**{name: value for name, value in record.items() if name not in changes or changes[name] is not ...}} | {
        name: value for name, value in changes.items() if value is not ...
    }


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"caption": " "}, r"The caption is empty"),
        ({"caption": ...}, r"The caption is empty"),
        ({"caption": 5}, r"'caption' is a number, expected a text"),
        ({"caption": "\ud800"}, r"not valid Unicode"),
        ({"video": ...}, r"The record has no video"),
        ({"video": "none.mp4"}, r"There is no video .*none.mp4"),
        ({"videos": "x"}, r"unknown 'videos'. Did you mean 'video'\?"),
        ({"subjects": {}}, r"subjects is an object, expected a list"),
        ({"subjects": [[]]}, r"subject 1 is a list, expected an object with face, attributes"),
        ({"subjects": [{}], "objects": []}, r"Subject 1 has no image"),
        ({"subjects": [{"face": None, "attributes": []}]}, r"Subject 1 has no image"),
        ({"subjects": [], "objects": [], "background": None}, r"The scene is empty"),
        ({"objects": [{"image": "clip/objects/red cup.png"}]}, r"object 1 has no phrase"),
        ({"objects": [{"phrase": "red cup"}]}, r"object 1 has no image"),
        ({"objects": [{"image": "none.png", "phrase": "x"}]}, r"There is no image .*none.png"),
        ({"background": "room.png"}, r"the background is a text, expected an object"),
        ({"case": "clip"}, r"a record with case has an unknown 'video'"),
    ],
)
def test_what_is_wrong_with_a_record_is_said_with_its_line(tmp_path, record, changes, reason):
    source = manifest(tmp_path, "", broken(record, **changes))
    with pytest.raises(BadSample, match=reason) as caught:
        source.load(source.keys()[0])
    assert caught.value.path == f"{tmp_path / 'manifest.jsonl'}, line 2"
    assert len(caught.value.reasons) == 1


def test_all_bad_files_of_a_record_are_named_at_once(tmp_path, record):
    record["objects"] = [{"image": "one.png", "phrase": "x"}, {"image": "two.png", "phrase": "y"}]
    record["video"] = "three.mp4"
    [found] = loads(manifest(tmp_path, record)).values()
    assert "one.png" in found and "two.png" in found and "three.mp4" in found


def test_a_mask_of_another_size_or_without_content_names_both_files(tmp_path, record):
    make_picture(tmp_path / "mask.png", (3, 3), 255, "L")
    make_picture(tmp_path / "black.png", (5, 6), 0, "L")
    cup = record["objects"][0]
    records = [
        record | {"objects": [cup | {"mask": name}], "key": name} for name in ("mask.png", "black.png", "no.png")
    ]
    found = loads(manifest(tmp_path, *records))
    assert "mask.png of object 1 does not fit clip/objects/red cup.png: The mask has shape (3, 3)" in found["mask.png"]
    assert "The mask is empty" in found["black.png"]
    assert "no.png" in found["no.png"]


def test_a_faceless_subject_is_bad_in_a_record_too(tmp_path, record):
    del record["subjects"][0]["face"]
    [found] = loads(manifest(tmp_path, record)).values()
    assert "Subject 1 has no face" in found


def test_lines_that_cannot_be_read_hide_no_others(tmp_path):
    make_sample(tmp_path / "clip")
    lines = [
        '\ufeff{"case": "clip"}',
        '{"case": "clip"',
        "",
        "[1]",
        b'{"case": "caf\xe9"}',
        '{"case": "clip"}',
        '{"case": "clip", "key": "again"}',
        '{"case": "a", "case": "b"}',
    ]
    found = loads(manifest(tmp_path, *lines))
    assert list(found) == ["clip", "line 2", "line 4", "line 5", "clip (line 6)", "again", "line 8"]
    assert found["clip"] == found["again"] == "good"
    assert "It is not JSON" in found["line 2"] and "It is a list" in found["line 4"] and "not UTF-8" in found["line 5"]
    assert "The sample 'clip' is on line 1 already" in found["clip (line 6)"]
    assert "'case' is there twice" in found["line 8"]


def test_lines_may_end_as_on_windows_and_in_spaces(tmp_path):
    for name in ("a", "b", "c"):
        make_sample(tmp_path / name)
    found = loads(manifest(tmp_path, b'{"case": "a"}  \r', b'  {"case": "b"}\r', b'{"case": "c"}'))
    assert found == {"a": "good", "b": "good", "c": "good"}


def test_an_empty_manifest_is_no_data_set(tmp_path):
    with pytest.raises(LumosXError, match="manifest.jsonl is empty"):
        manifest(tmp_path, "")


# Phrases


def case(prompt, *phrases):
    return Case(None, prompt, Scene(objects=[Reference(phrase, torch.zeros(1, 1, 3)) for phrase in phrases]))


def test_phrases_are_looked_for_as_whole_words():
    check_phrases(case(CAPTION, "man", "denim jacket", "bright kitchen", "", "man#1"))
    with pytest.raises(
        LumosXError, match='"cap" of object 1 .*"Man" of object 2 .*writes it "man".*"man#2" of object 3'
    ):
        check_phrases(case(CAPTION, "cap", "Man", "man#2"))


words = st.lists(
    st.sampled_from(["a", "man", "Man", "woman", "(red)", "hat", ",", "man's", "é", "男人", "#2", "man#2"]), max_size=6
)


@settings(max_examples=150, deadline=None)
@given(words.filter(bool), words)
def test_without_a_text_encoder_a_phrase_is_found_where_the_preview_shows_it(prompt, phrase):
    tried = case(" ".join(prompt), " ".join(phrase))
    shown = any(span.groups for span in match_phrases_in_text(tried.prompt, tried.scene))
    if shown or not phrase:
        check_phrases(tried)
    else:
        with pytest.raises(LumosXError):
            check_phrases(tried)


def test_the_text_encoders_tokens_decide_when_it_is_given(tiny_models):
    from lumosx_core.files.model_files import find_model_files
    from lumosx_core.models.wan.umt5 import TextEncoder

    encoder = TextEncoder(find_model_files(tiny_models).text_encoder)
    check_phrases(case(CAPTION, "man", "red cup"), encoder)
    with pytest.raises(LumosXError, match='"cap" of object 1'):
        check_phrases(case(CAPTION, "cap"), encoder)
    with pytest.raises(LumosXError, match="model reads 512"):
        check_phrases(case("man " * 600, "man"), encoder)
