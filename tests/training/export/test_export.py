"""Data sets of other trainers: what is in them, what they cannot carry, and that their own readers read them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import av
import numpy as np
import pytest
from export_samples import CAPTION, Made, couple, flat, sample
from PIL import Image
from sample_files import SHORT, make_sample, picture

from lumosx_core import Scene, Subject
from lumosx_core.commands.main import main
from lumosx_core.errors import LumosXError
from lumosx_training.data.sources.open_source import open_source
from lumosx_training.export.diffsynth import DiffSynth
from lumosx_training.export.export import export
from lumosx_training.export.formats import FORMATS, trainer_format
from lumosx_training.export.ltx import describe_sheet
from lumosx_training.export.owned_images import owned_images
from lumosx_training.export.sheet import draw_sheet

SCHEMAS = json.loads((Path(__file__).parent / "trainer_schemas.json").read_text(encoding="utf-8"))


def colours(path: Path) -> tuple[int, ...]:
    return tuple(np.asarray(Image.open(path).convert("RGB"))[2, 2])


EXPECTED = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)]  # face, garment, face, object, place


def files(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_musubi_tuner_gets_ordered_references(tmp_path):
    export(Made(sample()), tmp_path / "set", trainer_format("musubi-tuner"))
    [line] = (tmp_path / "set/ref2va.jsonl").read_text(encoding="utf-8").splitlines()
    record = json.loads(line)
    assert record["caption"] == CAPTION and (tmp_path / "set" / record["video_path"]).is_file()
    assert [colours(tmp_path / "set" / each["path"]) for each in record["references"]] == EXPECTED
    assert {each["type"] for each in record["references"]} == {"image"}


def test_ai_toolkit_gets_a_folder_for_each_place_in_the_order(tmp_path):
    few = sample("few", Scene((Subject(flat("man", (1, 0, 0))),)))
    export(Made(few, sample()), tmp_path / "set", trainer_format("ai-toolkit"))
    root = tmp_path / "set"
    assert [colours(root / f"control_{number}/000001.png") for number in range(1, 6)] == EXPECTED
    assert sorted(path.parent.name for path in root.glob("control_*/000000.png")) == ["control_1"]
    assert (root / "clips/000001.txt").read_text(encoding="utf-8") == CAPTION
    listed = (root / "dataset.yaml").read_text(encoding="utf-8")
    assert [line for line in listed.splitlines() if "control_" in line][1:] == [
        f'    - "{root / f"control_{number}"}"' for number in range(1, 6)
    ]
    assert "3 control folders only" in listed


def test_diffsynth_gets_a_sheet_in_the_csv_and_a_list_in_the_json(tmp_path):
    export(Made(sample()), tmp_path / "set", trainer_format("diffsynth"))
    with (tmp_path / "set/metadata.csv").open(encoding="utf-8", newline="") as file:
        [row] = csv.DictReader(file)
    assert row["prompt"] == CAPTION
    assert Image.open(tmp_path / "set" / row["vace_reference_image"]).size == (48, 32)
    [listed] = json.loads((tmp_path / "set/metadata.json").read_text(encoding="utf-8"))
    assert [colours(tmp_path / "set" / each["image"]) for each in listed["references"]] == EXPECTED


@pytest.mark.parametrize("caption", ["None", "nan", "12.5", "TRUE", "NA"])
def test_a_caption_that_a_csv_cannot_carry_is_refused(tmp_path, caption):
    bad = []
    source = Made(sample("good"), sample("odd", caption=caption))
    result = export(source, tmp_path / "set", trainer_format("diffsynth"), bad=bad.append)
    assert result.samples == 1 and repr(caption) in str(bad[0])
    assert len(list((tmp_path / "set/videos").iterdir())) == 1


def test_ltx_gets_a_still_sheet_as_long_as_the_clip_and_owners_in_words(tmp_path):
    export(Made(sample()), tmp_path / "set", trainer_format("ltx"))
    [row] = map(json.loads, (tmp_path / "set/dataset.jsonl").read_text(encoding="utf-8").splitlines())
    assert row["caption"] == (
        "Reference sheet: Row 1 (character): man, face; Öl/Jacke.neu. Row 2 (character): woman, face. "
        f"Row 3 (props and place): lamp; 男人, location. Generated video: {CAPTION}"
    )
    for name in ("video", "reference_video"):
        with av.open(str(tmp_path / "set" / row[name])) as video:
            frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
            assert (len(frames), frames[0].shape, float(video.streams.video[0].average_rate)) == (9, (32, 48, 3), 16)


def test_the_rows_of_a_sheet_are_the_owners():
    sheet = draw_sheet(owned_images(couple()), 120, 90, ground="black")
    seen = [
        [tuple(sheet[row, column].round().int().tolist()) for column in columns]
        for row, columns in ((15, (30, 90)), (45, (60,)), (75, (30, 90)))
    ]
    assert seen == [[(1, 0, 0), (0, 1, 0)], [(0, 0, 1)], [(1, 1, 0), (0, 1, 1)]]
    assert tuple(sheet[0, 0].tolist()) == (0, 0, 0)


def test_a_sheet_of_very_many_images_still_shows_each():
    many = Scene((Subject(flat("man", (1, 0, 0)), tuple(flat(f"thing {n}", (0, 1, 0)) for n in range(60))),))
    assert draw_sheet(owned_images(many), 48, 32, ground="white").shape == (32, 48, 3)
    assert describe_sheet(owned_images(many)).count(";") == 60


def test_owners_are_kept_beside_every_format(tmp_path):
    for name in FORMATS:
        export(Made(sample()), tmp_path / name, trainer_format(name))
        [row] = map(json.loads, (tmp_path / name / "owners.jsonl").read_text(encoding="utf-8").splitlines())
        assert row["key"] == "a/b.c d"
        assert [(each["role"], each["owner"], each["phrase"]) for each in row["references"]] == [
            ("face", 1, "man#1"),
            ("attribute", 1, "Öl/Jacke.neu"),
            ("face", 2, "woman"),
            ("object", None, "lamp"),
            ("background", None, "男人"),
        ]


@pytest.mark.parametrize("name", FORMATS)
def test_what_a_trainer_cannot_take_is_reported_and_left_out(tmp_path, name):
    nothing = sample("nothing", Scene(()))
    crowd = sample("crowd", Scene((Subject(picture("man"), tuple(picture(f"thing {n}") for n in range(9))),)))
    bad = []
    result = export(Made(nothing, sample(), crowd), tmp_path / "set", trainer_format(name), bad=bad.append)
    refused = ["nothing", "crowd"] if name == "musubi-tuner" else ["nothing"]
    assert [error.path for error in bad] == refused and result.samples == 3 - len(refused)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89", "000000.json is damaged. Remove it"),
        (b'{"entry": {}}', "000000.json is damaged. Remove it"),
        (b'{"entry": [], "owners": {}}', "000000.json is damaged. Remove it"),
        (b'{"entry": {}, "owners": {}}', r"A record of a finished sample in .*\.records is damaged"),
    ],
)
def test_a_record_that_a_killed_run_left_damaged_is_named(tmp_path, content, message):
    class Killed(DiffSynth):
        def write_index(self, root, entries):
            raise InterruptedError

    with pytest.raises(InterruptedError):
        export(Made(sample("a")), tmp_path / "out", Killed())
    record = tmp_path / "out" / ".records" / "000000.json"
    whole = record.read_bytes()
    record.write_bytes(content)
    with pytest.raises(LumosXError, match=message):
        export(Made(sample("a")), tmp_path / "out", DiffSynth())
    record.write_bytes(whole)
    assert export(Made(sample("a")), tmp_path / "out", DiffSynth()).samples == 1


def test_a_killed_run_goes_on_and_gives_the_same(tmp_path):
    source = Made(*(sample(f"clip {number}") for number in range(4)))
    export(source, tmp_path / "whole", trainer_format("musubi-tuner"))

    class Killed(BaseException):
        pass

    calls = iter(range(9))

    def kill():
        if next(calls) == 1:
            raise Killed

    with pytest.raises(Killed):
        export(source, tmp_path / "set", trainer_format("musubi-tuner"), done=kill)
    first = tmp_path / "set/videos/000000.mp4"
    written = first.stat().st_mtime_ns
    assert not (tmp_path / "set/ref2va.jsonl").exists()
    export(source, tmp_path / "set", trainer_format("musubi-tuner"))
    assert first.stat().st_mtime_ns == written
    assert files(tmp_path / "set") == files(tmp_path / "whole")
    assert (tmp_path / "set/ref2va.jsonl").read_bytes() == (tmp_path / "whole/ref2va.jsonl").read_bytes()
    with pytest.raises(LumosXError, match="in use"):
        export(source, tmp_path / "set", trainer_format("musubi-tuner"))


def test_the_command_copies_videos_says_what_is_lost_and_reports_bad_samples(tmp_path, capsys):
    for name in ("one", "two"):
        make_sample(tmp_path / "data" / name)
    (tmp_path / "data/two/caption.txt").write_text("")
    code = 0
    try:
        code = main(["export", str(tmp_path / "data"), str(tmp_path / "set"), "--format", "musubi-tuner"])
    except SystemExit as ended:
        code = ended.code
    said = capsys.readouterr().out
    assert code == 1 and "Exported 1 of 2" in said and "whose each image is" in said and "BAD" in said
    assert (tmp_path / "set/videos/000000.mp4").read_bytes() == (tmp_path / "data/one/video.mp4").read_bytes()


def test_an_unknown_format_is_refused():
    with pytest.raises(LumosXError, match="expected one of: musubi-tuner"):
        trainer_format("kohya")


def index_rows(root: Path, name: str) -> list[dict]:
    if name == "musubi-tuner":
        return [json.loads(line) for line in (root / "ref2va.jsonl").read_text(encoding="utf-8").splitlines()]
    if name == "ltx":
        return [json.loads(line) for line in (root / "dataset.jsonl").read_text(encoding="utf-8").splitlines()]
    return json.loads((root / "metadata.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["musubi-tuner", "diffsynth", "ltx"])
def test_the_columns_are_those_that_the_trainer_reads(tmp_path, name):
    """Recorded from the trainers' own readers, for where none of them is at hand."""
    make_sample(tmp_path / "data/one")
    export(open_source(tmp_path / "data", SHORT), tmp_path / "set", trainer_format(name))
    schema = SCHEMAS[name]
    for row in index_rows(tmp_path / "set", name):
        assert set(row) == set(schema["columns"])
        for reference in row.get("references", ()):
            assert set(reference) == set(schema["reference"]) and reference["type"] in schema["types"]
        for column in schema["paths"]:
            assert (tmp_path / "set" / row[column]).is_file()
