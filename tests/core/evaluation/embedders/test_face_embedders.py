"""Networks for faces: ArcFace's kind in onnx, CurricularFace in TFace's naming, dlib's in face-api's 8 bits."""

from __future__ import annotations

import json

import pytest
import tiny_embedders
import torch
from tiny_embedders import drawing
from torch import nn
from torch.nn import functional as F

from lumosx_core.auto_scene.cutouts.regions import Box
from lumosx_core.errors import LumosXError
from lumosx_core.evaluation.embedders.arc_face import OnnxFaceEmbedder
from lumosx_core.evaluation.embedders.curricular_face import CurricularFace
from lumosx_core.evaluation.embedders.dlib_centre import CENTRE
from lumosx_core.evaluation.embedders.dlib_face import DlibFace, face_square
from lumosx_core.evaluation.embedders.face_api_weights import read_face_api

CROPS = [drawing(112, 112), drawing(150, 110, 1), drawing(40, 60, 2)]
NAME = "face_recognition_model"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A weight file of each network."""
    root = tmp_path_factory.mktemp("models")
    return {
        "curricular": tiny_embedders.write_curricular_face(root / "curricular.bin"),
        "dlib": tiny_embedders.write_face_api(root / "dlib"),
        "exact": tiny_embedders.write_face_api(root / "exact", quantised=False),
    }


def test_vectors_have_length_one_and_tell_crops_apart(weights):
    for network in (CurricularFace.load(weights["curricular"]), DlibFace.load(weights["dlib"])):
        vectors = network.embed(CROPS)
        assert vectors.shape[0] == 3
        assert torch.allclose(vectors.norm(dim=1), torch.ones(3), atol=1e-5)
        assert float((vectors[0] - vectors[1]).abs().max()) > 1e-3 < float((vectors[1] - vectors[2]).abs().max())
        assert network.embed([]).shape == (0, vectors.shape[1])
        assert network.note.of_the_paper is False


def test_an_onnx_recogniser_is_used_as_it_is(tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from tiny_faces import write_arcface

    network = OnnxFaceEmbedder.load(write_arcface(tmp_path / "glintr100.onnx"))
    vectors = network.embed(CROPS)
    assert vectors.shape == (3, 20) and torch.allclose(vectors.norm(dim=1), torch.ones(3), atol=1e-5)
    assert network.embed([]).shape == (0, 20)
    assert network.note.name == "ArcFace (glintr100)" and network.note.of_the_paper is False


def test_curricular_face_computes_what_its_layers_say(weights):
    """The same crops through a network written down a second time, layer by layer, from the weights' names."""
    state = torch.load(weights["curricular"], weights_only=True)

    def norm(x, name):
        factor = state.get(f"{name}.weight", torch.ones(x.shape[1]))
        summand = state.get(f"{name}.bias", torch.zeros(x.shape[1]))
        shape = (1, -1) + (1,) * (x.ndim - 2)
        deviation = (state[f"{name}.running_var"] + 1e-5).sqrt()
        return (x - state[f"{name}.running_mean"].view(shape)) / deviation.view(shape) * factor.view(
            shape
        ) + summand.view(shape)

    x = CROPS[0].permute(2, 0, 1)[None] * 2 - 1
    x = norm(F.conv2d(x, state["input_layer.0.weight"], padding=1), "input_layer.1")
    x = F.prelu(x, state["input_layer.2.weight"])
    for unit, stride in enumerate((2, 1, 2, 1, 2)):
        name = f"body.{unit}"
        y = F.conv2d(norm(x, f"{name}.res_layer.0"), state[f"{name}.res_layer.1.weight"], padding=1)
        y = F.prelu(norm(y, f"{name}.res_layer.2"), state[f"{name}.res_layer.3.weight"])
        y = norm(F.conv2d(y, state[f"{name}.res_layer.4.weight"], padding=1, stride=stride), f"{name}.res_layer.5")
        if f"{name}.shortcut_layer.0.weight" in state:
            x = norm(F.conv2d(x, state[f"{name}.shortcut_layer.0.weight"], stride=stride), f"{name}.shortcut_layer.1")
        else:
            x = x[:, :, ::stride, ::stride]
        x = x + y
    flat = norm(x, "output_layer.0").flatten(1)
    features = norm(flat @ state["output_layer.3.weight"].T + state["output_layer.3.bias"], "output_layer.4")
    expected = F.normalize(features, dim=1)[0]
    assert torch.allclose(CurricularFace.load(weights["curricular"]).embed([CROPS[0]])[0], expected, atol=1e-4)


def test_dlibs_network_computes_what_its_layers_say(weights):
    """Its first layers and one unit of each kind, written down a second time as modules of torch."""
    network = DlibFace.load(weights["exact"])
    stored = network.weights

    def layer(name, stride):
        filters = stored[f"{name}/conv/filters"]
        conv = nn.Conv2d(filters.shape[2], filters.shape[3], filters.shape[0], stride, 0 if stride == 2 else "same")
        for out in range(filters.shape[3]):
            for inside in range(filters.shape[2]):
                conv.weight.data[out, inside] = filters[:, :, inside, out]
        conv.bias.data = stored[f"{name}/conv/bias"]

        def run(x):
            factor, summand = stored[f"{name}/scale/weights"], stored[f"{name}/scale/biases"]
            return conv(x) * factor.view(1, -1, 1, 1) + summand.view(1, -1, 1, 1)

        return run

    x = torch.rand(2, 64, 35, 35, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        expected = layer("conv128_1/conv1", 1)(torch.cat([x, x], 1)).relu()
        expected = (layer("conv128_1/conv2", 1)(expected) + torch.cat([x, x], 1)).relu()
        assert torch.allclose(network._unit(torch.cat([x, x], 1), "conv128_1", 1), expected, atol=1e-4)
        # 35 -> 17 by the filter, and 17 by the mean of 2 x 2; new channels get the filters' answer alone
        y = layer("conv128_down/conv2", 1)(layer("conv128_down/conv1", 2)(x).relu())
        y[:, :64] += F.avg_pool2d(x, 2)
        assert torch.allclose(network._unit(x, "conv128_down", 2), y.relu(), atol=1e-4)
        # 16 -> 7 by the filter, but 8 by the mean: the map is as large as the larger, and zero beyond the smaller
        small = x[:, :, :16, :16]
        y = F.pad(layer("conv128_down/conv2", 1)(layer("conv128_down/conv1", 2)(small).relu()), (0, 1, 0, 1))
        y[:, :64] += F.avg_pool2d(small, 2)
        assert torch.allclose(network._unit(small, "conv128_down", 2), y.relu(), atol=1e-4)


def test_vectors_of_dlibs_network_are_means_of_both_sides_measured_from_the_mean_of_faces(weights):
    network = DlibFace.load(weights["dlib"])
    assert CENTRE.shape == (128,) and 0.85 < float(CENTRE.norm()) < 1
    crop = (CROPS[0] * 255).permute(2, 0, 1)[None]
    crop = F.interpolate(crop, size=(150, 150), mode="bilinear", antialias=True).clamp(0, 255)
    sides = F.normalize(network._features(torch.cat([crop, crop.flip(-1)])), dim=1)
    expected = F.normalize(F.normalize(sides.sum(dim=0), dim=0) - CENTRE, dim=0)
    assert torch.allclose(network.embed([CROPS[0]])[0], expected, atol=1e-4)
    assert torch.allclose(network.embed([CROPS[0].flip(1)])[0], expected, atol=1e-4)


def test_of_a_wide_crop_everything_is_seen_and_of_a_detectors_box_the_face(weights):
    network = DlibFace.load(weights["dlib"])
    wide = drawing(100, 140)
    square = torch.cat([wide[:1].expand(20, 140, 3), wide, wide[-1:].expand(20, 140, 3)])
    assert torch.allclose(network.embed([wide])[0], network.embed([square])[0], atol=1e-5)
    high = drawing(200, 120)
    side = round(0.9 * (200 * 120) ** 0.5)  # 139, around the middle at 0.62 of the height: rows 54 to 193
    middle = torch.cat([high[:, :1].expand(200, 10, 3), high, high[:, -1:].expand(200, 9, 3)], dim=1)[54 : 54 + side]
    assert middle.shape == (side, side, 3)
    assert torch.allclose(network.embed([high])[0], network.embed([middle])[0], atol=1e-3)


def test_eight_bits_give_nearly_the_values(weights):
    exact, packed = read_face_api(weights["exact"]), read_face_api(weights["dlib"])
    for name, values in exact.items():
        step = float(values.max() - values.min()) / 255
        assert float((values - packed[name]).abs().max()) <= step / 2 + 1e-6, name


def test_the_square_around_a_face_follows_its_landmarks():
    points = [(80.0, 100.0), (120.0, 100.0), (100.0, 120.0), (85.0, 145.0), (115.0, 145.0)]
    square = face_square(Box(60, 60, 140, 180), points)
    distance = (20**2 + 45**2) ** 0.5
    assert square.width == pytest.approx(distance / 0.45) and square.height == pytest.approx(square.width)
    x, y = (80 + 120 + 100) / 3, (100 + 100 + 145) / 3
    assert square.left == pytest.approx(x - square.width / 2) and square.top == pytest.approx(y - 0.43 * square.width)
    without = face_square(Box(60, 60, 140, 180), None)
    assert without == Box(40, 60, 160, 180)
    assert face_square(Box(60, 60, 140, 180), [(5.0, 5.0)] * 5) == without  # landmarks all in one place


def edited(weights, tmp_path, change):
    """A copy of face-api's files of which the manifest is changed."""
    content = json.loads(weights["dlib"].read_text())
    change(content)
    path = tmp_path / weights["dlib"].name
    path.write_text(json.dumps(content))
    (tmp_path / f"{NAME}.bin").write_bytes((weights["dlib"].parent / f"{NAME}.bin").read_bytes())
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[0]["weights"].pop(), "its weights take .* bytes, but there are"),
        (lambda content: content[0]["weights"][0].update(shape=[9999, 9999]), "need more than the"),
        (lambda content: content[0]["weights"][0].update(shape="x"), "no name, shape or type"),
        (lambda content: content[0]["weights"][0]["quantization"].update(dtype="int3"), "no name, shape or type"),
        (lambda content: content[0]["weights"][0]["quantization"].update(scale="much"), "not a number"),
        (lambda content: content[0]["weights"][0]["quantization"].update(scale=1e300), "not finite"),
        (lambda content: content[0]["weights"][0].update(name="other"), "'conv32_down/conv/filters' is missing"),
        (lambda content: content[0].update(paths=["../face.bin"]), "a group has no paths"),
        (lambda content: content[0].update(paths=["gone.bin"]), "gone.bin that .* names cannot be read"),
        (lambda content: content.clear(), "lists no weights"),
    ],
)
def test_damaged_weights_of_face_api_are_refused(weights, tmp_path, change, message):
    with pytest.raises(LumosXError, match=message):
        DlibFace.load(edited(weights, tmp_path, change))


def test_dlibs_network_is_found_by_folder_manifest_or_weights(weights, tmp_path):
    folder = weights["dlib"].parent
    for path in (folder, weights["dlib"], folder / f"{NAME}.bin"):
        assert DlibFace.load(path).note.weights.startswith(f"{NAME}.bin ")
    for path in (tmp_path, tmp_path / "missing.json", tmp_path / "missing"):
        with pytest.raises(LumosXError, match="There is no manifest of dlib's face network"):
            DlibFace.load(path)


def test_other_weights_are_refused_as_curricular_face(weights, tmp_path):
    with pytest.raises(LumosXError, match="There is no file"):
        CurricularFace.load(tmp_path / "missing.bin")
    torch.save({"a": torch.zeros(3)}, tmp_path / "other.bin")
    with pytest.raises(LumosXError, match=r"is not CurricularFace.*found a"):
        CurricularFace.load(tmp_path / "other.bin")
    state = torch.load(weights["curricular"], weights_only=True)
    del state["body.2.res_layer.5.running_var"]
    torch.save(state, tmp_path / "lacking.bin")
    with pytest.raises(LumosXError, match=r"'body\.2\.res_layer\.5\.running_var' is missing"):
        CurricularFace.load(tmp_path / "lacking.bin")


def test_the_depth_of_curricular_face_is_that_of_its_weights(weights):
    assert CurricularFace.load(weights["curricular"]).note.name == "CurricularFace IR-13"
