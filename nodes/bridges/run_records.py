"""Recordings of the last few runs of a sampler, found again by the samples that a run produced."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Generic, TypeVar

import torch

from ...lumosx_core.attention_map.number_choice import NumberChoice
from ...lumosx_core.errors import LumosXError

Record = TypeVar("Record")


class RunRecords(Generic[Record]):
    """The output of a node that records: the recordings of the last few runs of its MODEL.

    ComfyUI keeps it as long as the node's other output, so one object sees many runs.

    Args:
        recorder: the node, for messages.
        steps, layers: that are recorded.
        most: recordings that are kept.
    """

    def __init__(self, recorder: str, steps: NumberChoice, layers: NumberChoice, most: int):
        self.recorder, self.steps, self.layers, self.most = recorder, steps, layers, most
        self._runs: OrderedDict[str, Record | str] = OrderedDict()

    def keep(self, samples: torch.Tensor, outcome: Record | str) -> None:
        """Keep the recording of a run, or the reason why there is none, under its samples."""
        self._runs[_fingerprint(samples)] = outcome
        self._runs.move_to_end(_fingerprint(samples))
        while len(self._runs) > self.most:
            self._runs.popitem(last=False)

    def find(self, samples: torch.Tensor) -> Record:
        """The recording of the run that produced these samples.

        Raises:
            LumosXError: there is none, and why.
        """
        outcome = self._runs.get(_fingerprint(samples))
        if outcome is None:
            raise LumosXError(
                f"No recording belongs to these samples. Connect the MODEL of {self.recorder} to the sampler, "
                "and the latent output of that sampler, unchanged, to samples (of SamplerCustomAdvanced: output)."
            )
        if isinstance(outcome, str):
            raise LumosXError(outcome)
        return outcome


def step_of(options: dict) -> int:
    """The number of the sampler's step, from 1; passes between two noise levels belong to the step that makes them.

    Args:
        options: transformer_options of a pass.
    """
    sigma = options["sigmas"][0].item()
    return max(1, sum(level * (1 + 1e-4) >= sigma for level in options["sample_sigmas"].tolist()))


def _fingerprint(samples: torch.Tensor) -> str:
    data = samples.detach().to("cpu", torch.float32).contiguous()
    return hashlib.blake2b(data.numpy().tobytes(), digest_size=16).hexdigest() + str(tuple(data.shape))
