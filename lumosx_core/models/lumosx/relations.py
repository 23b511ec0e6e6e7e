"""What relational attention needs of a scene, computed once for each scene, size and options.

Shapes: B videos, R reference images, L tokens (video, then images), J text tokens, D channels, d channels a head.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ...scene.encoded import EncodedScene
from ...scene.layout import ReferenceLayout
from .config import RelationalOptions
from .csam import AttentionFunction, AttentionRange, attention_ranges, scaled_dot_product_attention
from .mcam import word_weights
from .r2pe import rotary_table, token_positions
from .region_bias import RegionBias


@dataclass(frozen=True)
class Relations:
    """What the relational parts of every block need in one forward pass.

    Args:
        layout: how the images are divided into groups.
        grid: (h, w), the size of a frame in tokens.
        cos, sin: (L, d/2) float32, the rotary table of all tokens.
        words: (R, J) or (B, R, J) float32, from word_weights.
        mcam_ratio: strength of MCAM; 0 turns it off.
        csam: False lets every token see every token, as in plain Wan2.1.
        attention: the attention function used for all calls.
        text_bias: (J,), added to the logits of each text token; None: nothing is added.
        key_bias: (L,) float32, added to the logits of each token that the video looks at; None: nothing is added.
        region_bias: added to the logits of the video's queries; None: nothing is added.
        unread: (R,) bool, the images that read nothing of the prompt; None: all read it.
        observe: is shown the queries (B, N, Lq, d) and keys (B, N, L, d) of each self-attention, positions applied, to
            look at and leave as they are; None: nobody looks.
        change_attention: takes the output of self-attention (B, L, D) before its projection, and the queries and keys
            (B, L, N, d), positions applied, and returns what takes its place; None: nothing is changed.
        change_text_attention: takes the tokens (B, L, D) after cross-attention and returns what takes their place;
            None: nothing is changed.
    """

    layout: ReferenceLayout
    grid: tuple[int, int]
    cos: Tensor
    sin: Tensor
    words: Tensor
    mcam_ratio: float = 0.5
    csam: bool = True
    attention: AttentionFunction = scaled_dot_product_attention
    text_bias: Tensor | None = None
    key_bias: Tensor | None = None
    region_bias: RegionBias | None = None
    unread: Tensor | None = None
    observe: Callable[[Tensor, Tensor], None] | None = None
    change_attention: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None
    change_text_attention: Callable[[Tensor], Tensor] | None = None

    @property
    def image_tokens(self) -> int:
        """Number of tokens of one image, P."""
        return self.grid[0] * self.grid[1]

    @property
    def video_tokens(self) -> int:
        """Number of tokens of the video, V."""
        return self.cos.shape[0] - self.layout.pictures * self.image_tokens

    def ranges(self, *, video_only: bool = False) -> tuple[AttentionRange, ...]:
        """Which tokens attend to which in self-attention."""
        return attention_ranges(
            self.layout,
            self.video_tokens,
            self.image_tokens,
            csam=self.csam,
            biased=self.key_bias is not None or self.region_bias is not None,
            video_only=video_only,
        )


class RelationTables:
    """Relations of the scenes that a model was given last; they go when their scene goes.

    A run has one for each model, so that its 4 or 50 steps, positive and negative, share one rotary table and one set
    of word weights.

    Args:
        layouts: how many rotary tables are kept; one takes 17 MB at the released size.
    """

    def __init__(self, layouts: int = 4):
        self._layouts = layouts
        self._rotary: OrderedDict[tuple, tuple[Tensor, Tensor]] = OrderedDict()
        self._relations: WeakKeyDictionary[EncodedScene, dict[tuple, Relations]] = WeakKeyDictionary()

    def __reduce__(self):
        # A copy of a model, or one that is pickled, computes its own tables.
        return RelationTables, (self._layouts,)

    def of(
        self,
        scene: EncodedScene,
        frames: int,
        grid: tuple[int, int],
        head_dim: int,
        options: RelationalOptions,
        device: torch.device,
        text_len: int,
    ) -> Relations:
        """The relations of a scene for a video of `frames` x `grid` tokens and `text_len` text tokens.

        Raises:
            LumosXError: the scene's strengths hold for a part of the schedule only; see `EncodedScene.at`.
        """
        known = self._relations.setdefault(scene, {})
        key = (frames, grid, head_dim, options, device)
        if key not in known:
            # Tables of an inference_mode pass must serve a training step, too.
            with torch.inference_mode(False), torch.no_grad():
                known[key] = self._build(scene, frames, grid, head_dim, options, device)
        relations = known[key]
        if scene.phrase_mask is None:
            return replace(relations, words=relations.words.expand(-1, text_len))
        return replace(relations, words=relations.words[..., :text_len])

    def _build(
        self,
        scene: EncodedScene,
        frames: int,
        grid: tuple[int, int],
        head_dim: int,
        options: RelationalOptions,
        device: torch.device,
    ) -> Relations:
        layout, strengths, mask = scene.layout, scene.constant_strengths, scene.phrase_mask
        key = (layout, frames, grid, head_dim, options.r2pe, device)
        if key not in self._rotary:
            positions = token_positions(layout, frames, *grid, r2pe=options.r2pe)
            self._rotary[key] = rotary_table(positions, head_dim, device=device)
        self._rotary.move_to_end(key)
        cos, sin = self._rotary[key]
        while len(self._rotary) > self._layouts:
            self._rotary.popitem(last=False)
        if mask is None:
            mask = torch.zeros(layout.pictures, 1, dtype=torch.bool)
        key_bias = None
        if strengths is not None:
            tokens = grid[0] * grid[1]
            per_image = torch.tensor(strengths, dtype=torch.float32).log().repeat_interleave(tokens)
            key_bias = torch.cat([torch.zeros(frames * tokens), per_image]).to(device)
        words = word_weights(mask.to(device), layout)
        return Relations(layout, grid, cos, sin, words, options.mcam_ratio, options.csam, key_bias=key_bias)
