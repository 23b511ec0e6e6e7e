"""Masks of faces: read beside a clip, and made into the faces that tokens show."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from lumosx_core.errors import LumosXError
from lumosx_core.media.video import write_video
from lumosx_core.models.ingredients.training.face_example import FaceExample, token_shares
from lumosx_training.data.clips import ClipSettings
from lumosx_training.data.masks import fit_masks, read_masks
from lumosx_training.glyph_world.faces import FaceSource, canvas_offset
from lumosx_training.glyph_world.source import open_glyphs

CLIP = ClipSettings(frames=(9,), sizes=((64, 80),))


def labels(share: torch.Tensor, least: float) -> list[int]:
    faces = share.shape[0]
    example = FaceExample(
        torch.zeros(1, faces, 4), torch.zeros(1, faces, 5, 2, 4), torch.zeros(1, 1, 2, 2), share[None]
    )
    return example.labels(least)[0].tolist()


def test_a_token_covers_its_pixels_in_the_frames_of_its_latent_frame():
    masks = torch.zeros(1, 9, 32, 32)
    masks[0, 0, :16, 16:] = 1  # the first frame alone is the first latent frame
    masks[0, 1:3, 16:, :16] = 1  # two of the four frames of the second
    assert token_shares(masks).view(3, 2, 2).tolist() == [[[0, 1], [0, 0]], [[0, 0], [0.5, 0]], [[0, 0], [0, 0]]]


def test_a_token_shows_the_face_with_the_largest_share_if_that_is_large_enough():
    share = torch.tensor([[0.6, 0.4, 0.1, 0.0], [0.3, 0.5, 0.2, 0.0]])
    assert labels(share, 0.5) == [0, 1, -1, -1]
    assert labels(share, 0.2) == [0, 1, 1, -1]


def test_masks_follow_the_crop_of_their_clip():
    masks = torch.zeros(1, 9, 64, 160)
    masks[..., 40:120] = 1  # what remains of a frame twice as wide
    fitted = fit_masks(masks, CLIP)
    assert fitted.shape == (1, 9, 64, 80) and fitted.min() == 1


def test_glyph_clips_know_which_pixels_show_whose_face():
    source = open_glyphs("glyphs:3:20:faces")
    assert isinstance(source, FaceSource)
    sample = next(each for each in map(source.load, source.keys()) if len(each.case.scene.subjects) == 2)
    assert sample.masks is not None and sample.masks.shape == (2, 9, 64, 80)
    left, right = (sample.masks[face, 4].nonzero()[:, 1].float().mean() for face in (0, 1))
    assert left < 40 < right
    shown = torch.tensor(labels(token_shares(sample.masks), 0.4)).view(3, 4, 5)
    assert set(shown[:, :, :2].flatten().tolist()) == {-1, 0} and set(shown[:, :, 3:].flatten().tolist()) == {-1, 1}
    assert abs(canvas_offset() - 16) < 1


def folder(path, frames: int = 9) -> list:
    pytest.importorskip("av")
    write_video(path / "video.mp4", torch.rand(9, 64, 80, 3), 16)
    (path / "masks" / "1").mkdir(parents=True)
    for frame in range(frames):
        picture = np.zeros((64, 80), np.uint8)
        picture[:, : 8 * (frame + 1)] = 255
        Image.fromarray(picture).save(path / "masks" / "1" / f"{frame:04d}.png")
    return [path, 1, path / "video.mp4", CLIP]


def test_a_sequence_of_images_is_read_frame_by_frame(tmp_path):
    masks = read_masks(*folder(tmp_path))
    assert masks.shape == (1, 9, 64, 80)
    assert [int(masks[0, frame, 0].sum()) for frame in range(9)] == [8 * (frame + 1) for frame in range(9)]


def test_a_mask_video_is_read_as_its_clip(tmp_path):
    given = folder(tmp_path)
    video = torch.zeros(9, 64, 80, 3)
    video[:, 16:48] = 1
    for image in (tmp_path / "masks" / "1").iterdir():
        image.unlink()
    (tmp_path / "masks" / "1").rmdir()
    write_video(tmp_path / "masks" / "1.mp4", video, 16)
    masks = read_masks(*given)
    assert masks[0, :, 18:46].all() and not masks[0, :, :14].any()


def test_a_sample_without_masks_has_none(tmp_path):
    assert read_masks(tmp_path, 2, tmp_path / "video.mp4", CLIP) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: (path / "masks" / "2").mkdir(), "'2', which is the mask of none of the 1 subjects"),
        (lambda path: (path / "masks" / "1.mp4").touch(), "two masks of one subject"),
        (lambda path: (path / "masks" / "1" / "0003.png").unlink(), "has 8 images, but .* has 9 frames"),
        (lambda path: (path / "masks" / "1").rename(path / "gone"), "no mask of subject 1"),
    ],
)
def test_masks_that_do_not_fit_are_refused(tmp_path, change, message):
    given = folder(tmp_path)
    change(tmp_path)
    with pytest.raises(LumosXError, match=message):
        read_masks(*given)
