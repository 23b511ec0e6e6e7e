"""JSON that people bring: every way in which it can fail to be read is named."""

from __future__ import annotations

import json
from typing import Any

from ...errors import LumosXError, shown

DEEPEST = 100  # lists and objects within one another


def parse_json(text: str | bytes, what: str, advice: str) -> Any:
    """What a JSON text says.

    Args:
        what: whose text it is, and
        advice: what to do, for messages.

    Raises:
        LumosXError: it is not JSON, is nested too deeply, or has a number of thousands of digits.
    """
    try:
        content = json.loads(text)
    except RecursionError as error:
        raise LumosXError(f"{what} is not JSON that can be read: its values are nested too deeply. {advice}") from error
    except ValueError as error:
        raise LumosXError(f"{what} is not JSON ({shown(error)}). {advice}") from error
    if _is_deeper(content, DEEPEST):
        raise LumosXError(
            f"{what} is not JSON that can be read: its values are nested more than {DEEPEST} times. {advice}"
        )
    return content


def _is_deeper(content: Any, limit: int) -> bool:
    level = [content]
    for _ in range(limit):
        containers = (each for each in level if isinstance(each, dict | list))
        level = [each for inside in containers for each in (inside.values() if isinstance(inside, dict) else inside)]
        if not level:
            return False
    return True
