"""RAFT as torchvision builds it, with random weights: what goes in and what comes back."""

from __future__ import annotations

import sys

import pytest
import tiny_embedders
import torch
from tiny_embedders import drawing

from lumosx_core.errors import LumosXError, MissingPackageError
from lumosx_core.evaluation.embedders.raft_flow import RaftFlow

pytest.importorskip("torchvision.models.optical_flow")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tiny_embedders.write_raft(tmp_path_factory.mktemp("models") / "raft.pth")


@pytest.fixture(scope="module")
def raft(path):
    network = RaftFlow.load(path)
    network.iterations = 2
    return network


@pytest.mark.parametrize("size", [(128, 136), (100, 61), (150, 130)])
def test_a_flow_has_the_size_of_its_frames(raft, size):
    flow = raft.flow(drawing(*size), drawing(*size, seed=1))
    assert flow.shape == (2, *size) and bool(torch.isfinite(flow).all())


def test_frames_that_fit_are_seen_as_they_are(raft):
    first, second = drawing(128, 136), drawing(128, 136, 1)
    with torch.no_grad():
        pixels = torch.stack([first, second]).permute(0, 3, 1, 2) * 2 - 1
        expected = raft.model(pixels[:1], pixels[1:], num_flow_updates=2)[-1][0]
    assert torch.allclose(raft.flow(first, second), expected, atol=1e-4)
    assert not torch.allclose(raft.flow(second, first), expected, atol=1e-3)


def test_frames_of_two_sizes_are_refused(raft):
    with pytest.raises(LumosXError, match="Give frames of one video"):
        raft.flow(drawing(128, 128), drawing(128, 136))


def test_other_weights_and_a_missing_file_are_refused_and_nothing_is_downloaded(tmp_path):
    with pytest.raises(LumosXError, match=r"no file .*missing\.pth.*raft_large_C_T_V1-22a6c225\.pth.*not\s+downloaded"):
        RaftFlow.load(tmp_path / "missing.pth")
    torch.save({"module.fnet.conv1.weight": torch.zeros(3)}, tmp_path / "raft-things.pth")
    with pytest.raises(LumosXError, match="another network than torchvision's raft_large"):
        RaftFlow.load(tmp_path / "raft-things.pth")


def test_only_the_file_with_the_published_digest_is_the_papers(raft, path):
    assert raft.note.name == "RAFT-things" and raft.note.of_the_paper is False
    assert raft.note.weights.startswith(f"{path.name} ")


def test_without_torchvision_the_message_names_it(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision.models.optical_flow", None)
    with pytest.raises(MissingPackageError, match="torchvision"):
        RaftFlow.load(path)
