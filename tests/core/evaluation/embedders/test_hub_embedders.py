"""CLIP, DINOv2, X-CLIP and OWLv2 in miniature, held against transformers' own use of them."""

from __future__ import annotations

import json
import logging
import shutil
import sys

import pytest
import tiny_embedders
import torch
from tiny_embedders import drawing

from lumosx_core.errors import LumosXError, MissingPackageError
from lumosx_core.evaluation.embedders.clip_embedder import ClipEmbedder
from lumosx_core.evaluation.embedders.dino_embedder import DinoEmbedder
from lumosx_core.evaluation.embedders.owl_finder import OwlFinder
from lumosx_core.evaluation.embedders.video_text import XClipEmbedder

transformers = pytest.importorskip("transformers")

KINDS = {
    "clip": (tiny_embedders.write_clip, ClipEmbedder),
    "dino": (tiny_embedders.write_dino, DinoEmbedder),
    "xclip": (tiny_embedders.write_xclip, XClipEmbedder),
    "owl": (tiny_embedders.write_owl, OwlFinder),
}
IMAGES = [drawing(32, 32), drawing(50, 80, 1), drawing(90, 33, 2)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {name: write(root / name) for name, (write, _) in KINDS.items()}


@pytest.fixture(scope="module")
def networks(folders):
    return {name: KINDS[name][1].load(folder) for name, folder in folders.items()}


@pytest.mark.parametrize("kind", ["clip", "dino"])
def test_images_become_vectors_of_length_one_whatever_their_size(networks, kind):
    vectors = networks[kind].embed(IMAGES)
    assert vectors.shape[0] == 3 and vectors.dtype == torch.float32
    assert torch.allclose(vectors.norm(dim=1), torch.ones(3), atol=1e-5)
    assert float((vectors @ vectors.T - torch.eye(3)).max()) < 0.9999  # different images, different vectors
    assert networks[kind].embed([]).shape == (0, vectors.shape[1])


def test_more_images_than_a_batch_come_back_in_their_order(networks):
    images = [drawing(32, 32, seed) for seed in range(20)]
    vectors = networks["dino"].embed(images)
    assert torch.allclose(vectors[17], networks["dino"].embed([images[17]])[0], atol=1e-5)


def test_clip_sees_what_the_processor_of_transformers_gives_it(networks, folders):
    """The preparation is our own, as a processor brings packages along; Pillow's resize is the same in both."""
    processor = transformers.CLIPImageProcessorPil.from_pretrained(folders["clip"])
    pixels = torch.stack(
        [torch.as_tensor(processor((image * 255).round().byte().numpy())["pixel_values"][0]) for image in IMAGES]
    )
    assert torch.allclose(networks["clip"].preparation.batch(IMAGES), pixels, atol=1e-4)


def test_clip_gives_the_cosines_that_transformers_gives(networks):
    clip = networks["clip"]
    texts = ["denim jacket", "a red hat"]
    tokens = clip.tokenizer(texts, return_tensors="pt", padding=True)
    with torch.no_grad():
        answer = clip.model(pixel_values=clip.preparation.batch(IMAGES), **tokens)
    cosines = answer.logits_per_image / clip.model.logit_scale.exp()
    assert torch.allclose(clip.embed(IMAGES) @ clip.embed_text(texts).T, cosines, atol=1e-4)
    assert float((cosines[:, 0] - cosines[:, 1]).abs().max()) > 1e-3  # the words matter


def test_a_phrase_too_long_for_clip_is_refused_not_cut(networks):
    with pytest.raises(LumosXError, match=r"has \d+ tokens, CLIP reads 20. Shorten it"):
        networks["clip"].embed_text(["denim " * 30])


def test_dino_gives_the_pooler_output(networks):
    dino = networks["dino"]
    with torch.no_grad():
        pooled = dino.model(dino.preparation.batch(IMAGES)).pooler_output
    assert torch.allclose(dino.embed(IMAGES), pooled / pooled.norm(dim=1, keepdim=True), atol=1e-5)


def test_a_video_and_its_frames_in_another_order_differ(networks):
    frames = torch.stack([drawing(40, 60, seed) for seed in range(8)])
    xclip = networks["xclip"]
    vector = xclip.embed_video(frames)
    assert vector.shape == (12,) and float(vector.norm()) == pytest.approx(1, abs=1e-5)
    assert not torch.allclose(vector, xclip.embed_video(frames.flip(0)), atol=1e-4)
    assert torch.equal(vector, xclip.embed_video(frames[[0, 0, 2, 2, 4, 4, 6, 6]]))  # of 8 frames, every second


def test_a_video_with_fewer_frames_than_the_network_takes_is_embedded(networks):
    assert networks["xclip"].embed_video(drawing(40, 60)[None]).shape == (12,)
    with pytest.raises(LumosXError, match="expected .frames, height, width, 3."):
        networks["xclip"].embed_video(torch.zeros(0, 40, 60, 3))


def test_the_vector_of_a_video_is_that_of_transformers(networks):
    xclip = networks["xclip"]
    frames = torch.stack([drawing(32, 32, seed) for seed in range(4)])  # already of the network's size
    pixels = ((frames - torch.tensor(xclip.preparation.mean)) / torch.tensor(xclip.preparation.deviation)).permute(
        0, 3, 1, 2
    )
    tokens = xclip.tokenizer(["a man runs"], return_tensors="pt")
    with torch.no_grad():
        answer = xclip.model(pixel_values=pixels[None], **tokens)
    assert torch.allclose(xclip.embed_video(frames), answer.video_embeds[0], atol=1e-4)


def test_a_caption_too_long_for_the_network_is_cut_and_that_is_logged(networks, caplog):
    with caplog.at_level(logging.WARNING):
        vector = networks["xclip"].embed_text("a man runs " * 30)
    assert vector.shape == (12,) and "X-CLIP reads 20 of the" in caplog.text


def test_the_report_says_that_these_are_not_the_papers_weights(networks):
    for network in networks.values():
        assert network.note.of_the_paper is False and len(network.note.weights.split()[-1]) == 12


def test_weights_of_the_papers_name_count_only_with_their_digest_where_it_is_known(folders, tmp_path):
    clip = shutil.copytree(folders["clip"], tmp_path / "clip-vit-large-patch14")
    dino = shutil.copytree(folders["dino"], tmp_path / "models--facebook--dinov2-base" / "snapshots" / "abc")
    assert ClipEmbedder.load(clip).note.of_the_paper is False  # another digest than the release's
    assert DinoEmbedder.load(dino).note.of_the_paper is True  # known by its repository only
    assert DinoEmbedder.load(dino).note.weights.startswith("facebook/dinov2-base ")


@pytest.mark.parametrize("size", [(48, 64), (64, 64), (100, 30)])
def test_owl_finds_boxes_inside_the_image_best_first(networks, size):
    owl = OwlFinder(*_parts(networks["owl"]), threshold=0)
    found = owl.find(drawing(*size), ["red hat", "man#2", "denim jacket"])
    assert len(found) == 3 and all(found)
    for detections in found:
        scores = [each.score for each in detections]
        assert scores == sorted(scores, reverse=True)
        for each in detections:
            assert 0 <= each.box.left < each.box.right <= size[1] and 0 <= each.box.top < each.box.bottom <= size[0]
    assert owl.find(drawing(*size), []) == []


def test_owl_reports_what_transformers_decodes(networks):
    owl = OwlFinder(*_parts(networks["owl"]), threshold=0)
    image = drawing(40, 64)
    [found] = owl.find(image, ["red hat"])
    tokens = owl.tokenizer(["red hat"], return_tensors="pt", padding="max_length", max_length=16)
    with torch.no_grad():
        answer = owl.model(pixel_values=owl._pixels(image), **tokens)
    scores = answer.logits[0, :, 0].sigmoid()
    expected = []
    for score, (x, y, width, height) in zip(scores.tolist(), (answer.pred_boxes[0] * 64).tolist(), strict=True):
        corners = max(0, x - width / 2), max(0, y - height / 2), min(64, x + width / 2), min(40, y + height / 2)
        if min(corners[2] - corners[0], corners[3] - corners[1]) >= 0.5:  # less is nothing that could be seen
            expected.append((score, *corners))
    expected.sort(reverse=True)
    boxes = [(each.score, each.box.left, each.box.top, each.box.right, each.box.bottom) for each in found]
    assert len(boxes) == len(expected) > 3
    assert torch.allclose(torch.tensor(boxes), torch.tensor(expected), atol=1e-3)


def test_owl_reports_nothing_below_its_threshold_and_refuses_a_long_phrase(networks):
    image = drawing(40, 64)
    everything = OwlFinder(*_parts(networks["owl"]), threshold=0).find(image, ["hat"])[0]
    middle = everything[len(everything) // 2].score
    assert len(OwlFinder(*_parts(networks["owl"]), threshold=middle).find(image, ["hat"])[0]) < len(everything)
    with pytest.raises(LumosXError, match="tokens, OWLv2 reads 16"):
        networks["owl"].find(image, ["jacket " * 20])


def _parts(owl):
    return owl.model, owl.tokenizer, owl.preparation, owl.note


@pytest.mark.parametrize("kind", KINDS)
def test_another_network_a_damaged_folder_and_a_missing_one_are_refused(folders, tmp_path, kind):
    load = KINDS[kind][1].load
    with pytest.raises(LumosXError, match="is not a folder with a model"):
        load(tmp_path / "missing")
    other = "dino" if kind == "clip" else "clip"
    with pytest.raises(LumosXError, match="holds a model of type .* expected"):
        load(folders[other])
    damaged = shutil.copytree(folders[kind], tmp_path / "damaged")
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(LumosXError, match="cannot be opened"):
        load(damaged)
    weights.unlink()
    with pytest.raises(LumosXError, match=r"no \.safetensors file"):
        load(damaged)


@pytest.mark.parametrize("stored", [{"size": "big"}, {"size": {"shortest_edge": -3}}, {"image_mean": [1, 2]}])
def test_a_damaged_preparation_is_refused(folders, tmp_path, stored):
    folder = shutil.copytree(folders["dino"], tmp_path / "dino")
    (folder / "preprocessor_config.json").write_text(json.dumps(stored))
    with pytest.raises(LumosXError, match=r"preprocessor_config\.json is damaged"):
        DinoEmbedder.load(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_without_transformers_the_message_names_it(folders, monkeypatch, kind):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingPackageError, match="transformers"):
        KINDS[kind][1].load(folders[kind])
