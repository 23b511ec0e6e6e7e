"""Colours of any stated space as sRGB: primaries, transfer functions, and tone mapping of what is brighter than white.

Spaces are named by the code points of ITU-T H.273, as in PNG (cICP), HEIC, AVIF (nclx) and video.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

Point = tuple[float, float]

D65: Point = (0.3127, 0.3290)
BT709 = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), D65)
ADOBE_RGB = ((0.640, 0.330), (0.210, 0.710), (0.150, 0.060), D65)
PRIMARIES: dict[int, tuple[Point, Point, Point, Point]] = {
    1: BT709,
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), (0.310, 0.316)),  # BT.470 M
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), (0.310, 0.316)),  # film
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), D65),  # BT.2020
    10: ((1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (1 / 3, 1 / 3)),  # XYZ
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),  # DCI P3
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65),  # Display P3
}
"""Red, green, blue and white of each code point that is converted. Those of standard definition (5, 6, 7, 22) are taken
as BT.709, as players and data sets take them: they differ less than one master of that time from the next."""

UNSPECIFIED = 2
PQ, HLG = 16, 18
HDR = {PQ: "PQ", HLG: "HLG"}
REFERENCE_WHITE = 203.0  # cd/m2 of diffuse white in HDR, ITU-R BT.2408
PEAK = 1000.0  # cd/m2 of the display that HLG is shown on, and the brightest that still differs from white
KNEE = 0.8  # of reference white: below it light stays as it is

_LIKE_SRGB = {1, 2, 6, 7, 11, 12, 13, 14, 15}  # made to be seen on a display like that of sRGB


@dataclass(frozen=True)
class ColourSpace:
    """What the numbers of an RGB image mean.

    Args:
        primaries: chromaticities of red, green, blue and white.
        transfer: a code point of H.273; 0 for a plain power, `gamma`.
        gamma: the exponent that makes light of a value.
    """

    primaries: tuple[Point, Point, Point, Point] = BT709
    transfer: int = UNSPECIFIED
    gamma: float = 1.0

    @classmethod
    def of_codes(cls, primaries: int, transfer: int) -> ColourSpace:
        """The space of two code points of H.273; unknown primaries are those of BT.709."""
        return cls(PRIMARIES.get(primaries, BT709), transfer)

    @property
    def is_srgb(self) -> bool:
        """Whether values can be shown as they are."""
        return self.primaries == BT709 and self.transfer in _LIKE_SRGB

    @property
    def is_hdr(self) -> bool:
        return self.transfer in HDR


SRGB = ColourSpace()


def is_known_transfer(transfer: int) -> bool:
    """Whether a code point of H.273 can be converted."""
    return transfer in _LIKE_SRGB or transfer in _TO_LIGHT


def to_srgb(values: np.ndarray, space: ColourSpace) -> np.ndarray:
    """Convert values of a space into sRGB.

    Values of HDR are taken as a display shows them (BT.2100: PQ, and HLG with its system gamma of 1.2 at 1000 cd/m2),
    in units of reference white (BT.2408: 203 cd/m2, 58 % of PQ, 75 % of HLG), so that white clothes become white. Up
    to 0.8 of it light stays as it is; from there to 1000 cd/m2 it is compressed by the extended curve of Reinhard
    (2002, equation 4), applied to the largest of red, green and blue, which keeps the hue. Reference white becomes 243
    of 255. Colours outside of sRGB are clipped.

    Args:
        values: (..., 3) float, 0..1.

    Returns: (..., 3) float32, 0..1.
    """
    values = values.astype(np.float32, copy=False)
    if space.is_srgb:
        return values.clip(0, 1)
    light = _light(values, space)
    matrix = _matrix(space.primaries).astype(np.float32)
    if not np.allclose(matrix, np.eye(3), atol=1e-6):
        light = light @ matrix.T
    light = np.maximum(light, 0)
    if space.is_hdr:
        brightest = light.max(axis=-1, keepdims=True)
        light = light * (_compressed(brightest) / np.maximum(brightest, 1e-9))
    return _encoded(light.clip(0, 1))


def greys_to_srgb(levels: np.ndarray, space: ColourSpace) -> np.ndarray:
    """Like `to_srgb`, for (...) grey values."""
    return to_srgb(np.repeat(levels[..., None], 3, axis=-1), space).max(axis=-1)


def _light(values: np.ndarray, space: ColourSpace) -> np.ndarray:
    if not space.transfer:
        return values ** np.float32(space.gamma)
    if space.transfer == HLG:
        scene = _hlg_scene(values)
        weights = np.array([0.2627, 0.6780, 0.0593], np.float32)
        luminance = np.maximum(scene @ weights, 1e-9)[..., None]
        return scene * luminance**0.2 * np.float32(PEAK / REFERENCE_WHITE)
    return _TO_LIGHT.get(space.transfer, _srgb_light)(values).astype(np.float32)


def _srgb_light(values: np.ndarray) -> np.ndarray:
    return np.where(values <= 0.04045, values / 12.92, ((np.maximum(values, 0) + 0.055) / 1.055) ** 2.4)


def _encoded(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055).astype(np.float32)


def _pq_light(values: np.ndarray) -> np.ndarray:
    """SMPTE ST 2084, in units of reference white."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = values.astype(np.float64) ** (1 / m2)
    return (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1) * (10000 / REFERENCE_WHITE)


def _hlg_scene(values: np.ndarray) -> np.ndarray:
    """Light of the scene, ARIB STD-B67."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(values <= 0.5, values**2 / 3, (np.exp((values - c) / a) + b) / 12).astype(np.float32)


def _compressed(light: np.ndarray) -> np.ndarray:
    above = np.maximum(light - KNEE, 0) / (1 - KNEE)
    largest = (PEAK / REFERENCE_WHITE - KNEE) / (1 - KNEE)
    above = np.minimum(above, largest)
    return np.where(light <= KNEE, light, KNEE + (1 - KNEE) * above * (1 + above / largest**2) / (1 + above))


_TO_LIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    4: lambda values: values**2.2,
    5: lambda values: values**2.8,
    8: lambda values: values,
    9: lambda values: np.where(values <= 0, 0, 10 ** (2 * (values - 1))),
    10: lambda values: np.where(values <= 0, 0, 10 ** (2.5 * (values - 1))),
    PQ: _pq_light,
    17: lambda values: values**2.6 * (52.37 / 48),
    HLG: _hlg_scene,
}


@lru_cache(maxsize=16)
def _matrix(primaries: tuple[Point, Point, Point, Point]) -> np.ndarray:
    """From linear light of these primaries to that of BT.709; white becomes white (Bradford)."""
    to_xyz, white = _to_xyz(primaries), primaries[3]
    target = _to_xyz(BT709)
    cone = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    scale = (cone @ _xyz(D65)) / (cone @ _xyz(white))
    return np.linalg.inv(target) @ np.linalg.inv(cone) @ np.diag(scale) @ cone @ to_xyz


def _to_xyz(primaries: tuple[Point, Point, Point, Point]) -> np.ndarray:
    columns = np.array([(x, y, 1 - x - y) for x, y in primaries[:3]]).T
    return columns * np.linalg.solve(columns, _xyz(primaries[3]))


def _xyz(point: Point) -> np.ndarray:
    x, y = point
    return np.array([x / y, 1.0, (1 - x - y) / y])
