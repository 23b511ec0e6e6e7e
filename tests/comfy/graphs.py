"""Workflows for the tests: the two people of a shared case, from photographs to latents and files."""

import copy
import itertools

import av
import numpy as np
import torch
from safetensors.torch import load_file

CASE = "man_and_woman_outfits"
PROMPT = (
    "A man and a woman sit on a bed in a cozy, warmly lit room. The man, wearing a denim jacket over a white shirt, "
    "talks to the woman, dressed in a light brown sweater, by a white lamp."
)
WIDTH, HEIGHT, LENGTH, STEPS = 96, 64, 9, 3
RUNS = itertools.count(1)


def node(class_type: str, **inputs) -> dict:
    return {"class_type": class_type, "inputs": {name.replace("__", "."): value for name, value in inputs.items()}}


def picture(path: str) -> dict:
    return node("LoadImage", image=f"{CASE}/{path}")


def scene_graph(**changes) -> dict:
    """Load -> two subjects -> scene -> scene to video, without a sampler."""
    return {
        "model": node("LumosXLoadModel", model_name="lumosx-tiny.safetensors", weight_dtype="default"),
        "clip": node("LumosXLoadTextEncoder", text_encoder_name="lumosx-tiny-umt5.safetensors"),
        "vae": node("VAELoader", vae_name="lumosx-tiny-vae.safetensors"),
        "man_face": picture("subjects/1/face_man.png"),
        "jacket": picture("subjects/1/denim jacket.png"),
        "shirt": picture("subjects/1/white shirt.png"),
        "woman_face": picture("subjects/2/face_woman.png"),
        "sweater": picture("subjects/2/light brown sweater.png"),
        "room": picture("background/cozy, warmly lit room.png"),
        "lamp": picture("objects/white lamp.png"),
        "man": node(
            "LumosXSubject",
            face=["man_face", 0],
            face_phrase="man",
            attribute_1=["jacket", 0],
            attribute_1_phrase="denim jacket",
            attribute_2=["shirt", 0],
            attribute_2_phrase="white shirt",
        ),
        "woman": node(
            "LumosXSubject",
            face=["woman_face", 0],
            face_phrase="woman",
            attribute_1=["sweater", 0],
            attribute_1_phrase="light brown sweater",
        ),
        "scene": node(
            "LumosXScene",
            subjects__subject_1=["man", 0],
            subjects__subject_2=["woman", 0],
            background=["room", 0],
            background_phrase="cozy, warmly lit room",
            object_1=["lamp", 0],
            object_1_phrase="white lamp",
        ),
        "video": node(
            "LumosXSceneToVideo",
            **{
                "clip": ["clip", 0],
                "vae": ["vae", 0],
                "scene": ["scene", 0],
                "positive_prompt": PROMPT,
                "negative_prompt": "blurry, static",
                "width": WIDTH,
                "height": HEIGHT,
                "length": LENGTH,
                "batch_size": 1,
                **changes,
            },
        ),
    }


def context_windows(server, model: list, **settings) -> dict:
    """ComfyUI's Wan context windows, with what a later host also requires at its defaults."""
    found = server.get("/object_info/WanContextWindowsManual")["WanContextWindowsManual"]["input"]["required"]
    defaults = {name: options["default"] for name, (_, options) in found.items() if "default" in options}
    return node("WanContextWindowsManual", **{**defaults, "model": model, **settings})


def sampled(graph: dict, name: str = "sampler", model: str = "model", video: str = "video", **changes) -> dict:
    """The graph with a stock KSampler behind it."""
    settings = {"seed": 7, "steps": STEPS, "cfg": 6.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    inputs = {
        "model": [model, 0],
        "positive": [video, 0],
        "negative": [video, 1],
        "latent_image": [video, 2],
        **settings,
        **changes,
    }
    return {**graph, name: node("KSampler", **inputs)}


def saved(graph: dict, sampler: str = "sampler", name: str = "") -> dict:
    """The graph with stock VAE Decode, Create Video, Save Video and Save Latent behind a sampler."""
    return {
        **graph,
        f"decode{name}": node("VAEDecode", samples=[sampler, 0], vae=["vae", 0]),
        f"create{name}": node("CreateVideo", images=[f"decode{name}", 0], fps=16.0),
        f"save{name}": node(
            "SaveVideo", video=[f"create{name}", 0], filename_prefix=f"video{name}", format="auto", codec="auto"
        ),
        f"latent{name}": node("SaveLatent", samples=[sampler, 0], filename_prefix=f"latent{name}"),
    }


def latents(server, outputs, name: str = "latent") -> torch.Tensor:
    (path,) = server.saved(outputs, name)
    return load_file(path)["latent_tensor"]


def frames(path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def sample(server, graph) -> torch.Tensor:
    """Run a graph whose sampler is called "sampler" and give its latents."""
    graph = uncached(graph)
    graph["latent"] = node("SaveLatent", samples=["sampler", 0], filename_prefix="latent")
    return latents(server, server.run(graph))


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The distance of two tensors, as a fraction of the expected one's norm."""
    return ((found - expected).norm() / expected.norm()).item()


def uncached(graph) -> dict:
    """The same graph in other words: ComfyUI would answer an equal one from its cache and compute nothing."""
    spaces = " " * next(RUNS)  # cleaned away before the prompt is tokenised
    graph = copy.deepcopy(graph)
    for each in graph.values():
        if each["class_type"] == "LumosXSceneToVideo":
            each["inputs"]["negative_prompt"] += spaces
    return graph


def custom_sampled(graph: dict, seed: int = 7, steps: int = STEPS, cfg: float = 6.0) -> dict:
    """The graph with SamplerCustomAdvanced, the released solver and the released schedule behind it."""
    return {
        **graph,
        "noise": node("RandomNoise", noise_seed=seed),
        "guider": node("CFGGuider", model=["model", 0], positive=["video", 0], negative=["video", 1], cfg=cfg),
        "solver": node("LumosXSampler"),
        "sigmas": node("LumosXSigmas", steps=steps, shift=8.0),
        "sampler": node(
            "SamplerCustomAdvanced",
            noise=["noise", 0],
            guider=["guider", 0],
            sampler=["solver", 0],
            sigmas=["sigmas", 0],
            latent_image=["video", 2],
        ),
    }
