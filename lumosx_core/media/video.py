"""Write a video file that every player opens: H.264 in an mp4."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from ..errors import LumosXError, MissingPackageError, shown
from ..files.atomic_file import atomic_path
from ..files.new_file import check_new_file
from ..files.safetensors_file import all_finite

OWN_BYTES = {
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,h264,hevc,av1,ivf,obu,flv,ogg,"
    "asf,gif,apng,mxf,dv,nut,wav,mp3,aac,flac,rm,yuv4mpegpipe,webp_pipe,png_pipe,jpeg_pipe",
    "protocol_whitelist": "file",
}
"""Options for opening a video whose origin is unknown: a playlist called video.mp4 would open what it names."""

_BT709, _LIMITED, _FULL = 1, 1, 2  # code points of ITU-T H.273, and ranges as FFmpeg counts them
_CONVERSION = {"dst_colorspace": _BT709, "src_color_range": _FULL, "dst_color_range": _LIMITED}


def check_video_path(path: str | os.PathLike) -> Path:
    """The path, if a video can be written there; before hours of work, not after.

    Raises:
        LumosXError: another ending than .mp4, a missing folder, or see `check_new_file`.
    """
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise LumosXError(
            f"The video would be {shown(path)!r}, but only mp4 is written. Name it {shown(path.stem) or 'video'}.mp4."
        )
    if not path.parent.is_dir():
        raise LumosXError(f"The folder {shown(path.parent)!r} for the video does not exist. Make it first: mkdir -p.")
    check_new_file(path)
    return path


def write_video(path: str | os.PathLike, frames: Tensor, fps: float) -> Path:
    """Write frames as an mp4 that appears whole or not at all.

    H.264 stores colour for pairs of pixels: an image of odd height or width gets its last row or column twice. The
    matrix is that of BT.709, of limited range, and the file says so: without it players choose by size.

    Args:
        path: ends in .mp4; an existing file is replaced.
        frames: (T, H, W, 3), uint8, or float in 0..1 (values outside are clipped).
        fps: frames per second.

    Raises:
        LumosXError: the path is not possible (see `check_video_path`), the frames have another shape or values that are
            not numbers, or the disk is full.
        MissingPackageError: av (PyAV) is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise MissingPackageError("av", "Writing a video", error) from error
    path = check_video_path(path)
    if frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
        raise LumosXError(f"The frames have shape {tuple(frames.shape)}, expected (frames, height, width, 3).")

    _, height, width, _ = frames.shape
    # faststart puts the index first, so that a browser plays before it has loaded everything. FFmpeg takes what is in
    # front of a colon, as in "take:1.mp4", for a protocol, but not in an absolute path.
    with (
        atomic_path(path) as partial,
        av.open(os.path.abspath(partial), "w", options={"movflags": "+faststart"}) as container,
    ):
        stream = add_h264(container, height, width, Fraction(fps).limit_denominator(1000))
        for frame in frames:
            container.mux(stream.encode(h264_frame(_bytes(frame))))
        container.mux(stream.encode())
    return path


def add_h264(container, height: int, width: int, rate: Fraction, crf: int = 18):
    """A stream of H.264 in an open container of PyAV; an odd height or width is rounded up."""
    stream = container.add_stream("libx264", rate=rate)
    stream.width, stream.height = width + width % 2, height + height % 2
    stream.pix_fmt = "yuv420p"
    stream.options = {"crf": str(crf)}
    context = stream.codec_context
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    context.color_range = _LIMITED
    return stream


def h264_frame(frame: Tensor):
    """An (H, W, 3) uint8 frame as such a stream takes it."""
    import av

    given = av.VideoFrame.from_ndarray(_even(frame).numpy(), format="rgb24")
    return given.reformat(format="yuv420p", **_CONVERSION)


def _bytes(frame: Tensor) -> Tensor:
    if frame.dtype == torch.uint8:
        return frame.cpu()
    if not all_finite(frame):
        raise LumosXError(
            "The frames have values that are not numbers (NaN or infinite), so there is no video to write. Sampling "
            "went wrong: use another precision, or check the weights."
        )
    return (frame.float().clamp(0, 1) * 255).round().to(torch.uint8).cpu()


def _even(frame: Tensor) -> Tensor:
    height, width, _ = frame.shape
    rows = torch.arange(height + height % 2).clamp(max=height - 1)
    columns = torch.arange(width + width % 2).clamp(max=width - 1)
    return frame[rows][:, columns].contiguous()
