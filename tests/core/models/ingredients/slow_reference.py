"""A second implementation of the Ingredients (CogVideoX) network, written from its formulas with loops over rows,
tokens, heads and faces, in numpy and float64. It shares no code with the package: where the two disagree, one is wrong.

Every face has a whole cross-attention of its own here, with its own queries and its own output layer.
"""

from __future__ import annotations

import math

import numpy as np
from numpy import ndarray

Weights = dict[str, ndarray]


def linear(weights: Weights, name: str, x: ndarray) -> ndarray:
    y = x @ weights[f"{name}.weight"].T
    return y + weights[f"{name}.bias"] if f"{name}.bias" in weights else y


def norm(weights: Weights, name: str, x: ndarray, eps: float = 1e-5) -> ndarray:
    centred = x - x.mean(-1, keepdims=True)
    return (
        centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps) * weights[f"{name}.weight"]
        + weights[f"{name}.bias"]
    )


def silu(x: ndarray) -> ndarray:
    return x / (1 + np.exp(-x))


def leaky(x: ndarray) -> ndarray:
    return np.where(x > 0, x, 0.01 * x)


def gelu_erf(x: ndarray) -> ndarray:
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def gelu_tanh(x: ndarray) -> ndarray:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def softmax(x: ndarray) -> ndarray:
    powers = np.exp(x - x.max())
    return powers / powers.sum()


def attend(queries: ndarray, keys: ndarray, values: ndarray, heads: int) -> ndarray:
    """(tokens, heads*d), one head and one query after the other."""
    size = queries.shape[1] // heads
    result = np.zeros_like(queries)
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        for token, query in enumerate(queries[:, part]):
            chances = softmax(np.array([query @ key for key in keys[:, part]]) / math.sqrt(size))
            result[token, part] = sum(chance * value for chance, value in zip(chances, values[:, part], strict=True))
    return result


# The face tokens.


def mapping(weights: Weights, name: str, x: ndarray) -> ndarray:
    x = leaky(norm(weights, f"{name}.1", linear(weights, f"{name}.0", x)))
    x = leaky(norm(weights, f"{name}.4", linear(weights, f"{name}.3", x)))
    return linear(weights, f"{name}.6", x)


def face_tokens(weights: Weights, sizes: dict, embedding: ndarray, hidden: ndarray) -> ndarray:
    """Embedding (id,) and hidden states (5, T, w) of one face -> (Q, E)."""
    name, section = "local_facial_extractor", sizes["local_facial_extractor"]
    identity = mapping(weights, f"{name}.id_embedding_mapping", embedding).reshape(section["num_id_token"], -1)
    state = np.concatenate([weights[f"{name}.latents"][0], identity])
    for layer in range(section["depth"]):
        scale = layer * 5 // section["depth"]
        context = np.concatenate([identity, mapping(weights, f"{name}.mapping_{scale}", hidden[scale])])
        one, two = f"{name}.layers.{layer}.0", f"{name}.layers.{layer}.1"
        queries = norm(weights, f"{one}.norm2", state)
        both = np.concatenate([norm(weights, f"{one}.norm1", context), queries])
        keys, values = np.split(linear(weights, f"{one}.to_kv", both), 2, axis=1)
        attended = attend(linear(weights, f"{one}.to_q", queries), keys, values, section["heads"])
        state = state + linear(weights, f"{one}.to_out", attended)
        hidden_layer = gelu_erf(linear(weights, f"{two}.1", norm(weights, f"{two}.0", state)))
        state = state + linear(weights, f"{two}.3", hidden_layer)
    return state[: section["num_queries"]] @ weights[f"{name}.proj_out"]


# The injection.


def router_logit(weights: Weights, layer: int, token: ndarray, face: ndarray) -> float:
    """How well one face (Q, E) fits one image token (D,)."""
    name = f"router.{layer}"
    normed, merge = norm(weights, f"{name}.norm1", face), weights[f"{name}.id_merge.weight"][0]
    key = linear(weights, f"{name}.to_kv", sum(merge[i] * normed[i] for i in range(len(merge))))
    return float(linear(weights, f"{name}.to_q", norm(weights, f"{name}.norm2", token)) @ key)


def cross_attention(weights: Weights, sizes: dict, layer: int, image: ndarray, face: ndarray) -> ndarray:
    """Image tokens (S, D) attend to one face (Q, E) -> (S, D)."""
    name = f"perceiver_cross_attention.{layer}"
    queries = linear(weights, f"{name}.to_q", norm(weights, f"{name}.norm2", image))
    keys, values = np.split(linear(weights, f"{name}.to_kv", norm(weights, f"{name}.norm1", face)), 2, axis=1)
    heads = sizes["perceiver_cross_attention"]["heads"]
    return linear(weights, f"{name}.to_out", attend(queries, keys, values, heads))


def residual(
    weights: Weights, sizes: dict, layer: int, image: ndarray, faces: list[ndarray]
) -> tuple[ndarray, ndarray]:
    """What the faces add to the image tokens (S, D), and the router's logits (S, N)."""
    logits = np.array([[router_logit(weights, layer, token, face) for face in faces] for token in image])
    answers = [cross_attention(weights, sizes, layer, image, face) for face in faces]
    added = np.zeros_like(image)
    for token in range(len(image)):
        for face, chance in enumerate(softmax(logits[token])):
            added[token] += chance * answers[face][token]
    return added, logits


# The transformer.


def places(sizes: dict, frames: int) -> list[tuple[int, int, int]]:
    """Frame, row and column of each image token."""
    rows, columns = sizes["transformer"]["sample_height"] // 2, sizes["transformer"]["sample_width"] // 2
    return [(f, r, c) for f in range(frames) for r in range(rows) for c in range(columns)]


def computed_position(sizes: dict, place: tuple[int, int, int]) -> ndarray:
    """Sines and cosines of time, column and row: (D,)."""
    width = sizes["transformer"]["num_attention_heads"] * sizes["transformer"]["attention_head_dim"]
    frame, row, column = place
    parts = []
    for position, dim in ((frame, width // 4), (column / 1.875, width // 8 * 3), (row / 1.875, width // 8 * 3)):
        angles = [position / 10000 ** (2 * i / dim) for i in range(dim // 2)]
        parts += [*map(math.sin, angles), *map(math.cos, angles)]
    return np.array(parts)


def rotation(sizes: dict, place: tuple[int, int, int]) -> list[float]:
    """The angle of each pair of a head's channels; the sizes are in the shape of 30 x 45 tokens, stretched onto it."""
    size = sizes["transformer"]["attention_head_dim"]
    frame, row, column = place
    rows, columns = sizes["transformer"]["sample_height"] // 2, sizes["transformer"]["sample_width"] // 2
    assert rows * 45 == columns * 30
    positions = (frame, row * 30 / rows, column * 45 / columns)
    dims = (size // 4, size // 8 * 3, size // 8 * 3)
    return [p / 10000 ** (2 * i / dim) for p, dim in zip(positions, dims, strict=True) for i in range(dim // 2)]


def rotated(vector: ndarray, angles: list[float], heads: int) -> ndarray:
    result = vector.reshape(heads, -1, 2).copy()
    for head in range(heads):
        for pair, angle in enumerate(angles):
            a, b = vector.reshape(heads, -1, 2)[head, pair]
            cosine, sine = math.cos(angle), math.sin(angle)
            result[head, pair] = (a * cosine - b * sine, b * cosine + a * sine)
    return result.reshape(-1)


def modulations(weights: Weights, name: str, time: ndarray, count: int) -> list[ndarray]:
    return np.split(linear(weights, f"{name}.linear", silu(time)), count)


def joint_attention(weights: Weights, sizes: dict, name: str, tokens: ndarray, angles: list) -> ndarray:
    """`angles` has an entry for each token: None for text."""
    heads = sizes["transformer"]["num_attention_heads"]
    rows = {}
    for kind in ("q", "k"):
        vectors = linear(weights, f"{name}.to_{kind}", tokens)
        normed = norm(weights, f"{name}.norm_{kind}", vectors.reshape(len(tokens), heads, -1), eps=1e-6)
        rows[kind] = np.array(
            [
                v.reshape(-1) if a is None else rotated(v.reshape(-1), a, heads)
                for v, a in zip(normed, angles, strict=True)
            ]
        )
    attended = attend(rows["q"], rows["k"], linear(weights, f"{name}.to_v", tokens), heads)
    return linear(weights, f"{name}.to_out.0", attended)


def block(weights: Weights, sizes: dict, index: int, text: ndarray, image: ndarray, time: ndarray, angles: list):
    name = f"transformer_blocks.{index}"
    for norm_name in ("norm1", "norm2"):
        shift, scale, gate, text_shift, text_scale, text_gate = modulations(weights, f"{name}.{norm_name}", time, 6)
        normed_text = norm(weights, f"{name}.{norm_name}.norm", text) * (1 + text_scale) + text_shift
        normed = norm(weights, f"{name}.{norm_name}.norm", image) * (1 + scale) + shift
        tokens = np.concatenate([normed_text, normed])
        if norm_name == "norm1":
            update = joint_attention(weights, sizes, f"{name}.attn1", tokens, angles)
        else:
            update = linear(weights, f"{name}.ff.net.2", gelu_tanh(linear(weights, f"{name}.ff.net.0.proj", tokens)))
        text = text + text_gate * update[: len(text)]
        image = image + gate * update[len(text) :]
    return text, image


def embed(weights: Weights, sizes: dict, latents: ndarray, text: ndarray) -> tuple[ndarray, ndarray]:
    """Latents (F, C, H, W) and text (J, text_dim) of one row -> text (J, D) and image tokens (S, D)."""
    text = linear(weights, "patch_embed.text_proj", text)
    image = []
    own = len(latents) == (sizes["transformer"]["sample_frames"] - 1) // 4 + 1
    for token, place in enumerate(places(sizes, len(latents))):
        frame, row, column = place
        patch = latents[frame, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        kernel = weights["patch_embed.proj.weight"]
        value = np.array([(patch * channel).sum() for channel in kernel]) + weights["patch_embed.proj.bias"]
        table = weights["patch_embed.pos_embedding"][0]
        image.append(value + (table[len(text) + token] if own else computed_position(sizes, place)))
    if own:
        text = text + weights["patch_embed.pos_embedding"][0][: len(text)]
    return text, np.array(image)


def embed_time(weights: Weights, sizes: dict, timestep: float) -> ndarray:
    half = sizes["transformer"]["num_attention_heads"] * sizes["transformer"]["attention_head_dim"] // 2
    angles = [timestep / 10000 ** (i / half) for i in range(half)]
    sinusoids = np.array([*map(math.cos, angles), *map(math.sin, angles)])
    return linear(weights, "time_embedding.linear_2", silu(linear(weights, "time_embedding.linear_1", sinusoids)))


def forward(
    weights: Weights,
    sizes: dict,
    latents: ndarray,
    timestep: ndarray,
    text: ndarray,
    faces: list[ndarray],
    source_rows: list[int],
) -> tuple[ndarray, ndarray]:
    """Output (B, F, C, H, W), and logits (injections, B, S, N) of each row.

    Args:
        source_rows: for each row the row whose residual is added to it.
    """
    batch, frames = latents.shape[:2]
    rows = [embed(weights, sizes, latents[row], text[row]) for row in range(batch)]
    times = [embed_time(weights, sizes, float(timestep[row])) for row in range(batch)]
    angles = [None] * text.shape[1] + [rotation(sizes, place) for place in places(sizes, frames)]
    all_logits = []
    for index in range(sizes["transformer"]["num_layers"]):
        rows = [block(weights, sizes, index, *rows[row], times[row], angles) for row in range(batch)]
        if index % sizes["transformer"]["cross_attn_interval"] == 0:
            layer = index // sizes["transformer"]["cross_attn_interval"]
            found = [residual(weights, sizes, layer, image, faces) for _, image in rows]
            scale = sizes["transformer"]["local_face_scale"]
            rows = [(words, image + scale * found[source_rows[row]][0]) for row, (words, image) in enumerate(rows)]
            all_logits.append([logits for _, logits in found])
    outputs = [finish(weights, sizes, image, time, latents.shape) for (_, image), time in zip(rows, times, strict=True)]
    return np.array(outputs), np.array(all_logits)


def finish(weights: Weights, sizes: dict, image: ndarray, time: ndarray, shape: tuple[int, ...]) -> ndarray:
    """Image tokens (S, D) -> (F, C, H, W)."""
    shift, scale = modulations(weights, "norm_out", time, 2)
    image = norm(weights, "norm_out.norm", norm(weights, "norm_final", image)) * (1 + scale) + shift
    patches = linear(weights, "proj_out", image)
    channels = sizes["transformer"]["out_channels"]
    output = np.zeros((shape[1], channels, *shape[3:]))
    for token, (frame, row, column) in enumerate(places(sizes, shape[1])):
        for channel in range(channels):
            for y in range(2):
                for x in range(2):
                    value = patches[token, channel * 4 + y * 2 + x]
                    output[frame, channel, 2 * row + y, 2 * column + x] = value
    return output
