"""The face encoder in miniature, in the layout and formats of the release.

Its weights are random but the same on each machine, and its features tell drawn faces apart: what is seen in different
parts of a crop goes into different directions, and no part of a network drowns the image.
"""

from pathlib import Path

import torch
from tiny_networks import write_face_detector

from lumosx_core.models.ingredients.faces.eva_tower import EvaSizes, EvaTower
from lumosx_core.models.ingredients.faces.face_encoder import ARCFACE, EVA_CLIP

EVA_SIZES = EvaSizes(width=48, heads=3, blocks=24, feed_forward=128, patch=14, grid=4, out=24)
DETECTOR = "models/antelopev2/scrfd_10g_bnkps.onnx"
_BLOCK = 16  # pixels of 112: of each, the recogniser sees a few filters' answers


def write_tiny_face_encoder(folder: Path, seed: int = 0, *, features: int = 20, sizes: EvaSizes = EVA_SIZES) -> Path:
    """A face encoder with random weights.

    Args:
        folder: is created; laid out as the release's face_encoder.
        features: of the recogniser, 512 in the release. `id_cond` has these and `sizes.out`.
        sizes: of the image tower; 17 tokens of width 48 by default.

    Returns: the folder.
    """
    (folder / ARCFACE).parent.mkdir(parents=True, exist_ok=True)
    write_arcface(folder / ARCFACE, seed, features=features)
    write_eva_clip(folder / EVA_CLIP, seed, sizes)
    write_face_detector(folder / DETECTOR)
    return folder


def write_arcface(path: Path, seed: int = 0, *, features: int = 20, side: int = 112) -> Path:
    """A recogniser: filters of 4 x 4 pixels, their mean answers in blocks, and one vector of those."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = torch.Generator().manual_seed(seed)
    filters, blocks = 8, (side // _BLOCK) ** 2
    constants = {
        "filters": torch.randn(filters, 3, 4, 4, generator=random) / 48**0.5,
        "thresholds": 0.5 * torch.randn(filters, generator=random),
        "directions": torch.randn(filters * blocks, features, generator=random) / (filters * blocks) ** 0.5,
        "middle": torch.zeros(features),
    }
    # Without the mean over colours and blocks, whose share in all faces is alike, they differ more.
    constants["directions"] -= constants["directions"].mean(dim=0)
    nodes = [
        helper.make_node("Conv", ["input.1", "filters", "thresholds"], ["answers"], strides=[4, 4]),
        helper.make_node("Relu", ["answers"], ["above"]),
        helper.make_node(
            "AveragePool", ["above"], ["means"], kernel_shape=[_BLOCK // 4] * 2, strides=[_BLOCK // 4] * 2
        ),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("Gemm", ["flat", "directions", "middle"], ["1333"], alpha=20.0),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny face recogniser",
        [helper.make_tensor_value_info("input.1", TensorProto.FLOAT, ["None", 3, side, side])],
        [helper.make_tensor_value_info("1333", TensorProto.FLOAT, ["None", features])],
        [numpy_helper.from_array(tensor.numpy(), name) for name, tensor in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def write_eva_clip(path: Path, seed: int = 0, sizes: EvaSizes = EVA_SIZES) -> Path:
    """A CLIP in half precision: the image tower, and of the text tower as much as shows that it is left alone."""
    torch.save({**eva_state(seed, sizes), "text.cls_emb": torch.ones(4).half(), "logit_scale": torch.tensor(4.6)}, path)
    return path


def eva_state(seed: int = 0, sizes: EvaSizes = EVA_SIZES) -> dict[str, torch.Tensor]:
    """The image tower's tensors under their released names, float16."""
    random = torch.Generator().manual_seed(seed)
    state = {}
    for name, empty in EvaTower(sizes).state_dict().items():
        if "norm" in name or "_ln." in name:
            value = torch.full(empty.shape, 1.0 if name.endswith("weight") else 0.0)
            value += 0.1 * torch.randn(empty.shape, generator=random)
        elif name.endswith("weight"):
            value = torch.randn(empty.shape, generator=random) / empty[0].numel() ** 0.5
            if name.endswith(("proj.weight", "w3.weight")) and "blocks" in name:
                value *= 0.5  # what a block adds, against what is there
        else:
            value = 0.1 * torch.randn(empty.shape, generator=random)
        state[f"visual.{name}"] = value.half()
    return state
