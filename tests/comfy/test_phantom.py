"""The preset Phantom is ComfyUI's own Phantom: its pass, its three conditionings, and whole runs of stock samplers."""

import numpy as np
import pytest
import torch
from comfy_server import STOCK_TINY, Failure
from graphs import context_windows, node, relative, sample, sampled, uncached
from PIL import Image
from test_left_out import notices

PASSES = """
import comfy.sd
from pack.lumosx_core import EncodedScene, LumosXConfig, LumosXModel, ReferenceLayout
from pack.lumosx_core.models.lumosx.config import PHANTOM_OPTIONS
from pack.lumosx_core.models.lumosx.relations import RelationTables
from pack.nodes.bridges.comfy_bridge import KEY, SampledScene, patch_model

torch.set_grad_enabled(False)
generator = torch.Generator().manual_seed(0)

def random(*shape):
    return torch.randn(shape, generator=generator)

config = LumosXConfig(**arguments["config"])
shapes = {name: tensor.shape for name, tensor in LumosXModel(config, device="meta").state_dict().items()}
weights = {n: random(*s) / (s[1:].numel() ** 0.5 if len(s) > 1 else 4) for n, s in shapes.items()}
weights = {name: 1 + w / 4 if "norm" in name and "weight" in name else w for name, w in weights.items()}
stock = comfy.sd.load_diffusion_model_state_dict(dict(weights), model_options={"dtype": torch.float32})
patched = patch_model(stock, PHANTOM_OPTIONS, phantom=True)
network = stock.model.diffusion_model

frames, height, width, batch = arguments["video"]
layout = ReferenceLayout(1, (2, 1))
video, text, negative = random(batch, 16, frames, height, width), random(1, 512, 4096), random(1, 512, 4096)
references = random(1, 16, 4, height, width)
conditionings = {
    "images and text": (text, references), "images": (negative, references), "neither": (negative, 0 * references)
}
scene = EncodedScene(references, layout, None)

def velocity(model, timestep, words, references, **conditions):
    return network(
        video, timestep, words.expand(batch, -1, -1), time_dim_concat=references.expand(batch, -1, -1, -1, -1),
        transformer_options={"wrappers": model.wrappers, "sigmas": timestep / 1000}, **conditions,
    )

def relative(a, b):
    return ((a - b).norm() / b.norm()).item()

result = {"heads": network.num_heads, "errors": {}, "effects": []}
sampled = SampledScene(scene, lambda fraction: 1 - fraction, RelationTables())
outputs = {}
for name, (words, images) in conditionings.items():
    errors = result["errors"][name] = []
    for timestep in torch.rand(arguments["timesteps"], generator=generator) * 1000:
        timestep = timestep.expand(batch)
        outputs[name] = velocity(stock, timestep, words, images)
        errors.append(relative(velocity(patched, timestep, words, images, **{KEY: sampled}), outputs[name]))
    truncated = velocity(stock, timestep.trunc(), words, images)
    result["effects"].append(relative(truncated, outputs[name]))
result["effects"].append(relative(outputs["neither"], outputs["images"]))
"""


def test_the_pass_is_native_phantoms_at_fractional_timesteps_with_each_conditioning(run_in_comfyui, record_property):
    config = {"dim": 256, "ffn_dim": 320, "num_heads": 2, "num_layers": 2}
    found = run_in_comfyui(PASSES, config=config, video=[3, 16, 20, 2], timesteps=20)
    largest = max(max(errors) for errors in found["errors"].values())
    record_property("largest relative error", largest)
    assert all(len(errors) == 20 for errors in found["errors"].values())
    assert largest <= 1e-5, found["errors"]
    assert min(found["effects"]) > 1e-4, "a truncated timestep, and no images, must matter"


@pytest.mark.slow
def test_the_width_and_heads_of_14b_are_read_from_the_model(run_in_comfyui, record_property):
    config = {"dim": 5120, "ffn_dim": 64, "num_heads": 40, "num_layers": 1}
    found = run_in_comfyui(PASSES, config=config, video=[2, 4, 6, 1], timesteps=2)
    assert found["heads"] == 40
    record_property("largest relative error", max(max(errors) for errors in found["errors"].values()))
    assert max(max(errors) for errors in found["errors"].values()) <= 1e-5


STRENGTHS = """
import comfy.sd
from pack.lumosx_core import EncodedScene, LumosXModel, ReferenceLayout
from pack.lumosx_core.models.lumosx.config import PHANTOM_OPTIONS, LumosXConfig
from pack.lumosx_core.models.lumosx.relations import RelationTables
from pack.nodes.bridges.comfy_bridge import KEY, SampledScene, patch_model

torch.set_grad_enabled(False)
generator = torch.Generator().manual_seed(0)
ours = LumosXModel(LumosXConfig(dim=256, ffn_dim=320, num_heads=2, num_layers=2))
weights = {
    name: torch.randn(tensor.shape, generator=generator) / (tensor[0].numel() ** 0.5 if tensor.ndim > 1 else 4)
    for name, tensor in ours.state_dict().items()
}
ours.load_state_dict(weights)
model = patch_model(
    comfy.sd.load_diffusion_model_state_dict(dict(weights), model_options={"dtype": torch.float32}), PHANTOM_OPTIONS
)
video, references = (torch.randn(2, 16, 3, 12, 16, generator=generator) for _ in range(2))
text, timestep = torch.randn(2, 512, 4096, generator=generator), torch.full((2,), 612.75)

def outputs(strengths):
    scene = EncodedScene(references, ReferenceLayout(0, (2, 1)), None, strengths)
    options = {"wrappers": model.wrappers, "sigmas": timestep / 1000}
    sampled = SampledScene(scene, lambda fraction: 1 - fraction, RelationTables())
    native = model.model.diffusion_model(
        video, timestep, text, time_dim_concat=references, transformer_options=options, **{KEY: sampled}
    )
    return native, ours(video, timestep, text, scene, PHANTOM_OPTIONS)

def relative(a, b):
    return ((a - b).norm() / b.norm()).item()

whole, _ = outputs(None)
half, expected = outputs([0.5, 0.5, 1.0])
result = {"error": relative(half, expected), "effect": relative(half, whole)}
"""


def test_a_strength_of_one_half_weighs_a_subjects_images_in_attention(run_in_comfyui):
    found = run_in_comfyui(STRENGTHS)
    assert found["error"] <= 1e-5
    assert found["effect"] > 1e-3


# Whole runs

WIDTH, HEIGHT, LENGTH = 96, 64, 9
PROMPT = "A woman in a red raincoat hands an umbrella to a man in a grey vest."
NEGATIVE = "blurry, static"
IMAGES = ("woman", "raincoat", "man", "vest")


@pytest.fixture(scope="module")
def images(server):
    """Images of exactly the video's size in ComfyUI's input folder, which neither node has to fit."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    for number, name in enumerate(IMAGES):
        waves = [np.sin((number + 1) * rows / 9 + channel) * np.cos(columns / (7 + number)) for channel in range(3)]
        pixels = (127 + 120 * np.stack(waves, -1)).astype(np.uint8)
        Image.fromarray(pixels).save(server.directory / "input" / f"phantom_{name}.png")


def two_people(batch: int = 2, preset: str | None = "Phantom", **changes) -> dict:
    """The same images and prompts through LumosX ("video") and through ComfyUI's own Phantom ("native")."""
    apply = {"mcam_ratio": 0.5, "r2pe": True, "csam": True, "mcam": True}
    size = {"width": WIDTH, "height": HEIGHT, "length": LENGTH, "batch_size": batch}
    return {
        "stock": node("UNETLoader", unet_name=STOCK_TINY, weight_dtype="default"),
        "model": node("LumosXApply", model=["stock", 0], **apply, **({} if preset is None else {"preset": preset})),
        "clip": node("LumosXLoadTextEncoder", text_encoder_name="lumosx-tiny-umt5.safetensors"),
        "vae": node("VAELoader", vae_name="lumosx-tiny-vae.safetensors"),
        **{name: node("LoadImage", image=f"phantom_{name}.png") for name in IMAGES},
        "her": node(
            "LumosXSubject",
            **{"face": ["woman", 0], "face_phrase": "woman"},
            **{"attribute_1": ["raincoat", 0], "attribute_1_phrase": "red raincoat"},
        ),
        "him": node(
            "LumosXSubject",
            **{"face": ["man", 0], "face_phrase": "man", "attribute_1": ["vest", 0], "attribute_1_phrase": "grey vest"},
        ),
        "scene": node("LumosXScene", subjects__subject_1=["her", 0], subjects__subject_2=["him", 0]),
        "video": node(
            "LumosXSceneToVideo",
            **{"clip": ["clip", 0], "vae": ["vae", 0], "scene": ["scene", 0]},
            **{"positive_prompt": PROMPT, "negative_prompt": NEGATIVE, **size, **changes},
        ),
        "positive": node("CLIPTextEncode", clip=["clip", 0], text=PROMPT),
        "negative": node("CLIPTextEncode", clip=["clip", 0], text=NEGATIVE),
        "two": node("ImageBatch", image1=["woman", 0], image2=["raincoat", 0]),
        "three": node("ImageBatch", image1=["two", 0], image2=["man", 0]),
        "four": node("ImageBatch", image1=["three", 0], image2=["vest", 0]),
        "native": node(
            "WanPhantomSubjectToVideo",
            **{"positive": ["positive", 0], "negative": ["negative", 0], "vae": ["vae", 0], "images": ["four", 0]},
            **size,
        ),
    }


OURS = {"model": ["model", 0], "three": (["video", 0], ["video", 1], ["video", 4]), "latent": ["video", 2]}
NATIVE = {"model": ["stock", 0], "three": (["native", 0], ["native", 1], ["native", 2]), "latent": ["native", 3]}


def guided(graph: dict, way: dict, name: str, negative: int = 1) -> dict:
    """The graph with KSampler behind one of the two ways; `negative` is the number of its conditioning."""
    inputs = {"model": way["model"][0], "positive": way["three"][0], "negative": way["three"][negative]}
    return sampled(graph, **inputs, latent_image=way["latent"], sampler_name=name, steps=4, cfg=5.0)


def dual(graph: dict, way: dict, name: str = "euler", **conds) -> dict:
    """The graph with DualCFGGuider behind one of the two ways, with the authors' two scales and shift."""
    positive, images, neither = way["three"]
    cond = {"cond1": positive, "cond2": images, "negative": neither, **conds}
    scales = {"cfg_conds": 7.5, "cfg_cond2_negative": 5.0, "style": "regular"}
    return {
        **graph,
        "shifted": node("ModelSamplingSD3", model=way["model"], shift=5.0),
        "noise": node("RandomNoise", noise_seed=7),
        "guider": node("DualCFGGuider", model=["shifted", 0], **cond, **scales),
        "solver": node("KSamplerSelect", sampler_name=name),
        "sigmas": node("BasicScheduler", model=["shifted", 0], scheduler="simple", steps=4, denoise=1.0),
        "sampler": node(
            "SamplerCustomAdvanced",
            **{each: [each, 0] for each in ("noise", "guider", "sigmas")},
            **{"sampler": ["solver", 0], "latent_image": way["latent"]},
        ),
    }


@pytest.mark.parametrize("name", ["euler", "uni_pc", "dpmpp_2m"])
def test_a_run_of_a_stock_sampler_is_native_phantoms(server, images, record_property, name):
    graph = two_people()
    ours, native = (sample(server, guided(graph, way, name)) for way in (OURS, NATIVE))
    record_property("relative difference", relative(ours, native))
    assert ours.shape[0] == 2
    assert relative(ours, native) <= 1e-4


@pytest.mark.parametrize("name", ["euler", "uni_pc", "dpmpp_2m"])
def test_dual_guidance_is_native_phantoms_with_zeros_for_the_images(server, images, record_property, name):
    graph = two_people()
    ours, native = (sample(server, dual(graph, way, name)) for way in (OURS, NATIVE))
    record_property("relative difference", relative(ours, native))
    assert relative(ours, native) <= 1e-4
    single = sample(server, guided(graph, NATIVE, name, negative=2))
    assert relative(native, single) > 1e-3, "the two scales must matter"
    zeroed = two_people(negative_references="zeroed")
    assert relative(sample(server, guided(zeroed, OURS, name)), single) <= 1e-4  # now the second output has the zeros


@pytest.mark.parametrize("way", [guided, dual], ids=["one guidance", "two guidances"])
def test_self_routing_works_on_phantom_and_changes_no_bit_where_it_is_off(server, images, way):
    graph = two_people()
    graph |= {"left": node("SolidMask", value=1.0, width=WIDTH // 2, height=HEIGHT)}
    graph |= {"none": node("SolidMask", value=0.0, width=WIDTH, height=HEIGHT)}
    place = {"destination": ["none", 0], "source": ["left", 0], "y": 0, "operation": "add"}
    graph |= {name: node("MaskComposite", x=x, **place) for name, x in (("west", 0), ("east", WIDTH // 2))}

    def run(strength: float, **masks):
        routed = {"strength": strength, "start_percent": 0.0, "end_percent": 1.0, **masks}
        with_node = {**graph, "routed": node("LumosXSelfRouting", model=["model", 0], **routed)}
        return sample(server, way(with_node, {**OURS, "model": ["routed", 0]}, "euler"))

    plain = sample(server, way(graph, OURS, "euler"))
    assert torch.equal(run(0.0), plain)
    measured = run(2.0)
    drawn, exchanged = (run(2.0, mask_1=[one, 0], mask_2=[two, 0]) for one, two in (("west", "east"), ("east", "west")))
    for first, second in ((measured, plain), (drawn, plain), (drawn, exchanged)):
        assert first.isfinite().all() and relative(first, second) > 1e-3


def test_the_other_presets_are_not_native_phantom(server, images):
    native = sample(server, guided(two_people(batch=1), NATIVE, "euler"))
    found = {
        preset: sample(server, guided(two_people(batch=1, preset=preset), OURS, "euler"))
        for preset in (None, "LumosX released", "custom")
    }
    assert torch.equal(found[None], found["LumosX released"])  # prompts without the input get what they always got
    assert relative(found["custom"], found[None]) > 1e-4  # at the sampler's own timesteps
    assert all(relative(each, native) > 1e-3 for each in found.values())
    by_hand = two_people(batch=1, preset="custom")
    by_hand["model"]["inputs"] |= {"mcam": False, "r2pe": False, "csam": False}
    assert relative(sample(server, guided(by_hand, OURS, "euler")), native) <= 1e-4


def test_phrases_need_not_occur_in_the_prompt_where_they_are_bound_to_nothing(server, images):
    bound = sample(server, guided(two_people(batch=1), OURS, "euler"))
    unbound = two_people(batch=1, bind_phrases=False)
    unbound["her"]["inputs"]["face_phrase"] = "an astronaut"
    unbound["him"]["inputs"]["face_phrase"] = ""
    assert torch.equal(sample(server, guided(unbound, OURS, "euler")), bound)
    unbound["video"]["inputs"]["bind_phrases"] = True
    with pytest.raises(Failure, match="astronaut"):
        sample(server, guided(unbound, OURS, "euler"))


def test_a_scene_without_bound_phrases_is_refused_by_a_model_that_binds_them(server, images):
    with pytest.raises(Failure, match="Turn bind_phrases on, or turn MCAM off"):
        sample(server, guided(two_people(batch=1, preset=None, bind_phrases=False), OURS, "euler"))


def test_a_conditioning_without_images_beside_others_is_refused(server, images):
    """Our negative_text is not the one of ComfyUI's Phantom, which has images."""
    graph = two_people(batch=1)
    with pytest.raises(Failure, match="and not negative_text.*preset custom"):
        sample(server, dual(graph, OURS, cond2=["video", 3]))
    with pytest.raises(Failure, match="and not negative_text"):
        sample(server, sampled(graph, negative=["negative", 0], cfg=5.0))
    # Without guidance that conditioning is never computed, and a run without any image is plain text-to-video.
    assert sample(server, sampled(graph, negative=["negative", 0], cfg=1.0)).isfinite().all()
    plain = {"positive": ["positive", 0], "negative": ["negative", 0]}
    text = [sample(server, sampled(graph, model=model, cfg=5.0, **plain)) for model in ("model", "stock")]
    assert torch.equal(*text)
    custom = two_people(batch=1, preset="custom")
    assert sample(server, dual(custom, OURS, cond2=["video", 3])).isfinite().all()


def test_more_images_than_phantom_was_trained_with_are_a_warning(server, images):
    graph = sampled(two_people(batch=1), cfg=1.0)
    graph["show"] = node("PreviewAny", source=["sampler", 0])

    def warnings() -> list[str]:
        return [text for _, _, text in notices(server, uncached(graph)) if "at most" in text]

    assert warnings() == []
    graph["scene"]["inputs"] |= {"background": ["woman", 0]}
    [text] = warnings()
    assert text.startswith("The scene has 5 reference images, but Phantom was trained with at most 4.")


def test_each_context_window_has_all_images(server, images):
    """A window computes what a video of its frames alone does: the images are never cut."""
    settings = {"context_schedule": "standard_static", "context_stride": 1, "closed_loop": False, "freenoise": False}
    sizes = {"context_length": 9, "context_overlap": 0, "fuse_method": "flat"}
    graph = two_people(batch=1, length=21)
    graph["windows"] = context_windows(server, ["model", 0], **sizes, **settings)

    def step(number: int, model: str, latent: list) -> dict:
        conditionings = {"positive": ["video", 0], "negative": ["video", 4], "latent_image": latent}
        schedule = {"steps": 3, "cfg": 5.0, "sampler_name": "euler", "scheduler": "simple", "noise_seed": 7}
        part = {"start_at_step": number, "end_at_step": number + 1, "return_with_leftover_noise": "enable"}
        add = {"add_noise": "disable" if number else "enable"}
        return node("KSamplerAdvanced", model=[model, 0], **conditionings, **schedule, **part, **add)

    graph["start"] = step(0, "model", ["video", 2])
    graph["first"] = node("LatentCut", samples=["start", 0], dim="t", index=0, amount=3)
    found = {}
    for name, (model, latent) in {
        "windows": ("windows", ["start", 0]),
        "alone": ("model", ["first", 0]),
        "whole": ("model", ["start", 0]),
    }.items():
        graph["sampler"] = step(1, model, latent)
        found[name] = sample(server, graph)[:, :, :3]
    assert relative(found["windows"], found["alone"]) < 1e-5
    assert relative(found["windows"], found["whole"]) > 1e-3


def test_a_strength_of_one_half_changes_a_whole_run(server, images):
    graph = two_people(batch=1)
    whole = sample(server, guided(graph, OURS, "euler"))
    graph["her"]["inputs"]["strength"] = 0.5
    assert 1e-4 < relative(sample(server, guided(graph, OURS, "euler")), whole) < 1
