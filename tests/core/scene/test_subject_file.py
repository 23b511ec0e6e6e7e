"""A subject in a file: every value comes back, and what is not such a file is refused."""

import json
import random

import pytest
import torch
from safetensors import safe_open

from lumosx_core import Reference, Subject, read_subject, write_subject
from lumosx_core.errors import LumosXError
from lumosx_core.files.safetensors_file import read_header, write_safetensors
from lumosx_core.files.stored_tensor import StoredTensor
from lumosx_core.scene import subject_file
from lumosx_core.scene.build import only_subject, rephrased
from lumosx_core.scene.scene import Scene
from lumosx_core.scene.subject_file import read_subject_phrases, summary

WORDS = (
    "man",
    "denim jacket",
    'a "red" hat',
    "scarf / shawl",
    "红色外套",
    "robe d'été",
    "it's\\so",
    "x = y",
    "",
    "👩‍🚀",
)


def image(draw, height, width, dtype=torch.float32):
    values = torch.rand(height, width, 3, generator=torch.Generator().manual_seed(draw.randrange(2**31)))
    if draw.random() < 0.5:  # as from a file of 8 bits
        return values.mul_(255).round_().div_(255)
    return values.to(dtype)


def drawn_subject(seed):
    draw = random.Random(seed)
    dtypes = (torch.float32, torch.float32, torch.float16, torch.bfloat16, torch.float64)
    references = [
        Reference(
            draw.choice(WORDS) + draw.choice(("", "", "#2", "#17")),
            image(draw, draw.randint(1, 97), draw.randint(1, 131), draw.choice(dtypes)),
            draw.choice((1.0, 0.0, 10.0, draw.uniform(0, 10))),
        )
        for _ in range(draw.randint(1, 8))
    ]
    face = references.pop(0) if draw.random() < 0.8 else None
    start, end = sorted((draw.random(), draw.random()))
    whole = draw.random() < 0.3
    return Subject(
        face,
        tuple(references),
        draw.uniform(0, 10),
        0.0 if whole else start,
        1.0 if whole else end,
        draw.choice(("Anna", "Zoë / 安娜", 'the "chief"')),
    )


def assert_same(found, expected):
    facts = ("strength", "start", "end", "title")
    assert [getattr(found, each) for each in facts] == [getattr(expected, each) for each in facts]
    assert (found.face is None) == (expected.face is None)
    for one, two in zip(found.references, expected.references, strict=True):
        assert (one.phrase, one.strength, one.image.dtype) == (two.phrase, two.strength, two.image.dtype)
        assert torch.equal(one.image, two.image)


@pytest.mark.parametrize("seed", range(50))
def test_a_subject_comes_back_exactly(tmp_path, seed):
    subject = drawn_subject(seed)
    path = write_subject(tmp_path / "安娜's.safetensors", subject)
    assert_same(read_subject(path), subject)
    bare = read_subject_phrases(path)
    assert [each.phrase for each in bare.references] == [each.phrase for each in subject.references]
    assert all(each.image.shape == (1, 1, 3) for each in bare.references)


def test_an_image_of_eight_bits_takes_a_byte_for_each_value(tmp_path):
    bytes_of = Subject(Reference("man", torch.arange(48).reshape(4, 4, 3) / 255))
    between = Subject(Reference("man", torch.arange(48).reshape(4, 4, 3) / 300))
    dtypes = [
        read_header(write_subject(tmp_path / f"{i}.safetensors", each)).entries["image_1"]["dtype"]
        for i, each in enumerate((bytes_of, between))
    ]
    assert dtypes == ["U8", "F32"]


def test_other_programs_read_the_file_with_its_name_and_thumbnail(tmp_path):
    path = write_subject(tmp_path / "Anna.safetensors", Subject(Reference("woman#2", torch.rand(64, 32, 3)), (), 0.8))
    with safe_open(path, "pt") as file:
        assert file.keys() == ["image_1"] and file.get_tensor("image_1").shape == (64, 32, 3)
        metadata = file.metadata()
    assert metadata["modelspec.title"] == "Anna"
    assert metadata["modelspec.description"] == "woman#2; strength 0.8"
    assert metadata["modelspec.thumbnail"].startswith("data:image/jpeg;base64,/9j/")
    assert json.loads(metadata["ssmd_cover_images"])[0] in metadata["modelspec.thumbnail"]
    assert read_header(path).start < 2**17  # ComfyUI shows no metadata of a header above a million bytes


def test_half_a_surrogate_pair_in_a_phrase_breaks_no_reader(tmp_path):
    path = write_subject(tmp_path / "x.safetensors", Subject(Reference("m\ud800n", torch.rand(2, 2, 3))))
    assert read_subject(path).face.phrase == "m\ud800n"
    with safe_open(path, "pt") as file:
        assert "m\\ud800n" in file.metadata()["modelspec.description"]


def test_the_same_subject_is_written_twice_but_another_only_when_asked(tmp_path):
    path, subject = tmp_path / "deep" / "Anna.safetensors", drawn_subject(3)
    before = write_subject(path, subject).stat().st_mtime_ns
    assert write_subject(path, subject).stat().st_mtime_ns == before
    other = drawn_subject(4)
    with pytest.raises(LumosXError, match="exists already.*Choose another name"):
        write_subject(path, other)
    assert_same(read_subject(path), subject)
    write_subject(path, other, overwrite=True)
    assert_same(read_subject(path), other)
    assert [each.name for each in path.parent.iterdir()] == ["Anna.safetensors"]


@pytest.mark.parametrize(
    "name", ["Anna.txt", ".Anna.safetensors", "A:nna.safetensors", "nul.safetensors", "A\n.safetensors"]
)
def test_a_name_that_some_system_refuses_is_refused(tmp_path, name):
    with pytest.raises(LumosXError, match="cannot be the name of a subject's file"):
        write_subject(tmp_path / name, drawn_subject(0))


def test_what_is_too_much_for_a_file_is_refused_before_it_is_written(tmp_path, monkeypatch):
    pixel = torch.rand(1, 1, 3)
    monkeypatch.setattr(subject_file, "MOST_BYTES", 30)
    cases = {
        "has no image": Subject(None),
        "201 images, expected at most 200": Subject(None, (Reference("hat", pixel),) * 201),
        "Shorten them": Subject(Reference("x" * 2**18, pixel)),
        "are too large for one file: 36 bytes": Subject(None, (Reference("hat", pixel),) * 3),
    }
    for message, subject in cases.items():
        with pytest.raises(LumosXError, match=message):
            write_subject(tmp_path / "x.safetensors", subject)
    assert list(tmp_path.iterdir()) == []


# Files that are not what they seem


def forged(path, images=None, metadata=None, **changes):
    """A file with these details of a subject."""
    details = {
        "version": 1,
        "title": "Anna",
        "face": True,
        "references": [{"phrase": "man", "strength": 1.0}],
        "strength": 1.0,
        "start": 0.0,
        "end": 1.0,
        **changes,
    }
    images = {"image_1": torch.zeros(2, 2, 3, dtype=torch.uint8)} if images is None else images
    text = {"lumosx_subject": json.dumps(details)} if metadata is None else metadata
    with path.open("wb") as file:
        write_safetensors(file, [(name, StoredTensor.of(each)) for name, each in images.items()], text)
    return path


def test_the_forged_file_is_read_where_nothing_is_changed(tmp_path):
    assert read_subject(forged(tmp_path / "x.safetensors")).face.phrase == "man"


REFERENCE = {"phrase": "man", "strength": 1.0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metadata": {}}, "not a subject's. Choose one that LumosX Save Subject"),
        ({"version": 2}, "newer version of LumosX: its format is 2, .* Update LumosX"),
        ({"version": True}, "damaged subject file"),
        ({"version": "1"}, "damaged subject file"),
        ({"metadata": {"lumosx_subject": "{"}}, "damaged subject file"),
        ({"metadata": {"lumosx_subject": "[" * 100_000}}, "damaged subject file"),
        ({"metadata": {"lumosx_subject": " " * 2**18 + "{}"}}, "damaged subject file"),
        ({"more": 1}, "damaged subject file"),
        ({"title": None}, "damaged subject file"),
        ({"face": 1}, "damaged subject file"),
        ({"references": [{"phrase": "man"}]}, "damaged subject file"),
        ({"references": [{"phrase": "man", "strength": True}]}, "damaged subject file"),
        ({"references": [{"phrase": "man", "strength": 10**400}]}, "damaged subject file"),
        ({"references": [], "images": {}}, "has no image in it"),
        ({"references": [REFERENCE] * 201}, "has 201 images, but a scene has at most 200"),
        ({"references": [REFERENCE] * 2}, "describes 2 images, and its images are image_1"),
        ({"images": {"image_2": torch.zeros(2, 2, 3)}}, "describes 1 images, and its images are image_2"),
        ({"images": {"image_1": torch.zeros(2, 2, 3, dtype=torch.int64)}}, "image_1 has values of type I64"),
        ({"images": {"image_1": torch.zeros(2, 2, 4)}}, r"image_1 has shape \[2, 2, 4\]"),
        ({"images": {"image_1": torch.zeros(0, 2, 3)}}, r"image_1 has shape \[0, 2, 3\]"),
        ({"images": {"image_1": torch.full((2, 2, 3), torch.nan)}}, "values that are not numbers"),
        ({"images": {"image_1": torch.full((2, 2, 3), torch.inf)}}, "values that are not numbers"),
        ({"strength": 11}, "strength of a subject is 11"),
        ({"strength": float("nan")}, "strength of a subject is nan"),
        ({"start": 0.5, "end": 0.5}, "0 <= start < end <= 1"),
    ],
)
def test_a_file_that_is_not_a_subject_is_refused(tmp_path, changes, message):
    with pytest.raises(LumosXError, match=message):
        read_subject(forged(tmp_path / "x.safetensors", **changes))


def test_a_file_that_is_cut_short_missing_or_too_large_is_refused(tmp_path, monkeypatch):
    path = write_subject(tmp_path / "x.safetensors", drawn_subject(1))
    with pytest.raises(LumosXError, match="cannot be read: No such file"):
        read_subject(tmp_path / "absent.safetensors")
    whole = path.read_bytes()
    for end in (0, 7, 100, len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(LumosXError, match="damaged|truncated"):
            read_subject(path)
    path.write_bytes(whole)
    monkeypatch.setattr(subject_file, "MOST_BYTES", 100)
    with pytest.raises(LumosXError, match="too large for a subject"):
        read_subject(path)


# Phrases and numbers


def subject_of(*phrases):
    return Subject(
        Reference(phrases[0], torch.rand(1, 1, 3)), tuple(Reference(p, torch.rand(1, 1, 3)) for p in phrases[1:])
    )


def test_phrases_are_changed_for_another_prompt():
    subject = subject_of("woman", "woman's hat", "a = b", "woman")
    changed = rephrased(subject, "\n woman = woman#2 \nwoman's hat=red = hat\na = b = c\n")
    assert [each.phrase for each in changed.references] == ["woman#2", "red = hat", "c", "woman#2"]
    assert changed.face is not None
    assert [each.phrase for each in rephrased(subject, " \n").references] == ["woman", "woman's hat", "a = b", "woman"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ("women = woman", '"women = woman" changes no phrase of this subject.*"woman" or "hat"'),
        ("woman", "changes no phrase"),
        ("woman = a\nwoman = b", 'phrase "woman" is changed twice'),
    ],
)
def test_a_change_of_phrases_that_changes_nothing_is_refused(changes, message):
    with pytest.raises(LumosXError, match=message):
        rephrased(subject_of("woman", "hat"), changes)


def test_the_subject_of_a_scene_is_chosen_by_its_number():
    one, two = subject_of("man"), subject_of("woman")
    assert only_subject(Scene((one,))) is one
    assert only_subject(Scene((one, two)), 2) is two
    for scene, number, message in (
        (Scene(), 0, "has no subject. Connect"),
        (Scene((one, two)), 0, '2 subjects: 1 "man", 2 "woman". Choose one of them'),
        (Scene((one, two)), 3, "has no subject 3, but 2"),
        (Scene((one,)), -1, "has no subject -1"),
    ):
        with pytest.raises(LumosXError, match=message):
            only_subject(scene, number)


def test_a_subject_in_a_sentence():
    subject = Subject(Reference("", torch.rand(1, 1, 3)), (Reference("hat", torch.rand(1, 1, 3)),), 0.5, 0, 0.25)
    assert summary(subject) == "(no phrase), hat; strength 0.5; from 0 to 0.25 of the sampling"
