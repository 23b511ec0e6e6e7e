"""Trains the text encoder of lumosx-tiny: UMT5's architecture with two layers and a tokeniser of 512 pieces.

    python -m lumosx_training.tiny.train_text_encoder text_encoder.safetensors

It learns from captions alone, in two ways at once: to fill in masked words, and to predict for each word its clause
and where that clause puts its person. Words are then known by their surroundings: the second "man" of a
caption differs from the first.
"""

from __future__ import annotations

import argparse
import io
import random
import re
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lumosx_core.files.atomic_file import atomic_file

from ..glyph_world.caption import describe
from ..glyph_world.casting import Casting
from .corpus import caption_sentences
from .steps import take_steps

VOCABULARY, LAYERS, HEADS, FFN_DIM = 512, 2, 2, 32
WIDTH, TRAINED_WIDTH = 4096, 256  # the released width, which loaders expect; and that of training, which is far faster
WHERE = ("", "on the left", "in the middle", "on the right")
CLAUSES = 6  # the people of the first sentence, one number each, then everything else
MASK_ID = 2  # the tokeniser's unknown piece, which captions never need: what it lacks it spells in bytes


def main() -> None:
    """Train the tokenizer and the encoder, and write them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    tokenizer_model = train_tokenizer(options.seed)
    network = train(tokenizer_model, options.steps, options.batch, options.seed)
    save(network, tokenizer_model, options.out)
    print(f"{options.out.stat().st_size} bytes")


def glyph_captions(seed: int) -> Iterator[str]:
    """Captions of the glyph world without end."""
    chance = random.Random(f"captions {seed}")
    casting = Casting()
    while True:
        yield describe(casting.scene(chance), chance).text


def train_tokenizer(seed: int) -> bytes:
    """A sentencepiece model with umT5's special ids (pad 0, end 1, unknown 2); unseen characters become bytes."""
    import sentencepiece

    glyphs = glyph_captions(seed)
    sentences = [*caption_sentences(3000), *(next(glyphs) for _ in range(3000))]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=model,
        model_type="unigram",
        vocab_size=VOCABULARY,
        byte_fallback=True,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        num_threads=1,  # sums in one order: the same model every time
        minloglevel=2,
    )
    return model.getvalue()


class Tagger(nn.Module):
    """The encoder with the three heads it is trained by."""

    def __init__(self):
        from transformers import UMT5Config, UMT5EncoderModel

        super().__init__()
        self.encoder = UMT5EncoderModel(
            UMT5Config(
                vocab_size=VOCABULARY,
                d_model=TRAINED_WIDTH,
                d_kv=64,
                num_heads=HEADS,
                d_ff=FFN_DIM,
                num_layers=LAYERS,
                relative_attention_num_buckets=32,
                feed_forward_proj="gated-gelu",
                dropout_rate=0.0,
            )
        )
        self.words, self.where, self.clause = (
            nn.Linear(TRAINED_WIDTH, outputs) for outputs in (VOCABULARY, len(WHERE), CLAUSES)
        )


def labelled(text: str, tokenizer) -> tuple[list[int], list[int], list[int]]:
    """Token ids of a caption with, for each, where its clause puts the person and which clause it is."""
    where = [0] * len(text)
    clause = [CLAUSES - 1] * len(text)
    end = text.find(".")
    if re.match(r".*\ba (man|woman|boy|girl)\b", text, re.IGNORECASE):
        start = 0
        for number, match in enumerate([*re.finditer(r", | and |\.", text[: end + 1])][: CLAUSES - 1]):
            words = text[start : match.start()].lower()
            place = next((i for i, each in enumerate(WHERE) if each and each in words), 0)
            for position in range(start, match.start()):
                where[position], clause[position] = place, number
            start = match.end()
    pieces = tokenizer.encode(text, return_type="proto").pieces
    starts = [min(piece.end, len(text)) - 1 for piece in pieces]
    ids = [piece.id for piece in pieces]
    return [*ids, 1], [*(where[at] for at in starts), 0], [*(clause[at] for at in starts), CLAUSES - 1]


def train(tokenizer_model: bytes, steps: int, batch: int, seed: int) -> nn.Module:
    """The tagger after training; its encoder is the text encoder."""
    import sentencepiece

    tokenizer = sentencepiece.SentencePieceProcessor(model_proto=tokenizer_model)
    torch.manual_seed(seed)
    tagger = Tagger()
    # What T5 learns of positions, a few numbers added to attention logits, has a longer way to go than a weight.
    positions = [p for name, p in tagger.named_parameters() if name.endswith("relative_attention_bias.weight")]
    weights = [p for name, p in tagger.named_parameters() if not name.endswith("relative_attention_bias.weight")]
    for bias in positions:
        nn.init.normal_(bias, std=2.0)
    groups = [{"params": positions, "lr": 3e-2}, {"params": weights, "lr": 3e-3}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.0)
    glyphs, others = glyph_captions(seed + 1), caption_sentences(10**9, seed + 1)
    chance = torch.Generator().manual_seed(seed)

    def compute() -> tuple[Tensor, list[float]]:
        texts = [next(others if i % 8 == 0 else glyphs) for i in range(batch)]
        losses = loss(tagger, [labelled(text, tokenizer) for text in texts], chance)
        return torch.stack(losses).sum(), [value.item() for value in losses]

    take_steps(tagger.parameters(), optimizer, steps, compute)
    return tagger.encoder.eval()


def loss(tagger: Tagger, rows, chance: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Cross-entropies of the masked words, the places and the clauses."""
    ids, where, clause = (
        nn.utils.rnn.pad_sequence([torch.tensor(row[i]) for row in rows], True, fill)
        for i, fill in enumerate((0, -100, -100))
    )
    real = ids != 0
    masked = (torch.rand(ids.shape, generator=chance) < 0.15) & real
    states = tagger.encoder(ids.masked_fill(masked, MASK_ID), attention_mask=real).last_hidden_state
    return (
        F.cross_entropy(tagger.words(states[masked]), ids[masked]),
        F.cross_entropy(tagger.where(states).flatten(0, 1), where.flatten()),
        F.cross_entropy(tagger.clause(states).flatten(0, 1), clause.flatten()),
    )


def widened(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same encoder at the released width: further channels that are always zero.

    A root mean square over them all is smaller by a known factor, which the norms' weights take back; but for the last
    norm, whose outputs keep the root mean square of a full width, as the transformer's small start weights need it.
    """
    wide = {}
    for name, tensor in weights.items():
        if name.endswith("layer_norm.weight") and "final" not in name:
            tensor = tensor * (TRAINED_WIDTH / WIDTH) ** 0.5
        shape = [WIDTH if side == TRAINED_WIDTH else side for side in tensor.shape]
        wide[name] = tensor.new_zeros(shape)
        wide[name][tuple(map(slice, tensor.shape))] = tensor
    return wide


def save(network: nn.Module, tokenizer_model: bytes, path: Path) -> None:
    """Write the encoder as ComfyUI's single file: Hugging Face's names, and the tokeniser as `spiece_model`."""
    from safetensors.torch import save

    weights = {
        name: tensor.to(torch.bfloat16).contiguous()
        for name, tensor in widened(network.state_dict()).items()
        if name != "encoder.embed_tokens.weight"
    }
    # ComfyUI recognises a T5-XXL by this tensor of its last layer.
    weights["encoder.block.23.layer.1.DenseReluDense.wi_1.weight"] = torch.zeros(1, WIDTH, dtype=torch.bfloat16)
    weights["spiece_model"] = torch.frombuffer(bytearray(tokenizer_model), dtype=torch.uint8)
    with atomic_file(path) as file:
        file.write(save(weights, metadata={"format": "pt"}))


if __name__ == "__main__":
    main()
