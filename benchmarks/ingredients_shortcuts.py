"""Work and time of the faces in Ingredients (CogVideoX): one step of the released form against ours.

    python benchmarks/ingredients_shortcuts.py
    python benchmarks/ingredients_shortcuts.py --device cuda --dtype bfloat16 --faces 1 2 3 4 8
    python benchmarks/ingredients_shortcuts.py --tokens 1350 --threads 1

A table first predicts, from the sizes alone, the floating-point operations of a step of the released network (all
injections, both branches of guidance), and then some injections at the released width are measured:

    released    for each face the facial extractor, the router and a whole cross-attention, with queries and output of
                their own, at each step
    ours        face tokens, keys and values once for a video; at each step one router query, one cross-attention query
                and one output layer for all faces
    both        ours with `guidance="per_branch"`: every row of the batch has its own residual

Times on the CPU are those of all its threads together. The last column compares the results of both forms, as a
fraction of the largest value.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import Tensor

from lumosx_core import IngredientsConfig
from lumosx_core.models.cogvideox.config import CogVideoXConfig
from lumosx_core.models.ingredients.config import SCALES, ExtractorConfig
from lumosx_core.models.ingredients.extractor import LocalFacialExtractor
from lumosx_core.models.ingredients.router import PerceiverCrossAttention, Router, face_keys, route

VISION_TOKENS = 577
TERA, GIGA = 1e12, 1e9


def linear(tokens: int, inputs: int, outputs: int) -> int:
    """Operations of a linear layer: a product and a sum for each weight and token."""
    return 2 * tokens * inputs * outputs


class Work:
    """Floating-point operations of the parts, predicted from the sizes."""

    def __init__(self, config: IngredientsConfig, tokens: int):
        width, router = config.transformer.width, config.router
        heads, extractor = config.perceiver_cross_attention, config.local_facial_extractor
        inner = heads.dim_head * heads.heads
        queries = extractor.num_queries
        self.config = config
        self.router_query = linear(tokens, width, router.inner_dim)
        self.logit = linear(tokens, router.inner_dim, 1)
        self.query = linear(tokens, width, inner)
        self.attention = 2 * linear(tokens, inner, queries)  # q k^T, and its softmax times v
        self.output = linear(tokens, inner, width)
        self.keys = (
            linear(queries, router.id_dim, 1)
            + linear(1, router.id_dim, router.inner_dim)
            + linear(queries, extractor.output_dim, 2 * inner)
        )
        self.extractor = extractor_work(extractor)

    def released(self, faces: int) -> int:
        """Of one injection for one row, without the facial extractor."""
        return faces * (self.router_query + self.logit + self.query + self.attention + self.output + self.keys)

    def ours(self, faces: int) -> int:
        """Of one injection for one row, with keys and values ready."""
        return self.router_query + self.query + self.output + faces * (self.logit + self.attention)


def extractor_work(config: ExtractorConfig) -> int:
    """Of the face tokens of one face."""
    dim, inner = config.dim, config.dim_head * config.heads
    state, features = config.num_queries + config.num_id_token, config.num_id_token + VISION_TOKENS

    def mapping(tokens: int, inputs: int, outputs: int) -> int:
        return linear(tokens, inputs, dim) + linear(tokens, dim, dim) + linear(tokens, dim, outputs)

    layer = (
        linear(state, dim, inner)
        + linear(state + features, dim, 2 * inner)
        + 2 * linear(state, inner, state + features)
        + linear(state, inner, dim)
        + 2 * linear(state, dim, config.ff_mult * dim)
    )
    return (
        mapping(1, config.id_in, config.num_id_token * dim)
        + SCALES * mapping(VISION_TOKENS, config.vit_in, dim)
        + config.depth * layer
        + linear(config.num_queries, dim, config.output_dim)
    )


def predicted_table(work: Work, faces: list[int]) -> None:
    injections = work.config.injections
    print(f"predicted for a step of {injections} injections, in TFLOP; the extractor is in the released form alone")
    print(f"{'faces':>5} | {'released':>9} {'ours':>9} {'both':>9} | {'fewer':>6} | {'once for a video':>16}")
    for count in faces:
        released = injections * work.released(count) + count * work.extractor
        ours = injections * work.ours(count)
        once = injections * count * work.keys + count * work.extractor
        print(
            f"{count:>5} | {released / TERA:>9.3f} {ours / TERA:>9.3f} {2 * ours / TERA:>9.3f} | "
            f"{released / ours:>5.2f}x | {once / TERA:>16.3f}"
        )


class Parts:
    """The layers of the measured injections, and the inputs of a step."""

    def __init__(self, config: IngredientsConfig, arguments: argparse.Namespace):
        torch.manual_seed(0)
        factory = {"device": arguments.device, "dtype": getattr(torch, arguments.dtype)}
        self.extractor = LocalFacialExtractor(config.local_facial_extractor, **factory)
        self.router = [Router(config, **factory) for _ in range(arguments.layers)]
        self.attention = [PerceiverCrossAttention(config, **factory) for _ in range(arguments.layers)]
        self.image = torch.randn(2, arguments.tokens, config.transformer.width, **factory)
        sizes, most = config.local_facial_extractor, max(arguments.faces)
        self.embedding = torch.randn(most, sizes.id_in, **factory)
        self.hidden = [torch.randn(most, VISION_TOKENS, sizes.vit_in, **factory) for _ in range(SCALES)]

    def tokens(self, faces: int) -> Tensor:
        return self.extractor(self.embedding[:faces], [each[:faces] for each in self.hidden])


def released(parts: Parts, faces: int) -> Tensor:
    """The negative row's residual, face after face, from the photos' features on."""
    tokens = [
        parts.extractor(parts.embedding[n : n + 1], [each[n : n + 1] for each in parts.hidden]) for n in range(faces)
    ]
    image, total = parts.image[:1], torch.zeros_like(parts.image[:1])
    for router, attention in zip(parts.router, parts.attention, strict=True):
        logits = torch.cat([router(image, router.keys(face)) for face in tokens], dim=-1)
        weights = route(logits).to(image.dtype)
        for n, face in enumerate(tokens):
            total = total + weights[..., n : n + 1] * attention(image, *attention.keys_and_values(face))
    return total


def ours(parts: Parts, keys: list, rows: int) -> Tensor:
    """The residuals of the first rows."""
    image, total = parts.image[:rows], torch.zeros_like(parts.image[:rows])
    for router, attention, ready in zip(parts.router, parts.attention, keys, strict=True):
        weights = route(router(image, ready.router))
        total = total + attention(image, ready.key, ready.value, weights)
    return total


def seconds(compute: Callable[[], Tensor], repeats: int) -> tuple[float, Tensor]:
    """The fastest of several runs, and its result; on the CPU the process's own time, which others do not prolong."""
    best, result = float("inf"), compute()
    clock = time.process_time if result.device.type == "cpu" else time.perf_counter
    for _ in range(repeats):
        synchronize(result)
        start = clock()
        result = compute()
        synchronize(result)
        best = min(best, clock() - start)
    return best, result


def synchronize(x: Tensor) -> None:
    if x.is_cuda:
        torch.cuda.synchronize(x.device)


def measured_table(config: IngredientsConfig, arguments: argparse.Namespace) -> None:
    parts, work = Parts(config, arguments), Work(config, arguments.tokens)
    print(
        f"\nmeasured for {arguments.layers} injections and {arguments.tokens} image tokens in {arguments.dtype} on "
        f"{arguments.device}, {torch.get_num_threads()} threads"
    )
    print(
        f"{'faces':>5} | {'released s':>10} {'ours s':>10} {'both s':>10} | {'predicted':>9} {'measured':>9} | "
        f"{'released GFLOP/s':>16} {'ours':>8} | {'difference':>10}"
    )
    for count in arguments.faces:
        tokens = parts.tokens(count)
        keys = [face_keys(*layer, tokens) for layer in zip(parts.router, parts.attention, strict=True)]
        old, expected = seconds(lambda n=count: released(parts, n), arguments.repeats)
        new, result = seconds(lambda k=keys: ours(parts, k, 1), arguments.repeats)
        both, _ = seconds(lambda k=keys: ours(parts, k, 2), arguments.repeats)
        old_work = arguments.layers * work.released(count) + count * work.extractor
        new_work = arguments.layers * work.ours(count)
        difference = ((result - expected).abs().max() / expected.abs().max()).item()
        print(
            f"{count:>5} | {old:>10.3f} {new:>10.3f} {both:>10.3f} | {old_work / new_work:>8.2f}x {old / new:>8.2f}x | "
            f"{old_work / old / GIGA:>16.1f} {new_work / new / GIGA:>8.1f} | {difference:>10.1e}"
        )


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--tokens", type=int, default=17550, help="image tokens; the released size has 17550")
    parser.add_argument("--layers", type=int, default=1, help="injections to measure, of 21")
    parser.add_argument("--heads", type=int, default=48, help="heads of the transformer, 64 channels each")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    return parser.parse_args(arguments)


def main() -> None:
    arguments = parsed()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    config = IngredientsConfig()
    if arguments.heads != config.transformer.num_attention_heads:
        transformer: CogVideoXConfig = replace(config.transformer, num_attention_heads=arguments.heads)
        config = replace(config, transformer=transformer, router=replace(config.router, dim=transformer.width))
    predicted_table(Work(config, arguments.tokens), arguments.faces)
    with torch.inference_mode():
        measured_table(config, arguments)


if __name__ == "__main__":
    main()
