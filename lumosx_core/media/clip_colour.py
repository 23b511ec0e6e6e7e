"""The colours of a video: with which matrix and range its frames become RGB, and what makes sRGB of them.

Files state code points of ITU-T H.273. What they leave out is taken as players take it.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import LumosXError
from .colour import HDR, PRIMARIES, UNSPECIFIED, ColourSpace, is_known_transfer, to_srgb

_RGB, _BT709, _BT601, _BT2020 = 0, 1, 5, 9
_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}  # what the scaler of FFmpeg calls each matrix
_XYZ = 10
_FULL_RANGE = 2
_DOLBY_VISION = {"dvh1", "dvhe", "dva1", "dvav", "dav1"}
_NAMES = {4: "BT.470 M", 8: "film", 9: "BT.2020", 11: "DCI P3", 12: "P3"}


@dataclass(frozen=True)
class FileTags:
    """What the container states, for streams that state nothing: code points, and the four letters of the codec."""

    matrix: int = UNSPECIFIED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    range: int = 0
    codec: str = ""

    @classmethod
    def of(cls, context) -> FileTags:
        """Those of a codec context that has not decoded anything yet."""
        return cls(
            int(context.colorspace),
            int(context.color_primaries),
            int(context.color_trc),
            int(context.color_range),
            str(context.codec_tag),
        )


@dataclass(frozen=True)
class ClipColour:
    """How the frames of one video become sRGB.

    Args:
        matrix: from YUV to RGB, a code point of the scaler; None for frames that are RGB or grey.
        full_range: whether black is 0; None as the frame's own format says.
        space: what the RGB values mean.
        notes: what check-data says of the clip.
    """

    matrix: int | None
    full_range: bool | None
    space: ColourSpace
    notes: tuple[str, ...] = ()

    def pixels(self, frame) -> np.ndarray:
        """The frame as the file's RGB, (H, W, 3): uint8 in sRGB, or uint16 for `finish`."""
        given: dict[str, int] = {}
        if self.matrix is not None:
            given["src_colorspace"] = self.matrix
        if self.full_range is not None:
            given["src_color_range"] = _FULL_RANGE if self.full_range else 1
        return frame.reformat(format="rgb24" if self.space.is_srgb else "rgb48le", **given).to_ndarray()

    def finish(self, pixels: np.ndarray) -> np.ndarray:
        """What `pixels` gave, of any size by now, as uint8 in sRGB."""
        if pixels.dtype == np.uint8:
            return pixels
        return np.rint(to_srgb(pixels.astype(np.float32) / 65535, self.space) * 255).astype(np.uint8)


def clip_colour(frame, tags: FileTags, path: Path) -> ClipColour:
    """What a decoded frame, else its file, states of its colours.

    Args:
        frame: of PyAV.

    Raises:
        LumosXError: colours that cannot be converted.
    """
    matrix = _stated(frame.colorspace, tags.matrix)
    primaries, transfer = _stated(frame.color_primaries, tags.primaries), _stated(frame.color_trc, tags.transfer)
    is_rgb = frame.format.is_rgb or frame.format.has_palette
    if transfer == UNSPECIFIED and (tags.codec in _DOLBY_VISION or _has_dolby_vision(frame)):
        raise LumosXError(
            f"The video {path} is Dolby Vision of a profile that only its own players show. Export it as SDR or HLG."
        )
    if primaries == _XYZ or (not is_rgb and matrix not in (*_MATRICES, _RGB, UNSPECIFIED, 3)):
        raise LumosXError(
            f"The video {path} has colours that are not read here (matrix {matrix}, primaries {primaries} of H.273). "
            f"Convert it to BT.709, for example with: ffmpeg -i {shlex.quote(path.name)} -vf colorspace=bt709 "
            f"converted.mp4"
        )
    if not is_known_transfer(transfer):
        transfer = UNSPECIFIED
    is_grey = len(frame.format.components) < 3
    if is_rgb or is_grey:
        scaler = None
    elif matrix in _MATRICES:
        scaler = _MATRICES[matrix]
    elif primaries == _BT2020:
        scaler = _BT2020
    elif primaries == _BT709 or frame.width >= 1280 or frame.height >= 720:
        scaler = _BT709
    else:
        scaler = _BT601
    range_ = int(frame.color_range) or tags.range
    full_range = None if is_rgb or not range_ else range_ == _FULL_RANGE
    space = ColourSpace.of_codes(primaries, transfer)
    return ClipColour(scaler, full_range, space, tuple(_notes(frame, space, primaries, transfer)))


def _stated(by_stream: int, by_file: int) -> int:
    return int(by_file if by_stream == UNSPECIFIED else by_stream)


def _has_dolby_vision(frame) -> bool:
    return any(str(getattr(data.type, "name", "")).startswith("DOVI") for data in frame.side_data)


def _notes(frame, space: ColourSpace, primaries: int, transfer: int):
    if space.is_hdr:
        yield (
            f"Its video is HDR ({HDR[transfer]}): it is tone-mapped to SDR, reference white to 243 of 255. Grade it "
            f"yourself if it should look otherwise."
        )
    elif not space.is_srgb:
        known = _NAMES.get(primaries, "BT.709") if primaries in PRIMARIES else "BT.709"
        yield f"Its video has other colours than BT.709 ({known}, transfer {transfer}): they are converted."
    if any(component.is_alpha for component in frame.format.components):
        yield "Its video has transparency, which is left out: what lies below it is seen."
    if frame.interlaced_frame:
        yield "Its video is interlaced, and its combs would be learned. Deinterlace it: ffmpeg -i IN -vf bwdif OUT."
