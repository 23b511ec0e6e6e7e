"""Self-routing while a LumosX network is sampled without ComfyUI."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor

from ...models.lumosx.model import LumosXModel
from ...models.lumosx.relations import Relations
from ...sampling.solver import PredictClean
from ...scene.encoded import EncodedScene
from ..record import AttentionPass, picture_content
from .routed_run import RoutedRun, Watch
from .routing import SelfRouting


class RoutedPrediction:
    """A prediction of the solver whose passes are routed; for one run.

    The network is changed during a call only.

    Args:
        model: the network that `predict_clean` runs.
        predict_clean: from `FlowFamily.prediction`.
        scene: the whole scene, as it was given to the prediction.
        text: the prompt's embedding, the same tensor as was given to the prediction: regions are measured in its
            passes, and hold in those for the negative prompt, too.
        level: the noise level at a fraction of the schedule.
        steps: of the run.
    """

    def __init__(
        self,
        model: LumosXModel,
        predict_clean: PredictClean,
        routing: SelfRouting,
        scene: EncodedScene,
        text: Tensor,
        level: Callable[[float], float],
        steps: int,
    ):
        self.model, self.predict_clean, self.routing = model, predict_clean, routing
        self.scene, self.text, self.level, self.steps = scene, text, level, steps
        self.run: RoutedRun | None = None
        self._content = picture_content(scene.references)
        self._positive = False
        self._pass: tuple[Relations, Watch] | None = None  # of the pass that is being computed

    def __call__(self, latents: Tensor, sigma: Tensor, step: int) -> Tensor:
        visible = self.scene.visible(sigma.item(), self.level)
        if not visible or not self.routing.strength:
            return self.predict_clean(latents, sigma, step)
        if self.run is None:
            self.run = self._start(latents)
        self.run.begin(step + 1)
        holds = self.routing.holds_at(sigma.item(), self.level)
        hooks = [self.model.register_forward_pre_hook(self._begin_pass)]
        for layer, block in enumerate(self.model.blocks):
            hooks.append(block.register_forward_pre_hook(partial(self._route, visible, holds, layer)))
        try:
            return self.predict_clean(latents, sigma, step)
        finally:
            self._pass = None
            for hook in hooks:
                hook.remove()

    def _start(self, latents: Tensor) -> RoutedRun:
        videos, _, frames, height, width = latents.shape
        _, patch_height, patch_width = self.model.config.patch_size
        grid = (-(-height // patch_height), -(-width // patch_width))
        layout = self.scene.layout
        labels = tuple(self.scene.labels) or ("",) * layout.pictures
        layers = len(self.model.blocks)
        return RoutedRun(self.routing, layout, labels, videos, frames, grid, self.steps, layers)

    def _begin_pass(self, model: Any, arguments: tuple) -> None:
        _, _, text, *_ = arguments
        self._positive, self._pass = text.data_ptr() == self.text.data_ptr(), None

    def _route(self, visible: tuple[int, ...], holds: bool, layer: int, block: Any, arguments: tuple) -> tuple | None:
        tokens, modulation, text, relations, *rest = arguments
        if self._pass is None:  # the first block: all of a pass have the same relations
            self._pass = self._begin_blocks(relations, visible, holds, len(tokens))
        routed, watch = self._pass
        look = watch(layer)
        return (tokens, modulation, text, routed if look is None else replace(routed, observe=look), *rest)

    def _begin_blocks(
        self, relations: Relations, visible: tuple[int, ...], holds: bool, rows: int
    ) -> tuple[Relations, Watch]:
        run = self.run
        if run is None or not relations.layout.pictures:  # the negative pass may see no images
            return relations, lambda layer: None
        frames = range(relations.video_tokens // relations.image_tokens)
        routed = run.route(relations, visible, frames, rows) if holds else relations
        if not self._positive:
            return routed, lambda layer: None
        content = self._content[list(visible)]
        return routed, run.watch(lambda: AttentionPass(visible, frames, range(rows), content, relations.key_bias))
