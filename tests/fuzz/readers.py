"""All readers, by name."""

from __future__ import annotations

from fuzz import (
    answer_readers,
    command_readers,
    face_readers,
    ingredients_readers,
    media_readers,
    place_readers,
    prepare_readers,
    prompt_readers,
    training_readers,
    weight_readers,
    workflow_readers,
)
from fuzz.reader import Make, Reader

__all__ = ["READERS", "Reader"]

READERS: dict[str, Make] = {
    **media_readers.READERS,
    **workflow_readers.READERS,
    **prompt_readers.READERS,
    **weight_readers.READERS,
    **training_readers.READERS,
    **command_readers.READERS,
    **place_readers.READERS,
    **face_readers.READERS,
    **ingredients_readers.READERS,
    **prepare_readers.READERS,
    **answer_readers.READERS,
}
