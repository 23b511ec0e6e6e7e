"""Masks of faces beside a clip: which pixels show whose face, for the routing loss.

    masks/1.mp4          the face of subject 1, white on black, frame by frame as in video.mp4
    masks/2/*.png        the same as images, one for each frame of video.mp4, in the order of their names

Subjects count as in the folder `subjects`. Masks are read with the clip: the same frames, the same crop. Whoever makes
them with SAM takes what its logits put above -2.0 as white, as the paper does (arXiv 2501.01790), which is more
generous than SAM's own 0.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lumosx_core.errors import LumosXError, shown
from lumosx_core.files.junk import is_junk
from lumosx_core.media.images import read_picture

from .clips import ClipSettings, clip_frames, fit_clip, read_clip

MASKS = "masks"
SAM_THRESHOLD = -2.0
"""Logits of SAM above it are the face."""
_WHITE = 0.5


def read_masks(directory: Path, subjects: int, video: Path, settings: ClipSettings) -> Tensor | None:
    """The masks of a sample folder: (subjects, F, H, W) bool in the frames and size of its clip; None: it has none.

    Args:
        video: of the sample, whose frames they belong to.

    Raises:
        LumosXError: a subject without masks while others have some, masks of no subject, a number of images that is
            not that of the frames, or a file that cannot be read.
        MissingPackageError: av is not installed.
    """
    folder = directory / MASKS
    if not os.path.isdir(folder):
        return None
    names = sorted(name for name in os.listdir(folder) if not is_junk(name))
    wanted = {str(number) for number in range(1, subjects + 1)}
    if strange := [name for name in names if Path(name).stem not in wanted]:
        raise LumosXError(
            f"{folder} has {shown(strange[0])!r}, which is the mask of none of the {subjects} subjects. Name masks by "
            f"the number of the subject: 1.mp4, or a folder 1 of PNG images."
        )
    by_subject = {Path(name).stem: folder / name for name in names}
    if len(by_subject) < len(names):
        raise LumosXError(f"{folder} has two masks of one subject among {', '.join(names[:10])}. Keep one of them.")
    if missing := sorted(wanted - by_subject.keys()):
        raise LumosXError(
            f"{folder} has no mask of subject {missing[0]}. Give one mask for each subject, or remove the folder."
        )
    return torch.stack([_read(by_subject[str(number)], video, settings) for number in range(1, subjects + 1)])


def fit_masks(masks: Tensor, settings: ClipSettings) -> Tensor:
    """Bring masks (N, F, H, W) to the length and size of a clip, as `fit_clip` brings its frames: 0..1 float."""
    values = (masks.float() * 255).round().to(torch.uint8)[..., None].expand(*masks.shape, 3).contiguous()
    return torch.stack([fit_clip(each, settings)[..., 0] for each in values]).float() / 255


def _read(path: Path, video: Path, settings: ClipSettings) -> Tensor:
    """(F, H, W) bool."""
    if not os.path.isdir(path):
        frames, _ = read_clip(path, settings)
        return frames.float().mean(dim=-1) / 255 > _WHITE
    names = sorted(name for name in os.listdir(path) if not is_junk(name))
    places, count = clip_frames(video, settings)
    if len(names) != count:
        raise LumosXError(
            f"{path} has {len(names)} images, but {video} has {count} frames. Give an image for each frame of the "
            f"video, or a mask video."
        )
    images = {place: read_picture(path / names[place]) for place in sorted(set(places))}
    frames = torch.from_numpy(np.stack([(images[place] * 255).round().byte().numpy() for place in places]))
    return fit_clip(frames, settings).float().mean(dim=-1) / 255 > _WHITE
