"""Latents are kept for the same pixels and the same VAE, and for nothing else."""

from __future__ import annotations

import gc

import torch

from lumosx_core.models.latent_cache import LatentCache


class Vae:
    def __init__(self, factor: float = 2.0):
        self.factor, self.calls = factor, 0

    def encode(self, canvas):
        self.calls += 1
        return canvas * self.factor


def canvas(seed: int, size: int = 8) -> torch.Tensor:
    return torch.rand(1, size, size, 3, generator=torch.Generator().manual_seed(seed))


def test_the_same_pixels_are_encoded_once():
    cache, vae = LatentCache(), Vae()
    first = cache.encoded(vae, canvas(0), vae.encode)
    assert torch.equal(cache.encoded(vae, canvas(0), vae.encode), first)
    assert vae.calls == 1


def test_other_pixels_sizes_settings_and_vaes_are_encoded_anew():
    cache, vae, other = LatentCache(), Vae(), Vae(3.0)
    changed = canvas(0)
    changed[0, 0, 0, 0] += 1e-6
    cache.encoded(vae, canvas(0), vae.encode)
    for each in (changed, canvas(0, 16), canvas(0).reshape(1, 4, 16, 3), canvas(0).half()):
        assert torch.equal(cache.encoded(vae, each, vae.encode), each * 2)
    cache.encoded(vae, canvas(0), vae.encode, ("bfloat16",))
    assert vae.calls == 6
    assert torch.equal(cache.encoded(other, canvas(0), other.encode), canvas(0) * 3)


def test_memory_is_bounded_and_the_ones_used_longest_ago_go():
    cache, vae = LatentCache(most_bytes=2 * 8 * 8 * 3 * 4), Vae()
    for seed in (0, 1, 0, 2):
        cache.encoded(vae, canvas(seed), vae.encode)
    assert vae.calls == 3 and cache.bytes == 2 * 8 * 8 * 3 * 4
    cache.encoded(vae, canvas(0), vae.encode)
    assert vae.calls == 3
    cache.encoded(vae, canvas(1), vae.encode)
    assert vae.calls == 4


def test_what_is_larger_than_the_bound_is_not_kept():
    cache, vae = LatentCache(most_bytes=10), Vae()
    assert torch.equal(cache.encoded(vae, canvas(0), vae.encode), canvas(0) * 2)
    assert cache.bytes == 0


def test_another_vae_takes_the_room_of_an_earlier_one():
    cache, earlier, vae = LatentCache(most_bytes=8 * 8 * 3 * 4), Vae(), Vae()
    cache.encoded(earlier, canvas(0), earlier.encode)
    cache.encoded(vae, canvas(0), vae.encode)
    cache.encoded(vae, canvas(0), vae.encode)
    assert vae.calls == 1


def test_latents_go_with_their_vae():
    cache, vae = LatentCache(), Vae()
    cache.encoded(vae, canvas(0), vae.encode)
    assert cache.bytes
    del vae
    gc.collect()
    assert cache.bytes == 0
