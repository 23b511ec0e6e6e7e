"""The report: what it says, that nothing in it can run or load anything, and that nothing is lost."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

from lumosx_core.auto_scene.cutouts.regions import Box
from lumosx_core.evaluation.evaluated import CaseOutcome, Evaluation
from lumosx_core.evaluation.measured_video import MeasuredVideo, Protocol, Video
from lumosx_core.evaluation.networks import NetworkNote
from lumosx_core.evaluation.report.binding_chart import WIDTH, draw_binding_chart, mean_matrix
from lumosx_core.evaluation.report.html_page import html_page
from lumosx_core.evaluation.report.json_report import report_json
from lumosx_core.evaluation.report.sentences import confused, describe_scores
from lumosx_core.evaluation.report.worst_frames import badness, draw_worst
from lumosx_core.evaluation.results import (
    CaseScores,
    DimensionScores,
    FaceMatch,
    FrameMatrix,
    IdentityScores,
    Label,
    Slot,
    SlotLabel,
)
from lumosx_core.scene.case_folder import Case
from lumosx_core.scene.scene import Reference, Scene, Subject

HOSTILE = "<script>alert('x')</script>\"&\u202e\x07 Änne 王芳"
OK = SlotLabel(Label.OK)


def dimension(*labels, phrases=("man", "woman"), similarity=((0.8, 0.1), (0.2, 0.7)), name="face"):
    slots = tuple(Slot(number, phrase) for number, phrase in enumerate(phrases))
    boxes = (Box(4, 4, 20, 24), Box(30, 4, 46, 24))
    frames = tuple(FrameMatrix(frame, boxes, similarity, similarity, labels) for frame in (0, 2))
    return DimensionScores(name, slots, similarity, 0.1, frames, labels)


def scores(name="case", *labels, missed=0.0, **more):
    matches = (FaceMatch(0, Box(4, 4, 20, 24), 0.5, None),)
    identity = IdentityScores(0.5, None, (0, 1), (0.6, 0.4), (None, None), (missed, 0.0), (matches, (), matches))
    binding = (dimension(*labels, **more),) if labels else ()
    return CaseScores(name, f"{name}.mp4", 2, identity=identity, misbinding=binding, skipped={"flow": "No RAFT."})


def scene(phrase="man"):
    subjects = [
        Subject(Reference(words, torch.full((20, 16, 3), grey)), (Reference(f"{words}'s hat", torch.rand(9, 9, 3)),))
        for words, grey in ((phrase, 0.3), ("woman", 0.6))
    ]
    return Scene(tuple(subjects), (), Reference("meadow", torch.rand(30, 40, 3)))


def measured(name="case", phrase="man"):
    frames = torch.zeros(3, 48, 64, 3)
    frames[0], frames[2] = 0.2, 0.9
    return MeasuredVideo(name, f"{name}.mp4", Case(None, "A prompt.", scene(phrase)), Video(frames, 8.0))


def evaluation(name="case", phrase="man", **more):
    swap = scores(name, SlotLabel(Label.SWAP, 1), SlotLabel(Label.SWAP, 0), phrases=(phrase, "woman"))
    outcomes = (
        CaseOutcome("good", "good.mp4", scores("good", OK, OK)),
        CaseOutcome(name, f"{name}.mp4", swap, "", ("A warning.",), draw_worst(measured(name, phrase), swap)),
        CaseOutcome("lost", None, None, "There is no generated video lost.mp4 of this case."),
    )
    notes = {"arc": NetworkNote("dlib", "face.bin 0123", False), "clip": NetworkNote("CLIP", "clip abcd", True)}
    return Evaluation(Protocol.CLEAN, ("identity",), outcomes, ("stray.mp4",), notes, {"flow": "No RAFT."}, **more)


class Page(HTMLParser):
    """The tags, attributes and words of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_loads_nothing_and_runs_nothing():
    page = Page(html_page(evaluation()))
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    addresses = [value for _, name, value in page.attributes if name in ("src", "href", "action", "srcset")]
    assert addresses and all(value.startswith("data:image/jpeg;base64,") for value in addresses)
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert ("meta", "content", "default-src 'none'; img-src data:; style-src 'unsafe-inline'") in page.attributes
    assert not re.search(r"url\(|@import|https?://", html_page(evaluation()))


@pytest.mark.parametrize("name", [HOSTILE, "</title><img src=x onerror=alert(1)>", "a' onload='alert(1)", "王芳 🙂"])
def test_names_and_phrases_are_shown_and_never_obeyed(name):
    text = html_page(evaluation(name, name))
    page = Page(text)
    assert "script" not in page.tags and not [each for _, each, _ in page.attributes if each.startswith("on")]
    addresses = [value for _, each, value in page.attributes if each == "src"]
    assert all(value.startswith("data:") for value in addresses)
    visible = name.replace("\u202e", "\\u202e").replace("\x07", "\\x07")
    assert sum(visible in words for words in page.words) >= 3  # heading, table and captions
    assert "\u202e" not in text and "\x07" not in text
    assert json.loads(report_json(evaluation(name)))["cases"][1]["name"] == name


def test_every_case_file_and_network_is_on_the_page():
    words = " ".join(Page(html_page(evaluation())).words)
    for expected in (
        "Scores of 2 of 3 cases",
        "There is no generated video lost.mp4 of this case.",
        "stray.mp4",
        "A warning.",
        "Not measured: flow (No RAFT.)",
        "compare these scores with each other, not with the paper's",
        '"man" of subject 1 and "woman" of subject 2 are swapped.',
        "face.bin 0123",
        "ArcSim",
        "2 people (2)",
    ):
        assert expected in words, expected


def test_notes_of_a_case_are_below_its_row_where_a_narrow_screen_shows_them():
    text = html_page(evaluation())
    rows = re.findall(r'<tr class="noted"><td>(\w+)</td>.*?</tr><tr class="notes"><td colspan="7"><ul>(.*?)</ul>', text)
    assert [name for name, _ in rows] == ["good", "case", "lost"]
    assert "A warning." in dict(rows)["case"] and "There is no generated video lost.mp4" in dict(rows)["lost"]


def test_fractions_of_labels_and_the_interval_of_success_are_on_the_page():
    words = " ".join(Page(html_page(evaluation())).words)
    assert "50.0% 0.0% to 100.0%" in re.sub(r"\s+", " ", words)
    assert "2 cases, 4 slots" in words


def test_with_weights_of_the_paper_only_nothing_is_said_of_others():
    only = evaluation()
    note = NetworkNote("CLIP", "clip abcd", True)
    same = Evaluation(only.protocol, only.metrics, only.outcomes, (), {"clip": note}, {})
    assert "compare these scores with each other" not in html_page(same)


def test_a_report_without_any_measured_case_is_a_report():
    lost = CaseOutcome("lost", None, None, "There is none.")
    nothing = Evaluation(Protocol.CLEAN, ("identity",), (lost,))
    assert "There is none." in html_page(nothing)
    content = json.loads(report_json(nothing))
    assert content["groups"] == [] and content["cases"][0]["problem"] == "There is none."


def test_json_has_every_number_and_null_for_those_that_do_not_exist():
    content = json.loads(report_json(evaluation()))
    assert [case["name"] for case in content["cases"]] == ["good", "case", "lost"]
    case = content["cases"][1]["scores"]
    assert case["identity"]["arc_of"] == [0.6, 0.4] and case["identity"]["cur"] is None
    assert case["misbinding"][0]["labels"][0] == {"label": "swap", "other": 1}
    assert case["misbinding"][0]["frames"][1]["boxes"][1] == {"left": 30, "top": 4, "right": 46, "bottom": 24}
    assert content["networks"]["arc"]["of_the_paper"] is False and content["missing_networks"]["flow"] == "No RAFT."
    assert content["files_without_a_case"] == ["stray.mp4"] and content["protocol"] == "clean"
    odd = CaseScores("odd", "odd.mp4", 1, identity=IdentityScores(float("nan"), None, (), (), (), (), ()))
    text = report_json(Evaluation(Protocol.CLEAN, (), (CaseOutcome("odd", "odd.mp4", odd),)))
    assert "NaN" not in text and json.loads(text)["cases"][0]["scores"]["identity"]["arc"] is None


def test_the_worst_frame_is_that_of_the_most_severe_labels_with_boxes_and_references():
    labels = (SlotLabel(Label.MISSING), OK)
    similarity = ((0.8, 0.1), (0.2, 0.7))
    boxes = (Box(4, 4, 20, 24), Box(30, 4, 46, 24))
    good = FrameMatrix(0, boxes, similarity, similarity, (OK, OK))
    bad = FrameMatrix(2, (None, boxes[1]), similarity, similarity, labels)
    slots = (Slot(0, "man"), Slot(1, "woman"))
    both = DimensionScores("face", slots, similarity, 0.1, (good, bad), labels)
    found = draw_worst(measured(), CaseScores("case", "case.mp4", 2, misbinding=(both,)))
    assert found.frame == 2
    drawn = np.asarray(Image.open(io.BytesIO(found.jpeg)).convert("RGB")).astype(int)
    plain = drawn[-4:, :4].mean()
    assert plain > 200  # the bright frame, number 2
    assert (np.abs(drawn - plain).max(axis=-1) > 60).mean() > 0.01  # and something is drawn over it
    assert [each.phrase for each in found.references] == ["meadow", "man", "man's hat", "woman", "woman's hat"]
    assert len({each.colour for each in found.references}) == 3


def test_without_a_matrix_the_frame_with_the_fewest_faces_is_shown():
    assert draw_worst(measured(), scores("case")).frame == 1
    assert draw_worst(measured(), CaseScores("case", "case.mp4", 2)).frame == 1  # nothing is known: the middle


def test_severe_labels_are_worse_than_confusion_and_confusion_than_unlike_faces():
    good, drift = scores("a", OK, OK), scores("b", SlotLabel(Label.DRIFT), OK)
    missing = scores("c", SlotLabel(Label.MISSING), OK)
    leaning = scores("d", OK, OK, similarity=((0.5, 0.6), (0.2, 0.7)))
    assert badness(good) < badness(leaning) < badness(drift) < badness(missing)


def test_confused_pairs_are_named_once():
    assert list(confused(scores("a", OK, OK))) == []
    swap = scores("a", SlotLabel(Label.SWAP, 1), SlotLabel(Label.SWAP, 0))
    assert list(confused(swap)) == ['Faces: "man" of subject 1 and "woman" of subject 2 are swapped.']
    dominated = scores("a", SlotLabel(Label.DOMINANCE, 1), SlotLabel(Label.BLENDING, 0))
    assert list(confused(dominated)) == [
        'Faces: "man" of subject 1 has the look of "woman" of subject 2, which dominates.',
        'Faces: "woman" of subject 2 is blended with "man" of subject 1.',
    ]
    lost = scores("a", SlotLabel(Label.MISSING), SlotLabel(Label.DRIFT))
    assert [line.rsplit(" subject ", 1)[1] for line in confused(lost)] == [
        "1 was not found.",
        "2 drifted from its reference image.",
    ]
    three = dimension(
        SlotLabel(Label.SWAP, 1),
        SlotLabel(Label.SWAP, 2),
        SlotLabel(Label.SWAP, 0),
        phrases=("a", "b", "c"),
        similarity=((0.0,) * 3,) * 3,
    )
    assert len(list(confused(CaseScores("x", "x.mp4", 3, misbinding=(three,))))) == 3


def test_the_sentences_of_a_node_name_pairs_scores_and_what_was_not_measured():
    text = describe_scores(scores("a", SlotLabel(Label.SWAP, 1), SlotLabel(Label.SWAP, 0), missed=0.25))
    assert "are swapped" in text and "Subject 1: face similarity 0.60, not seen in 25% of the frames." in text
    assert "compared in 2 frames" in text and "Not measured: flow (No RAFT.)" in text
    assert "Everything that was measured is bound" in describe_scores(scores("a", OK, OK))
    assert "fewer than two subjects" in describe_scores(CaseScores("a", "a.mp4", 1))


def test_the_chart_shows_own_cells_green_and_others_red():
    chart = np.asarray(draw_binding_chart(scores("a", OK, OK, similarity=((0.9, 0.9), (0.9, 0.9)))))
    assert chart.shape[1] == WIDTH
    colours, counts = np.unique(chart.reshape(-1, 3), axis=0, return_counts=True)
    large = colours[counts > 2000].astype(int)
    assert any(green > red + 60 for red, green, _ in large) and any(red > green + 60 for red, green, _ in large)


@pytest.mark.parametrize("people", [1, 2, 30])
def test_the_chart_has_room_for_any_number_of_people(people):
    row = (0.5,) * people
    many = dimension(*[OK] * people, phrases=("man" * 40,) * people, similarity=(row,) * people)
    frames = tuple(FrameMatrix(0, (None,) * people, (row,) * people, (row,) * people, (OK,) * people) for _ in "a")
    many = DimensionScores("face", many.slots, (row,) * people, 0.1, frames, many.labels)
    chart = draw_binding_chart(CaseScores("a", "a.mp4", people, misbinding=(many,)))
    assert chart.width == WIDTH and chart.height < 700
    assert draw_binding_chart(CaseScores("a", "a.mp4", people)).height < 200  # no matrix, and it says so


def test_the_mean_of_a_cell_is_over_the_frames_that_have_it():
    def frame(rows):
        return FrameMatrix(0, (None, None), rows, rows, (OK, OK))

    found = mean_matrix((frame(((0.2, None), (None, None))), frame(((0.6, 0.5), (None, 1.0)))), "similarity")
    assert found == [[pytest.approx(0.4), 0.5], [None, 1.0]]


def test_images_of_the_page_are_the_ones_that_were_drawn():
    report = evaluation()
    [frame] = [outcome.worst for outcome in report.outcomes if outcome.worst]
    found = re.findall(r"base64,([A-Za-z0-9+/=]+)", html_page(report))
    assert [base64.b64decode(each) for each in found] == [frame.jpeg, *(each.jpeg for each in frame.references)]
