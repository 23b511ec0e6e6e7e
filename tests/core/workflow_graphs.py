"""Graphs for the tests, as the page sends them, and picture files for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def node(class_type: str, **inputs) -> dict:
    """A node; a growing slot is written subjects__subject_1."""
    return {"class_type": class_type, "inputs": {name.replace("__", "."): value for name, value in inputs.items()}}


def two_people() -> dict:
    """A man with a jacket, a woman with a hat, a lamp and a room; ids as the page gives them."""
    return {
        "1": node("LoadImage", image="man.png"),
        "2": node("LoadImage", image="jacket.png"),
        "3": node("LoadImage", image="woman.png"),
        "4": node("LoadImage", image="hat.png"),
        "5": node("LoadImage", image="room.png"),
        "6": node("LoadImage", image="lamp.png"),
        "7": node(
            "LumosXSubject",
            face=["1", 0],
            face_phrase="man",
            attribute_1=["2", 0],
            attribute_1_phrase="denim jacket",
            attribute_2_phrase="a phrase without a picture",
        ),
        "8": node(
            "LumosXSubject",
            face=["3", 0],
            face_phrase="woman",
            attribute_2=["4", 0],
            attribute_2_phrase="red hat",
        ),
        "9": node(
            "LumosXScene",
            background=["5", 0],
            background_phrase="cozy room",
            object_1=["6", 0],
            object_1_phrase="white lamp",
            subjects__subject_1=["7", 0],
            subjects__subject_2=["8", 0],
        ),
        "10": node("LumosXSceneToVideo", scene=["9", 0], positive_prompt="A man and a woman."),
    }


PROMPT = "A man in a denim jacket and a woman in a red hat by a white lamp in a cozy room."


def workflow(**changes) -> dict:
    """The two people with everything up to the sampler; changes are nodes by id, None takes one away."""
    graph = two_people()
    del graph["7"]["inputs"]["attribute_2_phrase"]
    video = {"clip": ["21", 0], "vae": ["22", 0], "positive_prompt": PROMPT, "negative_prompt": "blurry"}
    graph["10"]["inputs"] |= {**video, "width": 64, "height": 48, "length": 5, "batch_size": 2}
    graph |= {
        "20": node("LumosXLoadModel", model_name="lumosx-tiny.safetensors", weight_dtype="default"),
        "21": node("LumosXLoadTextEncoder", text_encoder_name="lumosx-tiny-umt5.safetensors"),
        "22": node("VAELoader", vae_name="lumosx-tiny-vae.safetensors"),
        "23": node("RandomNoise", noise_seed=2**40),
        "24": node("CFGGuider", model=["20", 0], positive=["10", 0], negative=["10", 1], cfg=4.5),
        "25": node("LumosXSampler"),
        "26": node("LumosXSigmas", steps=2, shift=3.0),
        "27": node(
            "SamplerCustomAdvanced",
            noise=["23", 0],
            guider=["24", 0],
            sampler=["25", 0],
            sigmas=["26", 0],
            latent_image=["10", 2],
        ),
    }
    for id, change in changes.items():
        graph[id.removeprefix("n")] = change
    return {id: each for id, each in graph.items() if each is not None}


def k_sampler(**inputs) -> dict:
    settings = {"seed": 9, "steps": 7, "cfg": 3.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    links = {"model": ["20", 0], "positive": ["10", 0], "negative": ["10", 1], "latent_image": ["10", 2]}
    return node("KSampler", **{**links, **settings, **inputs})


PICTURE_FILES = (
    "plain.jpg",
    "see through.png",
    "palette.png",
    "grey and alpha.png",
    "deep.png",
    "turned.jpg",
    "two frames.gif",
    "wide.png",
)


def write_picture(path: Path, soft: bool = False) -> None:
    """Write one of PICTURE_FILES: what its name says, small, always the same; soft: larger, and smooth as photos."""
    values = np.random.default_rng(len(path.name)).integers(0, 256, (13, 9, 4), dtype=np.uint8)
    values[3:9, 2:7, 3] = 255
    if soft:
        y, x = np.mgrid[:232, :160]
        waves = [128 + 80 * np.sin(x / (29 + k) + k) * np.cos(y / (41 - k)) for k in range(4)]
        values = np.stack(waves, axis=-1).round().astype(np.uint8)
    image = Image.fromarray(values)
    if path.name == "see through.png":
        image.save(path)
    elif path.name == "palette.png":
        image.convert("RGB").quantize(16).save(path, transparency=3)
    elif path.name == "grey and alpha.png":
        image.convert("LA").save(path)
    elif path.name == "deep.png":
        Image.fromarray(values[..., 0].astype(np.uint16) * 257).save(path)
    elif path.name == "turned.jpg":
        exif = Image.Exif()
        exif[0x0112] = 6
        image.convert("RGB").save(path, exif=exif)
    elif path.name == "two frames.gif":
        image.convert("P").save(path, save_all=True, append_images=[image.rotate(180).convert("P")], duration=100)
    elif path.name == "wide.png":
        image.convert("RGB").resize((40 * image.width // 9, image.height)).save(path)
    else:
        image.convert("RGB").save(path)
