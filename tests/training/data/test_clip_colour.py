"""Clips come in the colours that their files state, HDR is tone-mapped and reported; bounds hold before decoding."""

from __future__ import annotations

import os
import random
import shutil
import struct

import numpy as np
import pytest
import torch
from sample_files import make_sample, make_video, noise, ramp
from stated_colours import BT2020, P3, SRGB, srgb_of

from lumosx_core.errors import LumosXError
from lumosx_core.media import video_file
from lumosx_core.media.video import write_video
from lumosx_training.data import clips
from lumosx_training.data.check_data import DataReport, check_data
from lumosx_training.data.clips import ClipSettings, read_clip, read_frames
from lumosx_training.data.samples import SampleSettings
from lumosx_training.data.sources.open_source import open_source

av = pytest.importorskip("av")

COLOUR = (200, 60, 40)
CLIP = ClipSettings((5,))


def coded(
    path, colour=COLOUR, size=(64, 96), *, matrix=1, full=False, tags=(None, None, None), format="yuv444p", ending="mp4"
):
    """A lossless video of one colour, with the tags (matrix, primaries, transfer) that are given."""
    path = path.with_suffix(f".{ending}")
    kr, kb = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}[matrix]
    r, g, b = np.array(colour) / 255
    y = kr * r + (1 - kr - kb) * g + kb * b
    values = (y, (b - y) / (2 * (1 - kb)), (r - y) / (2 * (1 - kr)))
    deep = 4 if "10le" in format else 1
    levels = [
        round(deep * (255 * values[0] if full else 16 + 219 * values[0])),
        *(round(deep * (128 + (255 if full else 224) * each)) for each in values[1:]),
    ]
    codec = "libx265" if deep == 4 else "libx264"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=16)
        stream.height, stream.width, stream.pix_fmt = *size, format
        stream.options = {"x265-params": "log-level=none:lossless=1"} if deep == 4 else {"qp": "0"}
        context = stream.codec_context
        context.color_range = 2 if full else 1
        for name, value in zip(("colorspace", "color_primaries", "color_trc"), tags, strict=True):
            if value is not None:
                setattr(context, name, value)
        for number in range(9):
            frame = av.VideoFrame(size[1], size[0], format)
            frame.pts, frame.color_range = number, context.color_range
            for plane, level in zip(frame.planes, levels, strict=True):
                dtype = np.uint16 if deep == 4 else np.uint8
                plane.update(np.full(plane.buffer_size // dtype().itemsize, level, dtype).tobytes())
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def colour_of(path) -> list[int]:
    clip, _ = read_clip(path, CLIP)
    assert (clip == clip[:1, :1, :1]).all()
    [frame] = read_frames(path, [2]).values()
    assert (frame[0, 0] == clip[0, 0, 0].numpy()).all()  # both readers agree
    return clip[0, 0, 0].tolist()


def near(found, expected, most=3) -> bool:
    return max(abs(one - two) for one, two in zip(found, expected, strict=True)) <= most


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(("matrix", "tag"), [(1, 1), (5, 5), (5, 6), (7, 7), (9, 9), (9, 10)])
def test_the_matrix_and_the_range_that_a_file_states_are_used(tmp_path, matrix, tag, full):
    path = coded(tmp_path / "a", matrix=matrix, tags=(tag, None, None), full=full)
    assert near(colour_of(path), COLOUR)


@pytest.mark.parametrize("format", ["yuv420p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize(("matrix", "size"), [(5, (64, 96)), (5, (480, 832)), (1, (720, 1280)), (1, (1280, 720))])
def test_without_a_matrix_the_size_decides(tmp_path, matrix, size, format):
    assert near(colour_of(coded(tmp_path / "a", size=size, matrix=matrix, format=format)), COLOUR)


def test_primaries_tell_the_matrix_where_it_is_left_out(tmp_path):
    assert near(colour_of(coded(tmp_path / "a", matrix=1, tags=(None, 1, 1))), COLOUR)


@pytest.mark.parametrize("tags", [(6, 6, 6), (5, 5, 6), (1, 1, 13), (1, 1, 1), (1, 2, 2)])
def test_colours_of_ordinary_masters_stay_as_they_are(tmp_path, tags):
    path = coded(tmp_path / "a", matrix=5 if tags[0] > 1 else 1, tags=tags)
    assert near(colour_of(path), COLOUR)
    assert read_clip(path, CLIP)[1].notes == ()


@pytest.mark.parametrize(
    ("tags", "matrix", "expected", "note"),
    [
        ((1, 12, 1), 1, srgb_of(COLOUR, P3, None), "P3"),
        ((9, 9, 14), 9, srgb_of(COLOUR, BT2020, None), "BT.2020"),
        ((1, 1, 8), 1, srgb_of(COLOUR, SRGB, 1.0), "transfer 8"),
    ],
)
def test_wide_primaries_and_linear_light_are_converted_and_named(tmp_path, tags, matrix, expected, note):
    path = coded(tmp_path / "a", matrix=matrix, tags=tags)
    found, [said] = colour_of(path), read_clip(path, CLIP)[1].notes
    assert near(found, expected, 6), found
    assert note in said


@pytest.mark.parametrize("ending", ["mp4", "mkv", "mov"])
@pytest.mark.parametrize(
    ("transfer", "signal", "expected"),
    [
        (18, 0.75, 243),
        (18, 0.38, 101),
        (18, 1.0, 255),
        (16, 0.5807, 243),
        (16, 0.38, 101),
        (16, 0.0, 0),
        (16, 1.0, 255),
    ],
)
def test_hdr_is_tone_mapped_and_reported(tmp_path, transfer, signal, expected, ending):
    tags = (9, 9, transfer)
    path = coded(tmp_path / "a", (signal * 255,) * 3, matrix=9, tags=tags, format="yuv420p10le", ending=ending)
    assert near(colour_of(path), (expected,) * 3, 2)
    [note] = read_clip(path, CLIP)[1].notes
    assert f"HDR ({'HLG' if transfer == 18 else 'PQ'}): it is tone-mapped" in note


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_that_only_the_container_states_is_hdr(tmp_path, transfer):
    """As editors write it: FFmpeg's decoder forgets what the container says once the stream says nothing."""
    signal = 191 if transfer == 18 else 148
    path = coded(tmp_path / "a", (signal,) * 3, matrix=9, format="yuv420p10le")
    content = bytearray(path.read_bytes())
    colr = struct.pack(">I4s4sHHHB", 19, b"colr", b"nclx", 9, transfer, 9, 0)
    start = content.index(b"hev1", content.index(b"moov")) - 4
    end = start + struct.unpack_from(">I", content, start)[0]
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"hev1"):
        place = content.index(name, content.index(b"moov")) - 4
        struct.pack_into(">I", content, place, struct.unpack_from(">I", content, place)[0] + len(colr))
    content[end:end] = colr
    (tmp_path / "b.mp4").write_bytes(content)
    assert near(colour_of(tmp_path / "b.mp4"), (243, 243, 243))


def test_hdr_is_scaled_and_turned_like_any_clip(tmp_path):
    path = coded(tmp_path / "a", (191,) * 3, matrix=9, tags=(9, 9, 18), format="yuv420p10le")
    clip, info = read_clip(path, ClipSettings((5,), ((32, 32),)))
    assert clip.shape == (5, 32, 32, 3) and clip.dtype == torch.uint8
    assert near(clip[0, 5, 5].tolist(), (243, 243, 243))
    assert (info.height, info.width) == (64, 96)


def test_check_data_says_that_a_clip_is_hdr(tmp_path):
    make_sample(tmp_path / "set" / "one")
    hdr = coded(tmp_path / "a", (191,) * 3, matrix=9, tags=(9, 9, 18), format="yuv420p10le")
    shutil.copyfile(hdr, tmp_path / "set" / "one" / "video.mp4")
    source = open_source(str(tmp_path / "set"), SampleSettings(ClipSettings((1,), whole=True)))
    report = DataReport(list(check_data(source, workers=1)))
    assert [finding.key for finding in report.warned] == ["one"] and "1 with warnings" in report.summary()
    assert "HDR (HLG)" in report.as_json()["warnings"][0]["warnings"][0]


@pytest.mark.parametrize("size", [(64, 64), (33, 47), (480, 832), (720, 1280)])
@pytest.mark.parametrize("colour", [(200, 30, 30), (30, 180, 60), (20, 40, 220), (255, 255, 255), (0, 0, 0)])
def test_our_videos_state_their_colours_and_give_them_back(tmp_path, size, colour):
    frames = torch.tensor(colour, dtype=torch.uint8).expand(2, *size, 3)
    path = write_video(tmp_path / "a.mp4", frames, 16)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        stated = (frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range)
        shown = frame.to_ndarray(format="rgb24")[size[0] // 2, size[1] // 2]
    assert stated == (1, 1, 1, 1) and b"colrnclx" in path.read_bytes()
    assert near(shown.tolist(), colour, 2)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_frames_that_are_not_numbers_are_not_written(tmp_path, value):
    frames = torch.zeros(2, 16, 16, 3)
    frames[1, 3, 3] = value
    with pytest.raises(LumosXError, match="values that are not numbers"):
        write_video(tmp_path / "a.mp4", frames, 16)
    assert not any(tmp_path.iterdir())


MATRICES = {  # of a camera: how the stored corner at the top left is shown
    "mirrored": ((-1, 0, 0, 1), (32, 48), (0, 1)),
    "upside down": ((1, 0, 0, -1), (32, 48), (1, 0)),
    "half a turn": ((-1, 0, 0, -1), (32, 48), (1, 1)),
    "a quarter turn": ((0, 1, -1, 0), (48, 32), (0, 1)),
    "three quarters": ((0, -1, 1, 0), (48, 32), (1, 0)),
    "transposed": ((0, 1, 1, 0), (48, 32), (0, 0)),
}


@pytest.mark.parametrize("kind", MATRICES)
def test_clips_are_shown_as_the_camera_was_held(tmp_path, kind):
    (a, b, c, d), size, (bottom, right) = MATRICES[kind]
    frames = torch.zeros(5, 32, 48, 3)
    frames[:, :16, :16] = 1
    path = make_video(tmp_path / "a.mp4", frames)
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 44
    content[place : place + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    clip, info = read_clip(path, CLIP)
    assert (info.height, info.width) == size
    corners = clip[0].float().mean(dim=-1)[[4, -5]][:, [4, -5]]
    assert corners[bottom, right] > 200 and corners.sum() < 300


def test_a_clip_with_transparency_is_named(tmp_path):
    with av.open(str(tmp_path / "a.mov"), "w") as container:
        stream = container.add_stream("prores_ks", rate=16)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuva444p10le"
        for _ in range(5):
            pixels = np.full((32, 48, 4), 128, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgba")))
        container.mux(stream.encode())
    assert "transparency" in read_clip(tmp_path / "a.mov", CLIP)[1].notes[0]


# Bounds


@pytest.mark.parametrize("text", ["#EXTM3U\n#EXTINF:1,\nother.mp4\n", "ffconcat version 1.0\nfile other.mp4\n"])
def test_a_list_of_other_files_is_no_video(tmp_path, text):
    make_video(tmp_path / "other.mp4", ramp(5))
    (tmp_path / "a.mp4").write_text(text)
    with pytest.raises(LumosXError, match="a.mp4 is truncated or damaged"):
        read_clip(tmp_path / "a.mp4", CLIP)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are of POSIX")
def test_a_pipe_a_device_or_a_folder_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "zero.mp4").symlink_to("/dev/zero")
    for name in ("pipe.mp4", "folder.mp4", "zero.mp4"):
        with pytest.raises(LumosXError, match=f"{name} is a folder, a pipe or a device"):
            read_clip(tmp_path / name, CLIP)
    with pytest.raises(LumosXError, match="There is no video"):
        read_clip(tmp_path / ("a" * 300 + ".mp4"), CLIP)


def test_frames_and_clips_out_of_bounds_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    path = make_video(tmp_path / "a.mp4", ramp(9))
    monkeypatch.setattr(clips.np, "stack", lambda *given, **more: pytest.fail("decoded"))
    for name, value, said in (
        ("MAX_FRAME_PIXELS", 1000, "48 x 32 pixels, more than"),
        ("MAX_FRAMES", 8, "more than 8 frames"),
        ("MAX_CLIP_BYTES", 10**4, "A clip of 5 frames of 48 x 32 pixels"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(clips if name == "MAX_CLIP_BYTES" else video_file, name, value)
            with pytest.raises(LumosXError, match=said):
                read_clip(path, CLIP)


@pytest.mark.parametrize(
    "box", [b"stsz", b"stts", b"stsc", b"stco", b"mdhd", b"mvhd", b"elst", b"tkhd", b"avcC", b"ctts"]
)
@pytest.mark.parametrize("value", [0, 1, 10**9, 2**31 - 1, 2**32 - 1])
def test_forged_numbers_in_a_header_end_in_our_own_error_or_a_clip(tmp_path, box, value):
    path = make_video(tmp_path / "a.mp4", noise(9))
    content = bytearray(path.read_bytes())
    if box not in content:
        pytest.skip(f"no {box.decode()} here")
    start = content.index(box) + 8
    for place in range(start, start + 24, 4):
        forged = bytearray(content)
        forged[place : place + 4] = struct.pack(">I", value)
        path.write_bytes(forged)
        try:
            clip, _ = read_clip(path, ClipSettings((1, 5), whole=True))
            assert len(clip) <= 5
        except LumosXError as error:
            assert len(str(error)) < 600


@pytest.mark.parametrize("size", [(1, 1), (1, 33), (47, 33)])
@pytest.mark.parametrize("format", ["bgr0", "gray", "yuv444p"])
def test_tiny_and_odd_sizes_are_read(tmp_path, size, format):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=16)
        stream.height, stream.width, stream.pix_fmt = *size, format
        for _ in range(5):
            pixels = np.full((*size, 3), 90, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    clip, info = read_clip(tmp_path / "a.mkv", CLIP)
    assert (info.height, info.width) == size
    assert abs(clip.float().mean().item() - 90) < 3


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_malformed_clips_end_in_our_own_error(tmp_path, seed):
    chance = random.Random(seed)
    whole = make_video(tmp_path / "whole.mp4", noise(5))
    contents = {"mp4": whole.read_bytes()}
    for ending, codec, format in (
        ("mkv", "ffv1", "yuv444p"),
        ("webm", "libvpx-vp9", "yuv420p"),
        ("gif", "gif", "rgb8"),
    ):
        with av.open(str(tmp_path / f"whole.{ending}"), "w") as container:
            stream = container.add_stream(codec, rate=16)
            stream.height, stream.width, stream.pix_fmt = 32, 48, format
            for pixels in noise(5).numpy():
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode())
        contents[ending] = (tmp_path / f"whole.{ending}").read_bytes()
    for content in contents.values():
        for number in range(40):
            broken = bytearray(content)
            for _ in range(chance.choice((1, 2, 8))):
                place = chance.randrange(min(len(broken), chance.choice((60, 800, len(broken)))))
                broken[-1 - place if chance.random() < 0.5 else place] = chance.choice((0, 1, 127, 255))
            path = tmp_path / f"{number}.mp4"
            path.write_bytes(broken)
            for read in (lambda path: read_clip(path, ClipSettings((1, 5))), lambda path: read_frames(path, [0, 2])):
                try:
                    read(path)
                except LumosXError as error:
                    assert len(str(error)) < 600
