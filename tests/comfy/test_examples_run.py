"""The example workflows become videos: as they are, or with lumosx-tiny in place of the released weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from graphs import frames
from PIL import Image
from recorded_prompts import recorded_prompt
from safetensors.torch import save_file

WIDTH, HEIGHT, LENGTH, STEPS = 96, 64, 9, 2
MODEL, VAE = "lumosx-tiny.safetensors", "lumosx-tiny-vae.safetensors"
TEXT_ENCODER = "lumosx-tiny-umt5.safetensors"


def of_type(prompt: dict, kind: str) -> list[dict]:
    return [node["inputs"] for node in prompt.values() if node["class_type"] == kind]


def made_tiny(prompt: dict, length: int = LENGTH) -> dict:
    """The same graph with lumosx-tiny's files, a small size and few steps; everything else stays."""
    for node in prompt.values():
        kind, inputs = node["class_type"], node["inputs"]
        if kind == "LumosXLoadModel":
            inputs["model_name"] = MODEL
        elif kind == "UNETLoader":
            inputs["unet_name"] = MODEL
        elif kind == "VAELoader":
            inputs["vae_name"] = VAE
        elif kind == "CLIPLoader":
            node |= {
                "class_type": "LumosXLoadTextEncoder",
                "inputs": {"text_encoder_name": "lumosx-tiny-umt5.safetensors"},
            }
        elif kind == "LumosXSceneToVideo":
            inputs |= {"width": WIDTH, "height": HEIGHT, "length": length, "negative_prompt": "blurry, static"}
        elif kind == "LumosXSigmas":
            inputs["steps"] = STEPS
        elif kind == "WanContextWindowsManual":
            inputs |= {"context_length": LENGTH, "context_overlap": 5}
        elif kind == "VAEDecodeTiled":
            inputs |= {"tile_size": 64, "overlap": 32, "temporal_size": 8, "temporal_overlap": 4}
    return prompt


def videos(server, prompt: dict) -> list[np.ndarray]:
    """Run it; what its Save Video wrote, each (F, H, W, 3)."""
    [save] = [number for number, node in prompt.items() if node["class_type"] == "SaveVideo"]
    return [frames(path) for path in server.saved(server.run(prompt), save)]


@pytest.mark.parametrize(
    "name",
    [
        "Fine control (strength, timing, dual guidance)",
        "Three people, objects, background",
        "Who looks at what (attention map)",
    ],
)
def test_a_workflow_of_the_tiny_model_gives_a_video_as_it_is(server, name):
    [video] = videos(server, recorded_prompt(name, server.version))
    assert video.shape == (9, 6 * 64, 6 * 80, 3)
    assert video.std() > 20


@pytest.mark.parametrize(
    "name",
    [
        "One person, own outfit",
        "Two people, own outfits",
        "Face only",
        "Low memory (GGUF, fp8)",
    ],
)
def test_a_workflow_of_the_released_model_gives_a_video_with_the_tiny_one(server, name):
    [video] = videos(server, made_tiny(recorded_prompt(name, server.version)))
    assert video.shape == (LENGTH, HEIGHT, WIDTH, 3)
    assert video.std() > 1


def test_try_it_shows_the_same_people_with_and_without_their_shirts_swapped(server):
    prompt = recorded_prompt("1 Try it (tiny model, no GPU)", server.version)
    outputs = server.run(prompt)
    saves = {node["inputs"]["filename_prefix"]: n for n, node in prompt.items() if node["class_type"] == "SaveVideo"}
    given, swapped = (
        frames(server.saved(outputs, saves[f"video/LumosX_{name}"])[0])[4].astype(int)
        for name in ("as_given", "swapped")
    )
    assert given.shape == swapped.shape == (6 * 64, 6 * 80, 3)
    # The left woman's shirt is yellow and magenta, the right one's blue; chests are a third of the picture high.
    blue = lambda picture, side: (picture[150:290, side][..., 2] - picture[150:290, side][..., 0]).mean()  # noqa: E731
    left, right = slice(60, 210), slice(270, 420)
    assert blue(given, right) > blue(given, left) + 20
    assert blue(swapped, left) > blue(swapped, right) + 20


def test_the_women_of_one_photograph_keep_their_own_clothes(server):
    [video] = videos(server, recorded_prompt("From one photograph (auto scene)", server.version))
    assert video.shape == (9, 6 * 64, 6 * 80, 3)
    red, green, blue = np.moveaxis(video[4].astype(int), -1, 0)
    left, right = (slice(170, 300), slice(90, 220)), (slice(170, 230), slice(290, 420))
    assert red[left].mean() > blue[left].mean() + 50  # a shirt of lime and orange
    assert red[right].mean() > green[right].mean() + 50  # the upper half of a shirt: purple


def test_the_attention_map_scores_both_people(server):
    prompt = recorded_prompt("Who looks at what (attention map)", server.version)
    [sampling] = of_type(prompt, "RandomNoise")
    sampling["noise_seed"] = 5  # another than above: ComfyUI answers an equal prompt without outputs
    [report] = [number for number, node in prompt.items() if node["class_type"] == "PreviewAny"]
    [text] = server.run(prompt)[report]["text"]
    assert '"woman#1", "shirt#1", "top hat"' in text and '"woman#2", "shirt#2"' in text


def test_a_batch_of_seeds_gives_four_different_videos(server):
    prompt = made_tiny(recorded_prompt("Batch of seeds", server.version))
    four = videos(server, prompt)
    assert len(four) == 4 and all(video.shape == (LENGTH, HEIGHT, WIDTH, 3) for video in four)
    for i, video in enumerate(four):
        for other in four[:i]:
            assert np.abs(video.astype(int) - other).mean() > 1


def test_the_best_of_four_seeds_is_the_video_of_its_seed_alone(server):
    prompt = made_tiny(recorded_prompt("Best of several seeds", server.version))
    [best] = of_type(prompt, "LumosXBestOf")
    assert best["seeds"] == 4 and best["keep"] == 1
    [decoded] = [number for number, node in prompt.items() if node["class_type"] == "VAEDecode"]
    # Of this noise x264 makes something else each time.
    inputs = {"images": [decoded, 0], "filename_prefix": "best"}
    lossless = {**prompt, "images": {"class_type": "SaveImage", "inputs": inputs}}

    def images() -> np.ndarray:
        saved = server.saved(server.run(lossless), "images")
        return np.stack([np.asarray(Image.open(path)) for path in saved])

    video = images()
    assert video.shape == (LENGTH, HEIGHT, WIDTH, 3)
    alone = []
    for seed in range(1, 5):
        best |= {"noise_seed": seed, "seeds": 1}
        alone.append(images())
    assert [np.array_equal(video, each) for each in alone].count(True) == 1


def test_a_long_video_is_as_long_as_asked_and_sampled_in_windows(server):
    prompt = made_tiny(recorded_prompt("Long video (context windows)", server.version), length=21)
    [video] = videos(server, prompt)
    assert video.shape == (21, HEIGHT, WIDTH, 3)
    [windows] = of_type(prompt, "WanContextWindowsManual")
    windows |= {"context_length": 21}
    [whole] = videos(server, prompt)
    assert np.abs(video.astype(int) - whole).mean() > 1


def test_every_dial_of_fine_control_changes_the_video(server):
    def fine(change=lambda prompt: None) -> np.ndarray:
        prompt = made_tiny(recorded_prompt("Fine control (strength, timing, dual guidance)", server.version))
        for inputs in of_type(prompt, "LumosXSigmas"):
            inputs["shift"] = 1.0  # the second of two steps is late enough for a subject to have left
        change(prompt)
        [video] = videos(server, prompt)
        return video.astype(int)

    def set_on(kind: str, **values):
        def change(prompt: dict) -> None:
            for inputs in of_type(prompt, kind):
                inputs |= {name: value for name, value in values.items() if name in inputs}

        return change

    set_here = fine()
    for change in (
        set_on("LumosXSubject", attribute_1_strength=1.0),
        set_on("LumosXSubject", strength=1.0),
        set_on("LumosXSubject", end_percent=1.0),
        set_on("LumosXScene", background_strength=1.0),
        set_on("DualCFGGuider", cfg_cond2_negative=1.0),
    ):
        assert np.abs(fine(change) - set_here).max() > 0


def test_a_lora_that_is_switched_on_changes_the_video(server):
    generator = torch.Generator().manual_seed(1)
    lora = {
        "diffusion_model.blocks.0.self_attn.q.lora_A.weight": torch.randn(4, 256, generator=generator),
        "diffusion_model.blocks.0.self_attn.q.lora_B.weight": torch.randn(256, 4, generator=generator),
    }
    prompt = made_tiny(recorded_prompt("LoRA and few-step LoRA", server.version))
    [loader] = of_type(prompt, "LoraLoaderModelOnly")
    loader["lora_name"] = "of_an_example.safetensors"
    save_file(lora, server.directory / "models" / "loras" / loader["lora_name"])
    [with_lora] = videos(server, prompt)
    loader["strength_model"] = 0.0
    [without] = videos(server, prompt)
    assert np.abs(with_lora.astype(int) - without).mean() > 1


def test_what_is_painted_over_is_what_is_worn(server):
    """The photograph as the mask editor saves it: transparent where it was painted."""
    pixels = np.random.default_rng(1).integers(0, 255, (120, 160, 4), np.uint8)
    for name, left in (("face.png", 10), ("garment.png", 60), ("other garment.png", 90)):
        pixels[..., 3] = 255
        pixels[30:80, left : left + 50, 3] = 0
        Image.fromarray(pixels).save(server.directory / "input" / name)
    shown = []
    for garment in ("garment.png", "other garment.png"):
        prompt = made_tiny(recorded_prompt("With core segmentation nodes", server.version))
        face, painted = of_type(prompt, "LoadImage")
        face["image"], painted["image"] = "face.png", garment
        shown += videos(server, prompt)
    assert len(shown) == 2 and all(video.shape == (LENGTH, HEIGHT, WIDTH, 3) for video in shown)
    assert np.abs(shown[0].astype(int) - shown[1]).max() > 0
