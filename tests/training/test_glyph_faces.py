"""Drawn faces through the face encoder in miniature: what tells them apart is what a network can learn binding from."""

import random

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_faces import write_tiny_face_encoder

from lumosx_core.models.ingredients.faces.face_encoder import FaceEncoder
from lumosx_training.glyph_world.appearance import NOUNS, Face, Wardrobe
from lumosx_training.glyph_world.drawing import draw_face

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


def crop(face: Face, scale: float, x: int, y: int) -> torch.Tensor:
    """The face on white, that far from the middle of an aligned crop."""
    drawn = draw_face(face, scale)
    sheet = Image.new("RGBA", (512, 512), "white")
    sheet.alpha_composite(drawn, ((512 - drawn.width) // 2 + x, (512 - drawn.height) // 2 + y))
    return torch.from_numpy(np.asarray(sheet.convert("RGB"), np.float32) / 255)


@pytest.mark.slow
def test_a_drawn_face_a_little_smaller_and_moved_is_nearest_to_itself(tmp_path):
    encoder = FaceEncoder.load(write_tiny_face_encoder(tmp_path))
    chance = random.Random(0)
    wardrobe = Wardrobe(chance)
    faces = [wardrobe.face(chance.choice(list(NOUNS))) for _ in range(12)]
    first = encoder.encode([crop(face, 26, 0, 0) for face in faces])
    second = encoder.encode([crop(face, 24, 6, -5) for face in faces])
    assert torch.cdist(first.id_vit_hidden.flatten(1), second.id_vit_hidden.flatten(1)).argmin(1).tolist() == [
        *range(12)
    ]
    nearest = torch.cdist(first.id_cond[:, :20], second.id_cond[:, :20]).argmin(dim=1)
    assert int((nearest == torch.arange(12)).sum()) >= 10
