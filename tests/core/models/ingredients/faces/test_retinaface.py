"""The detector of the release, against facexlib's classes and anchors written out, and files that are not it."""

import pytest
import torch
from safetensors.torch import save_file

from lumosx_core.errors import LumosXError
from lumosx_core.models.ingredients.faces.photo import aligned_faces
from lumosx_core.models.ingredients.faces.retinaface import RETINAFACE, RetinaFace
from lumosx_core.models.ingredients.faces.retinaface_network import ANCHORS, STRIDES, RetinaFaceNetwork, anchors


def random_network(width: int = 4, pyramid: int = 8) -> RetinaFaceNetwork:
    """Small, with norms that do something and offsets of the usual size."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = RetinaFaceNetwork(width, pyramid)
        for name, tensor in network.state_dict().items():
            if name.endswith("running_mean"):
                tensor.normal_(0, 0.1)
            elif name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5)
            elif "Head" in name:
                tensor.mul_(2.0 if width == 64 else 0.2)
    return network.eval()


def write(path, network: RetinaFaceNetwork, **options):
    torch.save({f"module.{name}": tensor for name, tensor in network.state_dict().items()}, path, **options)
    return path


def noise(height: int = 67, width: int = 101) -> torch.Tensor:
    return torch.rand(height, width, 3, generator=torch.Generator().manual_seed(1))


def test_anchors_are_in_the_middle_of_their_cells_by_stride_row_column_and_size():
    expected = [
        ((column + 0.5) * stride, (row + 0.5) * stride, side)
        for stride, sides in zip(STRIDES, ANCHORS, strict=True)
        for row in range(-(-50 // stride))
        for column in range(-(-70 // stride))
        for side in sides
    ]
    assert anchors(50, 70).tolist() == [list(each) for each in expected]


@torch.no_grad()
def test_each_anchor_has_a_score_a_box_and_landmarks():
    scores, boxes, landmarks = random_network()(torch.zeros(2, 3, 50, 70))
    count = len(anchors(50, 70))
    assert (scores.shape, boxes.shape, landmarks.shape) == ((2, count), (2, count, 4), (2, count, 10))


@pytest.mark.slow
def test_network_and_faces_are_those_of_facexlib(tmp_path, monkeypatch):
    theirs_module = pytest.importorskip("facexlib.detection.retinaface", reason="facexlib is not installed")
    network = random_network(64, 256)
    theirs = theirs_module.RetinaFace("resnet50", device="cpu")
    theirs.load_state_dict(network.state_dict())
    monkeypatch.setattr(theirs_module, "py_cpu_nms", plain_suppression)  # theirs needs a torchvision that fits torch
    # Released before torch had its present format.
    path = write(tmp_path / RETINAFACE, network, _use_new_zipfile_serialization=False)
    ours = RetinaFace.load(tmp_path, threshold=0.5)
    assert path.exists()
    photo = (noise() * 255).round() / 255
    with torch.no_grad():
        expected = theirs.detect_faces((photo * 255).byte().flip(-1).numpy(), conf_threshold=0.5)
    found = [
        [box.left, box.top, box.right, box.bottom, face.score, *(each for point in face.landmarks for each in point)]
        for face in ours.find(photo)
        for box in [face.box]
    ]
    assert len(found) == len(expected) > 20
    assert torch.allclose(torch.tensor(found), torch.from_numpy(expected).float(), atol=1e-3)


def plain_suppression(boxes, overlap: float) -> list[int]:
    """Of (N, 5) boxes, best first, those that no better one covers."""
    kept: list[int] = []
    for i, (left, top, right, bottom, _) in enumerate(boxes):
        for other in kept:
            x = max(0.0, min(right, boxes[other, 2]) - max(left, boxes[other, 0]))
            y = max(0.0, min(bottom, boxes[other, 3]) - max(top, boxes[other, 1]))
            both = (right - left) * (bottom - top)
            both += (boxes[other, 2] - boxes[other, 0]) * (boxes[other, 3] - boxes[other, 1])
            if x * y > overlap * (both - x * y):
                break
        else:
            kept.append(i)
    return kept


def test_faces_are_sure_apart_and_best_first(tmp_path):
    finder = RetinaFace.load(write(tmp_path / "detector.pth", random_network()), threshold=0.4)
    every = finder.find(noise())
    assert len(every) > 5
    scores = [face.score for face in every]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] > 0.4
    middle = (scores[0] + scores[-1]) / 2
    sure = RetinaFace(finder.network, threshold=middle).find(noise())
    assert [face.score for face in sure] == [score for score in scores if score > middle]
    boxes = torch.tensor([[face.box.left, face.box.top, face.box.right, face.box.bottom, 1.0] for face in every])
    assert plain_suppression(boxes.numpy(), 0.4) == list(range(len(every)))
    assert RetinaFace(finder.network).find(noise()) == []


def test_the_network_sees_blue_green_and_red_less_their_means():
    seen = []
    finder = RetinaFace(random_network())
    finder.network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    finder.find(torch.tensor([0.2, 0.4, 1.0]).expand(40, 50, 3))
    assert seen[0].shape == (1, 3, 40, 50)
    assert seen[0][0, :, 7, 9].tolist() == [255 - 104, 102 - 117, 51 - 123]


def test_the_format_of_the_file_makes_no_difference(tmp_path):
    network = random_network()
    old = write(tmp_path / "old.pth", network, _use_new_zipfile_serialization=False)
    new = write(tmp_path / "new.pth", network)
    state = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    save_file(state, tmp_path / "plain.safetensors")
    found = [RetinaFace.load(path, threshold=0.4).find(noise()) for path in (old, new, tmp_path / "plain.safetensors")]
    assert found[0] == found[1] == found[2] != []


def test_its_faces_are_ones_that_can_be_aligned(tmp_path):
    """As far as the types go: random landmarks are no face's."""
    finder = RetinaFace.load(write(tmp_path / "detector.pth", random_network()), threshold=0.4)
    with pytest.raises(LumosXError, match="cannot be aligned"):
        aligned_faces(noise(), finder.find, which="all", warn=lambda _: None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda state: state.pop("body.conv1.weight"),
            "is not RetinaFace with ResNet-50. Expected: detection_Resnet50",
        ),
        (
            lambda state: state.pop("ssh2.conv3X3.0.weight"),
            r"ssh2\.conv3X3\.0\.weight is nothing, expected \(4, 8, 3, 3\)",
        ),
        (lambda state: state.update({"body.bn1.bias": torch.ones(3)}), r"body\.bn1\.bias is \(3,\), expected \(4,\)"),
        (lambda state: state["body.bn1.bias"].fill_(torch.nan), "body.bn1.bias has values that are not finite"),
    ],
)
def test_another_network_is_refused(tmp_path, change, message):
    state = random_network().state_dict()
    change(state)
    torch.save(state, tmp_path / "detector.pth")
    with pytest.raises(LumosXError, match=message):
        RetinaFace.load(tmp_path / "detector.pth")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(LumosXError, match=f"{RETINAFACE} does not exist"):
        RetinaFace.load(tmp_path)
