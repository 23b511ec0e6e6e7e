"""Which weights the paper's figures were made with, and the note that a report prints about a network."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ...files.file_hash import sha256_of
from ..networks import NetworkNote

_DIGITS = 12  # of a digest in a note


@dataclass(frozen=True)
class Released:
    """Weights that the released benchmark names (arXiv 2603.20192 and its code).

    Args:
        name: of the folder or file, without the ending.
        sha256: the first digits of the digest of the weights, as their publishers state it; None: not published, so
            that the name is all there is to go by.
    """

    name: str
    sha256: str | None = None


CLIP = Released("clip-vit-large-patch14", "a2bf730a0c7debf160f7a6b50b3aaf3703e7e88ac73de7a314903141db026dcb")
DINO = Released("dinov2-base")
OWL = Released("owlv2-base-patch16-ensemble")
CURRICULAR_FACE = Released("glint360k_curricular_face_r101_backbone")
RAFT = Released("raft_large_C_T_V1-22a6c225", "22a6c225")  # raft-things.pth, renamed by torchvision


def weights_note(name: str, path: Path, released: Released | None) -> NetworkNote:
    """What a report says about the network of a file or folder.

    Args:
        name: of the network.
        path: of its weights; of a folder, its .safetensors files count.
        released: the paper's weights of this kind; None where these are never the paper's.

    Raises:
        LumosXError: the weights cannot be read.
    """
    files = sorted(path.glob("*.safetensors")) if os.path.isdir(path) else [path]
    digest = sha256_of(*files)
    same = released is not None and (
        digest.startswith(released.sha256) if released.sha256 else released.name in _names(path)
    )
    return NetworkNote(name, f"{_shown_name(path)} {digest[:_DIGITS]}", same)


def _names(path: Path) -> set[str]:
    """The names by which weights may go: of the file or folder itself, and of its repository in the hub's cache."""
    return {path.name, path.stem, *(part.rpartition("--")[2] for part in path.parts if part.startswith("models--"))}


def _shown_name(path: Path) -> str:
    """A file's or folder's own name; of a folder that the hub's cache calls by a commit, the repository's."""
    repositories = [part for part in path.parts if part.startswith("models--")]
    return repositories[-1].removeprefix("models--").replace("--", "/") if repositories else path.name
