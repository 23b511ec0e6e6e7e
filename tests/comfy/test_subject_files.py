"""Subjects in files, and scenes as case folders, written and read by nodes in real ComfyUIs."""

import copy
import shutil
import urllib.request

import pytest
import torch
from comfy_hosts import hosts
from comfy_server import Failure, serving
from graphs import node, sample, sampled, scene_graph
from safetensors import safe_open

from lumosx_core import read_subject
from lumosx_core.scene.case_folder import read_case

MAN, WOMAN = "film/Ärzte 'Jo'", "woman"


def actors():
    """The graph of two people from images; one has a mask with soft edges, a strength and a time range."""
    graph = scene_graph(width=64, height=48, length=5)
    graph["man"]["inputs"] |= {"strength": 0.8, "attribute_1_strength": 1.3, "end_percent": 0.7}
    graph["woman"]["inputs"] |= {"face_phrase": "woman#1", "start_percent": 0.1}
    graph["half"] = node("ImageScaleBy", image=["shirt", 0], upscale_method="bicubic", scale_by=0.7)
    graph["man"]["inputs"]["attribute_2"] = ["half", 0]  # no longer of 8 bits
    return sampled(graph, steps=2)


def save_subjects(server) -> dict:
    graph = {**actors(), "save": node("LumosXSaveSubject", scene=["man", 0], name=MAN)}
    graph["other"] = node("LumosXSaveSubject", scene=["scene", 0], name=WOMAN, number=2)
    for name in ("sampler", "video", "model", "clip", "vae"):
        del graph[name]
    return server.run(graph)


def loaded(graph: dict) -> dict:
    """The same graph with both people from their files."""
    graph = copy.deepcopy(graph)
    graph["man"] = node("LumosXLoadSubject", file=f"{MAN}.safetensors")
    graph["woman"] = node("LumosXLoadSubject", file=f"{WOMAN}.safetensors")
    for name in ("man_face", "jacket", "shirt", "half", "woman_face", "sweater"):
        del graph[name]
    return graph


@pytest.fixture(scope="module")
def saved(server):
    save_subjects(server)
    return server.directory / "output" / "lumosx_subjects"


@pytest.fixture(scope="module")
def expected(server):
    return sample(server, actors())


def test_a_subject_from_its_file_gives_the_latents_of_its_images(server, saved, expected):
    assert torch.equal(sample(server, loaded(actors())), expected)
    without = loaded(actors())
    without["man"]["inputs"]["file"] = f"{WOMAN}.safetensors"
    assert not torch.equal(sample(server, without), expected)
    man = read_subject(saved / f"{MAN}.safetensors")
    assert (man.strength, man.start, man.end) == (0.8, 0.0, 0.7)
    assert [(each.phrase, each.strength) for each in man.references] == [
        ("man", 1.0),
        ("denim jacket", 1.3),
        ("white shirt", 1.0),
    ]


def test_a_saved_subject_is_listed_with_its_thumbnail(server, saved):
    options = server.get("/object_info/LumosXLoadSubject")["LumosXLoadSubject"]["input"]["required"]["file"]
    names = options[0] if isinstance(options[0], list) else options[1]["options"]
    assert {f"{MAN}.safetensors", f"{WOMAN}.safetensors"} <= set(names)
    listed = {each["name"]: each for each in server.get("/experiment/models/lumosx_subjects")}
    place = f"lumosx_subjects/{listed['woman.safetensors']['pathIndex']}/woman.safetensors"
    with urllib.request.urlopen(f"{server.address}/experiment/models/preview/{place}", timeout=30) as preview:
        assert preview.headers["Content-Type"] == "image/webp" and len(preview.read()) > 500
    metadata = server.get("/view_metadata/lumosx_subjects?filename=woman.safetensors")
    assert metadata["modelspec.thumbnail"].startswith("data:image/jpeg")
    with safe_open(saved / "woman.safetensors", "pt") as file:
        assert file.metadata()["modelspec.title"] == "woman"


def test_a_file_that_somebody_gave_is_loaded_from_the_models_folder(server, saved, expected):
    given = server.directory / "models" / "lumosx_subjects"
    given.mkdir(exist_ok=True)
    shutil.move(saved / "woman.safetensors", given / "woman.safetensors")
    try:
        assert torch.equal(sample(server, loaded(actors())), expected)
    finally:
        shutil.move(given / "woman.safetensors", saved / "woman.safetensors")


def test_a_changed_file_is_read_again(server, saved, expected):
    path = saved / "woman.safetensors"
    whole = path.read_bytes()
    try:
        shutil.copy(saved / f"{MAN}.safetensors", path)
        assert not torch.equal(sample(server, loaded(actors())), expected)
    finally:
        path.write_bytes(whole)
    assert torch.equal(sample(server, loaded(actors())), expected)


def test_other_phrases_for_another_prompt(server, saved):
    graph = loaded(actors())
    graph["woman"]["inputs"]["phrases"] = "woman#1 = girl"
    with pytest.raises(Failure, match='"girl" of'):
        sample(server, graph)
    graph["video"]["inputs"]["positive_prompt"] = graph["video"]["inputs"]["positive_prompt"].replace("woman", "girl")
    sample(server, graph)


def test_the_page_colours_the_words_of_a_loaded_subject(server, saved):
    graph = loaded(actors())
    question = {"prompt": graph, "node": "video", "text": "A man in a denim jacket.", "dynamic": False}
    answer = server.post("/lumosx/match_phrases", question)
    assert {"man", "denim jacket"} <= {span["text"] for span in answer["spans"] if span["colours"]}
    assert {"white shirt", "woman#1"} <= {each["phrase"] for each in answer["missing"]}


@pytest.mark.parametrize(
    ("node_id", "changes", "message"),
    [
        ("save", {"name": ""}, "cannot be the name of a subject"),
        ("save", {"name": "../Anna"}, "cannot be the name of a subject"),
        ("save", {"name": "/tmp/Anna"}, "cannot be the name of a subject"),
        ("save", {"name": WOMAN}, "exists already, and has another subject in it"),
        ("save", {"scene": ["scene", 0], "name": "Anna"}, "The scene has 2 subjects"),
        ("woman", {"file": "../woman.safetensors"}, "There is no subject"),
        ("woman", {"file": "absent.safetensors"}, "There is no subject"),
        ("woman", {"file": "damaged.safetensors"}, "damaged or truncated safetensors file"),
        ("woman", {"file": "network.safetensors"}, "not a subject's"),
    ],
)
def test_a_mistake_is_named(server, saved, node_id, changes, message):
    (saved / "damaged.safetensors").write_bytes((saved / "woman.safetensors").read_bytes()[:50])
    shutil.copy(next((server.directory / "models" / "diffusion_models").iterdir()), saved / "network.safetensors")
    before = {path: path.stat().st_mtime_ns for path in saved.rglob("*")}
    graph = loaded(actors())
    if node_id == "save":  # otherwise ComfyUI runs this part of a graph whose other part it refuses
        graph["save"] = node("LumosXSaveSubject", scene=["man", 0], name=MAN)
    graph[node_id]["inputs"] |= changes
    with pytest.raises(Failure, match=message):
        server.run({**graph, "end": node("PreviewAny", source=["sampler", 0])})
    assert {path: path.stat().st_mtime_ns for path in saved.rglob("*")} == before
    for name in ("damaged", "network"):
        (saved / f"{name}.safetensors").unlink()


def test_a_scene_becomes_a_case_folder_that_gives_the_same_latents(server):
    graph = sampled(scene_graph(width=64, height=48, length=5), steps=2)
    expected = sample(server, graph)
    prompt = graph["video"]["inputs"]["positive_prompt"]
    save = node("LumosXSaveScene", scene=["scene", 0], prompt=prompt, filename_prefix="cases/two")
    written = server.directory / "output" / "cases"
    server.run({**graph, "write": save})
    server.run({**graph, "write": {**save, "inputs": {**save["inputs"], "prompt": prompt + " "}}})
    assert sorted(each.name for each in written.iterdir()) == ["two_00001", "two_00002"]
    assert read_case(written / "two_00001").prompt == prompt
    shutil.copytree(written / "two_00001", server.directory / "input" / "written")
    graph["scene"] = node("LumosXSceneFromFolder", folder="written")
    for name in ("man", "woman", "man_face", "jacket", "shirt", "woman_face", "sweater", "room", "lamp"):
        del graph[name]
    graph["video"]["inputs"]["positive_prompt"] = ["scene", 1]
    assert torch.equal(sample(server, graph), expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"filename_prefix": "../case"}, "cannot be a folder below ComfyUI's output folder"),
        ({"prompt": "A (man:1.2)."}, "The prompt has weights in brackets"),
        ({"prompt": ""}, "The prompt must not be empty"),
    ],
)
def test_a_case_that_cannot_be_written_is_refused(server, changes, message):
    inputs = {"scene": ["scene", 0], "prompt": "A man.", "filename_prefix": "refused/case", **changes}
    with pytest.raises(Failure, match=message):
        server.run({**scene_graph(), "write": node("LumosXSaveScene", **inputs)})
    assert not list((server.directory / "output").rglob("refused/*"))


def test_what_is_left_out_is_reported(server, saved):
    graph = actors()
    inputs = {"scene": ["scene", 0], "prompt": "A man and a woman.", "filename_prefix": "cases/reported"}
    server.run({**graph, "write": node("LumosXSaveScene", **inputs)})
    log = server.log.read_text()
    assert "The scene's objects and background are left out" in log
    assert "LumosX Save Scene (case folder): The strengths are left out" in log
    assert "start_percent and end_percent are left out" in log


@pytest.mark.slow
def test_a_subject_that_one_host_saved_gives_the_same_latents_on_the_other(shared_cases, tmp_path):
    """Also from another base directory."""
    if len(hosts()) < 2:
        pytest.skip("COMFYUI_PATH names one ComfyUI; this compares two")
    one, two = hosts()[0], hosts()[-1]
    for number, (writer, reader) in enumerate([(one, two), (two, one)]):
        with serving(writer, shared_cases, tmp_path / f"writer {number}") as server:
            save_subjects(server)
        with serving(reader, shared_cases, tmp_path / f"other place {number}") as server:
            expected = sample(server, actors())
            files = tmp_path / f"writer {number}" / "output" / "lumosx_subjects"
            shutil.copytree(files, server.directory / "models" / "lumosx_subjects")
            assert torch.equal(sample(server, loaded(actors())), expected)
