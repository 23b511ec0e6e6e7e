"""From a scene and a prompt to an EncodedScene: the one way there, for pipeline, nodes, cache, previews and exam."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..media.images import fit_on_canvas
from ..prompt.phrase_mask import check_prompt_length, clean_prompt, phrase_mask
from ..scene.encoded import EncodedScene
from ..scene.scene import Scene
from .family import Tokenizer


@dataclass(frozen=True, eq=False)
class PreparedScene:
    """A scene whose phrases were found in a prompt; its images await their encoder.

    Args:
        prompt: the cleaned prompt.
        prompt_ids: its token ids.
        phrase_mask: (R, text_len) bool.
    """

    scene: Scene
    prompt: str
    prompt_ids: list[int]
    phrase_mask: Tensor

    def canvases(self, size: tuple[int, int]) -> Tensor:
        """The images on canvases of (height, width) pixels: (R, height, width, 3) float32, 0..1."""
        return _canvases(self.scene, size)

    def encode(self, encode_images: Callable[[Tensor], Tensor], size: tuple[int, int]) -> EncodedScene:
        """Encode the images for a video of (height, width) pixels; see `encode_scene`."""
        return self.encoded(encode_images(self.canvases(size)))

    def encoded(self, references: Tensor) -> EncodedScene:
        """The scene with the latents of its images, (1, C, R, h, w)."""
        return _encoded(self.scene, references, self.phrase_mask)


def prepare_scene(scene: Scene, prompt: str, tokenizer: Tokenizer, *, text_len: int) -> PreparedScene:
    """Find the words of every image in the prompt.

    Raises:
        LumosXError: the prompt is too long, or a phrase does not occur in it; see `phrase_mask`.
    """
    prompt = clean_prompt(prompt)
    ids = tokenizer.tokenize_prompt(prompt)
    mask = phrase_mask(ids, scene, tokenizer.tokenize, pieces=tokenizer.pieces, prompt=prompt, text_len=text_len)
    return PreparedScene(scene, prompt, ids, mask)


def encode_scene(
    scene: Scene,
    prompt: str,
    tokenizer: Tokenizer,
    encode_images: Callable[[Tensor], Tensor],
    size: tuple[int, int],
    *,
    text_len: int,
) -> EncodedScene:
    """Encode a scene for a video of one size.

    Args:
        encode_images: (R, height, width, 3) in 0..1 -> (1, C, R, h, w), such as `VideoAutoencoder.encode_images`.
        size: (height, width) of the video in pixels.
        text_len: text tokens that the model reads.

    Raises:
        LumosXError: see `prepare_scene`.
    """
    return prepare_scene(scene, prompt, tokenizer, text_len=text_len).encode(encode_images, size)


def encode_unbound(
    scene: Scene,
    prompt: str,
    tokenizer: Tokenizer,
    encode_images: Callable[[Tensor], Tensor],
    size: tuple[int, int],
    *,
    text_len: int,
) -> EncodedScene:
    """Encode a scene whose images are bound to no words, for a network without MCAM; arguments as in `encode_scene`.

    The prompt need not contain the phrases.

    Raises:
        LumosXError: the prompt is too long.
    """
    check_prompt_length(tokenizer.tokenize_prompt(clean_prompt(prompt)), text_len)
    scene.check_size()
    return _encoded(scene, encode_images(_canvases(scene, size)), None)


def _canvases(scene: Scene, size: tuple[int, int]) -> Tensor:
    images = [fit_on_canvas(reference.image, *size) for reference in scene.references]
    return torch.stack(images) if images else torch.zeros(0, *size, 3)


def _encoded(scene: Scene, references: Tensor, phrase_mask: Tensor | None) -> EncodedScene:
    labels = [reference.phrase for reference in scene.references]
    return EncodedScene(references, scene.layout, phrase_mask, scene.strengths, labels)
