"""Image files that state their colours, written byte by byte: profiles, chunks of PNG, boxes of HEIC and AVIF."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

D50 = (0.9642, 1.0, 0.8249)
P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
ADOBE = ((0.640, 0.330), (0.210, 0.710), (0.150, 0.060))
PROPHOTO = ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001))
BT2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
SRGB = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
D65_XY, D50_XY = (0.3127, 0.3290), (0.3457, 0.3585)


def colorants(primaries, white=D65_XY) -> np.ndarray:
    """XYZ of red, green and blue under D50, as profiles store them (ICC.1, Bradford)."""
    columns = np.array([(x, y, 1 - x - y) for x, y in primaries]).T
    xyz = np.array([white[0] / white[1], 1, (1 - sum(white)) / white[1]])
    columns = columns * np.linalg.solve(columns, xyz)
    cone = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    return np.linalg.inv(cone) @ np.diag((cone @ np.array(D50)) / (cone @ xyz)) @ cone @ columns


def srgb_of(values, primaries, gamma, white=D65_XY) -> list[int]:
    """What a colour of 0..255 is in sRGB, worked out apart from the code under test."""
    linear = (np.array(values) / 255) ** gamma if gamma else decode_srgb(np.array(values) / 255)
    light = np.linalg.inv(colorants(SRGB)) @ colorants(primaries, white) @ linear
    light = light.clip(0, 1)
    coded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return (coded * 255).round().astype(int).tolist()


def decode_srgb(values: np.ndarray) -> np.ndarray:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def rgb_profile(primaries, gamma: float | None, white=D65_XY) -> bytes:
    """An ICC profile of three primaries; the curve is a power, or (None) that of sRGB."""
    parametric = struct.pack(">4sIHH7i", b"para", 0, 3, 0, *(round(65536 * n) for n in SRGB_CURVE), 0, 0)[:32]
    curve = parametric if gamma is None else struct.pack(">4sIIH2x", b"curv", 0, 1, round(gamma * 256))
    columns = colorants(primaries, white).T
    tags = {name: _xyz(each) for name, each in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve) | {b"wtpt": _xyz(D50)}
    return _profile(b"RGB ", tags)


SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def grey_profile(gamma: float) -> bytes:
    curve = struct.pack(">4sIIH2x", b"curv", 0, 1, round(gamma * 256))
    return _profile(b"GRAY", {b"kTRC": curve, b"wtpt": _xyz(D50)})


def _xyz(values) -> bytes:
    return struct.pack(">4sI3i", b"XYZ ", 0, *(round(65536 * value) for value in values))


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    words = b"of a test\0"
    tags = {b"desc": struct.pack(">4sII", b"desc", 0, len(words)) + words + bytes(78), **tags}
    tags[b"cprt"] = b"text" + bytes(4) + words
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        table += struct.pack(">4sII", name, 132 + 12 * len(tags) + len(body), len(content))
        body += content
    head = struct.pack(">I4sI4s4s4s", 132 + 12 * len(tags) + len(body), b"test", 0x02400000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _xyz(D50)[8:]
    return head.ljust(128, b"\0") + table + body


def png(path: Path, values: np.ndarray, *chunks: tuple[bytes, bytes], bits: int = 8) -> Path:
    """Write a PNG with chunks before its pixels: (H, W), (H, W, 2), (H, W, 3) or (H, W, 4)."""
    height, width = values.shape[:2]
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[values.shape[2] if values.ndim == 3 else 1]
    rows = values.astype(">u2" if bits == 16 else "u1").reshape(height, -1)
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    head = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for name, each in ((b"IHDR", head), *chunks, (b"IDAT", pixels), (b"IEND", b"")):
        content += struct.pack(">I", len(each)) + name + each + struct.pack(">I", zlib.crc32(name + each))
    path.write_bytes(content)
    return path


def gama(exponent: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(100000 / exponent))


def chrm(primaries, white=D65_XY) -> tuple[bytes, bytes]:
    points = (white, *primaries)
    return b"cHRM", struct.pack(">8I", *(round(100000 * each) for point in points for each in point))


def cicp(primaries: int, transfer: int, full: bool = True) -> tuple[bytes, bytes]:
    return b"cICP", bytes((primaries, transfer, 0, full))


def with_nclx(path: Path, primaries: int, transfer: int) -> Path:
    """State other code points in the `colr` box that a HEIC or AVIF has."""
    content = bytearray(path.read_bytes())
    place = content.index(b"colrnclx") + 8
    content[place : place + 4] = struct.pack(">HH", primaries, transfer)
    path.write_bytes(content)
    return path
