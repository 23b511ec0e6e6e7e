"""The written mp4 plays, shows what was given, and a failed write leaves nothing behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lumosx_core import LumosXError
from lumosx_core.media.video import write_video

av = pytest.importorskip("av")


def gradient(frames=6, height=48, width=64):
    """A soft gradient whose brightness grows with time: H.264 keeps it nearly unchanged."""
    brightness = torch.linspace(0.2, 0.8, frames).view(-1, 1, 1, 1)
    tilt = torch.linspace(-0.1, 0.1, width).view(1, 1, -1, 1)
    return (brightness + tilt).expand(frames, height, width, 3).clone()


def read(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [torch.from_numpy(frame.to_ndarray(format="rgb24")) for frame in container.decode(stream)]
        return torch.stack(frames), stream.average_rate, stream.codec_context.name, stream.codec_context.pix_fmt


def test_the_video_shows_the_frames_in_order_at_the_frame_rate(tmp_path):
    frames = gradient()
    decoded, rate, codec, pixel_format = read(write_video(tmp_path / "video.mp4", frames, fps=16))
    assert decoded.shape == frames.shape
    assert (rate, codec, pixel_format) == (16, "h264", "yuv420p")
    assert (decoded.float() / 255 - frames).abs().max() < 0.04


def test_bytes_and_floats_give_the_same_video(tmp_path):
    frames = gradient()
    from_floats = read(write_video(tmp_path / "floats.mp4", frames, 16))[0]
    from_bytes = read(write_video(tmp_path / "bytes.mp4", (frames * 255).round().to(torch.uint8), 16))[0]
    assert torch.equal(from_floats, from_bytes)


def test_colours_keep_their_channels(tmp_path):
    frames = torch.zeros(2, 32, 32, 3)
    frames[..., 0] = 1.0
    red, green, blue = read(write_video(tmp_path / "red.mp4", frames, 16))[0].float().mean(dim=(0, 1, 2))
    assert red > 240 and green < 15 and blue < 15


def test_odd_sizes_get_one_more_row_and_column(tmp_path):
    frames = gradient(height=47, width=63)
    decoded = read(write_video(tmp_path / "odd.mp4", frames, 16))[0]
    assert decoded.shape == (6, 48, 64, 3)
    assert (decoded[:, :47, :63].float() / 255 - frames).abs().max() < 0.04


def test_the_index_stands_before_the_pictures_for_browsers(tmp_path):
    data = write_video(tmp_path / "video.mp4", gradient(), 16).read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")


def test_values_outside_the_range_are_clipped_instead_of_wrapped(tmp_path):
    frames = torch.full((2, 32, 32, 3), 1.5)
    assert read(write_video(tmp_path / "bright.mp4", frames, 16))[0].float().mean() > 240


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("video.avi", "only mp4.*video.mp4"),
        ("video", "only mp4"),
        ("missing/video.mp4", "missing' for the video does not exist"),
        ("folder.mp4", "is a folder"),
    ],
)
def test_an_impossible_path_is_explained(tmp_path, name, message):
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(LumosXError, match=message):
        write_video(tmp_path / name, gradient(), 16)


def test_frames_of_another_shape_are_refused(tmp_path):
    with pytest.raises(LumosXError, match=r"\(6, 3, 48, 64\), expected \(frames, height, width, 3\)"):
        write_video(tmp_path / "video.mp4", gradient().movedim(-1, 1), 16)
    assert not list(tmp_path.iterdir())


def test_an_interrupted_write_keeps_the_old_video_and_leaves_nothing(tmp_path, monkeypatch):
    path = write_video(tmp_path / "video.mp4", gradient(), 16)
    before = path.read_bytes()

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("lumosx_core.media.video._even", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_video(path, gradient(frames=3), 16)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
def test_a_full_disk_is_said_in_one_line_and_leaves_nothing(tmp_path):
    """A limit on the size of files replaces the full disk."""
    code = (
        "import resource, signal, sys, torch\n"
        "from lumosx_core import LumosXError\n"
        "from lumosx_core.media.video import write_video\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "try: write_video(sys.argv[1], torch.rand(30, 128, 128, 3), 16)\n"
        "except LumosXError as error: sys.exit(f'LumosXError: {error}')\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "video.mp4")],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "LumosXError" in run.stderr and "could not be written" in run.stderr, run.stderr
    assert list(tmp_path.iterdir()) == []
