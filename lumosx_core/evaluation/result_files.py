"""Which generated video belongs to which case, and both read from disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..errors import LumosXError, shown
from ..files.junk import is_junk
from ..media.clip_colour import clip_colour
from ..media.video_file import decoded_frames, file_tags, frame_times, opened_video, shown_size, turned
from ..scene.case_files import CAPTION
from ..scene.case_folder import read_case
from .measured_video import MeasuredVideo, Protocol, Video
from .video_names import find_video

ENDINGS = (".mp4", ".webm", ".mkv", ".mov", ".avi")
TRUTH = "video.mp4"  # of a case: the video from which its references were taken
MOST_BYTES = 2**33  # of all frames of a video as float: 8 GiB


@dataclass(frozen=True)
class Pair:
    """A case and its generated video.

    Args:
        name: of the case folder.
        video: None if there is none of its name, or there are several.
        problem: why there is none.
    """

    name: str
    case: Path
    video: Path | None
    problem: str = ""


def pair_up(results: Path, cases: Path, protocol: Protocol = Protocol.CLEAN) -> tuple[list[Pair], list[Path]]:
    """Every case with its video, and what is in `results` that belongs to no case.

    Raises:
        LumosXError: one of the folders is missing or cannot be listed, or holds no case, or no video.
    """
    folders = [path for path in _listed(cases, "--cases", "a folder of case folders") if os.path.isdir(path)]
    if os.path.isfile(cases / CAPTION):
        raise LumosXError(f"{cases} is one case. Give the folder that holds it, as --cases {cases.parent}.")
    if not folders:
        raise LumosXError(f"{cases} holds no case folder. Give a folder of folders, each with caption.txt and images.")
    files = _listed(results, "RESULTS", "the folder of the generated videos")
    names = [path.name for path in files if path.suffix.lower() in ENDINGS and not os.path.isdir(path)]
    if not names:
        raise LumosXError(f"{results} holds no generated video. Put them there as CASE.mp4, one for each case.")
    pairs = []
    for folder in folders:
        file, problem = None, f"There is no generated video {shown(folder.name)}.mp4 of this case."
        try:
            file = find_video(folder.name, names, protocol)
        except LumosXError as error:  # two of its name: the other cases can still be measured
            problem = str(error)
        pairs.append(Pair(folder.name, folder, *((None, problem) if file is None else (results / file, ""))))
    used = {pair.video for pair in pairs}
    return pairs, [path for path in files if path not in used]


def read_pair(pair: Pair, *, say: Callable[[str], None]) -> MeasuredVideo:
    """The case, its generated video, and the ground truth if the case has it.

    Args:
        say: called with a sentence about whatever of the case is left out or may not be meant.

    Raises:
        LumosXError: there is no video, or one of the files is damaged.
        MissingPackageError: av (PyAV) is not installed.
    """
    if pair.video is None:
        raise LumosXError(pair.problem)
    case = read_case(pair.case, say=say)
    truth = pair.case / TRUTH
    return MeasuredVideo(
        pair.name,
        pair.video.name,
        case,
        read_video(pair.video),
        read_video(truth) if os.path.lexists(truth) else None,
    )


def read_video(path: Path) -> Video:
    """All frames of a video file in sRGB, as they are shown: upright, pixels square.

    Raises:
        LumosXError: no such file, not a video, damaged, or too long to be held in memory.
        MissingPackageError: av (PyAV) is not installed.
    """
    with opened_video(path) as container:
        times = frame_times(container, path)
    frames: list[torch.Tensor] = []
    with opened_video(path) as container:
        tags = file_tags(container, path)
        for frame in decoded_frames(container, path):
            height, width, _ = shown_size(frame, container, path)
            if len(times) * height * width * 12 > MOST_BYTES:
                raise LumosXError(
                    f"The video {path} has {len(times)} frames of {width} x {height} pixels, more than fit into "
                    f"{MOST_BYTES // 2**30} GiB. Cut it, or scale it down."
                )
            colour = clip_colour(frame, tags, path)
            pixels = colour.finish(turned(colour.pixels(frame), frame))
            if pixels.shape[:2] != (height, width):
                pixels = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))
            frames.append(torch.from_numpy(np.array(pixels)))
    if len({frame.shape for frame in frames}) != 1:
        raise LumosXError(f"The frames of the video {path} have different sizes. Encode it again at one size.")
    seconds = times[-1] - times[0]
    fps = (len(times) - 1) / seconds if seconds > 0 else 1.0  # of a single frame the rate means nothing
    return Video(torch.stack(frames).float().div_(255), fps, str(path.name))


def _listed(folder: Path, option: str, what: str) -> list[Path]:
    """What is in a folder, in the order of names, without junk."""
    try:
        return sorted(path for path in folder.iterdir() if not is_junk(path.name))
    except (OSError, ValueError) as error:
        detail = error.strerror if isinstance(error, OSError) else error
        raise LumosXError(
            f"{option} {shown(folder)!r} cannot be listed ({detail}). Give the path of {what}."
        ) from error
