"""Scores as JSON: everything that was measured, case by case."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

from ...version import __version__
from ..evaluated import Evaluation
from ..summary import summarise, summarise_binding

FORMAT = 1
"""Raised when a name in the file changes its meaning."""


def report_json(evaluation: Evaluation) -> str:
    """The report as JSON. Numbers that do not exist are null, and names are as they are on disk, escaped."""
    content = {
        "format": FORMAT,
        "lumosx": __version__,
        "protocol": evaluation.protocol.value,
        "metrics": list(evaluation.metrics),
        "networks": {part: asdict(note) for part, note in evaluation.networks.items()},
        "missing_networks": dict(evaluation.missing),
        "groups": summarise(evaluation.scores, evaluation.protocol) if evaluation.scores else [],
        "binding": summarise_binding(evaluation.scores),
        "cases": [
            {
                "name": outcome.name,
                "video": outcome.video,
                "problem": outcome.problem or None,
                "warnings": list(outcome.warnings),
                "scores": None if outcome.scores is None else asdict(outcome.scores),
            }
            for outcome in evaluation.outcomes
        ],
        "files_without_a_case": list(evaluation.extra),
    }
    return json.dumps(_plain(content), indent=1, ensure_ascii=True, allow_nan=False)


def _plain(value: Any) -> Any:
    """What json can write: tuples as lists, keys as texts, and None for numbers that are not finite."""
    if hasattr(value, "__dataclass_fields__"):
        value = asdict(value)
    if isinstance(value, dict):
        return {str(getattr(key, "value", key)): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
