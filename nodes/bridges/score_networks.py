"""The networks that score videos: found in ComfyUI's folders, loaded once, and held by its memory management.

Face detectors and face embedders are not: they are small and stay where they are.
"""

from __future__ import annotations

from importlib.util import find_spec

from comfy_api.latest import io

from ...lumosx_core.errors import LumosXError
from ...lumosx_core.evaluation.installed import find_network, find_networks, open_network, what_to_install
from ...lumosx_core.evaluation.measured_video import Networks
from ..inputs.host_schema import FOLDED
from .photo_models_bridge import AUTO, OnDevice, face_finder, model_folders, once, phrase_finder

_WORKING = 10**9  # bytes on the device beside the weights: a batch of images


def embedder_input() -> io.Combo.Input:
    """Chooses among the face embedders that were found."""
    return io.Combo.Input(
        "face_embedder",
        options=[AUTO, *find_networks("arc", model_folders())],
        default=AUTO,
        tooltip="Tells people apart: an onnx file of InsightFace, such as glintr100.onnx or w600k_r50.onnx, in "
        "models/insightface, or dlib's network as face-api has it, in models/evaluation. auto: the first one found.",
        extra_dict=FOLDED,
    )


def score_networks(face_model: str, box_model: str, face_embedder: str) -> Networks:
    """The networks by which a video is scored: those for faces, and for clothes those that are installed.

    Args:
        face_model, box_model, face_embedder: names as the inputs list them.

    Raises:
        LumosXError: there is no face detector or embedder; the message says what to install.
        MissingPackageError: a package that they need is not installed.
    """
    faces = face_finder(face_model, 0.5)
    found = find_networks("arc", model_folders())
    path = next(iter(found.values()), None) if face_embedder == AUTO else found.get(face_embedder)
    if path is None:
        raise LumosXError(what_to_install("arc", model_folders()))
    arc = once("arc", (path,), lambda: open_network("arc", path))
    phrases = None
    if box_model != AUTO or find_network("phrases", model_folders()):
        phrases = phrase_finder(box_model, 0.3)
    clip, dino = _embedder("clip"), _embedder("dino")
    return Networks(faces=faces, phrases=phrases, things=phrases, arc=arc, clip=clip, dino=dino)


def _embedder(part: str) -> _Embedder | None:
    """The first one found; None if there is none, or transformers is not installed."""
    path = find_network(part, model_folders())
    if path is None or find_spec("transformers") is None:
        return None
    return once(part, (path,), lambda: _Embedder(open_network(part, path), _WORKING))


class _Embedder(OnDevice):
    """An embedder of images, and of texts if it has any."""

    @property
    def note(self):
        return self.network.note

    def embed(self, images):
        return self.ready().embed(images)

    def embed_text(self, texts):
        return self.ready().embed_text(texts)
