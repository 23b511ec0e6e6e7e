"""ComfyUI's own WanModel, patched, computes what LumosXModel computes; unpatched it stays what it was."""

import pytest

FORWARDS = """
import comfy.sd
from comfy.patcher_extension import WrappersMP, get_all_wrappers
from pack.lumosx_core import LumosXConfig, LumosXModel, ReferenceLayout
from pack.lumosx_core.scene.encoded import EncodedScene
from pack.lumosx_core import RelationalOptions
from pack.lumosx_core.models.lumosx.relations import RelationTables
from pack.nodes.bridges.comfy_bridge import KEY, SampledScene, patch_model

def level(fraction):
    return 1 - fraction

torch.set_grad_enabled(False)

generator = torch.Generator().manual_seed(0)
config = LumosXConfig(dim=256, ffn_dim=320, num_heads=2, num_layers=2)
weights = {
    name: torch.randn(tensor.shape, generator=generator) / (tensor[0].numel() ** 0.5 if tensor.ndim > 1 else 4)
    for name, tensor in LumosXModel(config).state_dict().items()
}
weights = {name: 1 + w / 4 if "norm" in name and "weight" in name else w for name, w in weights.items()}
dtype = getattr(torch, arguments.get("dtype", "float32"))

def native():
    stored = {name: w.to(dtype) for name, w in weights.items()}
    return comfy.sd.load_diffusion_model_state_dict(stored, model_options={"dtype": dtype})

def relative(a, b):
    return ((a - b).norm() / b.norm()).item()

result = []
for sizes in arguments["cases"]:
    frames, height, width, batch = sizes["video"]
    layout = ReferenceLayout(sizes["standalone"], tuple(sizes["subjects"]))
    video = torch.randn(batch, 16, frames, height, width, generator=generator)
    references = torch.randn(1, 16, layout.pictures, height, width, generator=generator)
    text = torch.zeros(batch, 512, 4096)
    text[:, :40] = torch.randn(batch, 40, 4096, generator=generator)
    mask = torch.zeros(layout.pictures, 512, dtype=torch.bool)
    mask[:, :40] = torch.rand(layout.pictures, 40, generator=generator) < 0.3
    timestep = torch.full((batch,), sizes["timestep"])
    options = sizes.get("options", {})

    ours = LumosXModel(config)
    ours.load_state_dict(weights)
    scene = EncodedScene(references, layout, mask)
    expected = ours(video, timestep, text, scene, RelationalOptions(**options))

    model = patch_model(native(), RelationalOptions(**options))
    network = model.model.diffusion_model
    transformer_options = {"wrappers": model.wrappers, "sigmas": timestep / 1000}
    got = network(
        video.to(dtype), timestep.float(), text.to(dtype),
        time_dim_concat=references.expand(batch, -1, -1, -1, -1).to(dtype),
        transformer_options=transformer_options,
        **{KEY: SampledScene(scene, level, RelationTables())},
    ).float()
    plain = ours(video, timestep.long(), text)
    result.append({"error": relative(got, expected), "effect": relative(expected, plain)})
"""

CASES = [
    {"video": [3, 16, 20, 1], "standalone": 2, "subjects": [2, 3], "timestep": 640.0},
    {"video": [2, 15, 21, 2], "standalone": 0, "subjects": [1], "timestep": 999.0},
    {"video": [1, 10, 12, 1], "standalone": 3, "subjects": [], "timestep": 57.0},
    {"video": [4, 12, 24, 1], "standalone": 1, "subjects": [4, 4, 1], "timestep": 312.7},
    {"video": [2, 16, 16, 1], "standalone": 1, "subjects": [2, 2], "timestep": 500.0, "options": {"mcam_ratio": 1.0}},
    {"video": [2, 16, 16, 1], "standalone": 1, "subjects": [2, 2], "timestep": 500.0, "options": {"r2pe": False}},
    {"video": [2, 16, 16, 1], "standalone": 1, "subjects": [2, 2], "timestep": 500.0, "options": {"csam": False}},
    {"video": [2, 16, 16, 1], "standalone": 1, "subjects": [2, 2], "timestep": 500.0, "options": {"mcam_ratio": 0.0}},
]


def test_the_patched_native_model_agrees_with_ours(run_in_comfyui, record_property):
    errors = run_in_comfyui(FORWARDS, cases=CASES)
    record_property("largest relative error", max(case["error"] for case in errors))
    for sizes, case in zip(CASES, errors, strict=True):
        assert case["error"] <= 1e-4, sizes
        assert case["effect"] > 1e-2, "the pictures must matter for the comparison to mean anything"


@pytest.mark.parametrize(
    "flag", ["--use-split-cross-attention", "--use-quad-cross-attention"], ids=["split", "sub-quadratic"]
)
def test_other_attention_back_ends_of_the_host_agree_too(run_in_comfyui, flag):
    for case in run_in_comfyui(FORWARDS, cases=CASES[:2], attention=flag):
        assert case["error"] <= 1e-4


def test_bfloat16_in_the_host_stays_close(run_in_comfyui):
    for case in run_in_comfyui(FORWARDS, cases=CASES[:2], dtype="bfloat16"):
        assert case["error"] <= 3e-2


UNTOUCHED = """
import comfy.sd, comfy.samplers, nodes
from pack.lumosx_core import LumosXModel, ReferenceLayout
from pack.lumosx_core.scene.encoded import EncodedScene
from pack.lumosx_core import RelationalOptions
from pack.nodes.bridges.comfy_bridge import attach_scene, patch_model

generator = torch.Generator().manual_seed(0)
model = comfy.sd.load_diffusion_model(arguments["model"])
text = [[torch.randn(1, 512, 4096, generator=generator), {}]]
empty = [[torch.randn(1, 512, 4096, generator=generator), {}]]
latent = {"samples": torch.zeros(1, 16, 2, 12, 16)}
references = torch.randn(1, 16, 3, 12, 16, generator=generator)
mask = torch.rand(3, 512, generator=generator) < 0.05
scene = EncodedScene(references, ReferenceLayout(1, (2,)), mask)

def sample(model, scene=None):
    conditionings = text, empty
    if scene is not None:
        conditionings = (attach_scene(conditioning, scene) for conditioning in conditionings)
    return nodes.common_ksampler(model, 3, 3, 5.0, "euler", "simple", *conditionings, latent)[0]["samples"]

stock = sample(model)
applied = patch_model(model, RelationalOptions())
result = {"without_scene": torch.equal(sample(applied), stock)}
with_scene = sample(applied, scene)
result["scene_matters"] = not torch.equal(with_scene, stock)
result["before_apply"] = torch.equal(sample(model), stock)
result["without_scene_again"] = torch.equal(sample(applied), stock)
result["repeats"] = torch.equal(sample(applied, scene), with_scene)
twice = patch_model(applied, RelationalOptions())
result["applied_twice_is_applied_once"] = torch.equal(sample(twice, scene), with_scene)
result["later_apply_wins"] = torch.equal(
    sample(patch_model(patch_model(model, RelationalOptions(csam=False)), RelationalOptions()), scene), with_scene
)

# another pack's patch, set before or after Apply, wraps the relational block and does not undo it
calls = []
def passing(args, extra):
    calls.append(1)
    return extra["original_block"](args)
for order in ("before", "after"):
    patched = model.clone() if order == "before" else patch_model(model, RelationalOptions())
    patched.set_model_patch_replace(passing, "dit", "double_block", 1)
    patched = patch_model(patched, RelationalOptions()) if order == "before" else patched
    calls.clear()
    result[f"foreign_patch_{order}"] = torch.equal(sample(patched, scene), with_scene) and len(calls) > 0

# an attention override of another pack is asked for the large calls
seen = []
overridden = applied.clone()
def override(function, *args, **kwargs):
    seen.append(kwargs["transformer_options"]["block_index"])
    return function(*args, **kwargs)
overridden.model_options["transformer_options"]["optimized_attention_override"] = override
result["attention_override"] = torch.equal(sample(overridden, scene), with_scene)
result["override_sees_every_block"] = set(seen) == set(range(len(model.model.diffusion_model.blocks)))

# a failing run leaves nothing behind
def failing(args, extra):
    raise RuntimeError("stop")
broken = patch_model(model, RelationalOptions())
broken.set_model_patch_replace(failing, "dit", "double_block", 1)
try:
    sample(broken, scene)
    result["failed"] = False
except RuntimeError:
    result["failed"] = True
result["after_failure"] = torch.equal(sample(model), stock) and torch.equal(sample(applied, scene), with_scene)
scaled = model.clone()
scaled.set_model_rope_options(1.0, 0.0, 1.0, 0.0, 1.0, 0.0)
close = (sample(patch_model(scaled, RelationalOptions()), scene) - with_scene).abs().max().item()
scaled.set_model_rope_options(0.5, 0.0, 0.5, 0.0, 1.0, 0.0)
far = (sample(patch_model(scaled, RelationalOptions()), scene) - with_scene).abs().max().item()
result["rope_options"] = close < 1e-3 < far
# the pictures count as frames when ComfyUI reserves memory and decides what to batch
asked = []
load = comfy.model_management.load_models_gpu
def counted_load(models, memory_required=0, **kwargs):
    asked.append(memory_required)
    return load(models, memory_required=memory_required, **kwargs)
comfy.model_management.load_models_gpu = counted_load
sample(applied)
sample(applied, scene)
comfy.model_management.load_models_gpu = load
result["memory_of_pictures"] = abs(asked[1] / asked[0] - (2 + 3) / 2) < 1e-6
shape, pictures = [1, 16, 2, 12, 16], {"time_dim_concat": [[1, 16, 3, 12, 16]]}
batching = model.model.memory_required(shape, cond_shapes=pictures) / model.model.memory_required(shape)
result["batching_counts_pictures"] = abs(batching - (2 + 3) / 2) < 1e-6
sample(model)
result["no_object_patch_left"] = model.model.memory_usage_factor_conds == ()
"""


def test_without_a_scene_and_after_any_run_the_host_computes_bit_for_bit_what_it_did(run_in_comfyui, tiny_models):
    result = run_in_comfyui(UNTOUCHED, model=str(tiny_models / "diffusion_models" / "lumosx-tiny.safetensors"))
    assert all(result.values()), result


MISUSE = """
import comfy.sd
from pack.lumosx_core import LumosXConfig, LumosXModel, ReferenceLayout
from pack.lumosx_core.errors import LumosXError
from pack.lumosx_core.scene.encoded import EncodedScene
from pack.lumosx_core import RelationalOptions
from pack.lumosx_core.models.lumosx.relations import RelationTables
from pack.nodes.bridges.comfy_bridge import KEY, SampledScene, patch_model

def level(fraction):
    return 1 - fraction


def message(function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except LumosXError as error:
        return str(error)

weights = LumosXModel(LumosXConfig(dim=128, ffn_dim=128, num_heads=1, num_layers=1)).state_dict()
model = patch_model(comfy.sd.load_diffusion_model_state_dict(dict(weights)), RelationalOptions())
mask = torch.zeros(2, 512, dtype=torch.bool)
encoded = EncodedScene(torch.zeros(1, 16, 2, 8, 8), ReferenceLayout(1, (1,)), mask)
scene = SampledScene(encoded, level, RelationTables())

def run(references, tokens=512):
    return model.model.diffusion_model(
        torch.zeros(1, 16, 2, 8, 8), torch.ones(1), torch.zeros(1, tokens, 4096), time_dim_concat=references,
        transformer_options={"wrappers": model.wrappers, "sigmas": torch.ones(1)}, **{KEY: scene},
    )

image_to_video = {**weights, "patch_embedding.weight": torch.zeros(128, 36, 1, 2, 2)}
image_to_video |= {f"blocks.0.cross_attn.{n}_img.{p}": torch.zeros(128, 128) if p == "weight" else torch.zeros(128)
                   for n in "kv" for p in ("weight", "bias")}
image_to_video |= {"img_emb.proj.0.bias": torch.zeros(1280), "img_emb.proj.0.weight": torch.zeros(1280)}
result = {
    "size": message(run, torch.zeros(1, 16, 2, 6, 8)),
    "count": message(run, torch.zeros(1, 16, 3, 8, 8)),
    "none": message(run, None),
    "text": message(run, torch.zeros(1, 16, 2, 8, 8), tokens=600),
    "model": message(patch_model, comfy.sd.load_diffusion_model_state_dict(image_to_video), RelationalOptions()),
}
"""


def test_misuse_is_explained(run_in_comfyui):
    result = run_in_comfyui(MISUSE)
    assert "made for 64x48, but the latent is 64x64" in result["size"]
    assert "2 reference images, but 3 reference latents" in result["count"]
    assert "2 reference images, but 0 reference latents" in result["none"]
    assert "600 tokens" in result["text"]
    assert "Wan2.1 text-to-video" in result["model"]


PATCHED = """
import comfy.sd
from pack.lumosx_core import LumosXConfig, LumosXModel, ReferenceLayout
from pack.lumosx_core.scene.encoded import EncodedScene
from pack.lumosx_core import RelationalOptions
from pack.lumosx_core.models.lumosx.relations import RelationTables
from pack.nodes.bridges.comfy_bridge import KEY, SampledScene, patch_model

def level(fraction):
    return 1 - fraction

from pack.nodes.inputs.host_schema import ATTENTION_PATCHES
torch.set_grad_enabled(False)

generator = torch.Generator().manual_seed(0)
weights = {
    name: torch.randn(tensor.shape, generator=generator) / (tensor[0].numel() ** 0.5 if tensor.ndim > 1 else 4)
    for name, tensor in LumosXModel(LumosXConfig(dim=256, ffn_dim=320, num_heads=2, num_layers=2)).state_dict().items()
}
stock = comfy.sd.load_diffusion_model_state_dict(weights, model_options={"dtype": torch.float32})
video, references = (torch.randn(1, 16, frames, 8, 12, generator=generator) for frames in (3, 2))
text = torch.randn(1, 512, 4096, generator=generator)
timestep = torch.tensor([640.0])
mask = torch.zeros(2, 512, dtype=torch.bool)
scene = EncodedScene(references, ReferenceLayout(2, ()), mask)
scene = SampledScene(scene, level, RelationTables())
seen = []

def of_self_attention(given):
    shapes = [list(given[name].shape) for name in ("x", "q", "k")]
    seen.append([sorted(given), *shapes, given["transformer_options"]["block_index"]])
    return given["x"] * 0.5 + given["q"].flatten(2) * 0.1 + given["k"].flatten(2) * 0.2

def of_text_attention(given):
    seen.append([sorted(given), list(given["x"].shape), given["transformer_options"]["block_index"]])
    return given["x"] * 0.9 + 0.01

def output(model, patches, **conditions):
    del seen[:]
    options = {"wrappers": model.wrappers, "patches": patches, "sigmas": timestep / 1000}
    out = model.model.diffusion_model(
        video, timestep, text, time_dim_concat=references, transformer_options=options, **conditions
    )
    return out, list(seen)

def relative(a, b):
    return ((a - b).norm() / b.norm()).item()

parts_off = patch_model(stock, RelationalOptions(mcam_ratio=0.0, r2pe=False, csam=False))
unpatched, _ = output(stock, {})
result = {"host_has_them": ATTENTION_PATCHES, "cases": {}}
for name in ("attn1_patch", "attn2_patch", "both"):
    functions = {"attn1_patch": [of_self_attention] * 2, "attn2_patch": [of_text_attention] * 2}
    patches = functions if name == "both" else {name: functions[name]}
    native, seen = output(stock, patches)
    ours, seen_by_ours = output(parts_off, patches, **{KEY: scene})
    result["cases"][name] = {
        "error": relative(ours, native), "effect": relative(native, unpatched), "same_calls": seen_by_ours == seen,
        "calls": len(seen),
    }
"""


def test_patches_of_attention_do_to_a_scene_what_they_do_to_native_wan(run_in_comfyui):
    """Compared where LumosX's own parts are off, which is the pass of native Phantom; hosts before 0.11 ignore them."""
    found = run_in_comfyui(PATCHED)
    for name, case in found["cases"].items():
        assert case["error"] <= 1e-5, name
        assert case["same_calls"]
        assert (case["effect"] > 1e-2) == (case["calls"] > 0) == found["host_has_them"], name
