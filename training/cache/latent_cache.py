"""Reads a cache: training items by number, each checked for damage."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lumosx_core.errors import LumosXError
from lumosx_core.files.safetensors_file import all_finite
from lumosx_core.models.family import ModelFamily
from lumosx_core.models.lumosx.lumosx_family import LUMOSX
from lumosx_core.models.lumosx.lumosx_training import LUMOSX_TRAINING
from lumosx_core.models.trainable import TrainableFamily

from ..data.buckets import Bucket
from ..data.items import TrainingItem
from ..data.samples import BadSample
from .encoder import text_name
from .files import StoredSpan, read_tensors
from .index import ClipEntry, read_clips, read_texts
from .settings import read_head


class LatentCache:
    """The clips of a cache, in the order of their keys.

    Reading an item opens, reads and closes its files, so that one cache serves any number of threads and processes.

    Args:
        verify: compare checksums on reading.
        family: that the cache must be for.
        recipe: how it is trained.

    Raises:
        LumosXError: there is no cache, or none that this version reads.
    """

    def __init__(
        self,
        directory: str | os.PathLike,
        *,
        verify: bool = True,
        family: ModelFamily = LUMOSX,
        recipe: TrainableFamily = LUMOSX_TRAINING,
    ):
        self.directory, self.recipe = Path(directory), recipe
        self.verify = verify
        self.head = read_head(self.directory)
        self.spec = family.spec
        if (made_for := self.head["family"]) != self.spec.name:
            raise LumosXError(
                f"The cache {self.directory} was made for {made_for}, not for {self.spec.name}. Give a cache made for "
                f"{self.spec.name}."
            )
        clips = read_clips(self.directory)
        self.keys = sorted(clips)
        self._clips = [clips[key] for key in self.keys]
        self._texts = read_texts(self.directory)

    def __len__(self) -> int:
        return len(self._clips)

    def bucket(self, index: int) -> Bucket:
        """Length, size and layout of a clip, in frames and pixels."""
        clip = self._clips[index]
        _, frames, height, width = clip.video.shape
        spec = self.spec
        length = (frames - 1) * spec.temporal_stride + 1
        return Bucket(length, spec.spatial_stride * height, spec.spatial_stride * width, clip.layout)

    def variants(self, index: int) -> int:
        """How many differently augmented copies of its reference images a clip has."""
        return self._clips[index].variants

    def item(self, index: int, variant: int = 0) -> TrainingItem:
        """Read one clip, in the type it is stored in.

        Args:
            variant: which copy of the reference images, 0 to `variants(index) - 1`.

        Raises:
            BadSample: its file is gone, cut short or damaged, or contains NaN.
        """
        clip = self._clips[index]
        where = f"{clip.path} ({clip.key})"
        try:
            text = self._read_text(clip.text)
            spans = self._spans(clip, variant)
            tensors = dict(zip(spans, read_tensors(clip.path, spans.values(), verify=self.verify), strict=True))
        except LumosXError as error:
            raise BadSample(where, str(error)) from error
        for name, tensor in ({**tensors, "caption": text}).items():
            if tensor.is_floating_point() and not all_finite(tensor):
                raise BadSample(where, f"The latents of its {name} contain NaN. Cache it again with --verify.")
        if "phrase_mask" in tensors:
            tensors["phrase_mask"] = torch.from_numpy(np.unpackbits(tensors["phrase_mask"].numpy(), axis=1)).bool()
        try:
            conditions = self.recipe.conditions(tensors, clip.layout, clip.record)
        except (LumosXError, KeyError, TypeError, ValueError) as error:
            raise BadSample(where, f"Its record is damaged ({error}). Cache it again with --verify.") from error
        return TrainingItem(clip.key, tensors["video"], text, conditions)

    @staticmethod
    def _spans(clip: ClipEntry, variant: int) -> dict[str, StoredSpan]:
        spans = {"video": clip.video, **clip.parts}
        if clip.phrase_mask is not None:
            spans |= {"references": clip.references[variant], "phrase_mask": clip.phrase_mask}
        return spans

    @property
    def empty_text(self) -> Tensor:
        """The encoding of the empty caption, (J, text_dim), for dropping captions.

        Raises:
            LumosXError: the cache does not contain it.
        """
        text = self._read_text(text_name(""))
        if not all_finite(text):
            raise LumosXError(f"The empty caption in {self.directory} contains NaN. Cache it again with --verify.")
        return text

    def _read_text(self, name: str) -> Tensor:
        if name not in self._texts:
            raise LumosXError(
                f"An encoded caption is missing in {self.directory}. Run the command that made the cache again."
            )
        path, span = self._texts[name]
        return read_tensors(path, [span], verify=self.verify)[0]
