"""Stage 4: of clips that show the same, the best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lumosx_core.errors import LumosXError, shown

from ..near_duplicates.clip_colours import CELLS, levels_apart, read_colours
from ..near_duplicates.embedding_index import EmbeddingIndex, unpacked
from ..near_duplicates.hash_index import HASHES, HashIndex, bits_apart, scattered
from ..settings import DuplicateSettings, settings_hash
from ..stage import Outcome

_MOST_NAMED = 100  # copies that the facts of a clip name


@dataclass(frozen=True)
class Duplicates:
    """Goes through the clips from the best to the worst, and drops each that is near one that was kept.

    So no clip is dropped because of another that is dropped itself, and those that are kept are pairwise different.
    Better is a higher score of quality, where it was measured; then a larger frame, a longer clip, a smaller id. Facts
    of a dropped clip say whose duplicate it is, how many bits each key frame is apart, and how many levels the colours;
    those of a kept one name its copies.

    Near are hashes and colours of key frames, or embeddings, where `[filter.embedding]` measured them: facts of a
    dropped clip then have their `similarity`.

    Clips that are encoded, scaled, graded or trimmed a little differently are duplicates. Mirrored ones are, if the
    settings ask for it. Crops, the same scene at another time, and people who stand alike in other clothes are not.
    """

    settings: DuplicateSettings
    name: str = "duplicates"
    after: str | None = "filter"

    def version(self) -> str:
        return settings_hash(2, self.settings)

    def check(self) -> None:
        """It needs nothing but what the filters stored."""

    def gather(self, facts: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Outcome]:
        """The outcome of each clip.

        Raises:
            LumosXError: facts without hashes.
        """
        ids, plain, mirrored, colours, ranks, vectors = _columns(facts)
        unique = Outcome("", {"copies": []})
        outcomes = dict.fromkeys(ids, unique)
        order = _best_first(ids, ranks)
        index = HashIndex(self.settings.distance, len(ids)) if self.settings.distance >= 0 else None
        embeddings = None
        if vectors is not None and self.settings.similarity < 1:
            embeddings = EmbeddingIndex(vectors[order], self.settings.similarity)
        kept: list[int] = []
        copies: dict[int, list[str]] = {}

        def nearest(hashes: np.ndarray, looks: np.ndarray) -> tuple[int, float] | None:
            """The first entry that is near, and how many levels its colours are apart."""
            if index is None or not len(numbers := index.near(hashes)):
                return None
            levels = levels_apart(colours[[kept[number] for number in numbers]], looks)
            for number, apart in zip(numbers.tolist(), levels.tolist(), strict=True):
                if apart <= self.settings.colour_distance:
                    return number, apart
            return None

        for position, item in enumerate(order):
            like = None if embeddings is None else embeddings.first_near(position)
            seen = [(plain[item], colours[item], False)]
            if self.settings.mirrored:
                seen.append(
                    (mirrored[item], colours[item, :, :, ::-1], not np.array_equal(plain[item], mirrored[item]))
                )
            near = [(*entry, hashes, flipped) for hashes, looks, flipped in seen if (entry := nearest(hashes, looks))]
            if not near and like is None:
                if index is not None:
                    index.add(plain[item])
                if embeddings is not None:
                    embeddings.add()
                kept.append(item)
                continue
            closest = min(near, key=lambda each: each[0], default=None)
            if like is not None and (closest is None or like[0] < closest[0]):
                original = kept[like[0]]
                apart: dict[str, Any] = {"similarity": round(like[1], 4)}
            elif closest is not None:
                number, levels, hashes, flipped = closest
                original = kept[number]
                apart = {"bits_apart": bits_apart(plain[original], hashes).tolist(), "levels_apart": round(levels, 2)}
                apart |= {"mirrored": True} if flipped else {}
            copies.setdefault(original, []).append(ids[item])
            outcomes[ids[item]] = Outcome("duplicate", {"of": ids[original], **apart})
        for original, names in copies.items():
            more = {"more": len(names) - _MOST_NAMED} if len(names) > _MOST_NAMED else {}
            outcomes[ids[original]] = Outcome("", {"copies": names[:_MOST_NAMED], **more})
        return outcomes


def _columns(
    facts: Mapping[str, Mapping[str, Any]],
) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """In one pass: ids, hashes and mirrored hashes (N, 3) uint64, colours (N, 3, 8, 8, 3) uint8, (N, 3) by which clips
    are ranked, and embeddings (N, d) int8, if the clips have any.
    """
    ids: list[str] = []
    hashes: list[bytes] = []
    colours = bytearray()
    ranks: list[tuple[float, float, float]] = []
    vectors = bytearray()
    length = 0
    for id, each in facts.items():
        try:
            measured = each["hashes"]
            pair = [[int(text, 16) for text in measured[name]] for name in ("key_frames", "mirrored")]
            hashes.append(np.array(pair, np.uint64).reshape(2, HASHES).tobytes())
            cells = np.stack([read_colours(text) for text in measured["colours"]])
            colours += cells.reshape(HASHES, *cells.shape[1:]).tobytes()
            quality = each.get("quality", {}).get("quality", 0.0)
            rank = float(quality), min(measured["height"], measured["width"]), float(measured["seconds"])
            vector = unpacked(each["embedding"]["vector"]) if "embedding" in each else np.zeros(0, np.int8)
            if ids and len(vector) != length:
                raise ValueError("embeddings of several networks")
            vectors += vector.tobytes()
            length = len(vector)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise LumosXError(
                f"The filter stage left no hashes and colours for clip {shown(id, 80)!r}, or no embedding like those "
                f"of the others ({type(error).__name__}). Run that stage again."
            ) from error
        ids.append(id)
        ranks.append(rank)
    both = scattered(np.frombuffer(b"".join(hashes), np.uint64).reshape(-1, 2, HASHES))
    looks = np.frombuffer(bytes(colours), np.uint8).reshape(-1, HASHES, CELLS, CELLS, 3)
    ranked = np.array(ranks, np.float64).reshape(-1, 3)
    embedded = np.frombuffer(bytes(vectors), np.int8).reshape(len(ids), length) if length else None
    return ids, both[:, 0].copy(), both[:, 1].copy(), looks, ranked, embedded


def _best_first(ids: list[str], ranks: np.ndarray) -> list[int]:
    names = np.argsort(np.array(ids)) if ids else np.zeros(0, np.int64)
    place = np.empty(len(ids), np.int64)
    place[names] = np.arange(len(ids))
    return np.lexsort((place, -ranks[:, 2], -ranks[:, 1], -ranks[:, 0])).tolist()
