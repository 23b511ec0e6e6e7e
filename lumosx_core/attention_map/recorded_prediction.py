"""Recording the attention of a LumosX network while it is sampled without ComfyUI."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor

from ..models.lumosx.model import LumosXModel
from ..sampling.solver import PredictClean
from ..scene.encoded import EncodedScene
from .record import AttentionPass, AttentionRecording, picture_content


class RecordedPrediction:
    """A prediction of the solver that shows what the network attends to in its passes for the prompt.

    Calling it is calling `predict_clean`: queries and keys are looked at and left as they are. While `recording` is
    None nothing is recorded. The network is changed during a call only.

    Args:
        model: the network that `predict_clean` runs.
        predict_clean: from `FlowFamily.prediction`.
        scene: the whole scene, as it was given to the prediction.
        text: the prompt's embedding, the same tensor as was given to the prediction: passes with another one are those
            for the negative prompt and are not recorded.
        level: the noise level at a fraction of the schedule.
    """

    def __init__(
        self,
        model: LumosXModel,
        predict_clean: PredictClean,
        scene: EncodedScene,
        text: Tensor,
        level: Callable[[float], float],
    ):
        self.model, self.predict_clean = model, predict_clean
        self.scene, self.text, self.level = scene, text, level
        self.recording: AttentionRecording | None = None
        self._content = picture_content(scene.references)
        self._positive = False

    def start(self, latents: Tensor) -> AttentionRecording:
        """A new recording, of the steps from now on.

        Args:
            latents: (B, C, T, h, w), of the videos that will be sampled.
        """
        videos, _, frames, height, width = latents.shape
        _, patch_height, patch_width = self.model.config.patch_size
        grid = (-(-height // patch_height), -(-width // patch_width))
        labels = tuple(self.scene.labels) or ("",) * self.scene.layout.pictures
        self.recording = AttentionRecording(self.scene.layout, labels, videos, frames, grid)
        return self.recording

    def __call__(self, latents: Tensor, sigma: Tensor, step: int) -> Tensor:
        if self.recording is None:
            return self.predict_clean(latents, sigma, step)
        visible = self.scene.visible(sigma.item(), self.level)
        hooks = [self.model.register_forward_pre_hook(self._begin_pass)]
        if visible:
            hooks += [block.register_forward_pre_hook(partial(self._watch, visible)) for block in self.model.blocks]
        try:
            return self.predict_clean(latents, sigma, step)
        finally:
            for hook in hooks:
                hook.remove()

    def _begin_pass(self, model: Any, arguments: tuple) -> None:
        _, _, text, *_ = arguments
        self._positive = text.data_ptr() == self.text.data_ptr()

    def _watch(self, visible: tuple[int, ...], block: Any, arguments: tuple) -> tuple | None:
        if not self._positive or self.recording is None:
            return None
        tokens, modulation, text, relations, *rest = arguments
        frames = relations.video_tokens // relations.image_tokens
        content = self._content[list(visible)]
        seen = AttentionPass(visible, range(frames), range(len(tokens)), content, relations.key_bias)
        watched = replace(relations, observe=partial(self.recording.add, seen))
        return (tokens, modulation, text, watched, *rest)
