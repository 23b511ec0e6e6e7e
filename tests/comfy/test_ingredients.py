"""Ingredients (CogVideoX) in a real ComfyUI: from two faces to a video."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from graphs import frames, latents, node, sampled, saved
from ingredients_graphs import HEIGHT, LENGTH, RELEASE, WIDTH, again, as_released, loaders, video_graph, write_faces, write_release

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def release(server):
    """A server with a release in miniature and three faces."""
    pytest.importorskip("onnx")
    write_release(server.directory / "models")
    write_faces(server.directory / "input" / "faces")
    return server


def sample(server, graph, sampler: str = "sampler") -> torch.Tensor:
    """The latents of a graph."""
    graph = {**again(graph), "latent": node("SaveLatent", samples=[sampler, 0], filename_prefix="latent")}
    return latents(server, server.run(graph))


def test_two_faces_become_a_video(release):
    graph = saved(as_released(video_graph()))
    outputs = release.run(graph)
    (path,) = release.saved(outputs, "save")
    video = frames(path)
    assert video.shape == (LENGTH, HEIGHT, WIDTH, 3)
    assert np.isfinite(latents(release, outputs).numpy()).all()
