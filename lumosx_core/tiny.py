"""The tiny preset: the whole model family in miniature, in native formats, with fixed random weights.

Three files that ComfyUI's own loaders and ours read: a LumosX DiT of 4 M parameters, a Wan VAE of width 8, and a UMT5
text encoder of two layers with its own tokeniser. It shows that everything runs; its videos are coloured noise.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from .atomic_file import atomic_file
from .errors import LumosXError, MissingPackageError
from .model import LumosXConfig, LumosXModel
from .model_files import ModelFiles
from .tiny_corpus import caption_sentences

TINY_VERSION = 1  # of the files' content: a copy in a user's cache is not used for another version
TINY_CONFIG = LumosXConfig(dim=256, ffn_dim=512, num_heads=2, num_layers=3)
TINY_VAE_WIDTH = 8
TINY_VOCABULARY = 512
TINY_TEXT_LAYERS = 2
TINY_TEXT_HEADS = 2
TINY_TEXT_FFN_DIM = 64

Shapes = Iterable[tuple[str, tuple[int, ...]]]


def tiny_files(directory: str | os.PathLike) -> ModelFiles:
    """The tiny preset's files below `directory`, laid out as ComfyUI's models folder."""
    directory = Path(directory)
    return ModelFiles(
        directory / "diffusion_models" / "lumosx-tiny.safetensors",
        directory / "vae" / "lumosx-tiny-vae.safetensors",
        directory / "text_encoders" / "lumosx-tiny-umt5.safetensors",
    )


def write_tiny(directory: str | os.PathLike) -> ModelFiles:
    """Write the tiny preset below `directory` and return its files; the same bytes on every run.

    Each file appears whole or not at all.

    Raises:
        LumosXError: the directory cannot be written.
        MissingPackageError: sentencepiece is not installed.
    """
    from safetensors.torch import save

    files = tiny_files(directory)
    contents = {
        files.diffusion_model: lambda: as_bfloat16(random_weights(diffusion_model_shapes(TINY_CONFIG), seed=1)),
        files.vae: lambda: as_bfloat16(random_weights(vae_shapes(TINY_VAE_WIDTH), seed=2)),
        files.text_encoder: lambda: (
            as_bfloat16(random_weights(text_encoder_shapes(), seed=3))
            | {"spiece_model": torch.frombuffer(bytearray(train_tokenizer()), dtype=torch.uint8)}
        ),
    }
    for path, content in contents.items():
        data = save(content(), metadata={"format": "pt"})
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(path) as file:
                file.write(data)
        except OSError as error:
            raise LumosXError(
                f"The tiny preset cannot be written to {str(path)!r}: {error.strerror}. Choose a directory that you "
                f"may write to."
            ) from error
    return files


def as_bfloat16(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights in bfloat16, in which released files are stored too."""
    return {name: tensor.to(torch.bfloat16) for name, tensor in weights.items()}


def random_weights(shapes: Shapes, seed: int) -> dict[str, Tensor]:
    """Seeded weights that keep activations near unit size, in float32.

    Uniform numbers only: they come out of the generator by exact arithmetic, so every machine gets the same bits,
    which normally distributed ones do not promise.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in sorted(shapes):
        uniform = torch.rand(shape, generator=generator) * 2 - 1
        if name.endswith("layer.0.layer_norm.weight"):
            # T5 does not divide its attention logits by sqrt(d_kv): smaller inputs keep the softmax soft.
            weights[name] = torch.full(shape, 0.35)
        elif name.endswith(("gamma", "norm.weight", "norm3.weight", "norm_q.weight", "norm_k.weight")):
            weights[name] = torch.ones(shape)
        elif name.endswith("bias"):
            weights[name] = uniform * 0.1
        elif name.endswith(("shared.weight", "modulation", "relative_attention_bias.weight")):
            weights[name] = uniform
        else:
            weights[name] = uniform * math.sqrt(3 / math.prod(shape[1:]))  # variance 1 / inputs
    return weights


def diffusion_model_shapes(config: LumosXConfig) -> list[tuple[str, tuple[int, ...]]]:
    """Native names and shapes of a LumosX DiT."""
    with torch.device("meta"):
        model = LumosXModel(config)
    return [(name, tuple(tensor.shape)) for name, tensor in model.state_dict().items()]


def text_encoder_shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the tiny UMT5 encoder as in ComfyUI's single file."""
    width, inner = TINY_CONFIG.text_dim, TINY_TEXT_HEADS * 64
    yield "shared.weight", (TINY_VOCABULARY, width)
    yield "encoder.final_layer_norm.weight", (width,)
    for layer in range(TINY_TEXT_LAYERS):
        attention = f"encoder.block.{layer}.layer.0"
        feed_forward = f"encoder.block.{layer}.layer.1"
        yield f"{attention}.layer_norm.weight", (width,)
        for projection in "qkv":
            yield f"{attention}.SelfAttention.{projection}.weight", (inner, width)
        yield f"{attention}.SelfAttention.o.weight", (width, inner)
        yield f"{attention}.SelfAttention.relative_attention_bias.weight", (32, TINY_TEXT_HEADS)
        yield f"{feed_forward}.layer_norm.weight", (width,)
        yield f"{feed_forward}.DenseReluDense.wi_0.weight", (TINY_TEXT_FFN_DIM, width)
        yield f"{feed_forward}.DenseReluDense.wi_1.weight", (TINY_TEXT_FFN_DIM, width)
        yield f"{feed_forward}.DenseReluDense.wo.weight", (width, TINY_TEXT_FFN_DIM)
    # ComfyUI recognises a T5-XXL by this tensor of its last layer.
    yield "encoder.block.23.layer.1.DenseReluDense.wi_1.weight", (1, width)


def vae_shapes(width: int, latent_channels: int = 16) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Native names and shapes of a Wan 2.1 VAE whose outermost layers have `width` channels (released: 96)."""
    yield from _convolution("conv1", 2 * latent_channels, 2 * latent_channels, 1, 1, 1)
    yield from _convolution("conv2", latent_channels, latent_channels, 1, 1, 1)
    yield from _vae_encoder(width, 2 * latent_channels)
    yield from _vae_decoder(width, latent_channels)


def _vae_encoder(width: int, outputs: int) -> Shapes:
    yield from _convolution("encoder.conv1", 3, width, 3, 3, 3)
    channels, index = width, 0
    for level, factor in enumerate((1, 2, 4, 4)):
        for _ in range(2):
            yield from _residual(f"encoder.downsamples.{index}", channels, factor * width)
            channels, index = factor * width, index + 1
        if level < 3:
            yield from _convolution(f"encoder.downsamples.{index}.resample.1", channels, channels, 3, 3)
            if level > 0:  # the two deeper ones halve time as well
                yield from _convolution(f"encoder.downsamples.{index}.time_conv", channels, channels, 3, 1, 1)
            index += 1
    yield from _middle_and_head("encoder", channels, channels, outputs)


def _vae_decoder(width: int, latent_channels: int) -> Shapes:
    channels, index = 4 * width, 0
    yield from _convolution("decoder.conv1", latent_channels, channels, 3, 3, 3)
    for level, factor in enumerate((4, 4, 2, 1)):
        for _ in range(3):
            yield from _residual(f"decoder.upsamples.{index}", channels, factor * width)
            channels, index = factor * width, index + 1
        if level < 3:
            yield from _convolution(f"decoder.upsamples.{index}.resample.1", channels, channels // 2, 3, 3)
            if level < 2:  # the two deeper ones double time as well
                yield from _convolution(f"decoder.upsamples.{index}.time_conv", channels, 2 * channels, 3, 1, 1)
            channels, index = channels // 2, index + 1
    yield from _middle_and_head("decoder", 4 * width, channels, 3)


def _middle_and_head(part: str, middle: int, channels: int, outputs: int) -> Shapes:
    yield from _residual(f"{part}.middle.0", middle, middle)
    yield f"{part}.middle.1.norm.gamma", (middle, 1, 1)
    yield from _convolution(f"{part}.middle.1.to_qkv", middle, 3 * middle, 1, 1)
    yield from _convolution(f"{part}.middle.1.proj", middle, middle, 1, 1)
    yield from _residual(f"{part}.middle.2", middle, middle)
    yield f"{part}.head.0.gamma", (channels, 1, 1, 1)
    yield from _convolution(f"{part}.head.2", channels, outputs, 3, 3, 3)


def _residual(name: str, inputs: int, outputs: int) -> Shapes:
    yield f"{name}.residual.0.gamma", (inputs, 1, 1, 1)
    yield from _convolution(f"{name}.residual.2", inputs, outputs, 3, 3, 3)
    yield f"{name}.residual.3.gamma", (outputs, 1, 1, 1)
    yield from _convolution(f"{name}.residual.6", outputs, outputs, 3, 3, 3)
    if inputs != outputs:
        yield from _convolution(f"{name}.shortcut", inputs, outputs, 1, 1, 1)


def _convolution(name: str, inputs: int, outputs: int, *kernel: int) -> Shapes:
    yield f"{name}.weight", (outputs, inputs, *kernel)
    yield f"{name}.bias", (outputs,)


def train_tokenizer() -> bytes:
    """A sentencepiece model with umT5's special ids (pad 0, end 1, unknown 2); unseen characters become bytes."""
    try:
        import sentencepiece
    except ImportError as error:
        raise MissingPackageError("sentencepiece", "Writing the tiny preset", error) from error
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=caption_sentences(4000),
        model_writer=model,
        model_type="unigram",
        vocab_size=TINY_VOCABULARY,
        byte_fallback=True,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        num_threads=1,  # sums in one order: the same model every time
        minloglevel=2,
    )
    return model.getvalue()
