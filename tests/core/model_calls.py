"""Calls of LumosXModel from loose tensors, as most tests have them."""

from __future__ import annotations

from lumosx_core import EncodedScene, LumosXModel, RelationalOptions


def predict(
    model: LumosXModel,
    video,
    timestep,
    text,
    references=None,
    layout=None,
    phrase_mask=None,
    *,
    strengths=None,
    include_references=False,
    **options,
):
    """The velocity; `options` are those of RelationalOptions."""
    scene = None if references is None else EncodedScene(references, layout, phrase_mask, strengths)
    return model(video, timestep, text, scene, RelationalOptions(**options), include_references=include_references)
