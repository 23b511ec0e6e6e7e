"""Latents of reference images, kept while only the prompt changes."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from weakref import WeakKeyDictionary

from torch import Tensor

MOST_BYTES = 2**26  # an image of 832x480 takes 400 kB


class LatentCache:
    """The latents of the images that were encoded last, by the VAE, the pixels it saw, and its settings.

    Latents of a VAE go when it goes: the cache does not hold it. Beyond `most_bytes` the ones used longest ago go.
    """

    def __init__(self, most_bytes: int = MOST_BYTES):
        self._most_bytes = most_bytes
        self._of_vae: WeakKeyDictionary[object, OrderedDict[Hashable, Tensor]] = WeakKeyDictionary()

    def encoded(
        self, vae: object, canvas: Tensor, encode: Callable[[Tensor], Tensor], settings: Hashable = ()
    ) -> Tensor:
        """What `encode(canvas)` gives, computed only if it is not known. Do not change it in place.

        Args:
            vae: whatever encodes; two VAEs never share latents.
            canvas: the pixels as the VAE gets them.
            settings: of the VAE, as far as they change and the latents with them.
        """
        key = (_digest(canvas), tuple(canvas.shape), canvas.dtype, settings)
        latents = self._of_vae.get(vae)
        if latents is not None and key in latents:
            latents.move_to_end(key)
            return latents[key]
        latent = encode(canvas)
        self._of_vae.setdefault(vae, OrderedDict())[key] = latent
        self._shrink(vae)
        return latent

    @property
    def bytes(self) -> int:
        """What the latents take in memory."""
        return sum(latent.nbytes for latents in self._of_vae.values() for latent in latents.values())

    def _shrink(self, current: object) -> None:
        others = [vae for vae in self._of_vae if vae is not current]
        for vae in (*others, current):  # the VAE that works now is the last to lose some
            latents = self._of_vae[vae]
            while latents and self.bytes > self._most_bytes:
                latents.popitem(last=False)


def _digest(pixels: Tensor) -> bytes:
    return hashlib.blake2b(pixels.detach().cpu().contiguous().numpy().tobytes(), digest_size=32).digest()
