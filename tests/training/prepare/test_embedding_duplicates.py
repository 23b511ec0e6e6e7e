"""Near-duplicates by embeddings: exactly those of a comparison of all pairs, in bounded memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from test_duplicates import entries, facts_of
from test_filters import NO_NETWORK, measured, panned

from lumosx_core.errors import LumosXError
from lumosx_core.evaluation.networks import NetworkNote
from lumosx_training.prepare.filters.all_filters import FilterNetworks
from lumosx_training.prepare.near_duplicates import embedding_index
from lumosx_training.prepare.near_duplicates.embedding_index import EmbeddingIndex, cosine_of, packed, unpacked
from lumosx_training.prepare.settings import DuplicateSettings, EmbeddingSettings, FilterSettings
from lumosx_training.prepare.stages.duplicates import Duplicates
from lumosx_training.prepare.stages.filter import Filter


def vectors(count, seed=0, size=64):
    """Random directions, of which a third are copies of earlier ones, nearer and farther than .99."""
    chance = np.random.default_rng(seed)
    made: list[np.ndarray] = []
    for _ in range(count):
        vector = chance.normal(size=size)
        if made and chance.random() < 0.35:
            vector = made[chance.integers(len(made))] + vector * chance.choice([0.02, 0.08, 0.12, 0.16, 0.3])
        made.append(vector)
    return np.stack(made)


def with_vectors(facts, rows):
    return {
        id: {**each, "embedding": {"network": "tiny", "vector": packed(row)}}
        for (id, each), row in zip(facts.items(), rows, strict=True)
    }


def test_a_packed_vector_keeps_its_direction():
    rows = vectors(200, size=512)
    for one, chance in zip(rows, rows[::-1], strict=True):
        for other, error in ((one + 0.14 * chance, 3e-4), (chance, 3e-3)):
            true = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
            assert cosine_of(unpacked(packed(one)), unpacked(packed(other))) == pytest.approx(true, abs=error)
    assert len(packed(rows[0])) < 700


@pytest.mark.parametrize("text", ["", "AAAA", "not base64!", "Aé"])
def test_what_is_no_vector_is_refused(text):
    with pytest.raises(ValueError):
        unpacked(text)


def test_the_index_finds_what_all_pairs_find(monkeypatch):
    monkeypatch.setattr(embedding_index, "_BLOCK", 32)
    monkeypatch.setattr(embedding_index, "_ENTRIES", 50)
    rows = np.stack([unpacked(packed(row)) for row in vectors(700)])
    index, kept, dropped = EmbeddingIndex(rows, 0.99), [], 0
    for position in range(len(rows)):
        expected = [number for number, other in enumerate(kept) if cosine_of(rows[other], rows[position]) > 0.99]
        assert index.near(position) == expected
        dropped += bool(expected)
        if not expected:
            assert index.add() == len(kept)
            kept.append(position)
    assert 50 < dropped < 300 and len(kept) == 700 - dropped


def test_memory_grows_by_the_bytes_of_the_vectors():
    rows = np.random.default_rng(0).integers(-127, 128, (6000, 512)).astype(np.int8)
    tracemalloc.start()
    index = EmbeddingIndex(rows, 0.99)
    for position in range(len(rows)):
        if not index.near(position):
            index.add()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * 2**20  # all pairs as float32 are 137 MiB


def test_clips_with_near_embeddings_and_other_hashes_are_duplicates():
    rows = vectors(3)
    rows[2] = rows[0] + 0.01
    facts = with_vectors(facts_of(np.array([[0] * 3, [2**40 - 1] * 3, [2**63 - 1] * 3], np.uint64)), rows)
    outcomes = Duplicates(DuplicateSettings()).gather(facts)
    assert [outcome.rejected for outcome in outcomes.values()] == ["", "", "duplicate"]
    assert outcomes["clip-00002"].facts["of"] == "clip-00000" and outcomes["clip-00002"].facts["similarity"] > 0.99
    assert outcomes["clip-00000"].facts["copies"] == ["clip-00002"]
    unlike = Duplicates(DuplicateSettings(similarity=1)).gather(facts)
    assert not any(outcome.rejected for outcome in unlike.values())


def test_hashes_still_count_and_can_be_left_out():
    hashes = np.zeros((2, 3), np.uint64)
    facts = with_vectors(facts_of(hashes), vectors(2))
    assert Duplicates(DuplicateSettings()).gather(facts)["clip-00001"].facts["bits_apart"] == [0, 0, 0]
    alone = Duplicates(DuplicateSettings(distance=-1)).gather(facts)
    assert not any(outcome.rejected for outcome in alone.values())


def test_embeddings_of_two_networks_are_refused():
    facts = with_vectors(facts_of(entries(2, 0)), vectors(2))
    facts["clip-00001"]["embedding"]["vector"] = packed(np.ones(8))
    with pytest.raises(LumosXError, match="clip-00001"):
        Duplicates(DuplicateSettings()).gather(facts)
    del facts["clip-00001"]["embedding"]
    with pytest.raises(LumosXError, match="clip-00001"):
        Duplicates(DuplicateSettings()).gather(facts)


class Mean:
    """The mean colour of a video's frames as its embedding; keeps what it saw."""

    note = NetworkNote("mean", "mean 0123", False)

    def __init__(self):
        self.seen: list[torch.Tensor] = []

    def embed_video(self, frames):
        self.seen.append(frames)
        return torch.nn.functional.normalize(frames.mean(dim=(0, 1, 2)), dim=0)


def test_the_filter_embeds_eight_frames_of_a_clip(tmp_path):
    mean = Mean()
    settings = FilterSettings(
        subtitles=NO_NETWORK.subtitles,
        people=NO_NETWORK.people,
        quality=NO_NETWORK.quality,
        embedding=EmbeddingSettings("xclip", "nowhere"),
    )
    outcome = measured(tmp_path, panned(), settings, FilterNetworks(embedder=lambda: mean))
    [frames] = mean.seen
    assert frames.shape[0] == 8 and frames.shape[3] == 3 and frames.min() >= 0 and frames.max() <= 1
    stored = outcome.facts["embedding"]
    assert stored["network"] == "mean 0123" and "embedding" not in outcome.facts["not_measured"]
    true = frames.mean(dim=(0, 1, 2)).numpy()
    vector = unpacked(stored["vector"]).astype(float)
    assert vector @ true / np.linalg.norm(vector) / np.linalg.norm(true) > 0.9999


def test_without_a_network_a_clip_says_so(tmp_path):
    assert measured(tmp_path, panned()).facts["not_measured"]["embedding"] == "filter.embedding.method = 'none'"


def test_xclip_needs_a_folder():
    with pytest.raises(LumosXError, match=r"filter.embedding.folder"):
        EmbeddingSettings("xclip")


def test_a_real_xclip_embeds_clips_from_its_folder(tmp_path):
    pytest.importorskip("transformers")
    import tiny_embedders

    folder = tiny_embedders.write_xclip(tmp_path / "xclip")
    embedding = EmbeddingSettings("xclip", str(folder))
    settings = FilterSettings(
        subtitles=NO_NETWORK.subtitles, people=NO_NETWORK.people, quality=NO_NETWORK.quality, embedding=embedding
    )
    stage = Filter(settings)
    stage.check()
    one = measured(tmp_path, panned(), settings).facts["embedding"]
    assert one == measured(tmp_path, panned(), settings).facts["embedding"]
    assert one["vector"] != measured(tmp_path, panned(seed=3), settings).facts["embedding"]["vector"]
    before = stage.version()
    (folder / "extra.bin").write_bytes(b"weights")
    assert stage.version() != before
