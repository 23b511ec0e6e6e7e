"""From clips to samples: the stages behind the cut with miniature networks and a model behind a real endpoint."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

pytest.importorskip("av", reason="av is not installed")
pytest.importorskip("scipy", reason="scipy is not installed")
pytest.importorskip("openai", reason="openai is not installed")

from glyph_clips import SCALE, first_task, known_scenes, stages, through
from glyph_endpoint import GlyphModel, serving

from lumosx_core.auto_scene.plan.language_model import NoUsableAnswer
from lumosx_core.media.images import read_mask
from lumosx_core.scene.case_folder import read_case
from lumosx_training.data.check_data import check_data
from lumosx_training.data.clips import ClipSettings
from lumosx_training.data.samples import SampleSettings, read_sample
from lumosx_training.data.sources.open_source import open_source
from lumosx_training.glyph_world import Casting, GlyphSource
from lumosx_training.glyph_world.clip import film
from lumosx_training.prepare.models.endpoint import EndpointError
from lumosx_training.prepare.scene_settings import ChatSettings, ChoiceSettings, PeopleSettings, WordSettings

pytestmark = pytest.mark.slow

SOURCE = GlyphSource(7, 3, casting=Casting(people=(0, 1), thing=0, prop=0, hat=0.5, place=1))
KEYS = SOURCE.keys()
READ = SampleSettings(clip=ClipSettings(frames=(9,), sizes=((64, 80),)))


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("LUMOSX_TEST_KEY", "none")


def chat(url: str, **settings) -> ChatSettings:
    given = {"method": "endpoint", "base_url": url, "model": "glyphs", "key_variable": "LUMOSX_TEST_KEY"}
    return ChatSettings(**{**given, "timeout_seconds": 60.0, "wait_seconds": 0.0, **settings})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The sample folders of the source by key, and the facts of each."""
    root = tmp_path_factory.mktemp("prepared")
    os.environ["LUMOSX_TEST_KEY"] = "none"
    with serving(GlyphModel(known_scenes(SOURCE))) as url:
        chain = stages(chat(url))
        return {key: through(first_task(SOURCE.sample(key), root / "clips" / key), chain, root / "out") for key in KEYS}


def mean_colour(image: torch.Tensor) -> torch.Tensor:
    """Of an image, without its white canvas."""
    return image[(image < 0.97).any(-1)].mean(0)


def true_colour(sample, person: int, part: str) -> torch.Tensor:
    """Of what a person has at the beginning of the clip."""
    left, top, right, bottom = (round(edge) for edge in sample.clip.regions[0][person][part])
    inset = 6 if part == "shirt" else 4
    return sample.clip.frames[0][top + inset : bottom - inset, left + inset : right - inset].mean((0, 1))


def test_everyone_gets_their_own_face_and_shirt(prepared):
    checked = 0
    for key, (outcome, folder, _) in prepared.items():
        assert outcome.rejected == ""
        sample, scene = SOURCE.sample(key), read_sample(folder, READ).case.scene
        by_word = {subject.face.phrase: subject for subject in scene.subjects}
        for person, phrases in enumerate(sample.caption.people):
            subject = by_word[phrases.face]
            attributes = {each.phrase: each.image for each in subject.attributes}
            shirts = [true_colour(sample, each, "shirt") for each in range(2)]
            seen = mean_colour(attributes[phrases.shirt])
            assert int(torch.stack([(seen - shirt).norm() for shirt in shirts]).argmin()) == person
            faces = [true_colour(sample, each, "face") for each in range(2)]
            seen = mean_colour(subject.face.image)
            assert int(torch.stack([(seen - face).norm() for face in faces]).argmin()) == person
            assert (phrases.hat in attributes) == bool(phrases.hat)
            checked += 1
    assert checked == 6


def test_a_sample_is_a_case_that_check_data_passes_without_a_remark(prepared):
    for key, (_, folder, facts) in prepared.items():
        remarks: list[str] = []
        case = read_case(folder, say=remarks.append)
        assert remarks == [] and case.prompt == SOURCE.sample(key).caption.text
        assert case.scene.background is not None
        assert facts["sample"]["text"] == case.prompt
        assert (facts["sample"]["height"], facts["sample"]["width"]) == (64 * SCALE, 80 * SCALE)
        assert facts["sample"]["duration"] == pytest.approx(1.5, abs=0.01)
    root = folder.parent
    findings = list(check_data(open_source(str(root), READ), workers=0))
    assert len(findings) == 3 and all(not each.reasons and not each.warnings for each in findings)


def test_the_background_has_no_people(prepared):
    (_, folder, facts) = prepared["glyphs-7-0"]
    sample = SOURCE.sample("glyphs-7-0")
    background = read_case(folder).scene.background.image
    empty = film(sample.scene, 1).frames[0]
    frame = facts["sample"]["frames"]["background"]
    there = film(sample.scene, 24).regions[frame]
    for regions in there:
        left, top, right, bottom = (round(edge) for edge in regions["shirt"])
        filled = background[top * SCALE : bottom * SCALE, left * SCALE : right * SCALE].mean((0, 1))
        shirt = empty[top:bottom, left:right].mean((0, 1))
        assert (filled - shirt).abs().max() > 0.1


def test_the_same_sample_can_be_read_in_the_research_format(prepared):
    (_, folder, facts) = prepared["glyphs-7-1"]
    table = folder.parent / "table.csv"
    text = facts["caption"]["text"].replace('"', '""')
    table.write_text(f'path,text\n{folder.name}/video.mp4,"{text}"\n', encoding="utf-8")
    try:
        settings = SampleSettings(clip=READ.clip, whole_body=0.0)
        source = open_source(str(table), settings)
        (raw,) = map(source.load, source.keys())
    finally:
        table.unlink()
    case = read_case(folder)
    assert [s.face.phrase for s in raw.case.scene.subjects] == [s.face.phrase for s in case.scene.subjects]
    for read, own in zip(raw.case.scene.subjects, case.scene.subjects, strict=True):
        assert sorted(a.phrase for a in read.attributes) == sorted(a.phrase for a in own.attributes)
        assert (mean_colour(read.face.image) - mean_colour(own.face.image)).abs().max() < 0.1
    info = json.loads((folder / "info.json").read_text())
    masks = info["word_tags_path"]["person"][0]["attributes"][0]
    for name in next(iter(masks.values())):
        mask = read_mask(folder / name)
        assert mask.shape == (64 * SCALE, 80 * SCALE) and 0.02 < float(mask.mean()) < 0.2


def test_the_seed_chooses_the_frames(tmp_path, prepared):
    with serving(GlyphModel(known_scenes(SOURCE))) as url:
        chain = stages(chat(url))
        task = first_task(SOURCE.sample("glyphs-7-0"), tmp_path / "clip")
        _, _, facts = through(task, chain[:-1], tmp_path / "out")
        folders = {stage.name: tmp_path / "out" / stage.name / task.id for stage in chain[:-1]} | task.folders
        chosen = []
        for number, seed in enumerate((0, 0, 1, 2, 3)):
            last = stages(chat(url), sample=ChoiceSettings(seed=seed))[-1]
            output = tmp_path / str(number)
            output.mkdir()
            (outcome,) = last.open()([type(task)(task.id, facts, folders, output)])
            chosen.append(outcome.facts["frames"])
    assert chosen[0] == chosen[1] == prepared["glyphs-7-0"][2]["sample"]["frames"]
    assert len({json.dumps(each) for each in chosen}) > 2


# Models that misbehave


@pytest.mark.parametrize("wrong", ["error", "timeout", "nonsense", "truncated", "cut off", "fenced", "empty", "twice"])
def test_one_bad_answer_to_each_question_changes_nothing(tmp_path, prepared, wrong):
    model = GlyphModel(known_scenes(SOURCE), lambda kind, number: wrong if number == 0 else "")
    with serving(model, stall=3.5) as url:
        chain = stages(chat(url, timeout_seconds=3.0 if wrong == "timeout" else 60.0))[:3]
        task = first_task(SOURCE.sample("glyphs-7-1"), tmp_path / "clip")
        _, _, facts = through(task, chain, tmp_path / "out")
    expected = prepared["glyphs-7-1"][2]
    assert facts["caption"]["text"] == expected["caption"]["text"]
    for part in ("people", "objects", "background"):
        assert facts["words"][part] == expected["words"][part]
    assert model.requests["caption"] + model.requests["words"] > 2 or wrong in ("fenced", "truncated", "twice")


def test_answers_that_stay_wrong_end_in_an_error_that_says_why(tmp_path):
    with serving(GlyphModel(known_scenes(SOURCE), lambda kind, number: "wrong phrase")) as url:
        chain = stages(chat(url), words=WordSettings(repairs=1))
        task = first_task(SOURCE.sample("glyphs-7-1"), tmp_path / "clip")
        with pytest.raises(NoUsableAnswer, match="overcoat"):
            through(task, chain, tmp_path / "out")
        assert not list((tmp_path / "out" / "words" / task.id).iterdir())
    with serving(GlyphModel(known_scenes(SOURCE), lambda kind, number: "refusal")) as url:
        task = first_task(SOURCE.sample("glyphs-7-1"), tmp_path / "clip2")
        with pytest.raises(EndpointError, match="refuses"):
            through(task, stages(chat(url)), tmp_path / "out2")


def test_a_clip_without_anybody_large_enough_is_rejected(tmp_path):
    with serving(GlyphModel(known_scenes(SOURCE))) as url:
        chain = stages(chat(url), people=PeopleSettings(min_side=400))
        task = first_task(SOURCE.sample("glyphs-7-1"), tmp_path / "clip")
        outcome, folder, _ = through(task, chain, tmp_path / "out")
    assert outcome.rejected == "no_person" and Path(folder).parent.name == "people"


def test_words_of_the_wrong_person_make_another_sample(tmp_path, prepared):
    """The owner comes from the model's answer and nowhere else: exchanged boxes exchange the people."""
    model = GlyphModel(known_scenes(SOURCE))
    right = model.plan

    def exchanged(known, image, boxes):
        plan = right(known, image, boxes)
        for person in plan["people"]:
            person["box"] = 3 - person["box"]
        return plan

    model.plan = exchanged
    with serving(model) as url:
        task = first_task(SOURCE.sample("glyphs-7-1"), tmp_path / "clip")
        _, folder, _ = through(task, stages(chat(url)), tmp_path / "out")
    wrong, good = read_case(folder).scene, read_case(prepared["glyphs-7-1"][1]).scene
    wrong_shirts, good_shirts = (
        [mean_colour(subject.attributes[-1].image) for subject in scene.subjects] for scene in (wrong, good)
    )
    assert (wrong_shirts[0] - good_shirts[1]).norm() < (wrong_shirts[0] - good_shirts[0]).norm()
