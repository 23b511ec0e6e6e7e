"""Schema features that newer hosts have and ComfyUI 0.8.0 does not, decided once by the host's version."""

from __future__ import annotations

from ... import HOST

ATTENTION_PATCHES = HOST >= (0, 11, 0)
"""Whether the host's own Wan blocks consult attn1_patch and attn2_patch."""


FOLDED = {"advanced": True}
"""The `extra_dict` of an input that few people change: Nodes 2.0 folds it away under "Show advanced inputs".

By `extra_dict`, as ComfyUI 0.8.0 has no argument of that name; the page understands it on every host.
"""


def found_by(*words: str) -> dict:
    """Arguments of a schema: words by which the page's search finds the node, too."""
    return {"search_aliases": list(words)} if HOST >= (0, 11, 0) else {}
