"""LumosX Scene For Other Models and ComfyUI's own nodes: what they receive, and miniatures that sample with it."""

from __future__ import annotations

import numpy as np
import pytest
from comfy_server import STOCK_TINY, Failure
from graphs import HEIGHT, LENGTH, PROMPT, WIDTH, latents, node, scene_graph
from PIL import Image

# A scene of six images, and fakes that keep what core's nodes give them.
SCENE = """
from importlib import import_module
core = lambda name: import_module("pack.lumosx_core." + name)
scenes, bridge = core("scene.scene"), core("bridges.scene_for_model")
torch.manual_seed(0)
def picture(phrase, height, width):
    return scenes.Reference(phrase, torch.randint(0, 256, (height, width, 3)).float() / 255)
scene = scenes.Scene(
    (scenes.Subject(picture("woman", 200, 100), (picture("red raincoat", 64, 96),)),
     scenes.Subject(picture("man", 90, 90), (picture("grey vest", 50, 300),))),
    (picture("umbrella", 33, 70),), picture("tram stop", 1200, 1600))
prompt = "At a tram stop a woman in a red raincoat hands an umbrella to a man in a grey vest."
def made(model):
    return bridge.scene_for_model(scene, prompt, model, width=96, height=64, too_many="leave out")

class FakeVae:
    def __init__(self):
        self.seen = []
    def encode(self, pixels):
        self.seen.append(pixels.clone())
        frames = (pixels.shape[0] - 1) // 4 + 1
        return torch.zeros(1, 16, frames, pixels.shape[1] // 8, pixels.shape[2] // 8)
class FakeClip:
    def tokenize(self, text, **more):
        self.text, self.more = text, more
        return text
    def encode_from_tokens_scheduled(self, tokens):
        return [[torch.zeros(1, 4, 8), {}]]
vae, clip = FakeVae(), FakeClip()
conditioning = [[torch.zeros(1, 4, 8), {}]]
"""


def test_phantom_and_vace_encode_the_canvases_unchanged(run_in_comfyui):
    result = run_in_comfyui(
        SCENE
        + """
from comfy_extras.nodes_wan import WanPhantomSubjectToVideo, WanVaceToVideo
phantom = made("Phantom")
WanPhantomSubjectToVideo.execute(conditioning, conditioning, vae, 96, 64, 9, 1, phantom.canvases)
vace, canvas = FakeVae(), made("VACE")
trim = WanVaceToVideo.execute(
    conditioning, conditioning, vace, 96, 64, 9, 1, 1.0, reference_image=canvas.canvases).args[3]
result = {
    "phantom": [bool((seen - canvas).abs().max() < 1e-6) for seen, canvas in zip(vae.seen, phantom.canvases[:, None])],
    "count": len(vae.seen), "vace": float((vace.seen[0] - canvas.canvases).abs().max()), "trim": trim}
"""
    )
    assert result["phantom"] == [True] * 4 and result["count"] == 4
    assert result["vace"] < 1e-6 and result["trim"] == 1


@pytest.mark.host(since="0.33.0")
def test_bernini_and_h3_get_each_image_in_order_with_its_own_proportions(run_in_comfyui):
    result = run_in_comfyui(
        SCENE
        + """
from comfy_extras.nodes_bernini import BerniniConditioning
from comfy_extras.nodes_minimax_h3 import MiniMaxH3ReferenceToVideo
bernini, h3 = made("Bernini-R"), made("MiniMax H3")
def slots(name, images, count):
    single = [image[None] for image in images] + [None] * (count - len(images))
    return {f"{name}_{i}": image for i, image in enumerate(single)}
BerniniConditioning.execute(conditioning, conditioning, vae, 96, 64, 9, 1,
                            reference_images=slots("reference_image", bernini.images, 8))
other = FakeVae()
MiniMaxH3ReferenceToVideo.execute(clip, other, None, h3.prompt, 1344, 768, 124, "match",
                                  ref_images=slots("ref_image", h3.images, 9))
def nearest(pixels):  # the image of the scene whose mean colours and proportions they have
    spread = [(pixels.mean((0, 1, 2)) - image.mean((0, 1))).abs().sum() for image in h3.images]
    return int(torch.stack(spread).argmin())
result = {
    "bernini": [nearest(seen) for seen in vae.seen], "sizes": [list(seen.shape[1:3]) for seen in vae.seen],
    "h3": [nearest(seen) for seen in other.seen], "h3_sizes": [list(seen.shape[1:3]) for seen in other.seen],
    "items": len(clip.more["minimax_ref_items"]), "text": clip.text == h3.prompt}
"""
    )
    assert result["bernini"] == result["h3"] == [0, 1, 2, 3, 4, 5]
    assert result["sizes"] == [[640, 848], [32, 64], [192, 96], [64, 96], [96, 96], [48, 304]]
    assert result["h3_sizes"] == [[864, 1184], [32, 64], [192, 96], [64, 96], [96, 96], [64, 288]]
    assert result["items"] == 6 and result["text"]


SAMPLING = (
    SCENE
    + """
import comfy.sd, comfy.utils, os
import nodes as stock
from safetensors.torch import save_file
weights = root + "/lumosx_core/models/lumosx/lumosx_tiny/"
def vae_of_tiny():
    return comfy.sd.VAE(sd=comfy.utils.load_torch_file(weights + "vae/lumosx-tiny-vae.safetensors"))
def text(seed):
    return [[torch.randn(1, 512, 4096, generator=torch.Generator().manual_seed(seed)), {}]]
def sampled(model, positive, negative, latent):
    [out] = stock.common_ksampler(model, 7, 2, 5.0, "euler", "simple", positive, negative, latent)
    return out["samples"]
swapped = scenes.Scene((scenes.Subject(scene.subjects[0].face, scene.subjects[1].attributes),
                        scenes.Subject(scene.subjects[1].face, scene.subjects[0].attributes)),
                       scene.objects, scene.background)
def both(run):
    one, again = run(scene), run(scene)
    other = run(swapped)
    return {"shape": list(one.shape), "finite": bool(one.isfinite().all()), "same": bool(torch.equal(one, again)),
            "moved": float((one - other).norm() / one.norm())}
def compiled(model, of):
    return bridge.scene_for_model(of, prompt, model, width=96, height=64, too_many="leave out")
tiny = comfy.sd.load_diffusion_model(weights + "diffusion_models/lumosx-tiny.safetensors")
vae = vae_of_tiny()
"""
)


def check(result, shape) -> None:
    assert result["shape"] == shape and result["finite"] and result["same"]
    assert result["moved"] > 1e-3  # other owners, another video


def test_a_tiny_native_phantom_samples_with_the_batch(run_in_comfyui):
    result = run_in_comfyui(
        SAMPLING
        + """
from comfy_extras.nodes_wan import WanPhantomSubjectToVideo
def run(of):
    positive, negative, _, latent = WanPhantomSubjectToVideo.execute(
        text(1), text(2), vae, 96, 64, 9, 1, compiled("Phantom", of).canvases).args
    return sampled(tiny, positive, negative, latent)
result = both(run)
"""
    )
    check(result, [1, 16, 3, 8, 12])


@pytest.mark.host(since="0.33.0")
def test_a_tiny_native_bernini_samples_with_the_images(run_in_comfyui):
    result = run_in_comfyui(
        SAMPLING
        + """
from comfy_extras.nodes_bernini import BerniniConditioning
def run(of):
    images = compiled("Bernini-R", of).images
    positive, negative, latent = BerniniConditioning.execute(
        text(1), text(2), vae, 96, 64, 9, 1, ref_max_size=96,
        reference_images={f"reference_image_{i}": image[None] for i, image in enumerate(images)}).args
    return sampled(tiny, positive, negative, latent)
result = both(run)
"""
    )
    check(result, [1, 16, 3, 8, 12])


def test_a_tiny_native_vace_samples_with_the_canvas_and_is_trimmed(run_in_comfyui, tmp_path):
    result = run_in_comfyui(
        SAMPLING
        + """
import comfy.ops
from comfy.ldm.wan.model import VaceWanModel
from comfy_extras.nodes_wan import TrimVideoLatent, WanVaceToVideo
network = VaceWanModel(model_type="t2v", patch_size=(1, 2, 2), in_dim=16, dim=128, ffn_dim=128, freq_dim=256,
                       text_dim=4096, out_dim=16, num_heads=1, num_layers=2, vace_layers=1, vace_in_dim=96,
                       device="cpu", dtype=torch.float32, operations=comfy.ops.disable_weight_init)
generator = torch.Generator().manual_seed(3)
state = {name: torch.randn(value.shape, generator=generator) * (1.0 if "vace" in name else 0.05)
         for name, value in network.state_dict().items()}
save_file(state, arguments["weights"])
vace = comfy.sd.load_diffusion_model(arguments["weights"])
def run(of):
    positive, negative, latent, trim = WanVaceToVideo.execute(
        text(1), text(2), vae, 96, 64, 9, 1, 1.0, reference_image=compiled("VACE", of).canvases).args
    return TrimVideoLatent.execute({"samples": sampled(vace, positive, negative, latent)}, trim).args[0]["samples"]
result = both(run)
""",
        weights=str(tmp_path / "vace.safetensors"),
    )
    check(result, [1, 16, 3, 8, 12])


def graph_for(model: str, **options) -> dict:
    graph = scene_graph()
    del graph["video"]
    inputs = {"scene": ["scene", 0], "prompt": PROMPT, "model": model, "width": WIDTH, "height": HEIGHT, **options}
    return {**graph, "other": node("LumosXSceneForOtherModels", **inputs)}


def text_of(outputs: dict, name: str) -> str:
    [text] = outputs[name]["text"]
    return text


@pytest.mark.parametrize(
    ("model", "images", "words"),
    [
        ("MiniMax H3", 7, "<Subject 3> is the man whose face and hair come from <Picture 3>, in the denim jacket from"),
        ("LTX Ingredients", 1, "### Reference Sheet Description"),
        ("VACE", 1, "A man and a woman sit on a bed"),
    ],
)
def test_the_node_gives_images_prompt_and_report(server, model, images, words):
    graph = graph_for(model)
    graph["prompt"] = node("PreviewAny", source=["other", 1])
    graph["report"] = node("PreviewAny", source=["other", 2])
    graph["size"] = node("EmptyImage", width=["other", 3], height=["other", 4], batch_size=1, color=0)
    graph["canvases"] = node("SaveImage", images=["other", 0], filename_prefix="canvases")
    graph["blank"] = node("SaveImage", images=["size", 0], filename_prefix="blank")
    outputs = server.run(graph)
    assert words in text_of(outputs, "prompt")
    assert text_of(outputs, "report").startswith(f"{model}, ")
    paths = server.saved(outputs, "canvases")
    assert len(paths) == images
    for path in [*paths, *server.saved(outputs, "blank")]:
        with Image.open(path) as image:
            assert image.size == (WIDTH, HEIGHT)


def test_too_many_images_stop_the_run_and_are_named(server):
    with pytest.raises(Failure, match=r"7 images, but Phantom takes at most 4.*cozy, warmly lit room.*white lamp"):
        server.run({**graph_for("Phantom"), "show": node("PreviewAny", source=["other", 2])})


@pytest.mark.host(since="0.33.0")
def test_slots_beyond_the_scenes_images_stay_empty(server):
    """All eight slots of Bernini Conditioning are connected, the scene has seven images."""
    graph = graph_for("Bernini-R")
    slots = {f"reference_images__reference_image_{i}": ["other", 5 + i] for i in range(8)}
    graph |= {
        "network": node("UNETLoader", unet_name=STOCK_TINY, weight_dtype="default"),
        "positive": node("CLIPTextEncode", clip=["clip", 0], text=["other", 1]),
        "negative": node("CLIPTextEncode", clip=["clip", 0], text="blurry"),
        "bernini": node(
            "BerniniConditioning",
            positive=["positive", 0],
            negative=["negative", 0],
            vae=["vae", 0],
            width=["other", 3],
            height=["other", 4],
            length=LENGTH,
            batch_size=1,
            ref_max_size=96,
            **slots,
        ),
        "sampler": node(
            "KSampler",
            model=["network", 0],
            positive=["bernini", 0],
            negative=["bernini", 1],
            latent_image=["bernini", 2],
            seed=7,
            steps=2,
            cfg=5.0,
            sampler_name="euler",
            scheduler="simple",
            denoise=1.0,
        ),
        "latent": node("SaveLatent", samples=["sampler", 0], filename_prefix="latent"),
    }
    found = latents(server, server.run(graph))
    assert found.shape == (1, 16, 3, HEIGHT // 8, WIDTH // 8) and np.isfinite(found.numpy()).all()
