"""Scene and settings of a workflow are read from its nodes; a step that only ComfyUI can do is reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from workflow_graphs import PROMPT, k_sampler, node, workflow, write_picture

from lumosx_core import Reference, Subject, write_subject
from lumosx_core.commands.main import main
from lumosx_core.errors import LumosXError
from lumosx_core.models.lumosx.config import RelationalOptions, preset_options
from lumosx_core.models.lumosx.tiny import tiny_files
from lumosx_core.prompt.phrase_mask import clean_prompt
from lumosx_core.scene.case_folder import read_case
from lumosx_core.workflow.loader_nodes import Weights
from lumosx_core.workflow.run import input_folder, read_video
from lumosx_core.workflow.saved.file import read_workflow
from lumosx_core.workflow.saved.graph import Graph


def read(graph: dict, folder, **options):
    return read_video(Graph(graph), folder, **options)


def test_everything_reaches_the_pipeline(folder):
    video = read(workflow(), folder)
    assert [label for label, _ in video.scene.labelled()] == [
        "background",
        "object 1",
        "face of subject 1",
        "attribute 1 of subject 1",
        "face of subject 2",
        "attribute 1 of subject 2",
    ]
    assert video.prompt == PROMPT
    assert video.weights == Weights(
        "lumosx-tiny.safetensors", "lumosx-tiny-vae.safetensors", "lumosx-tiny-umt5.safetensors"
    )
    settings = video.settings
    assert (settings.width, settings.height, settings.frames, settings.batch) == (64, 48, 5, 2)
    assert (settings.steps, settings.shift, settings.cfg, settings.seed) == (2, 3.0, 4.5, 2**40)
    assert (settings.negative_prompt, settings.negative_references) == ("blurry", "kept")


def test_a_workflow_of_the_other_system_is_refused_with_the_way_to_run_it(folder):
    graph = {"1": node("IngredientsToVideo"), "2": node("KSampler", positive=["1", 0])}
    with pytest.raises(LumosXError, match=r"node 1 \(IngredientsToVideo\).*ComfyUI only.*--family ingredients"):
        read(graph, folder)


def test_a_workflow_with_best_of_is_refused_with_the_options_for_it(folder):
    graph = {
        "1": node("LumosXSceneToVideo"),
        "2": node("CFGGuider", positive=["1", 0]),
        "3": node("LumosXBestOf", guider=["2", 0], latent_image=["1", 2]),
    }
    with pytest.raises(LumosXError, match=r"ode 3 \(LumosXBestOf\) runs in ComfyUI only.*--best-of"):
        read(graph, folder)


def test_changes_take_the_place_of_what_the_workflow_says(folder):
    settings = read(workflow(), folder, changes={"seed": 3, "cfg": 1.0, "width": 80}).settings
    assert (settings.seed, settings.cfg, settings.width, settings.steps) == (3, 1.0, 80, 2)


def test_an_image_that_is_not_connected_is_left_out_and_named(folder, caplog):
    whole = read(workflow(), folder).scene
    graph = workflow()
    graph["7"]["inputs"]["attribute_2_phrase"] = "scarf"
    scene = read(graph, folder).scene
    assert [each.phrase for each in scene.references] == [each.phrase for each in whole.references]
    assert caplog.messages == [
        'node 7 (LumosXSubject): Attribute 2 has the phrase "scarf" but no image, so it is left out. Its image is not '
        "connected, or the node that gives it is muted or bypassed."
    ]


def test_strengths_masks_and_spans_are_those_of_the_nodes(folder):
    graph = workflow()
    graph["30"] = node("LoadImageMask", image="hat.png", channel="red")
    graph["31"] = node("PrimitiveFloat", value=0.25)
    graph["8"]["inputs"] |= {"attribute_2_mask": ["30", 0], "attribute_2_strength": ["31", 0]}
    graph["8"]["inputs"] |= {"start_percent": 0.5, "end_percent": 0.9, "strength": 0.8}
    scene = read(graph, folder).scene
    hat = scene.subjects[1].attributes[0]
    woman = scene.subjects[1]
    assert (hat.strength, woman.strength, woman.start, woman.end) == (0.25, 0.8, 0.5, 0.9)
    plain = read(workflow(), folder).scene.subjects[1].attributes[0]
    assert hat.image.shape != plain.image.shape or not torch.equal(hat.image, plain.image)


def test_a_guider_without_a_negative_is_guidance_of_one(folder):
    graph = workflow(n24=node("BasicGuider", model=["20", 0], conditioning=["10", 0]))
    assert read(graph, folder).settings.cfg == 1.0


def test_the_negative_text_output_drops_the_pictures(folder):
    graph = workflow()
    graph["24"]["inputs"]["negative"] = ["10", 3]
    assert read(graph, folder).settings.negative_references == "dropped"
    graph = workflow()
    graph["10"]["inputs"]["negative_references"] = "dropped"
    assert read(graph, folder).settings.negative_references == "dropped"


def test_the_negative_output_with_zeros_for_the_images_is_phantoms(folder):
    graph = workflow()
    graph["24"]["inputs"]["negative"] = ["10", 4]
    assert read(graph, folder).settings.negative_references == "zeroed"
    graph["24"]["inputs"]["negative"] = ["10", 2]
    with pytest.raises(LumosXError, match="has to be negative, negative_text or negative_zero_images of"):
        read(graph, folder)


def with_apply(**inputs) -> dict:
    switches = {"mcam_ratio": 0.25, "r2pe": True, "csam": True, "mcam": True}
    return workflow(
        n20=node("LumosXApply", model=["32", 0], **switches, **inputs),
        n32=node("UNETLoader", unet_name="phantom.safetensors", weight_dtype="default"),
    )


def test_the_preset_of_apply_is_that_of_the_network(folder):
    switches = RelationalOptions(mcam_ratio=0.25)
    for preset in (None, "LumosX released", "Phantom", "custom"):
        video = read(with_apply(**({} if preset is None else {"preset": preset})), folder)
        assert video.settings.options == preset_options(preset or "LumosX released", switches)
        assert video.notes == ()
    with pytest.raises(LumosXError, match="preset is 'Wan'"):
        read(with_apply(preset="Wan"), folder)


def test_phrases_that_are_not_bound_need_not_occur_but_only_without_mcam(folder):
    graph = with_apply(preset="Phantom")
    whole = read(graph, folder).scene
    graph["10"]["inputs"]["bind_phrases"] = False
    scene = read(graph, folder).scene
    assert {reference.phrase for reference in scene.references} == {""}
    assert scene.layout == whole.layout
    assert all(torch.equal(a.image, b.image) for a, b in zip(scene.references, whole.references, strict=True))
    graph["20"]["inputs"]["preset"] = "custom"
    with pytest.raises(LumosXError, match="bind_phrases of .* is off, but MCAM binds"):
        read(graph, folder)


def test_the_stock_loader_with_apply_is_the_model(folder):
    graph = workflow(
        n20=node("LumosXApply", model=["32", 0], mcam_ratio=0.5, r2pe=True, csam=True, mcam=True),
        n32=node("LumosXRecordAttention", model=["33", 0]),
        n33=node("UNETLoader", unet_name="sub/lumosx.safetensors", weight_dtype="default"),
    )
    assert read(graph, folder).weights.diffusion_model == "sub/lumosx.safetensors"


@pytest.mark.parametrize(("mcam", "ratio"), [(True, 0.25), (False, 0.0)])
def test_the_settings_of_apply_are_those_of_the_network(folder, mcam, ratio):
    graph = workflow(
        n20=node("LumosXApply", model=["32", 0], mcam_ratio=0.25, r2pe=False, csam=False, mcam=mcam),
        n32=node("LumosXApply", model=["33", 0], mcam_ratio=2.0, r2pe=True, csam=True, mcam=True),
        n33=node("UNETLoader", unet_name="lumosx.safetensors", weight_dtype="default"),
    )
    settings = read(graph, folder).settings
    assert (settings.options.mcam_ratio, settings.options.r2pe, settings.options.csam) == (ratio, False, False)


@pytest.mark.parametrize("kind", ["LoraLoaderModelOnly", "LoraLoader"])
def test_a_lora_of_strength_0_is_left_out_with_a_line(folder, kind):
    graph = workflow(
        n24=node("CFGGuider", model=["50", 0], positive=["10", 0], negative=["10", 1], cfg=4.5),
        n50=node(kind, model=["20", 0], clip=["21", 0], lora_name="hat.safetensors", strength_model=0, strength_clip=0),
    )
    if kind == "LoraLoader":
        graph["10"]["inputs"]["clip"] = ["50", 1]
    weights = read(graph, folder).weights
    assert weights.diffusion_model == "lumosx-tiny.safetensors"
    assert weights.notes == (f"The LoRA 'hat.safetensors' of node 50 ({kind}) has strength 0 and is left out.",)
    graph["50"]["inputs"]["strength_model"] = -0.1
    with pytest.raises(LumosXError, match="adds the LoRA 'hat.safetensors'"):
        read(graph, folder)


def test_a_lora_of_the_text_encoder_alone_counts(folder):
    graph = workflow(
        n50=node("LoraLoader", clip=["21", 0], lora_name="hat.safetensors", strength_model=0, strength_clip=0.5)
    )
    graph["10"]["inputs"]["clip"] = ["50", 1]
    with pytest.raises(LumosXError, match=r"node 50 \(LoraLoader\) adds the LoRA 'hat.safetensors'"):
        read(graph, folder)


def test_a_stock_sampler_is_run_only_if_the_released_one_is_asked_for(folder):
    graph = workflow(n27=None, n40=k_sampler())
    with pytest.raises(LumosXError, match=r"node 40 \(KSampler\) uses the solver 'euler'.*--released-sampler"):
        read(graph, folder)
    settings = read(graph, folder, released=True).settings
    assert (settings.steps, settings.cfg, settings.seed, settings.shift) == (7, 3.0, 9, 8.0)


def test_a_stock_solver_and_a_stock_schedule_too(folder):
    graph = workflow(n25=node("KSamplerSelect", sampler_name="euler"))
    with pytest.raises(LumosXError, match=r"uses the solver of node 25 \(KSamplerSelect\)"):
        read(graph, folder)
    assert read(graph, folder, released=True).settings.shift == 3.0
    graph = workflow(n26=node("BasicScheduler", scheduler="simple", steps=12, denoise=1.0))
    with pytest.raises(LumosXError, match=r"uses the schedule of node 26 \(BasicScheduler\)"):
        read(graph, folder)
    assert read(graph, folder, released=True).settings.steps == 12


def test_of_several_samplers_one_is_chosen(folder):
    graph = workflow(n40=k_sampler())
    with pytest.raises(LumosXError, match=r"several scenes: node 27 .* samples node 10 .*; node 40 .*--node"):
        read(graph, folder)
    assert read(graph, folder, node_id="27").settings.seed == 2**40
    assert read(graph, folder, node_id="40", released=True).settings.seed == 9
    with pytest.raises(LumosXError, match="--node 5 does not name one"):
        read(graph, folder, node_id="5")


def test_the_video_node_names_its_sampler(folder):
    graph = workflow(n41=node("LumosXSceneToVideo", scene=["7", 0]), n40=k_sampler(positive=["41", 0]))
    assert read(graph, folder, node_id="10").settings.seed == 2**40


WRONG = {
    "no scene": ({"n9": None}, "scene of node 10 .* is connected to node 9, which"),
    "no sampler": ({"n27": None}, "No sampler of the workflow gets its positive conditioning from LumosX Scene To"),
    "no video": ({"n10": None, "n27": None}, "has no LumosX Scene To Video"),
    "another scene": ({"n9": node("Switch")}, r"scene of node 10 .* comes from node 9 \(Switch\)"),
    "photographs": ({"n9": node("LumosXAutoScene")}, "node 9 .* reads photos.*-m lumosx_core scene PHOTO"),
    "found faces": ({"n1": node("LumosXFaces")}, r"face of node 7 .* comes from node 1 \(LumosXFaces\)"),
    "latent": (
        {"n27": k_sampler(latent_image=["50", 0]), "n50": node("VAEEncode")},
        "latent_image of node 27 .* has to",
    ),
    "negative": (
        {"n24": node("CFGGuider", model=["20", 0], positive=["10", 0], negative=["50", 0]), "n50": node("Zero")},
        r"negative of node 24 .* has to be .* comes from node 50 \(Zero\)",
    ),
    "guider": (
        {"n24": node("DualCFGGuider", model=["20", 0], cond1=["10", 0], cond2=["10", 1])},
        r"node 24 \(DualCFGGuider\) guides in a way",
    ),
    "noise": ({"n23": node("DisableNoise")}, "noise of node 27 .* RandomNoise"),
    "no noise": ({"n23": None}, "noise of node 27 .* connected to node 23, which the workflow does not have"),
    "some steps": ({"n27": k_sampler(denoise=0.5)}, "node 27 .* takes a part of the steps only"),
    "later steps": ({"n27": k_sampler(start_at_step=2)}, "takes a part of the steps only"),
    "earlier steps": ({"n27": k_sampler(end_at_step=3)}, "takes a part of the steps only"),
    "LoRA": (
        {"n20": node("LoraLoaderModelOnly", model=["50", 0], lora_name="hat.safetensors")},
        r"adds the LoRA 'hat.safetensors'.*\n.*-m lumosx_core lora merge",
    ),
    "no apply": ({"n20": node("UNETLoader", unet_name="a.safetensors")}, "has not gone through LumosX Apply"),
    "context windows": ({"n20": node("WanContextWindows")}, r"model of node 24 .* comes from node 20 \(WanContext"),
    "VAE": ({"n22": node("Baked")}, r"vae of node 10 .* comes from node 22 \(Baked\)"),
    "CLIP": ({"n21": node("DualCLIPLoader")}, r"clip of node 10 .* comes from node 21 \(DualCLIPLoader\)"),
    "prompt": (
        {"n26": node("LumosXSigmas", steps=["50", 0]), "n50": node("Ask")},
        r"steps of node 26 .* comes from node 50 \(Ask\)",
    ),
    "noise turned off": ({"n27": k_sampler(add_noise="disable")}, "add_noise of node 27 .* is off"),
    "text as a number": (
        {"n26": node("LumosXSigmas", steps="many")},
        "steps of node 26 .* is 'many', expected a whole number",
    ),
}


@pytest.mark.parametrize(("changes", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_only_comfyui_can_do_is_said_with_its_node(folder, changes, message):
    with pytest.raises(LumosXError, match=message):
        read(workflow(**changes), folder, released=True)


def test_weights_of_words_are_refused_and_brackets_that_are_meant_are_kept(folder):
    for name in ("positive_prompt", "negative_prompt"):
        graph = workflow()
        graph["10"]["inputs"][name] += " (bright:1.4)"
        with pytest.raises(LumosXError, match=rf"{name} of node 10 .* weights in brackets.*only ComfyUI"):
            read(graph, folder)
    graph = workflow()
    graph["10"]["inputs"]["positive_prompt"] += r" \(bright\)"
    assert read(graph, folder).prompt.endswith(" (bright)")


@pytest.mark.parametrize("caption", ["a man, (soft light:1.4).", r"a man \(twice\)", "a man (", "a man（全：1.2）"])
def test_a_caption_from_a_folder_is_literal_text(tmp_path, caption):
    (tmp_path / "case/subjects/1").mkdir(parents=True)
    write_picture(tmp_path / "case/subjects/1/face_man.png")
    (tmp_path / "case/caption.txt").write_text(caption, encoding="utf-8")
    graph = workflow(n30=node("LumosXSceneFromFolder", folder="case"))
    graph["10"]["inputs"] |= {"scene": ["30", 0], "positive_prompt": ["30", 1]}
    assert read(graph, tmp_path).prompt == clean_prompt(read_case(tmp_path / "case").prompt)


def test_a_subject_is_read_from_its_file_in_the_input_folder(tmp_path):
    image = torch.rand(4, 3, 3)
    write_subject(tmp_path / "film" / "Anna.safetensors", Subject(Reference("woman", image), (), 0.5))
    graph = workflow(n30=node("LumosXLoadSubject", file="film/Anna.safetensors", phrases="woman = man"))
    graph["10"]["inputs"]["scene"] = ["30", 0]
    (subject,) = read(graph, tmp_path).scene.subjects
    assert (subject.title, subject.strength, subject.face.phrase) == ("Anna", 0.5, "man")
    assert torch.equal(subject.face.image, image)
    graph["30"]["inputs"]["file"] = "../Anna.safetensors"
    with pytest.raises(LumosXError, match="LumosX Load Subject names .* outside of"):
        read(graph, tmp_path)


def test_the_weights_lie_in_a_models_folder(tmp_path):
    names = Weights("sub/a.safetensors", "lumosx-tiny-vae.safetensors", "t.safetensors")
    for place in ("diffusion_models/sub/a.safetensors", "text_encoders/t.safetensors"):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).touch()
    found = names.find(tmp_path)
    assert found.diffusion_model == tmp_path / "diffusion_models/sub/a.safetensors"
    assert (found.vae, found.text_encoder) == (tiny_files().vae, tmp_path / "text_encoders/t.safetensors")
    other = tmp_path / "text_encoders/t.safetensors"
    assert names.find(tmp_path, vae=other).vae == other
    assert names.find(other, text_encoder=other).diffusion_model == other
    assert names.find("tiny") == tiny_files()
    with pytest.raises(LumosXError, match="uses sub/a.safetensors.*--model DIR"):
        names.find()
    with pytest.raises(LumosXError, match="There is no VAE"):
        Weights("sub/a.safetensors", "absent.safetensors", "t.safetensors").find(tmp_path)
    with pytest.raises(LumosXError, match="outside of"):
        Weights("../a.safetensors", "v", "t").find(tmp_path)


def test_pictures_lie_beside_the_workflow_unless_told(tmp_path):
    assert input_folder(tmp_path / "w.json") == tmp_path
    (tmp_path / "input").mkdir()
    assert input_folder(tmp_path / "w.json") == tmp_path / "input"
    assert input_folder(tmp_path / "w.json", tmp_path) == tmp_path
    with pytest.raises(LumosXError, match="no folder .*absent"):
        input_folder(tmp_path / "w.json", tmp_path / "absent")


def run(*arguments) -> int:
    return main([str(argument) for argument in arguments])


@pytest.mark.slow
def test_the_command_makes_the_videos_of_a_workflow(folder, tmp_path, capsys):
    pytest.importorskip("av")
    (tmp_path / "w.json").write_text(json.dumps(workflow()))
    assert run("generate", tmp_path / "w.json", "--out", tmp_path / "v.mp4", "--input", folder, "--device", "cpu") == 0
    output = capsys.readouterr().out
    assert "64x48, 5 frames, 2 steps, seed 1099511627776, 6 images" in output
    assert sorted(path.name for path in tmp_path.glob("*.mp4")) == ["v_0.mp4", "v_1.mp4"]


@pytest.mark.slow
def test_the_options_of_the_command_count_before_the_workflow(folder, tmp_path, capsys):
    pytest.importorskip("av")
    (tmp_path / "w.json").write_text(json.dumps(workflow(n27=None, n40=k_sampler())))
    changes = ("--seed", 4, "--size", "80x64", "--frames", 1, "--steps", 1, "--batch", 1, "--cfg", 1)
    choice = ("--released-sampler", "--node", 40, "--input", folder)
    assert run("generate", tmp_path / "w.json", "--out", tmp_path / "v.mp4", *changes, *choice) == 0
    assert "80x64, 1 frames, 1 steps, seed 4, 6 images" in capsys.readouterr().out
    assert (tmp_path / "v.mp4").exists()


def test_a_mistake_in_a_workflow_is_one_line(tmp_path, capsys):
    (tmp_path / "w.json").write_text(json.dumps(workflow()))
    assert run("generate", tmp_path / "w.json", "--out", tmp_path / "v.mp4") == 2
    assert capsys.readouterr().err.startswith("lumosx: There is no image")


@pytest.mark.parametrize("option", ["--input=x", "--node=4", "--released-sampler"])
def test_options_for_a_workflow_are_refused_for_a_case(tmp_path, capsys, option):
    assert run("generate", tmp_path, "--out", tmp_path / "v.mp4", option) == 2
    assert "is for a workflow, but" in capsys.readouterr().err


def test_the_example_for_trying_runs_as_it_is(tmp_path):
    """It is committed with the pack, and needs neither weights nor images of one's own."""
    [path] = (Path(__file__).resolve().parents[3] / "example_workflows").glob("Three people*.json")
    video = read_video(read_workflow(path), tmp_path)
    assert video.weights.find() == tiny_files() and len(video.scene.references) > 3
