"""How the CLIP of the graph splits a prompt into tokens."""

from __future__ import annotations

from ..lumosx_core.errors import LumosXError

_ENCODER = "umt5xxl"  # ComfyUI's name for it, whatever its size


class PromptTokenizer:
    """Token ids of prompts and phrases as a Wan CLIP sees them.

    Raises:
        LumosXError: the CLIP is of another model family.
    """

    def __init__(self, clip):
        self._clip = clip
        found = list(clip.tokenize(""))
        if found != [_ENCODER]:
            raise LumosXError(
                f"LumosX needs the umt5 text encoder of Wan2.1, but this CLIP is {' + '.join(found)}. Load umt5_xxl "
                f"with Load CLIP, type wan."
            )

    def ids(self, tokens: dict) -> list[int]:
        """Token ids of a tokenized prompt, padded; -1 for a token that is an embedding."""
        return [token if isinstance(token, int) else -1 for batch in tokens[_ENCODER] for token, *_ in batch]

    def phrase_ids(self, phrase: str) -> list[int]:
        """Token ids of a phrase, closed by the end token; brackets in it are no weights."""
        return self.ids(self._clip.tokenize(phrase, disable_weights=True))

    def pieces(self, prompt: str) -> list[tuple[int, str]]:
        """Id and text piece of each token of a prompt."""
        tokenizer = self._clip.tokenizer
        vocabulary = getattr(tokenizer, tokenizer.clip).inv_vocab
        return [(token, vocabulary.get(token, "")) for token in self.ids(self._clip.tokenize(prompt))]
