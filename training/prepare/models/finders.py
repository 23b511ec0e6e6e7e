"""Loads the networks of Auto Scene for the stages, in the process that works with them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

from lumosx_core.auto_scene.settings import Finders
from lumosx_core.errors import LumosXError
from lumosx_core.evaluation.networks import ImageEmbedder
from lumosx_core.files.file_hash import sha256_of
from lumosx_core.own_command import own_command

from ..required import require_package, require_path
from ..scene_settings import FinderSettings
from ..settings import settings_hash


class FinderLoader(Protocol):
    """Where a stage's finders come from. It is sent to the processes that work, so it holds no network."""

    def version(self) -> str:
        """Changes when what they find would."""

    def check(self) -> None:
        """Raise what `open` would of a missing file or package, without loading anything."""

    def open(self) -> Finders: ...

    def identity(self) -> ImageEmbedder | None:
        """What tells people apart by crops of their faces; None: nothing does."""


@dataclass(frozen=True)
class FindersOnDisk:
    """The networks that the settings name.

    Raises (when they are opened):
        LumosXError: a network is not given, is missing or damaged.
        MissingPackageError: the package that runs it is not installed.
    """

    settings: FinderSettings

    def version(self) -> str:
        """Of the settings and the contents of the files."""
        paths = [self.settings.faces, self.settings.phrases, self.settings.masks, self.settings.identity]
        return settings_hash(self.settings, *(weights_hash(path) for path in paths if path))

    def check(self) -> None:
        for name in ("faces", "phrases", "masks"):
            require_path(f"finders.{name}", self._path(name), "a file or folder of the network")
        require_package("insightface", "finders.faces")
        require_package("transformers", "finders.phrases")
        if self.settings.identity:
            require_path("finders.identity", self.settings.identity, "the file of a network that tells faces apart")

    def open(self) -> Finders:
        from lumosx_core.auto_scene.networks.face_detector import FaceDetector
        from lumosx_core.auto_scene.networks.grounding_dino import GroundingDino
        from lumosx_core.auto_scene.networks.sam import load_segmenter

        device = self.settings.device

        @cache
        def faces():
            return FaceDetector.load(self._path("faces"), cuda=device == "cuda")

        @cache
        def phrases():
            return GroundingDino.load(self._path("phrases"), device=device)

        @cache
        def masks():
            return load_segmenter(self._path("masks"), device=device)

        return Finders(faces, phrases, masks)

    def identity(self) -> ImageEmbedder | None:
        if not self.settings.identity:
            return None
        from lumosx_core.evaluation.embedders.arc_face import OnnxFaceEmbedder
        from lumosx_core.evaluation.embedders.dlib_face import DlibFace

        onnx = self.settings.identity.lower().endswith(".onnx")
        return OnnxFaceEmbedder.load(self.settings.identity) if onnx else DlibFace.load(self.settings.identity)

    def _path(self, name: str) -> str:
        path: str = getattr(self.settings, name)
        if not path:
            raise LumosXError(
                f"finders.{name} is empty: no network is given. Give a file or folder. This fetches the usual ones: "
                f"{own_command('download', '--photographs', 'models')}"
            )
        return path


def weights_hash(path: str) -> str:
    """Of a file, or of the names and sizes in a folder: its files are gigabytes, and no two releases have the same."""
    root = Path(path).expanduser()
    if not root.exists():
        raise LumosXError(f"There is no network at {path}. Check the path.")
    if root.is_file():
        return sha256_of(root)
    files = sorted(each for each in root.rglob("*") if each.is_file())
    return settings_hash([(each.relative_to(root).as_posix(), each.stat().st_size) for each in files])
