"""What newer hosts take in a schema and ComfyUI 0.8.0 refuses, decided once by the host's version.

io.Float.Input("strength", ..., **ADVANCED)             folded away while it is not needed
io.Schema(..., **found_by("person", "outfit"))          words of the search besides those of the name
"""

from __future__ import annotations

from .. import HOST

ADVANCED = {"advanced": True} if HOST >= (0, 11, 0) else {}
"""Arguments of an input that stays at its default in most workflows."""

ATTENTION_PATCHES = HOST >= (0, 11, 0)
"""Whether the host's own Wan blocks consult attn1_patch and attn2_patch."""


def found_by(*words: str) -> dict:
    """Arguments of a schema: words by which the page's search finds the node, too."""
    return {"search_aliases": list(words)} if HOST >= (0, 11, 0) else {}
