"""The recorded numbers catch the mistakes that a network of this kind is likely to contain.

Each is planted into the network, which must then be off by more than ten times what is allowed; subtle ones by more
than what is allowed. An eps of 1e-5 instead of 1e-6 in the norms of queries and keys is too small a change for that:
the comparison with diffusers' ConsisID (test_one_face.py) excludes it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from recorded_cases import deviations
from torch import nn

from lumosx_core.models.cogvideox import layers, network, positions
from lumosx_core.models.cogvideox.layers import (
    FeedForward,
    FinalNorm,
    GeluProjection,
    JointAttention,
    ModulatedNorm,
    PatchEmbedding,
    TimeEmbedding,
)
from lumosx_core.models.cogvideox.network import CogVideoXNetwork
from lumosx_core.models.ingredients import extractor, model, router
from lumosx_core.models.ingredients.extractor import LocalFacialExtractor, PerceiverAttention
from lumosx_core.models.ingredients.router import PerceiverCrossAttention, Router

TIMES_THE_TOLERANCE = 10
SUBTLE = {"norms have the eps of queries and keys", "feed forward uses another gelu"}

MISTAKES: dict[str, Callable[[pytest.MonkeyPatch], None]] = {}


def mistake(plant: Callable[[pytest.MonkeyPatch], None]) -> Callable[[pytest.MonkeyPatch], None]:
    MISTAKES[plant.__name__.replace("_", " ")] = plant
    return plant


@pytest.fixture(scope="module")
def honest(recorded_network, recorded) -> dict[str, float]:
    return deviations(recorded_network, recorded)


# The router.


@mistake
def router_logits_are_scaled(patch):
    forward = Router.forward
    patch.setattr(Router, "forward", lambda self, image, keys: forward(self, image, keys) / math.sqrt(keys.shape[-1]))


@mistake
def routing_is_hard(patch):
    patch.setattr(model, "route", lambda logits: F.one_hot(logits.argmax(-1), logits.shape[-1]).float())


@mistake
def routing_has_a_background_class(patch):
    def route(logits):
        return torch.softmax(F.pad(logits, (0, 1)), dim=-1)[..., :-1]

    patch.setattr(model, "route", route)


@mistake
def routing_is_normalised_over_tokens(patch):
    patch.setattr(model, "route", lambda logits: torch.softmax(logits, dim=-2))


@mistake
def faces_are_weighted_equally(patch):
    patch.setattr(model, "route", lambda logits: torch.full_like(logits, 1 / logits.shape[-1]))


@mistake
def router_merges_face_tokens_by_their_mean(patch):
    patch.setattr(Router, "keys", lambda self, faces: self.to_kv(self.norm1(faces).mean(1)))


@mistake
def router_merges_before_its_norm(patch):
    def keys(self, faces):
        return self.to_kv(self.norm1(self.id_merge(faces.transpose(1, 2)).squeeze(-1)))

    patch.setattr(Router, "keys", keys)


@mistake
def router_leaves_the_faces_unnormalised(patch):
    patch.setattr(Router, "keys", lambda self, f: self.to_kv(self.id_merge(f.transpose(1, 2)).squeeze(-1)))


@mistake
def router_leaves_the_image_unnormalised(patch):
    patch.setattr(Router, "forward", lambda self, image, keys: self.to_q(image) @ keys.T)


# The injection.


@mistake
def faces_are_injected_a_block_late(patch):
    inject = model._Injection.__call__
    patch.setattr(model._Injection, "__call__", lambda self, block, image: inject(self, block - 1, image))


@mistake
def faces_are_injected_before_the_block(patch):
    predict = CogVideoXNetwork.predict

    def early(self, latents, timestep, text, rope=None, after_block=None):
        hooks = [
            block.register_forward_pre_hook(lambda _, given, i=index: (after_block(i, given[0]), *given[1:]))
            for index, block in enumerate(self.transformer_blocks)
        ]
        try:
            return predict(self, latents, timestep, text, rope)
        finally:
            for hook in hooks:
                hook.remove()

    patch.setattr(CogVideoXNetwork, "predict", early)


@mistake
def faces_are_injected_into_the_text_too(patch):
    predict = CogVideoXNetwork.predict

    def joint(self, latents, timestep, text, rope=None, after_block=None):
        split = text.shape[1]

        def inject(_, given, results, index):
            both = after_block(index, torch.cat([results[1], results[0]], dim=1))
            if after_block.logits and after_block.logits[-1].shape[1] == both.shape[1]:
                after_block.logits[-1] = after_block.logits[-1][:, split:]
            return both[:, split:], both[:, :split]

        hooks = [
            block.register_forward_hook(lambda *given, i=index: inject(*given, i))
            for index, block in enumerate(self.transformer_blocks)
        ]
        try:
            return predict(self, latents, timestep, text, rope)
        finally:
            for hook in hooks:
                hook.remove()

    patch.setattr(CogVideoXNetwork, "predict", joint)


@mistake
def every_block_injects_the_faces_with_the_first_layers_weights(patch):
    patch.setattr(
        model.IngredientsModel,
        "injection",
        lambda self, index: (self.router[0], self.perceiver_cross_attention[0]),
    )


@mistake
def residual_of_the_positive_branch_is_shared(patch):
    sources = model.residual_sources

    def positive(batch, guidance):
        return (
            tuple(row + batch // 2 for row in sources(batch, guidance))
            if guidance == "shared"
            else sources(batch, guidance)
        )

    patch.setattr(model, "residual_sources", lambda b, g: positive(b, g) if b > 1 else sources(b, g))


@mistake
def branches_are_swapped(patch):
    sources = model.residual_sources
    patch.setattr(model, "residual_sources", lambda b, g: sources(b, g)[::-1])


@mistake
def shared_is_computed_per_branch(patch):
    patch.setattr(model, "residual_sources", lambda batch, guidance: tuple(range(batch)))


@mistake
def cross_attention_has_half_as_many_heads(patch):
    for name in ("keys_and_values", "forward"):
        compute = getattr(PerceiverCrossAttention, name)

        def wrong(self, *given, compute=compute):
            self.dim_head *= 2
            try:
                return compute(self, *given)
            finally:
                self.dim_head //= 2

        patch.setattr(PerceiverCrossAttention, name, wrong)


@mistake
def cross_attention_is_not_scaled(patch):
    patch.setattr(router, "half_scale", lambda dim_head: 1.0)


@mistake
def cross_attention_leaves_the_faces_unnormalised(patch):
    def keys_and_values(self, faces):
        key, value = (router.split_heads(x, self.dim_head) for x in self.to_kv(faces).chunk(2, dim=-1))
        return key * router.half_scale(self.dim_head), value

    patch.setattr(PerceiverCrossAttention, "keys_and_values", keys_and_values)


@mistake
def cross_attention_takes_keys_for_values(patch):
    compute = PerceiverCrossAttention.keys_and_values

    def swapped(self, faces):
        key, value = compute(self, faces)
        scale = router.half_scale(self.dim_head)
        return value * scale, key / scale

    patch.setattr(PerceiverCrossAttention, "keys_and_values", swapped)


# The facial extractor.


@mistake
def extractor_attention_is_not_scaled(patch):
    patch.setattr(extractor, "half_scale", lambda dim_head: 1.0)


@mistake
def extractor_swaps_its_two_norms(patch):
    forward = PerceiverAttention.forward

    def swapped(self, features, state):
        self.norm1, self.norm2 = self.norm2, self.norm1
        try:
            return forward(self, features, state)
        finally:
            self.norm1, self.norm2 = self.norm2, self.norm1

    patch.setattr(PerceiverAttention, "forward", swapped)


@mistake
def extractor_attends_to_the_features_only(patch):
    def forward(self, features, state):
        state = self.norm2(state)
        query = extractor.split_heads(self.to_q(state), self.dim_head)
        key, value = (
            extractor.split_heads(x, self.dim_head) for x in self.to_kv(self.norm1(features)).chunk(2, dim=-1)
        )
        return self.to_out(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))

    patch.setattr(PerceiverAttention, "forward", forward)


@mistake
def extractor_reads_the_depths_in_reverse(patch):
    forward = LocalFacialExtractor.forward
    patch.setattr(
        LocalFacialExtractor, "forward", lambda self, embedding, hidden: forward(self, embedding, hidden[::-1])
    )


@mistake
def extractor_returns_its_last_tokens(patch):
    forward = LocalFacialExtractor.forward

    def reversed_state(self, embedding, hidden):
        latents = self.latents.data
        self.latents.data = latents.flip(1)
        try:
            return forward(self, embedding, hidden)
        finally:
            self.latents.data = latents

    patch.setattr(LocalFacialExtractor, "forward", reversed_state)


@mistake
def extractor_uses_another_gelu(patch):
    patch.setattr(nn.GELU, "forward", lambda self, x: F.gelu(x, approximate="tanh"))


@mistake
def extractor_leaks_more_in_its_relu(patch):
    patch.setattr(nn.LeakyReLU, "forward", lambda self, x: F.leaky_relu(x, 0.2))


# The transformer.


@mistake
def learned_position_table_is_ignored(patch):
    def computed(self, frames, tokens):
        return positions.position_table(self.config, frames, device=tokens.device, dtype=tokens.dtype)

    patch.setattr(PatchEmbedding, "positions", computed)


@mistake
def learned_position_table_is_cut_for_fewer_frames(patch):
    patch.setattr(PatchEmbedding, "positions", lambda self, frames, tokens: self.pos_embedding[:, : tokens.shape[1]])


@mistake
def text_has_no_position(patch):
    learned = PatchEmbedding.positions

    def image_only(self, frames, tokens):
        table = learned(self, frames, tokens).clone()
        table[:, : self.config.max_text_seq_length] = 0
        return table

    patch.setattr(PatchEmbedding, "positions", image_only)


@mistake
def computed_positions_are_not_scaled(patch):
    sinusoids = positions._sinusoids
    patch.setattr(positions, "_sinusoids", lambda count, scale, *others: sinusoids(count, 1.0, *others))


@mistake
def rotation_reaches_the_text(patch):
    forward = JointAttention.forward

    def everywhere(self, tokens, text_tokens, rope, *others):
        extended = tuple(torch.cat([part[:text_tokens], part]) for part in rope)
        return forward(self, tokens, 0, extended, *others)

    patch.setattr(JointAttention, "forward", everywhere)


@mistake
def rotation_pairs_the_halves_of_a_head(patch):
    def halves(x, table):
        cos, sin = table
        first, second = x.chunk(2, dim=-1)
        return x * cos + torch.cat([-second, first], dim=-1) * sin

    patch.setattr(layers, "rotate", halves)


@mistake
def rotation_turns_the_other_way(patch):
    rotate = positions.rotate
    patch.setattr(layers, "rotate", lambda x, table: rotate(x, (table[0], -table[1])))


@mistake
def queries_and_keys_are_not_normalised(patch):
    forward = JointAttention.forward

    def bare(self, *given):
        kept = self.norm_q, self.norm_k
        self.norm_q = self.norm_k = nn.Identity()
        try:
            return forward(self, *given)
        finally:
            self.norm_q, self.norm_k = kept

    patch.setattr(JointAttention, "forward", bare)


@mistake
def text_and_image_swap_their_modulation(patch):
    forward = ModulatedNorm.forward

    def swapped(self, image, text, time):
        text, image, text_gate, gate = forward(self, text, image, time)
        return image, text, gate, text_gate

    patch.setattr(ModulatedNorm, "forward", swapped)


@mistake
def shift_and_scale_are_swapped(patch):
    def swapped(self, image, time):
        scale, shift = self.linear(F.silu(time))[:, None].chunk(2, dim=-1)
        return self.norm(image) * (1 + scale) + shift

    patch.setattr(FinalNorm, "forward", swapped)


@mistake
def norms_have_the_eps_of_queries_and_keys(patch):
    norm = F.layer_norm
    patch.setattr(F, "layer_norm", lambda x, shape, w, b, eps: norm(x, shape, w, b, 1e-6))


@mistake
def feed_forward_uses_another_gelu(patch):
    patch.setattr(GeluProjection, "forward", lambda self, x: F.gelu(self.proj(x)))


@mistake
def feed_forward_has_no_activation(patch):
    patch.setattr(FeedForward, "forward", lambda self, x: self.net[2](self.net[0].proj(x)))


@mistake
def time_embedding_takes_sines_first(patch):
    embedding = positions.timestep_embedding

    def sines_first(timestep, dim):
        return torch.cat(embedding(timestep, dim).chunk(2, dim=-1)[::-1], dim=-1)

    patch.setattr(network, "timestep_embedding", sines_first)


@mistake
def time_embedding_is_not_activated_between_its_layers(patch):
    patch.setattr(TimeEmbedding, "forward", lambda self, x: self.linear_2(self.linear_1(x)))


@mistake
def norm_final_is_left_out(patch):
    predict = CogVideoXNetwork.predict

    def without(self, *given):
        kept, self.norm_final = self.norm_final, nn.Identity()
        try:
            return predict(self, *given)
        finally:
            self.norm_final = kept

    patch.setattr(CogVideoXNetwork, "predict", without)


@mistake
def channels_of_a_patch_are_last(patch):
    def unpatchify(self, patches, latents):
        batch, frames, _, height, width = latents.shape
        pixels = patches.reshape(batch, frames, height // 2, width // 2, 2, 2, -1)
        return pixels.permute(0, 1, 6, 2, 4, 3, 5).flatten(5, 6).flatten(3, 4)

    patch.setattr(CogVideoXNetwork, "unpatchify", unpatchify)


def test_the_network_itself_is_far_from_being_caught(honest):
    assert max(honest.values()) <= 1


@pytest.mark.parametrize("name", list(MISTAKES))
def test_a_mistake_is_caught(name, honest, recorded_network, recorded, monkeypatch):
    with monkeypatch.context() as patch:
        MISTAKES[name](patch)
        found = deviations(recorded_network, recorded)
    assert max(found.values()) > (1 if name in SUBTLE else TIMES_THE_TOLERANCE)
    assert deviations(recorded_network, recorded) == honest, "the mistake is still there"
