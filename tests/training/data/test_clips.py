"""Clips come from any video file at the wanted rate, length and size, or the file is refused."""

import shutil
import struct
import sys
import wave
from fractions import Fraction

import numpy as np
import pytest
import torch
from sample_files import make_video, noise, numbers, ramp, truncate

from lumosx_core.errors import LumosXError, MissingPackageError
from lumosx_training.data.clips import ClipSettings, cover, fit_clip, read_clip, read_frames


@pytest.fixture
def video(tmp_path):
    return make_video(tmp_path / "video.mp4", ramp(33))


def test_a_video_of_the_wanted_rate_gives_its_frames_one_by_one(video):
    clip, info = read_clip(video, ClipSettings((33,)))
    assert clip.shape == (33, 32, 48, 3) and clip.dtype == torch.uint8
    assert numbers(clip) == list(range(33))
    assert (info.height, info.width, info.frames, info.seconds) == (32, 48, 33, pytest.approx(33 / 16, abs=1e-3))


@pytest.mark.parametrize(
    ("fps", "expected"),
    [(8, [0, 0, 1, 1, 2]), (24, [0, 1, 3, 4, 6]), (32, [0, 2, 4, 6, 8]), (30, [0, 2, 4, 6, 7]), (15, [0, 1, 2, 3, 4])],
)
def test_another_rate_gives_the_frames_nearest_in_time(tmp_path, fps, expected):
    clip, _ = read_clip(make_video(tmp_path / "video.mp4", ramp(20), fps), ClipSettings((5,)))
    assert numbers(clip) == expected


def test_a_varying_rate_is_told_by_the_clock_not_by_the_count(tmp_path):
    import av

    with av.open(str(tmp_path / "video.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=16)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 16)
        for number, stamp in enumerate([0, 1, 2, 6, 7, 8]):
            frame = av.VideoFrame.from_ndarray(ramp(6)[number].numpy(), format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 16)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    clip, _ = read_clip(tmp_path / "video.mp4", ClipSettings((9,)))
    assert numbers(clip) == [0, 1, 2, 2, 2, 3, 3, 4, 5]


def test_the_longest_length_that_the_video_has_is_taken(video):
    assert len(read_clip(video, ClipSettings((81, 17, 29)))[0]) == 29


def test_a_video_that_is_too_short_says_how_long_it_must_be(video):
    with pytest.raises(LumosXError, match=r"has 33 frames at 16 .* shortest clip has 49.* at least 3.06 seconds"):
        read_clip(video, ClipSettings((49, 81)))


@pytest.mark.parametrize(("frames", "first"), [(21, 4), (29, 2), (33, 0)])
def test_both_ends_are_trimmed_as_far_as_the_length_allows(video, frames, first):
    clip, _ = read_clip(video, ClipSettings((frames,), trim=4))
    assert numbers(clip) == list(range(first, first + frames))


def test_of_several_sizes_the_one_nearest_in_shape_is_taken(video):
    settings = ClipSettings((5,), ((32, 32), (16, 32), (32, 48), (64, 96), (48, 32)))
    assert read_clip(video, settings)[0].shape == (5, 32, 48, 3)
    assert fit_clip(torch.zeros(5, 100, 60, 3), settings).shape == (5, 48, 32, 3)


def test_without_a_size_the_video_keeps_its_own_in_steps_of_sixteen(tmp_path):
    path = make_video(tmp_path / "video.mp4", ramp(5, 50, 70))
    assert read_clip(path, ClipSettings((5,)))[0].shape == (5, 48, 64, 3)


def test_a_picture_covers_its_size_and_is_cut_evenly():
    frame = np.zeros((32, 96, 3), np.uint8)
    frame[:, 32:64] = 200
    tall = np.ascontiguousarray(frame.transpose(1, 0, 2))
    assert (cover(frame, 32, 32) == 200).all() and (cover(tall, 32, 32) == 200).all()
    # Scaled, the edge takes a little from the neighbours that are cut off.
    assert (cover(frame, 16, 16)[:, 2:-2] == 200).all() and (cover(tall, 16, 16)[2:-2] == 200).all()


def test_frames_at_hand_are_fitted_like_those_of_a_file(video):
    settings = ClipSettings((5,), ((16, 32),))
    read, _ = read_clip(video, settings)
    fitted = fit_clip(ramp(9), settings)
    assert fitted.shape == read.shape and numbers(fitted) == numbers(read)
    floats = fit_clip(ramp(9).float() / 255, settings)
    assert torch.allclose(floats * 255, fitted.float())


def test_a_video_held_sideways_is_turned_upright(tmp_path):
    frames = torch.zeros(5, 32, 48, 3)
    frames[:, :16, :16] = 1  # top left in the file
    path = make_video(tmp_path / "video.mp4", frames)
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 44
    content[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 32 << 16, 0, 1 << 30)
    path.write_bytes(content)
    clip, info = read_clip(path, ClipSettings((5,)))
    assert (info.height, info.width) == (48, 32) and clip.shape == (5, 48, 32, 3)
    assert clip[0, :16, 16:].float().mean() > 240 and clip[0, :16, :16].float().mean() < 20  # top right when shown


def test_pixels_that_are_not_square_are_shown_in_their_proportions(tmp_path):
    import av

    with av.open(str(tmp_path / "video.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=16)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        stream.codec_context.sample_aspect_ratio = 2
        for frame in ramp(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame.numpy(), format="rgb24")))
        container.mux(stream.encode())
    clip, info = read_clip(tmp_path / "video.mp4", ClipSettings((5,)))
    assert (info.height, info.width) == (32, 96) and clip.shape == (5, 32, 96, 3)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.99])
def test_a_truncated_file_is_never_a_shorter_video(tmp_path, share):
    path = truncate(make_video(tmp_path / "video.mp4", noise(24)), share)
    with pytest.raises(LumosXError, match=r"video.mp4 is truncated or damaged: .* Get the file again"):
        read_clip(path, ClipSettings((1,)))


def test_a_file_that_ends_between_two_frames_is_truncated_too(tmp_path):
    import av

    path = make_video(tmp_path / "video.mp4", noise(24))
    with av.open(str(path)) as container:
        entry = container.streams.video[0].index_entries[11]
        end = entry.pos + entry.size
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(LumosXError, match=r"video.mp4 is truncated or damaged: 12 of its 24 frames are there"):
        read_clip(path, ClipSettings((1,)))


def test_frames_that_need_one_that_was_cut_away_are_not_passed_over(tmp_path):
    import av

    with (
        av.open(str(make_video(tmp_path / "whole.mp4", noise(9)))) as container,
        av.open(str(tmp_path / "cut.mp4"), "w") as cut,
    ):
        stream = cut.add_stream_from_template(container.streams.video[0])
        for packet in list(container.demux(video=0))[1:-1]:
            packet.stream = stream
            cut.mux(packet)
    with pytest.raises(LumosXError, match=r"cut.mp4 is truncated or damaged: .* only 0 can be decoded"):
        read_clip(tmp_path / "cut.mp4", ClipSettings((5,)))


def test_a_good_video_may_be_read_to_its_end(video):
    clip, info = read_clip(video, ClipSettings((5,), whole=True))
    assert numbers(clip) == [0, 1, 2, 3, 4] and info.frames == 33


def test_damage_in_the_middle_is_found_where_it_matters(tmp_path):
    path = make_video(tmp_path / "video.mp4", noise(24))
    content = bytearray(path.read_bytes())
    start = len(content) * 3 // 4
    content[start : start + 2000] = bytes(2000)
    path.write_bytes(content)
    with pytest.raises(LumosXError, match="truncated or damaged"):
        read_clip(path, ClipSettings((21,)))
    with pytest.raises(LumosXError, match="truncated or damaged"):
        read_clip(path, ClipSettings((5,), whole=True))
    assert len(read_clip(path, ClipSettings((5,)))[0]) == 5  # what lies behind the clip is not decoded


def test_an_empty_file_and_a_missing_one_are_named(tmp_path):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(LumosXError, match=r"empty.mp4 is empty \(zero bytes\)"):
        read_clip(tmp_path / "empty.mp4", ClipSettings((1,)))
    with pytest.raises(LumosXError, match=r"There is no video .*none.mp4. Put the clip there"):
        read_clip(tmp_path / "none.mp4", ClipSettings((1,)))


def test_a_file_without_pictures_is_no_video(tmp_path):
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(LumosXError, match="text.mp4 is truncated or damaged"):
        read_clip(tmp_path / "text.mp4", ClipSettings((1,)))
    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setnchannels(1), sound.setsampwidth(2), sound.setframerate(8000), sound.writeframes(bytes(1600))
    shutil.move(tmp_path / "sound.wav", tmp_path / "sound.mp4")
    with pytest.raises(LumosXError, match=r"sound.mp4 has no video stream"):
        read_clip(tmp_path / "sound.mp4", ClipSettings((1,)))


def test_single_frames_are_counted_from_the_first(video):
    frames = read_frames(video, [3, 20, 3])
    assert {place: round(frame.mean() / 4) for place, frame in frames.items()} == {3: 3, 20: 20}
    with pytest.raises(LumosXError, match=r"video.mp4 has no frame 33"):
        read_frames(video, [5, 33])


def test_without_the_package_that_reads_videos_its_name_is_said(video, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingPackageError, match="pip install"):
        read_clip(video, ClipSettings((1,)))


@pytest.mark.parametrize(
    "settings",
    [{"frames": ()}, {"frames": (8,)}, {"sizes": ((30, 48),)}, {"fps": 0}, {"fps": float("nan")}, {"trim": -1}],
)
def test_settings_that_fit_no_network_are_refused(settings):
    with pytest.raises(LumosXError):
        ClipSettings(**settings)


def test_the_command_that_repairs_a_video_quotes_its_name(tmp_path):
    path = truncate(make_video(tmp_path / "8 people.mp4", noise(20)))
    with pytest.raises(LumosXError, match=r"ffmpeg -i '8 people.mp4' repaired.mp4"):
        read_clip(path, ClipSettings((9,)))
