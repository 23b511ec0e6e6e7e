"""Everything that touches ComfyUI's internals: how a scene reaches the model, and how the model follows it.

The scene travels inside the conditioning: reference latents as `time_dim_concat`, as for native Phantom, and the
EncodedScene as one more model condition. A wrapper around the diffusion model finds both at each call and
replaces the blocks for that call only. So nothing is left on the model after a run, however it ends, and a call without
a scene passes through untouched, but for LumosX Sampler's integer timesteps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import comfy.conds
import comfy.latent_formats
import comfy.ldm.wan.model
import node_helpers
import torch
import torch.nn.functional as F
from comfy.ldm.modules.attention import optimized_attention
from comfy.patcher_extension import WrappersMP

from ...lumosx_core.errors import LumosXError
from ...lumosx_core.models.lumosx.block import relational_block
from ...lumosx_core.models.lumosx.config import PHANTOM_IMAGES, RelationalOptions
from ...lumosx_core.models.lumosx.csam import scaled_dot_product_attention
from ...lumosx_core.models.lumosx.relations import Relations, RelationTables
from ...lumosx_core.models.lumosx.spec import SPEC
from ...lumosx_core.scene.encoded import EncodedScene
from ..inputs.host_schema import ATTENTION_PATCHES
from ..page.notices import run_notice
from .attention_bridge import Watch, all_of, watch_pass
from .routing_bridge import route_pass

KEY = "lumosx"
REFERENCES = "time_dim_concat"  # native Wan's name for frames that follow the video
MOST_WEIGHTS = 2**27  # of one call of attention with a bias: 512 MiB in float32
TIMESTEP_KEY = "lumosx_timestep"  # in transformer_options: the integer timestep of the released schedule


@dataclass(frozen=True, eq=False)
class SampledScene:
    """A scene in one run of a sampler.

    Compared by identity: ComfyUI batches two conditionings only if they carry the same scene object.

    Args:
        level: the noise level at a fraction of the model's schedule.
        tables: what is computed once a run; they go with the run.
    """

    scene: EncodedScene
    level: Callable[[float], float]
    tables: RelationTables


class UnreadScene(comfy.conds.CONDConstant):
    """A scene on its way to the model. LumosX Apply takes it out of this wrapping; any other model leaves it in."""

    def process_cond(self, **kwargs):
        raise LumosXError(
            "The conditioning has a LumosX scene, but the MODEL of this sampler has not gone through LumosX Apply: "
            "it would treat the reference images as frames of the video and not know who wears what. Use LumosX Load "
            "Model, or put LumosX Apply between the model's loader and the sampler or guider."
        )


class WholePictures(comfy.conds.CONDRegular):
    """Reference latents that no context window cuts, not even where there are as many of them as frames."""

    def _copy_with(self, cond):
        return self

    def process_cond(self, batch_size, **kwargs):
        return comfy.conds.CONDRegular(self.cond).process_cond(batch_size, **kwargs)


class NoScene:
    """In place of a scene, in a conditioning without one whose weights were trained with reference images in each."""


def attach_scene(conditioning: list, scene: EncodedScene, *, zeros: bool = False) -> list:
    """Return the conditioning with the scene in it, its references as the VAE gave them.

    Args:
        zeros: the model receives zeros for the latents of the references, as in the last conditioning of ComfyUI's own
            Phantom. The scene remains the same object, so that all conditionings run together.
    """
    references = scene.references
    if zeros:  # after the host's normalisation
        references = comfy.latent_formats.Wan21().process_out(torch.zeros_like(references))
    conditioning = node_helpers.conditioning_set_values(conditioning, {REFERENCES: references})
    for _, values in conditioning:
        # A model condition needs no support in the model's own list of conditions, unlike other values.
        values["model_conds"] = {**values.get("model_conds", {}), KEY: UnreadScene(scene)}
    return conditioning


def patch_model(model, options: RelationalOptions, *, phantom: bool = False):
    """Return a clone of the MODEL that understands conditionings with a scene.

    Args:
        phantom: the weights are Phantom's: where one conditioning of a run has a scene, a pass without one is refused,
            and a scene of more images than they were trained with gives a warning.

    Raises:
        LumosXError: the MODEL is not a Wan2.1 text-to-video model.
    """
    network = model.model.diffusion_model
    text_to_video = (
        type(network) is comfy.ldm.wan.model.WanModel
        and network.model_type == "t2v"
        and network.in_dim == SPEC.channels
    )
    if not text_to_video:
        kind = getattr(network, "model_type", type(network).__name__)
        channels = f", {network.in_dim} channels" if hasattr(network, "in_dim") else ""
        raise LumosXError(
            f"LumosX Apply works on a Wan2.1 text-to-video model (t2v, {SPEC.channels} channels), but this MODEL is "
            f"{type(model.model).__name__} ({kind}{channels}). Load the LumosX weights with LumosX Load Model or Load "
            f"Diffusion Model."
        )
    model = model.clone()
    for kind, wrapper in (
        (WrappersMP.DIFFUSION_MODEL, partial(_run_with_scene, options)),
        (WrappersMP.PREPARE_SAMPLING, partial(_read_scenes, phantom)),
    ):
        model.remove_wrappers_with_key(kind, KEY)
        model.add_wrapper_with_key(kind, KEY, wrapper)
    model.add_object_patch("memory_usage_factor_conds", (REFERENCES,))
    return model


def _read_scenes(phantom: bool, executor, model, noise_shape, conds, *args, **kwargs):
    """Unwrap the scenes, and let ComfyUI reserve memory for the images, too: it counts the noise only."""
    level = model.get_model_object("model_sampling").percent_to_sigma
    tables = RelationTables()
    pictures = 0
    # What was one scene stays one: only then do positive and negative run together.
    scenes: dict[int, SampledScene] = {}
    read: dict[str, list[dict]] = {}
    for name, group in conds.items():
        read[name] = []
        for cond in group:
            unread = cond.get("model_conds", {}).get(KEY)
            if unread is not None:
                scene = scenes.setdefault(id(unread.cond), SampledScene(unread.cond, level, tables))
                pictures = max(pictures, scene.scene.layout.pictures)
                constant = comfy.conds.CONDConstant(scene)
                cond = {**cond, "model_conds": {**cond["model_conds"], KEY: constant}}
                if REFERENCES in cond:  # the model would put them into a condition that windows do cut
                    latents = model.model.process_latent_in(cond.pop(REFERENCES))
                    cond["model_conds"][REFERENCES] = WholePictures(latents)
            read[name].append(cond)
    if phantom and scenes:
        # Refused at the first such pass: with a CFG of 1 the negative conditioning is never computed.
        no_scene = {KEY: comfy.conds.CONDConstant(NoScene())}
        for name, group in read.items():
            read[name] = [{**cond, "model_conds": {**no_scene, **cond.get("model_conds", {})}} for cond in group]
        if pictures > PHANTOM_IMAGES:
            run_notice(
                "LumosX Apply",
                f"The scene has {pictures} reference images, but Phantom was trained with at most {PHANTOM_IMAGES}. "
                f"Remove some if the video does not follow them.",
            )
    noise_shape = list(noise_shape)
    noise_shape[2] += pictures
    return executor(model, noise_shape, read, *args, **kwargs)


def _run_with_scene(
    options: RelationalOptions,
    executor,
    x,
    timestep,
    context,
    clip_fea=None,
    time_dim_concat=None,
    transformer_options=None,
    **kwargs,
):
    sampled: SampledScene | NoScene | None = kwargs.pop(KEY, None)
    # The released model was trained on and is run with integer timesteps; with LumosX Sampler also where guidance
    # leaves the images out.
    released = (transformer_options or {}).get(TIMESTEP_KEY)
    if released is not None:
        timestep = torch.full_like(timestep, released)
    if sampled is None:
        return executor(x, timestep, context, clip_fea, time_dim_concat, transformer_options, **kwargs)

    if isinstance(sampled, NoScene):
        raise LumosXError(
            "One conditioning of this sampler has the reference images and another has none, but Phantom was trained "
            "with images in each: connect positive, negative or negative_zero_images of LumosX Scene To Video, and not "
            "negative_text. To run it all the same, choose the preset custom in LumosX Apply."
        )
    network = executor.class_obj
    height, width = x.shape[-2:]
    scene = sampled.scene
    _check(scene, x, context, time_dim_concat, network)
    if scene.phrase_mask is None and options.mcam_ratio != 0:
        raise LumosXError(
            "bind_phrases of LumosX Scene To Video is off, so the reference images have no words, but MCAM binds them "
            "to their words. Turn bind_phrases on, or turn MCAM off in LumosX Apply (preset Phantom, or mcam)."
        )

    sigma = transformer_options["sigmas"][0].item()
    seen, visible = scene.at(sigma, sampled.level), list(scene.visible(sigma, sampled.level))

    # Wan pads odd sizes with the opposite edge, LumosX with zeros.
    padding = (0, width % 2, 0, height % 2)
    x = F.pad(x, padding)
    # The latents that the host normalised, moved and repeated for its batch.
    references = F.pad(time_dim_concat[:, :, visible], padding) if visible else None

    grid = (x.shape[-2] // 2, x.shape[-1] // 2)
    head_dim = network.dim // network.num_heads
    relations = sampled.tables.of(seen, x.shape[2], grid, head_dim, options, x.device, context.shape[1])
    if transformer_options.get("rope_options") is not None:
        relations = _with_host_positions(relations, network, x, transformer_options)

    relations, measure = route_pass(transformer_options, sampled, visible, references, relations, len(x))
    watch = all_of([measure, watch_pass(transformer_options, scene, visible, references, relations)])
    transformer_options = _with_relational_blocks(transformer_options, network, relations, watch)
    if options.truncate_timestep:
        timestep = timestep.trunc()
    out = executor(x, timestep, context, clip_fea, references, transformer_options, **kwargs)
    return out[..., :height, :width]


def _with_relational_blocks(transformer_options: dict, network, relations: Relations, watch: Watch) -> dict:
    """A copy of the options in which every block is the relational one, inside whatever replaced it before."""
    replacements = dict(transformer_options.get("patches_replace", {}))
    blocks = dict(replacements.get("dit", {}))
    for i, block in enumerate(network.blocks):
        watched = replace(relations, observe=watch(i))
        blocks["double_block", i] = partial(_replaced_block, block, watched, blocks.get(("double_block", i)))
    return {**transformer_options, "patches_replace": {**replacements, "dit": blocks}}


def _replaced_block(block, relations: Relations, outer, args: dict, extra: dict) -> dict:
    def original_block(args: dict) -> dict:
        # Attention sees the options as they are at this block: overrides read block_index from them.
        options = args["transformer_options"]
        here = replace(relations, attention=partial(_attention, options), **_patches(options))
        return {"img": relational_block(block, args["img"], args["vec"], args["txt"], here)}

    return original_block(args) if outer is None else outer(args, {**extra, "original_block": original_block})


def _patches(transformer_options: dict) -> dict[str, Any]:
    """Patches that other nodes have put between the steps of a block, consulted as by the host's own Wan blocks."""
    patches = transformer_options.get("patches", {}) if ATTENTION_PATCHES else {}
    found: dict[str, Any] = {}
    if "attn1_patch" in patches:

        def change_attention(x, q, k):
            for patch in patches["attn1_patch"]:
                x = patch({"x": x, "q": q, "k": k, "transformer_options": transformer_options})
            return x

        found["change_attention"] = change_attention
    if "attn2_patch" in patches:

        def change_text_attention(x):
            for patch in patches["attn2_patch"]:
                x = patch({"x": x, "transformer_options": transformer_options})
            return x

        found["change_text_attention"] = change_text_attention
    return found


def _attention(transformer_options: dict, q, k, v, attn_mask=None):
    if attn_mask is None:
        return optimized_attention(
            q, k, v, q.shape[1], skip_reshape=True, skip_output_reshape=True, transformer_options=transformer_options
        )
    # Some attention back ends (Sage) take a bias and silently ignore it: PyTorch's own is sure. Away from CUDA it may
    # hold all weights at once; a strength adds its bias to the video's whole attention, so queries come in parts there.
    if q.is_cuda or attn_mask.shape[-2] != 1:
        return scaled_dot_product_attention(q, k, v, attn_mask)
    rows = max(1, MOST_WEIGHTS // (q.shape[0] * q.shape[1] * k.shape[2]))
    return torch.cat([scaled_dot_product_attention(part, k, v, attn_mask) for part in q.split(rows, dim=2)], dim=2)


def _with_host_positions(relations: Relations, network, x, transformer_options: dict) -> Relations:
    """Let the host place the video's tokens where its own rope options (ScaleROPE) move them."""
    rotation = network.rope_encode(
        *x.shape[2:], device=x.device, dtype=torch.float32, transformer_options=transformer_options
    )
    cos, sin = rotation[0, :, 0, :, 0, 0], rotation[0, :, 0, :, 1, 0]
    return replace(
        relations,
        cos=torch.cat([cos, relations.cos[len(cos) :]]),
        sin=torch.cat([sin, relations.sin[len(sin) :]]),
    )


def _check(scene: EncodedScene, x, context, references, network) -> None:
    if references is None or references.shape[2] != scene.layout.pictures:
        found = 0 if references is None else references.shape[2]
        raise LumosXError(
            f"The scene has {scene.layout.pictures} reference images, but {found} reference latents reached the "
            "model. Another node changed them: connect LumosX Scene To Video directly to the sampler."
        )
    if references.shape[-2:] != x.shape[-2:]:
        (made_height, made_width), (height, width) = references.shape[-2:], x.shape[-2:]
        stride = SPEC.spatial_stride
        raise LumosXError(
            f"The scene was made for {made_width * stride}x{made_height * stride}, but the latent is "
            f"{width * stride}x{height * stride}. "
            f"Use the latent of the same LumosX Scene To Video node, and no area on its conditioning."
        )
    if context.shape[1] != network.text_len:
        raise LumosXError(
            f"The text has {context.shape[1]} tokens, but the model was trained on {network.text_len}. Shorten the "
            f"prompt and use the umt5 text encoder (type wan)."
        )
