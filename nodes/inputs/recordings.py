"""Inputs and images of nodes that record a sampler's run and draw maps of it over the video."""

from __future__ import annotations

from collections.abc import Callable

from comfy_api.latest import io
from torch import Tensor

from ...lumosx_core.errors import LumosXError
from .host_schema import FOLDED


def steps_input() -> io.Input:
    """Which steps of the sampler are recorded."""
    return io.String.Input(
        "steps",
        default="",
        tooltip="Which steps of the sampler are recorded, counted from 1, such as 1-4, 8. Empty: all.",
        extra_dict=FOLDED,
    )


def layers_input(tooltip: str) -> io.Input:
    """Which layers are recorded."""
    return io.String.Input("layers", default="", tooltip=tooltip, extra_dict=FOLDED)


def samples_input() -> io.Input:
    """The samples by which a recording is found."""
    return io.Latent.Input("samples", tooltip="The output of the sampler, unchanged.")


def images_input() -> io.Input:
    """The video under the maps."""
    return io.Image.Input(
        "images",
        optional=True,
        tooltip="The decoded video, from VAE Decode. Without it the maps are drawn over rough colours.",
    )


def frames_input() -> io.Input:
    """How many frames of the video are shown."""
    return io.Int.Input("frames", default=5, min=1, max=64, tooltip="Columns: how many frames of the video are shown.")


def shown_pictures(
    samples: Tensor, images: Tensor | None, shown: list[int], preview: Callable[[Tensor], Tensor]
) -> Tensor:
    """The images under the maps: (B, columns, H, W, 3).

    Args:
        samples: (B, C, T, h, w).
        images: the frames of all videos; None: rough colours.
        shown: latent frames.
        preview: rough colours of samples, (B, T, H, W, 3).

    Raises:
        LumosXError: images that are not those of the samples.
    """
    if images is None:
        return preview(samples)[:, shown]
    videos, latent_frames = samples.shape[0], samples.shape[2]
    expected = videos * (4 * latent_frames - 3)
    if len(images) != expected:
        raise LumosXError(
            f"images has {len(images)} frames, but these samples decode to {expected}. Connect VAE Decode of the same "
            "samples, or leave images empty."
        )
    # The first latent frame is one frame of the video, each further one four of them: the second of these is shown.
    return images.cpu().unflatten(0, (videos, -1))[:, [max(0, 4 * frame - 2) for frame in shown]]
