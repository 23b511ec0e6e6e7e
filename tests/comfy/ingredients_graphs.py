"""Workflows of Ingredients (CogVideoX) for the tests: a release in miniature, from face photos to latents and files."""

from __future__ import annotations

import itertools
from pathlib import Path

import torch
from graphs import node
from PIL import Image

RELEASE = "Ingredients/"
WIDTH, HEIGHT, LENGTH, STEPS = 80, 64, 9, 3
PROMPT = "Two men talk at a table in front of a window."
RUNS = itertools.count(1)


def write_release(models: Path) -> None:
    """The release in miniature below a models folder, where the loaders look for released folders."""
    from miniature import write_miniature

    write_miniature(models / "diffusers" / RELEASE.strip("/"))


def write_faces(folder: Path) -> None:
    """Three plain images that stand for aligned faces."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, 4):
        generator = torch.Generator().manual_seed(number)
        coarse = torch.rand(3, 6, 6, generator=generator)
        pixels = torch.nn.functional.interpolate(coarse[None], (256, 256), mode="bilinear")[0].permute(1, 2, 0)
        Image.fromarray((pixels * 255).byte().numpy()).save(folder / f"person_{number}.png")


def loaders(guidance: str = "shared", name: str = RELEASE) -> dict:
    return {
        "model": node("IngredientsLoadModel", model_name=name, weight_dtype="default", guidance=guidance),
        "clip": node("IngredientsLoadTextEncoder", text_encoder_name=name),
        "vae": node("IngredientsLoadVAE", vae_name=name),
    }


def faces(people: int = 2, **changes) -> dict:
    """The faces node and its images, person_1 and so on."""
    images = {f"photo_{i}": node("LoadImage", image=f"faces/person_{i}.png") for i in range(1, people + 1)}
    inputs = {
        "face_encoder_name": RELEASE,
        "crops": "as given",
        "which": "best",
        "face_model": "auto",
        "threshold": 0.5,
        **{f"image_{i}": [f"photo_{i}", 0] for i in range(1, people + 1)},
        **changes,
    }
    return {**images, "faces": node("IngredientsFaces", **inputs)}


def video_graph(people: int = 2, guidance: str = "shared", **changes) -> dict:
    """Load -> faces -> to video, without a sampler."""
    inputs = {
        "clip": ["clip", 0],
        "vae": ["vae", 0],
        "faces": ["faces", 0],
        "model": ["model", 0],
        "positive_prompt": PROMPT,
        "negative_prompt": "",
        "width": WIDTH,
        "height": HEIGHT,
        "length": LENGTH,
        "batch_size": 1,
        **changes,
    }
    return {**loaders(guidance), **faces(people), "video": node("IngredientsToVideo", **inputs)}


def as_released(graph: dict, model: str = "model", seed: int = 7, steps: int = STEPS, cfg: float = 6.0) -> dict:
    """The graph with SamplerCustomAdvanced, the released solver and the released schedule behind it."""
    return {
        **graph,
        "noise": node("RandomNoise", noise_seed=seed),
        "guider": node("CFGGuider", model=[model, 0], positive=["video", 0], negative=["video", 1], cfg=cfg),
        "solver": node("IngredientsSampler"),
        "sigmas": node("IngredientsSigmas", steps=steps),
        "sampler": node(
            "SamplerCustomAdvanced",
            noise=["noise", 0],
            guider=["guider", 0],
            sampler=["solver", 0],
            sigmas=["sigmas", 0],
            latent_image=["video", 2],
        ),
    }


def again(graph: dict) -> dict:
    """The same graph in other words: ComfyUI would answer an equal one from its cache and compute nothing."""
    spaces = " " * next(RUNS)  # cleaned away before the prompt is tokenised
    video = graph["video"]
    inputs = {**video["inputs"], "negative_prompt": video["inputs"]["negative_prompt"] + spaces}
    return {**graph, "video": {**video, "inputs": inputs}}
