import sys

import pytest
import torch

from lumosx_core.auto_scene.cutouts.regions import Box
from lumosx_core.auto_scene.networks.face_detector import FaceDetector
from lumosx_core.auto_scene.networks.known import INSIGHTFACE
from lumosx_core.errors import LumosXError, MissingPackageError

pytest.importorskip("insightface")
onnx = pytest.importorskip("onnx")
tiny_networks = pytest.importorskip("tiny_networks")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tiny_networks.write_face_detector(tmp_path_factory.mktemp("models") / "det_tiny.onnx")


@pytest.fixture(scope="module")
def detector(path):
    return FaceDetector.load(path)


def photo(height, width, *faces, colour=tiny_networks.SKIN):
    image = torch.full((height, width, 3), 0.3)
    for box in faces:
        box.crop(image)[:] = torch.tensor(colour)
    return image


def assert_near(box, expected, pixels):
    differences = [
        abs(a - b)
        for a, b in zip(
            (box.left, box.top, box.right, box.bottom),
            (expected.left, expected.top, expected.right, expected.bottom),
            strict=True,
        )
    ]
    assert max(differences) <= pixels, (box, expected)


@pytest.mark.parametrize(("height", "width"), [(480, 640), (640, 640), (1200, 700), (70, 100), (3000, 4500)])
def test_a_face_is_found_where_it_is(detector, height, width):
    face = Box(0.2 * width, 0.3 * height, 0.4 * width, 0.6 * height)
    [found] = detector.find(photo(height, width, face))
    # The network here is exact to a pixel of its own 640.
    assert_near(found.box, face, 1.5 * max(height, width) / 640)
    assert 0.5 < found.score < 1


def test_every_face_is_found(detector):
    faces = [Box(30, 40, 130, 160), Box(300, 60, 360, 130), Box(500, 300, 620, 450)]
    found = detector.find(photo(480, 640, *faces))
    assert len(found) == 3
    for face in faces:
        assert max(face.iou(each.box) for each in found) > 0.95


@pytest.mark.parametrize(("height", "width"), [(1200, 900), (900, 1200)])
def test_landmarks_are_in_pixels_of_the_photo(detector, height, width):
    face = Box(200, 300, 500, 700)
    [found] = detector.find(photo(height, width, face))
    eye, other_eye, nose, mouth, other_mouth = found.landmarks
    for (x, y), (share_x, share_y) in zip(
        (eye, other_eye, nose, mouth, other_mouth),
        ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)),
        strict=True,
    ):
        assert x == pytest.approx(face.left + share_x * face.width, abs=3)
        assert y == pytest.approx(face.top + share_y * face.height, abs=3)


def test_the_detector_sees_the_colours_in_its_own_order(detector):
    assert len(detector.find(photo(480, 640, Box(100, 100, 200, 220)))) == 1
    assert detector.find(photo(480, 640, Box(100, 100, 200, 220), colour=tiny_networks.SKIN[::-1])) == []
    assert detector.find(photo(480, 640, Box(100, 100, 200, 220), colour=(1.0, 1.0, 1.0))) == []


def test_a_face_that_fills_the_photograph_is_found(detector):
    face = Box(50, 40, 550, 720)
    assert detector._find(photo(760, 600, face), 640) == []  # at the first look
    [found] = detector.find(photo(760, 600, face))
    assert_near(found.box, face, 3)


def test_a_face_at_the_edge_is_found(detector):
    face = Box(0, 0, 120, 140)
    [found] = detector.find(photo(480, 640, face))
    assert_near(found.box, face, 2)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 3000), (3000, 2), (8, 5)])
def test_a_photograph_of_a_few_pixels_has_no_faces(detector, height, width):
    assert detector.find(photo(height, width)) == []


def test_the_photograph_is_left_as_it_is(detector):
    image = photo(640, 640, Box(100, 100, 200, 220))
    before = image.clone()
    detector.find(image)
    assert torch.equal(image, before)


def test_only_faces_above_the_threshold_are_reported(detector, path):
    image = photo(480, 640, Box(100, 100, 200, 220))
    [found] = detector.find(image)
    assert FaceDetector.load(path, threshold=found.score - 0.01).find(image)
    assert not FaceDetector.load(path, threshold=found.score + 0.01).find(image)


def test_a_detector_for_pictures_of_one_size_can_be_used(tmp_path):
    detector = FaceDetector.load(tiny_networks.write_face_detector(tmp_path / "det_320.onnx", side=320))
    face = Box(300, 200, 500, 450)
    [found] = detector.find(photo(900, 900, face))
    assert_near(found.box, face, 5)


def test_cuda_is_used_only_where_it_is(path):
    from onnxruntime import get_available_providers

    detector = FaceDetector.load(path, cuda=True)
    used = detector.detector.session.get_providers()
    assert ("CUDAExecutionProvider" in used) == ("CUDAExecutionProvider" in get_available_providers())
    assert len(detector.find(photo(480, 640, Box(100, 100, 200, 220)))) == 1


def write_recogniser(path):
    """An onnx file that insightface takes for a network that compares faces."""
    from onnx import TensorProto, helper

    given = helper.make_tensor_value_info("input.1", TensorProto.FLOAT, [1, 3, 112, 112])
    answer = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 3, 112, 112])
    graph = helper.make_graph([helper.make_node("Identity", ["input.1"], ["out"])], "recogniser", [given], [answer])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))


def test_in_a_folder_the_detector_is_known_by_its_name(tmp_path):
    (tmp_path / "1k3d68.onnx").write_bytes(b"is not even opened")
    tiny_networks.write_face_detector(tmp_path / "det_10g.onnx")
    assert len(FaceDetector.load(tmp_path).find(photo(480, 640, Box(100, 100, 200, 220)))) == 1


def test_in_a_folder_a_detector_of_another_name_is_known_by_what_it_is(tmp_path):
    write_recogniser(tmp_path / "a.onnx")
    tiny_networks.write_face_detector(tmp_path / "b.onnx")
    assert len(FaceDetector.load(str(tmp_path)).find(photo(480, 640, Box(100, 100, 200, 220)))) == 1


def test_a_network_that_is_no_detector_is_refused(tmp_path):
    write_recogniser(tmp_path / "w600k_r50.onnx")
    with pytest.raises(LumosXError, match=r"no face detector \(found: w600k_r50.onnx\).*det_10g.onnx.*non-commercial"):
        FaceDetector.load(tmp_path / "w600k_r50.onnx")


def test_a_network_with_outputs_of_another_number_is_refused(tmp_path):
    model = onnx.load(tiny_networks.write_face_detector(tmp_path / "det.onnx"))
    del model.graph.output[7:]
    onnx.save(model, str(tmp_path / "det.onnx"))
    with pytest.raises(LumosXError, match="det.onnx is not a face detector of insightface's kinds"):
        FaceDetector.load(tmp_path / "det.onnx")


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(LumosXError, match="no face detector.*no onnx file"):
        FaceDetector.load(tmp_path)


def test_a_missing_file_is_named_and_not_downloaded(tmp_path):
    with pytest.raises(LumosXError, match="There is no face detector .*buffalo_l. Check the path"):
        FaceDetector.load(tmp_path / "buffalo_l")


def test_a_file_that_is_not_onnx_is_refused(tmp_path):
    (tmp_path / "det_10g.onnx").write_bytes(b"<html>not found</html>")
    (tmp_path / "model.pth").write_bytes(b"")
    with pytest.raises(LumosXError, match="det_10g.onnx cannot be opened: it is damaged"):
        FaceDetector.load(tmp_path / "det_10g.onnx")
    with pytest.raises(LumosXError, match="model.pth is no onnx file"):
        FaceDetector.load(tmp_path / "model.pth")


def test_without_insightface_the_message_says_what_its_models_may_be_used_for(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "insightface", None)
    monkeypatch.setitem(sys.modules, "insightface.model_zoo", None)
    with pytest.raises(MissingPackageError, match="pip install") as caught:
        FaceDetector.load(path)
    assert INSIGHTFACE in str(caught.value)
