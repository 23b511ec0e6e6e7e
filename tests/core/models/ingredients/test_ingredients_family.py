"""Ingredients as a model family: from a case with faces to a video, in the pipeline that every family shares."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from miniature import write_miniature, write_single_files

from lumosx_core import LumosXError, Reference, Scene, Subject
from lumosx_core.commands.main import main
from lumosx_core.models.ingredients.conditions import FaceConditions
from lumosx_core.models.ingredients.ingredients_family import INGREDIENTS
from lumosx_core.models.ingredients.pipeline import IngredientsSettings
from lumosx_core.models.ingredients.sample_faces import sample_faces
from lumosx_core.models.lumosx.lumosx_family import LUMOSX
from lumosx_core.models.video_pipeline import VideoPipeline
from lumosx_core.scene.case_folder import Case
from lumosx_core.scene.write_case import write_case

pytest.importorskip("onnxruntime")
pytest.importorskip("diffusers")

PROMPT = "Two people wave."
SMALL = IngredientsSettings(width=80, height=64, frames=9, steps=2, seed=3, face_crops="as given")


def face(seed, side=64):
    return torch.rand(side, side, 3, generator=torch.Generator().manual_seed(seed))


def scene(*seeds):
    return Scene(tuple(Subject(Reference("man", face(seed))) for seed in seeds or (0, 1)))


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    return write_miniature(tmp_path_factory.mktemp("ingredients"))


@pytest.fixture(scope="module")
def pipeline(miniature):
    return VideoPipeline(INGREDIENTS.find_files(miniature), INGREDIENTS, device="cpu")


@pytest.fixture(scope="module")
def video(pipeline):
    return pipeline.generate(scene(), PROMPT, SMALL)


@pytest.mark.slow
def test_two_faces_become_a_video_and_the_same_one_again(pipeline, video):
    assert video.shape == (1, 9, 64, 80, 3) and video.dtype == torch.uint8
    assert video.float().std() > 1
    assert torch.equal(video, pipeline.generate(scene(), PROMPT, SMALL))


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [{"seed": 4}, {"steps": 3}, {"cfg": 1.0}, {"cfg": 2.0}, {"guidance": "per_branch"}, {"shift": 2.0}, {"frames": 5}],
    ids=str,
)
def test_each_setting_reaches_the_video(pipeline, video, changes):
    changed = pipeline.generate(scene(), PROMPT, replace(SMALL, **changes))
    assert not torch.equal(changed, video[:, : changed.shape[1]])


@pytest.mark.slow
def test_the_faces_and_their_order_reach_the_video(pipeline, video):
    for faces in (scene(0, 2), scene(1, 0), scene(0), scene(0, 1, 2)):
        assert not torch.equal(pipeline.generate(faces, PROMPT, SMALL), video)


@pytest.mark.slow
def test_single_files_give_the_video_of_the_released_folder(miniature, video, tmp_path):
    files = INGREDIENTS.find_files(write_single_files(miniature, tmp_path))
    assert files.diffusion_model.suffix == ".safetensors"
    converted = VideoPipeline(files, INGREDIENTS, device="cpu").generate(scene(), PROMPT, SMALL)
    assert (converted.float() - video.float()).abs().mean() < 4  # of 255: the files are bfloat16


@pytest.mark.slow
def test_each_video_of_a_batch_is_guided_by_its_own_negative_pass(pipeline):
    """What a video is does not depend on the others of its batch."""
    conditions = pipeline.prepare(scene(), PROMPT, SMALL, INGREDIENTS.load_vae(pipeline.files.vae))
    model = INGREDIENTS.build(pipeline.network)
    noise = torch.randn(2, 16, 3, 8, 10, generator=torch.Generator().manual_seed(0))
    seen = []

    def sampled(noise):
        return sample_faces(
            model,
            noise,
            conditions.text,
            conditions.negative_text,
            conditions.scene,
            steps=1,  # the noise that a later step adds is drawn for the whole batch
            cfg=6.0,
            seed=0,
            observe=lambda layer, weights: seen.append(weights.shape),
        )

    with torch.no_grad():
        both = sampled(noise)
        alone = torch.cat([sampled(each) for each in noise.split(1)])
    assert (both - alone).abs().max() <= 2e-5 * alone.abs().max()
    assert {shape[2] for shape in seen} == {2}


@dataclass
class FoundFace:
    """What a detector finds."""

    @dataclass
    class Box:
        """Of a face."""

        left: float = 40.0
        top: float = 30.0
        right: float = 160.0
        bottom: float = 180.0

    box: Box
    score: float = 0.9
    landmarks: tuple = ((75.0, 85.0), (125.0, 85.0), (100.0, 115.0), (80.0, 145.0), (120.0, 145.0))


def people(side=200):
    return Scene(tuple(Subject(Reference("man", face(seed, side))) for seed in (0, 1)))


@pytest.mark.slow
def test_faces_of_photos_are_found_and_aligned(miniature):
    asked = []

    def find_faces(photo):
        asked.append(tuple(photo.shape))
        return [FoundFace(FoundFace.Box())]

    files = INGREDIENTS.find_files(miniature)
    pipeline = VideoPipeline(files, INGREDIENTS, device="cpu", find_faces=find_faces)
    found = pipeline.generate(people(), PROMPT, replace(SMALL, face_crops="find"))
    assert asked == [(200, 200, 3)] * 2
    assert not torch.equal(found, pipeline.generate(people(), PROMPT, SMALL))


@pytest.mark.slow
def test_the_released_detector_is_preferred_where_it_is_and_another_can_be_given(miniature, monkeypatch, caplog):
    asked = []

    def finder(name):
        def find(photo):
            asked.append(name)
            return [FoundFace(FoundFace.Box())]

        return find

    module = "lumosx_core.models.ingredients.ingredients_family.released_detector"
    files = INGREDIENTS.find_files(miniature)
    pipeline = VideoPipeline(files, INGREDIENTS, device="cpu", find_faces=finder("given"))
    vae, encoder = INGREDIENTS.load_vae(files.vae), INGREDIENTS.load_text_encoder(files.text_encoder)
    prepared = INGREDIENTS.prepare_scene(people(), PROMPT, encoder)

    def encode(**changes):
        asked.clear()
        settings = replace(SMALL, **{"face_crops": "find", **changes})
        INGREDIENTS.encode_scene(prepared, vae, settings, files, pipeline.device, pipeline.find_faces)
        return set(asked)

    assert encode() == {"given"} and "has no detection_Resnet50_Final.pth" in caplog.text
    monkeypatch.setattr(
        module, lambda folder: finder("released") if folder == files.companions["face_encoder"] else None
    )
    assert encode() == {"released"}
    assert encode(face_detector="given") == {"given"}
    assert encode(face_crops="as given") == set()


@pytest.mark.slow
def test_a_photo_without_a_face_is_refused_by_the_name_of_its_subject(miniature):
    files = INGREDIENTS.find_files(miniature)
    pipeline = VideoPipeline(files, INGREDIENTS, device="cpu", find_faces=lambda photo: [])
    with pytest.raises(LumosXError, match="The face image of subject 1 shows no face"):
        pipeline.generate(people(), PROMPT, replace(SMALL, face_crops="find"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 96}, "makes videos of 80x64 only.*Use 80x64"),
        ({"height": 80}, "makes videos of 80x64 only"),
        ({"frames": 13}, "at most 9"),
    ],
    ids=str,
)
def test_another_size_is_refused_before_any_work(pipeline, changes, message):
    with pytest.raises(LumosXError, match=message):
        pipeline.generate(scene(), PROMPT, replace(SMALL, **changes))


def test_a_long_prompt_and_nine_faces_are_refused(pipeline):
    with pytest.raises(LumosXError, match="tokens.*reads 226.*Shorten"):
        pipeline.generate(scene(), "wave " * 300, SMALL)
    with pytest.raises(LumosXError, match="9 faces"):
        pipeline.generate(scene(*range(9)), PROMPT, SMALL)


@pytest.mark.parametrize(
    "changes",
    [{"guidance": "both"}, {"face_crops": "cut"}, {"face_detector": "eyes"}, {"negative_references": "dropped"}],
    ids=str,
)
def test_a_setting_that_does_not_exist_is_refused(changes):
    with pytest.raises(LumosXError, match=next(iter(changes))):
        IngredientsSettings(**changes)


def test_the_files_of_each_family_are_refused_by_the_other(miniature, tiny_models):
    network = INGREDIENTS.find_files(miniature).diffusion_model
    with pytest.raises(LumosXError):
        LUMOSX.open(network)
    with pytest.raises(LumosXError, match="Wan|LumosX"):
        INGREDIENTS.open(LUMOSX.find_files(tiny_models).diffusion_model)
    with pytest.raises(LumosXError, match="LumosX has no face encoder"):
        LUMOSX.find_files(tiny_models, companions={"face_encoder": miniature})
    with pytest.raises(LumosXError, match="has no hat"):
        INGREDIENTS.find_files(miniature, companions={"hat": miniature})


def test_conditions_go_to_a_device_whole():
    conditions = FaceConditions(torch.zeros(1, 4), torch.zeros(1, 5, 2, 3), torch.zeros(1, 16, 3, 8, 10), ("man",))
    moved = conditions.to("meta")
    assert {each.device.type for each in (moved.id_cond, moved.id_vit_hidden, moved.image_latents)} == {"meta"}
    assert moved.labels == ("man",)


# The command line


@pytest.fixture
def case(tmp_path):
    subjects = (Subject(Reference("man", face(0)), (Reference("hat", face(5)),)), Subject(Reference("woman", face(1))))
    write_case(tmp_path / "case", Case("case", "A man in a hat and a woman wave.", Scene(subjects)))
    return tmp_path / "case"


def run(*arguments):
    return main(["generate", *map(str, arguments), "--family", "ingredients", "--size", "80x64", "--frames", "5"])


@pytest.mark.slow
def test_a_case_folder_becomes_a_video_and_what_is_not_a_face_is_named(miniature, case, tmp_path, capsys):
    options = ("--model", miniature, "--steps", 1, "--face-crops", "as-given", "--out", tmp_path / "video.mp4")
    assert run(case, *options) == 0
    said = capsys.readouterr()
    assert "1 of the 3 images are ignored: subject 1 (attribute 1) (hat)" in said.err
    assert (tmp_path / "video.mp4").is_file()


def test_a_missing_face_detector_is_one_line_with_the_command_that_fetches_it(
    miniature, case, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    options = ("--model", miniature, "--face-detector", "none.onnx", "--out", tmp_path / "video.mp4")
    assert run(case, *options) == 2
    said = capsys.readouterr().err
    assert "none.onnx" in said and "Traceback" not in said
    assert not (tmp_path / "video.mp4").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--guidance", "shared"), "--guidance is not an option of LumosX"),
        (("--face-crops", "find"), "--face-crops is not an option of LumosX"),
        (("--face-encoder", "x"), "LumosX has no face encoder"),
    ],
)
def test_options_of_one_family_are_refused_for_the_other(case, tmp_path, capsys, options, message):
    assert main(["generate", str(case), *options, "--out", str(tmp_path / "video.mp4")]) == 2
    assert message in capsys.readouterr().err
