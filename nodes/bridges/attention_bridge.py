"""Recording of attention inside ComfyUI: which runs, which of their passes, and which samples they produced.

A wrapper around the whole sampling starts a recording, which travels in the options of that run alone; the relational
blocks show it what they attend to. When the run has ended well, the recording is kept under the samples it made.
Nothing here changes what is computed: the recording looks at queries and keys and leaves them as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import comfy.latent_formats
import torch
from comfy.patcher_extension import WrappersMP

from ...lumosx_core.attention_map.number_choice import NumberChoice
from ...lumosx_core.attention_map.record import AttentionPass, AttentionRecord, AttentionRecording, picture_content
from ...lumosx_core.errors import LumosXError
from ...lumosx_core.models.lumosx.relations import Relations
from .run_records import RunRecords, step_of

KEY = "lumosx_attention"
PAUSED_RUNS = "lumosx_paused_recordings"  # in transformer_options: recordings of a run that stops early and goes on
Records = RunRecords[AttentionRecord]
MOST_RUNS = 64  # a list of seeds runs all its samplers before the first map is drawn; a run takes some 100 kB

# Shown q and k of the block with this number; None: not recorded.
Watch = Callable[[int], "Callable[[torch.Tensor, torch.Tensor], None] | None"]


def record_attention(model, steps: NumberChoice, layers: NumberChoice):
    """Return a clone of the MODEL whose runs are recorded, and where to find them.

    Raises:
        LumosXError: the MODEL has no such layers.
    """
    blocks = len(getattr(model.model.diffusion_model, "blocks", ()))
    if layers.largest is not None and layers.largest >= blocks:
        raise LumosXError(
            f"layers is {layers.text!r}, but this MODEL has {blocks} layers, counted from 0. The last one is "
            f"{blocks - 1}; leave it empty for all."
        )
    records: Records = RunRecords("LumosX Record Attention", steps, layers, MOST_RUNS)
    model = model.clone()
    model.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, partial(record_run, records))
    return model, records


def watch_pass(transformer_options: dict, scene, pictures: Sequence[int], references, relations: Relations) -> Watch:
    """The observer of the blocks in this pass.

    Args:
        scene: the SceneConditioning of the pass.
        images: indices in the scene of the reference images that the network receives, R of them.
        references: (1 or B, 16, R, H, W), their latents, padded to whole patches; None if R is 0.
    """
    runs = transformer_options.get(KEY, ())
    watches = [run.watch(transformer_options, scene, pictures, references, relations) for run in runs]
    return all_of([watch for watch in watches if watch is not None])


def all_of(watches: Sequence[Watch]) -> Watch:
    """Several observers as one."""

    def observe(layer: int):
        looking = [look for look in (watch(layer) for watch in watches) if look is not None]
        return (lambda q, k: [look(q, k) for look in looking]) if looking else None

    return observe


def frames_of_pass(options: dict, frames: int) -> Sequence[int]:
    """Indices in the whole video of the latent frames of this pass: fewer than all in a context window."""
    window = options.get("context_window")
    if window is None:
        return range(frames)
    # Newer hosts put the frame before a window in front of it.
    anchor = getattr(window, "causal_anchor_index", None)
    return [*([] if anchor is None or anchor < 0 else [anchor]), *window.index_list]


def latent_preview(samples: torch.Tensor) -> torch.Tensor:
    """Rough colours of latents without a VAE, as in ComfyUI's preview: (B, 16, T, H, W) -> (B, T, H, W, 3), 0..1."""
    wan = comfy.latent_formats.Wan21()
    factors = torch.tensor(wan.latent_rgb_factors)
    colours = wan.process_in(samples.float().cpu()).movedim(1, -1) @ factors + torch.tensor(wan.latent_rgb_factors_bias)
    return ((colours + 1) / 2).clamp(0, 1)


class _Run:
    """One run of a sampler while it goes on."""

    def __init__(self, records: Records, positive: set, shape: torch.Size):
        self.records, self.positive, self.shape = records, positive, shape
        self.recording: AttentionRecording | None = None
        self.scene = None  # the one that is recorded
        self.passes = 0  # positive ones with a scene, in whichever step

    def watch(self, options: dict, scene, pictures, references, relations: Relations) -> Watch | None:
        chunks = [chunk for chunk, uuid in enumerate(options["uuids"]) if uuid in self.positive]
        self.passes += bool(chunks)
        if not chunks or not pictures or step_of(options) not in self.records.steps:
            return None
        videos, frames = self.shape[0], self.shape[2]
        if self.recording is None:
            self.recording = AttentionRecording(scene.layout, scene.labels, videos, frames, relations.grid)
            self.scene = scene
        if scene is not self.scene:
            return None  # of several scenes in one run, the first is recorded
        seen = AttentionPass(
            pictures,
            frames_of_pass(options, frames),
            [chunk * videos + video for chunk in chunks for video in range(videos)],
            picture_content(references),
            relations.key_bias,
            relations.region_bias,
        )
        add = partial(self.recording.add, seen)
        return lambda layer: add if layer in self.records.layers else None

    def outcome(self, steps: int) -> AttentionRecord | str:
        record = None if self.recording is None else self.recording.finish()
        if record is not None:
            return record
        if self.passes:
            return (
                f"Nothing was recorded: steps is {self.records.steps.text!r}, but the sampler took {steps} steps, "
                f"counted from 1, and no reference image was seen in the chosen ones. Choose among 1 to {steps}, or "
                "leave it empty."
            )
        return (
            "Nothing was recorded: no scene reached the MODEL. Connect positive of LumosX Scene To Video to the "
            "sampler, and put LumosX Apply after any loader other than LumosX Load Model."
        )


def record_run(records: Records, executor, noise, latent_image, sampler, sigmas, *args, **kwargs):
    """The wrapper around a whole run: records it, and keeps the recording under the samples.

    A run that goes on after a pause (see best_of_bridge) goes on with its recording, so that this covers all its steps.
    """
    guider = executor.class_obj
    # By the conditionings' own numbers: guiders pass them to the model in varying order, one by one or together.
    positive = {cond["uuid"] for cond in guider.conds.get("positive", ())}
    options = guider.model_options["transformer_options"]  # a copy that this run alone uses
    run = _Run(records, positive, noise.shape)
    if PAUSED_RUNS in options:
        run = options[PAUSED_RUNS].recordings.setdefault(id(records), run)
    options[KEY] = (*options.get(KEY, ()), run)
    samples = executor(noise, latent_image, sampler, sigmas, *args, **kwargs)
    records.keep(samples, run.outcome(len(sigmas) - 1))
    return samples
