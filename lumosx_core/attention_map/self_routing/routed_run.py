"""One run of a sampler with self-routing: the attention of its steps becomes the regions of its later steps.

Shapes: B videos, S subjects, R images, T latent frames of h x w tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import LumosXError
from ...models.lumosx.region_bias import RegionBias, subject_bias
from ...models.lumosx.relations import Relations
from ...scene.layout import ReferenceLayout
from ..record import AttentionPass, AttentionRecording
from .measured_regions import measured_regions
from .routing import SelfRouting, mask_region

EVERY = 0.25  # fraction of the steps before regions are measured first, and from one measurement to the next
Watch = Callable[[int], "Callable[[Tensor, Tensor], None] | None"]  # shown queries and keys of a layer; None: not
MEASURED_LAYERS = 8  # at most, evenly apart: a region is no sharper with more


class RoutedRun:
    """The regions of one run; whatever samples it holds it, so that they go when the run ends.

    Args:
        layout, labels: of the scene, whole.
        videos, frames, grid: B, T and (h, w).
        steps: of the run.
        layers: of the network.

    Raises:
        LumosXError: more masks than subjects, or a mask of another number of frames.
    """

    def __init__(
        self,
        routing: SelfRouting,
        layout: ReferenceLayout,
        labels: tuple[str, ...],
        videos: int,
        frames: int,
        grid: tuple[int, int],
        steps: int,
        layers: int,
    ):
        subjects = len(layout.subjects)
        if len(routing.masks) > subjects:
            raise LumosXError(
                f"Self-routing has a mask for subject {len(routing.masks)}, but the scene has {subjects} subjects. "
                f"Masks and boxes are numbered as the scene's subjects; leave out the others."
            )
        self.routing, self.layout = routing, layout
        self._record = partial(AttentionRecording, layout, labels, videos, frames, grid)
        self._shape = (videos, frames, *grid)
        self._given = {
            subject: mask_region(mask, frames, grid, subject + 1)
            for subject, mask in enumerate(routing.masks)
            if mask is not None
        }
        self._measures = len(self._given) < subjects
        self._steps, self._every = steps, max(1, round(EVERY * steps))
        self._step = 0
        self._added: dict[tuple, tuple[RegionBias, Tensor | None]] = {}  # of passes with the regions of now
        self._recording: AttentionRecording | None = None
        self._watched = set(range(0, layers, -(-layers // MEASURED_LAYERS)))
        self._regions = self._with_given(torch.zeros(videos, subjects, frames, *grid)) if self._given else None

    def begin(self, step: int) -> None:
        """Enter a step, counted from 1, of which any number of passes follow."""
        if step == self._step:
            return
        self._step = step
        if self._recording is not None:
            record = self._recording.finish()
            if record is not None:
                regions = measured_regions(record)  # (B, S, T, h', w')
                self._regions = self._with_given(self._enlarged(regions))
                self._added.clear()
            self._recording = None
        # The step after this one has regions of this one.
        if self._measures and step % self._every == 0 and step < self._steps:
            self._recording = self._record()

    def watch(self, seen: Callable[[], AttentionPass]) -> Watch:
        """The observer of each layer in a pass; None where nothing is measured."""
        if self._recording is None:
            return lambda layer: None
        add = partial(self._recording.add, seen())
        return lambda layer: add if layer in self._watched else None

    def route(self, relations: Relations, pictures: Sequence[int], frames: Sequence[int], rows: int) -> Relations:
        """The relations of a pass with what the regions, as far as they are known, add to them.

        Args:
            pictures: indices in the scene of the images that the network receives.
            frames: indices in the whole video of its latent frames.
            rows: of the pass's batch, a multiple of the videos, video by video.
        """
        if self._regions is None or not pictures:
            return relations
        key = (tuple(pictures), tuple(frames), rows)
        if key not in self._added:
            self._added[key] = self._of_pass(self._regions, relations, *key)
        bias, unread = self._added[key]
        return replace(relations, region_bias=bias, unread=unread)

    def _of_pass(
        self, regions: Tensor, relations: Relations, pictures: Sequence[int], frames: Sequence[int], rows: int
    ) -> tuple[RegionBias, Tensor | None]:
        groups = self.layout.groups[self.layout.standalone :]
        shown = [subject for subject, group in enumerate(groups) if set(group) & set(pictures)]
        regions = regions[:, shown][:, :, list(frames)].flatten(2)  # (B, S, V)
        regions = regions.repeat(rows // len(regions), 1, 1).to(relations.cos.device)
        bias = subject_bias(regions, relations.layout, relations.image_tokens, self.routing.strength)
        placed = {picture for subject in self._given for picture in groups[subject]}
        unread = torch.tensor([picture in placed for picture in pictures]) if placed else None
        return bias, unread

    def _enlarged(self, regions: Tensor) -> Tensor:
        """From the tokens that were asked to all tokens of a frame."""
        large = F.interpolate(regions.flatten(1, 2), self._shape[2:], mode="bilinear", align_corners=False)
        return large.unflatten(1, regions.shape[1:3])

    def _with_given(self, regions: Tensor) -> Tensor:
        """The masks of an artist take precedence over what was measured."""
        taken = sum(self._given.values(), torch.zeros(()))
        regions = regions * (1 - taken).clamp_min(0)
        for subject, region in self._given.items():
            regions[:, subject] = region
        return regions
