"""A folder with a network as transformers saves it: what it holds is checked before anything of it is opened."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...errors import LumosXError


@dataclass(frozen=True)
class HubFolder:
    """A folder that a network is to be opened from; nothing is downloaded and no code in it is run.

    Args:
        types: the values of `model_type` in config.json that are meant.
        network: its name, for messages.
        where_to_get: a sentence, for messages.
    """

    path: Path
    types: tuple[str, ...]
    network: str
    where_to_get: str

    def model_type(self) -> str:
        """The type of network that config.json names, one of `types`.

        Raises:
            LumosXError: there is no config.json, or it is damaged, or names another type.
        """
        config = self.path / "config.json"
        if not os.path.isfile(config):
            raise LumosXError(f"{self.path} is not a folder with a model: there is no {config}. {self.where_to_get}")
        found = read_object(config).get("model_type")
        if found not in self.types:
            raise LumosXError(
                f"{self.path} holds a model of type {found!r}, expected {' or '.join(self.types)}. {self.where_to_get}"
            )
        return found

    def settings(self, name: str) -> dict:
        """The object in a JSON file of the folder; empty if there is no such file.

        Raises:
            LumosXError: it is damaged.
        """
        path = self.path / name
        return read_object(path) if os.path.isfile(path) else {}

    def open(self, from_pretrained: Callable, **options) -> Any:
        """What a `from_pretrained` of transformers makes of the folder.

        Raises:
            LumosXError: the folder is damaged.
        """
        try:
            return from_pretrained(self.path, local_files_only=True, trust_remote_code=False, **options)
        except Exception as error:  # transformers raises almost anything for a damaged folder
            raise LumosXError(
                f"The {self.network} model {self.path} cannot be opened ({error}). Download it again. "
                f"{self.where_to_get}"
            ) from error

    def open_network(self, from_pretrained: Callable, **options) -> nn.Module:
        """The network, with all its weights.

        Raises:
            LumosXError: the folder is damaged, or weights are missing, which transformers would make up.
        """
        if not any(self.path.glob("*.safetensors")):
            raise LumosXError(
                f"The {self.network} model {self.path} has no .safetensors file. Weights in pickles (.bin) are not "
                f"opened, as they could run code. {self.where_to_get}"
            )
        network, report = self.open(from_pretrained, output_loading_info=True, use_safetensors=True, **options)
        if report["missing_keys"]:
            raise LumosXError(
                f"The {self.network} model {self.path} lacks weights ({sorted(report['missing_keys'])[0]!r} for one). "
                f"Download it again."
            )
        return network

    def ready_network(
        self,
        from_pretrained: Callable,
        *,
        device: str | torch.device | None,
        dtype: torch.dtype | None = None,
        **options,
    ) -> Any:
        """The network that the folder is said to hold, to be asked and not trained.

        Args:
            device: None for the CPU.
            dtype: of the weights; None for float32.

        Raises:
            LumosXError: another network, or a damaged one.
        """
        self.model_type()
        network = self.open_network(from_pretrained, **options)
        return network.to(device=device, dtype=dtype or torch.float32).eval().requires_grad_(False)


def read_object(path: Path) -> dict:
    """The object in a JSON file.

    Raises:
        LumosXError: the file cannot be read, is damaged, or holds something else than an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LumosXError(f"{path} cannot be read ({error}). Check that it is there and may be read.") from error
    except (ValueError, RecursionError) as error:
        raise LumosXError(f"{path} is damaged ({error}). Download it again.") from error
    if not isinstance(content, dict):
        raise LumosXError(
            f"{path} is damaged: it holds a {type(content).__name__}, expected an object, {{...}}. Download it again."
        )
    return content
