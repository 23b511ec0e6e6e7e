"""LumosX Score Video in a real ComfyUI: faces of a video against those of its scene."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from comfy_server import Failure
from graphs import node
from PIL import Image

for package in ("insightface", "onnx", "onnxruntime", "scipy"):
    pytest.importorskip(package, reason=f"{package} is not installed")

from two_people import COLOURS, face_image, frame, write_face_networks  # noqa: E402

from lumosx_core.media.images import to_pil  # noqa: E402


@pytest.fixture(scope="module")
def people(server, comfyui_reads_photographs):
    """Miniature networks in ComfyUI's folders, and images of two people in its input folder."""
    write_face_networks(server.directory / "models")
    inputs = server.directory / "input"
    for word, colour in COLOURS.items():
        to_pil(face_image(colour)).save(inputs / f"{word}.png")
    man, woman = COLOURS.values()
    for name, colours in (("right", (man, woman)), ("exchanged", (woman, man)), ("doubled", (man, man))):
        to_pil(frame(*colours)).save(inputs / f"{name}.png")
    Image.new("RGB", (64, 64), "grey").save(inputs / "nobody.png")
    yield
    shutil.rmtree(server.directory / "models" / "insightface")


def graph(frames: str, truth: str | None = "right.png", **changes) -> dict:
    built: dict = {"frames": node("LoadImage", image=frames)}
    for number, word in enumerate(COLOURS, 1):
        built[word] = node("LoadImage", image=f"{word}.png")
        built[f"subject_{number}"] = node("LumosXSubject", face=[word, 0], face_phrase=word)
    built["scene"] = node("LumosXScene", subjects__subject_1=["subject_1", 0], subjects__subject_2=["subject_2", 0])
    inputs = {
        "frames": ["frames", 0],
        "scene": ["scene", 0],
        "face_model": "auto",
        "box_model": "auto",
        "face_embedder": "auto",
    }
    if truth is not None:
        built["truth"] = node("LoadImage", image=truth)
        inputs["truth"] = ["truth", 0]
    built["score"] = node("LumosXScoreVideo", **{**inputs, **changes})
    return {
        **built,
        "scores": node("PreviewAny", source=["score", 0]),
        "report": node("PreviewAny", source=["score", 2]),
    }


def run(server, *arguments, **changes) -> tuple[list[float], str, np.ndarray]:
    outputs = server.run(graph(*arguments, **changes))
    [chart] = server.saved(outputs, "score")
    scores = [float(text) for text in outputs["scores"]["text"]]
    return scores, "".join(outputs["report"]["text"]), np.asarray(Image.open(chart))


def test_a_video_that_is_right_scores_high_and_nothing_is_confused(server, people):
    scores, report, chart = run(server, "right.png")
    assert len(scores) == 2 and min(scores) > 0.9
    assert "Everything that was measured is bound to its own subject." in report
    assert chart.shape[1] == 720


def test_exchanged_people_are_named(server, people):
    scores, report, _ = run(server, "exchanged.png")
    assert 'Faces: "man" of subject 1 and "woman" of subject 2 are swapped.' in report
    # Identity alone does not see it: each face is somewhere.
    assert min(scores) > 0.9


def test_one_person_twice_is_not_taken_for_two(server, people):
    scores, report, _ = run(server, "doubled.png")
    assert scores[0] > 0.9 > scores[1]
    assert '"woman" of subject 2 has the look of "man" of subject 1, which dominates.' in report


def test_people_who_are_not_there_are_missed(server, people):
    scores, report, _ = run(server, "nobody.png")
    assert scores == [0.0, 0.0]
    assert "not seen in 100% of the frames" in report and '"man" of subject 1 was not found.' in report


def test_without_anything_that_tells_whose_face_belongs_where_the_report_says_so(server, people):
    scores, report, _ = run(server, "right.png", None)
    assert min(scores) > 0.9
    assert "Not measured: misbinding, face (" in report and "no ground truth" in report


def test_a_video_of_several_frames_is_scored_over_all_of_them(server, people):
    two = graph("right.png")
    two["other"] = node("LoadImage", image="nobody_large.png")
    to_pil(torch.full((360, 640, 3), 0.4)).save(Path(server.directory) / "input" / "nobody_large.png")
    two["both"] = node("ImageBatch", image1=["frames", 0], image2=["other", 0])
    two["score"]["inputs"]["frames"] = ["both", 0]
    outputs = server.run(two)
    scores = [float(text) for text in outputs["scores"]["text"]]
    assert all(0.45 < score < 0.55 for score in scores)
    assert "not seen in 50% of the frames" in "".join(outputs["report"]["text"])


def test_a_scene_without_faces_is_refused(server, people):
    without = graph("right.png")
    without["scene"] = node("LumosXScene", object_1=["man", 0], object_1_phrase="man")
    with pytest.raises(Failure, match="no subject with a face"):
        server.run(without)


def test_a_missing_embedder_is_named_with_what_to_install(server, people):
    hidden = server.directory / "models" / "insightface" / "models" / "tiny" / "glintr100.onnx"
    hidden.rename(hidden.with_suffix(".hidden"))
    try:
        with pytest.raises(Failure, match=r"No face embedder is installed.*glintr100\.onnx.*face-api"):
            server.run(graph("right.png"))
    finally:
        hidden.with_suffix(".hidden").rename(hidden)
