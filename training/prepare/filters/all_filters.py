"""Opens the filters that the settings ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lumosx_core.evaluation.networks import VideoEmbedder

from ..required import require_package, require_path
from ..settings import FilterSettings
from .borders import Borders
from .clip_filter import ClipFilter
from .crowds import Counter, Crowds, find_counter, load_counter
from .embedding import Embedding
from .greyscale import Greyscale
from .key_hashes import KeyHashes
from .motion import DenseInverseSearch, Motion, NetworkFlow
from .quality import WITHOUT, FrameScorer, QAlign, Quality
from .subtitles import WITHOUT_READER, RapidReader, Subtitles, TextReader


@dataclass(frozen=True)
class FilterNetworks:
    """Other networks than those that the settings name. Each function is called once in each process, and is sent to
    it, so it must be one that pickle knows.

    Args:
        note: says which they are; a change of it makes all results be made again.
    """

    note: str = ""
    reader: Callable[[], TextReader] | None = None
    people: Callable[[], Counter] | None = None
    scorer: Callable[[], FrameScorer] | None = None
    embedder: Callable[[], VideoEmbedder] | None = None


def open_filters(settings: FilterSettings, networks: FilterNetworks) -> tuple[list[ClipFilter], dict[str, str]]:
    """The filters in the order in which they are asked, and of each one that is switched off how that was said.

    Raises:
        LumosXError: a network is missing.
        MissingPackageError: a package is not installed.
    """
    off: dict[str, str] = {}
    filters: list[ClipFilter] = [KeyHashes(), Borders(settings.borders), Greyscale(settings.greyscale)]
    filters.append(Motion(settings.motion, _flow(settings)))
    if settings.subtitles.method == "none":
        off["subtitles"] = "filter.subtitles.method = 'none'"
    else:
        filters.append(Subtitles(settings.subtitles, networks.reader() if networks.reader else RapidReader()))
    if settings.people.method == "none":
        off["people"] = "filter.people.method = 'none'"
    else:
        count = networks.people() if networks.people else load_counter(settings.people, settings.device)
        filters.append(Crowds(settings.people, count))
    if settings.quality.method == "none":
        off["quality"] = "filter.quality.method = 'none'"
    else:
        scorer = networks.scorer() if networks.scorer else QAlign(settings.device)
        filters.append(Quality(settings.quality, scorer))
    if settings.embedding.method == "none":
        off["embedding"] = "filter.embedding.method = 'none'"
    else:
        embedder = networks.embedder() if networks.embedder else _embedder(settings)
        filters.append(Embedding(embedder))
    return filters, off


def check_filters(settings: FilterSettings, networks: FilterNetworks) -> None:
    """Raise what `open_filters` would of a missing file or package, without loading anything."""
    require_package("imagehash", "Finding near-duplicates")
    if settings.motion.method == "dis":
        require_package("opencv-python", "filter.motion.method = 'dis'", "cv2")
    else:
        require_package("torchvision", "filter.motion.method = 'raft'")
        require_path("filter.motion.weights", settings.motion.weights, "the file with RAFT's weights")
    if settings.subtitles.method == "rapidocr" and networks.reader is None:
        require_package("rapidocr", f"filter.subtitles ({WITHOUT_READER})")
    if settings.people.method != "none" and networks.people is None:
        find_counter(settings.people)
    if settings.quality.method == "pyiqa" and networks.scorer is None:
        require_package("pyiqa", f"filter.quality ({WITHOUT})")
    if settings.embedding.method == "xclip" and networks.embedder is None:
        require_path("filter.embedding.folder", settings.embedding.folder, "the folder of X-CLIP")
        require_package("transformers", "filter.embedding")


def _embedder(settings: FilterSettings) -> VideoEmbedder:
    from lumosx_core.evaluation.embedders.video_text import XClipEmbedder

    return XClipEmbedder.load(settings.embedding.folder, device=settings.device)


def _flow(settings: FilterSettings) -> DenseInverseSearch | NetworkFlow:
    if settings.motion.method == "dis":
        return DenseInverseSearch()
    from lumosx_core.evaluation.embedders.raft_flow import RaftFlow

    return NetworkFlow(RaftFlow.load(settings.motion.weights, device=settings.device))
