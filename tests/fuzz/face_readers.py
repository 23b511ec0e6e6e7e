"""What Ingredients (CogVideoX) reads of faces: its networks, landmarks of any detector, images that are crops."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from fuzz.inputs import FLOATS, INTEGERS, edited_bytes
from fuzz.reader import Make, Reader, put_one
from fuzz.weight_readers import ENDINGS, edited_safetensors, torch_file
from hypothesis import strategies as st
from safetensors.torch import save

from lumosx_core.auto_scene.cutouts.regions import Box, Face
from lumosx_core.models.ingredients.canvas import conditioning_canvas
from lumosx_core.models.ingredients.faces.align import TEMPLATE
from lumosx_core.models.ingredients.faces.arcface import ArcFace
from lumosx_core.models.ingredients.faces.eva_clip import EvaClip
from lumosx_core.models.ingredients.faces.eva_tower import EvaSizes
from lumosx_core.models.ingredients.faces.photo import aligned_faces, fitted_crop
from lumosx_core.models.ingredients.faces.retinaface import RetinaFace
from lumosx_core.models.ingredients.faces.retinaface_network import RetinaFaceNetwork

# Half a megabyte: hypothesis holds what it draws.
SIZES = EvaSizes(width=16, heads=1, blocks=21, feed_forward=8, patch=14, grid=2, out=4)


def _recognisers() -> Reader:
    from tiny_faces import write_arcface

    with tempfile.TemporaryDirectory() as folder:
        seed = write_arcface(Path(folder) / "seed.onnx").read_bytes()

    def read(value: bytes, folder: Path) -> None:
        ArcFace.load(put_one(folder, "glintr100.onnx", value)).encode([torch.zeros(512, 512, 3)])

    return Reader(edited_bytes([seed]), read)


def _image_towers() -> Reader:
    from tiny_faces import eva_state

    plain = eva_state(sizes=SIZES)
    seeds = [torch_file(plain), torch_file({"state_dict": {f"module.{name}": plain[name] for name in plain}})]

    def read(value: tuple[bytes, str], folder: Path) -> None:
        EvaClip.load(put_one(folder, f"eva{value[1]}", value[0])).encode([torch.zeros(512, 512, 3)])

    return Reader(st.tuples(edited_bytes(seeds) | edited_safetensors([save(plain)]), st.sampled_from(ENDINGS)), read)


def _released_detectors() -> Reader:
    """In today's format, and in that of torch before 1.6."""
    torch.manual_seed(0)
    state = {f"module.{name}": tensor for name, tensor in RetinaFaceNetwork(1, 4).state_dict().items()}
    few = dict(list(state.items())[:8])
    seeds = [torch_file(each, _use_new_zipfile_serialization=old) for each in (state, few) for old in (False, True)]
    # Most edits of a whole file are in its values.
    tables = st.tuples(edited_bytes([seeds[0][:20_000]]), st.just(seeds[0][20_000:])).map(b"".join)

    def read(value: tuple[bytes, str], folder: Path) -> None:
        path = put_one(folder, f"detector{value[1]}", value[0])
        RetinaFace.load(path, threshold=0.4).find(torch.zeros(40, 30, 3))

    return Reader(st.tuples(edited_bytes(seeds) | tables, st.sampled_from(ENDINGS)), read)


def _photos_and_faces() -> Reader:
    """What a detector may answer, for photos of odd sizes and values."""
    near = st.sampled_from([value for point in TEMPLATE for value in point])
    numbers = st.one_of(near, near, near, st.floats(), st.sampled_from(FLOATS), st.sampled_from(INTEGERS))
    points = st.lists(st.tuples(numbers, numbers), min_size=4, max_size=6)
    moved = st.tuples(st.floats(-100, 300), st.floats(-100, 300), st.floats(0.01, 2)).map(
        lambda by: [(by[0] + by[2] * x, by[1] + by[2] * y) for x, y in TEMPLATE]
    )
    face = st.builds(
        Face,
        st.builds(Box, *[st.floats(-1e4, 1e4)] * 4) | st.builds(Box, *[st.floats()] * 4),
        st.floats(0, 1) | st.sampled_from(FLOATS),
        st.one_of(moved, moved, moved, moved, points).map(tuple),
    )
    size = st.sampled_from((300, 640, 1500, 17, 16, 15, 1, 0))
    odd = st.tuples(size, size, st.sampled_from((3, 0, 1, 4)), st.sampled_from((0.5, 1.0, -1.0, 300.0, 1)))
    proper = st.tuples(st.integers(200, 900), st.integers(200, 900), st.just(3), st.just(0.5))
    photo = st.one_of(proper, proper, proper, odd)
    which = st.sampled_from((*("best", "all", 1) * 4, 2, 0, -1, None, True, "left", 10**30, 1.5))

    def read(value: tuple, folder: Path) -> None:
        (height, width, channels, grey), faces, which = value
        image = torch.full((height, width, channels), grey)
        warnings: list[str] = []
        aligned = aligned_faces(image, lambda _: faces, which=which, warn=warnings.append)
        assert all(warnings)
        crops = [face.crop for face in aligned]
        assert all(crop.shape == (512, 512, 3) and crop.isfinite().all() for crop in crops)
        conditioning_canvas([*crops, fitted_crop(image)], width, height)

    return Reader(
        st.tuples(
            photo,
            st.lists(st.one_of(face, face, face, face.map(lambda each: Face(each.box, each.score))), max_size=4),
            which,
        ),
        read,
    )


READERS: dict[str, Make] = {
    "face recognisers": _recognisers,
    "image towers": _image_towers,
    "released face detectors": _released_detectors,
    "photos and their faces": _photos_and_faces,
}
