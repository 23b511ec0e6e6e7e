"""The model as its users call it: shapes, batches, attention functions, and what it says to a wrong input."""

from __future__ import annotations

import json

import pytest
import torch
from golden_cases import largest_difference, relative_norm
from model_calls import predict

from lumosx_core import LumosXConfig, LumosXError, LumosXModel, ReferenceLayout
from lumosx_core.models.lumosx.csam import scaled_dot_product_attention
from lumosx_core.models.lumosx.model import timestep_embedding

CONFIG = LumosXConfig(dim=64, ffn_dim=96, num_heads=2, num_layers=2, text_dim=24, text_len=20)
LAYOUT = ReferenceLayout(1, (2, 3))
ROUNDING = 1e-5


def lively(config: LumosXConfig, **options) -> LumosXModel:
    """A model in which every parameter leaves its mark on the output."""
    model = LumosXModel(config, **options)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            spread = parameter[0].numel() ** -0.5 if parameter.ndim > 1 and name.endswith("weight") else 0.2
            parameter.copy_(spread * torch.randn(parameter.shape, generator=generator))
            if "norm" in name and name.endswith("weight"):
                parameter.add_(1.5)
    return model


@pytest.fixture(scope="module")
def model():
    return lively(CONFIG).requires_grad_(False)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def inputs(batch=1, frames=3, height=18, width=20, layout=LAYOUT, words=13, own_references=False):
    """Arguments of a call that fit together."""
    phrases = noise(layout.pictures, 20, seed=3) > 0.8
    return {
        "video": noise(batch, 16, frames, height, width),
        "timestep": torch.tensor([637, 12, 988][:batch]),
        "text": noise(batch, words, 24, seed=1),
        "references": noise(batch if own_references else 1, 16, layout.pictures, height, width, seed=2),
        "layout": layout,
        "phrase_mask": phrases,
    }


# Shapes and sizes


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 19), (16, 16), (17, 33)], ids=str)
@pytest.mark.parametrize("frames", [1, 2, 3])  # 2 and 3: as many as pictures in a group; 1: a still
def test_any_size_and_length_comes_back_in_its_own_shape(model, size, frames):
    call = inputs(2, frames, *size)
    velocity = predict(model, **call)
    assert velocity.shape == (2, 16, frames, *size) and velocity.dtype == torch.float32
    whole = predict(model, **call, include_references=True)
    assert whole.shape == (2, 16, frames + 6, *size)
    assert largest_difference(whole[:, :, :frames], velocity) <= ROUNDING
    assert velocity.isfinite().all() and velocity.std() > 0.1


def test_an_odd_size_is_the_even_size_with_zeros_at_the_edge(model):
    call = inputs(height=7, width=9)
    padded = {**call, **{name: torch.nn.functional.pad(call[name], (0, 1, 0, 1)) for name in ("video", "references")}}
    assert torch.equal(predict(model, **call), predict(model, **padded)[..., :7, :9])


def test_missing_rows_of_text_are_zero_rows(model):
    call = inputs(words=13)
    filled = torch.nn.functional.pad(call["text"], (0, 0, 0, 7))
    assert torch.equal(predict(model, **call), predict(model, **{**call, "text": filled}))


def test_padding_rows_of_text_are_attended_to(model):
    """A longer context of the same words is another input to the network, as released."""
    longer = LumosXModel(LumosXConfig(**{**vars(CONFIG), "text_len": 40}))
    longer.load_state_dict(model.state_dict())
    call = inputs()
    call["phrase_mask"] = torch.nn.functional.pad(call["phrase_mask"], (0, 20))
    with torch.no_grad():
        assert largest_difference(predict(longer, **call), predict(model, **inputs())) > 1e-3


# Scenes


def test_without_pictures_it_is_plain_wan(model):
    call = inputs(2)
    video, timestep, text = call["video"], call["timestep"], call["text"]
    plain = predict(model, video, timestep, text)
    nothing = ReferenceLayout(0)
    assert torch.equal(predict(model, video, timestep, text, video[:, :, :0], nothing), plain)
    assert torch.equal(predict(model, video, timestep, text, include_references=True), plain)
    with torch.no_grad():
        wan = predict(model, video, timestep, text, mcam_ratio=0.0, r2pe=False, csam=False)
        assert largest_difference(wan, plain) <= ROUNDING
        assert largest_difference(predict(model, **call), plain) > 1e-2


def test_pictures_never_see_the_video(model):
    call = inputs()
    other = {**call, "video": noise(1, 16, 3, 18, 20, seed=9)}
    before, after = (predict(model, **c, include_references=True) for c in (call, other))
    assert torch.equal(after[:, :, 3:], before[:, :, 3:])
    assert largest_difference(after[:, :, :3], before[:, :, :3]) > 1e-2


def test_a_group_of_pictures_never_sees_another_group(model):
    call = inputs()
    references = call["references"].clone()
    references[:, :, 3:] = noise(1, 16, 3, 18, 20, seed=9)  # all of the second subject
    before, after = (
        predict(model, **{**call, "references": r}, include_references=True) for r in (call["references"], references)
    )
    assert torch.equal(after[:, :, 3:6], before[:, :, 3:6])
    assert all(largest_difference(after[:, :, f], before[:, :, f]) > 1e-2 for f in (0, 1, 2, 6, 7, 8))


def test_pictures_of_one_subject_see_each_other(model):
    call = inputs()
    references = call["references"].clone()
    references[:, :, 5] = noise(1, 16, 18, 20, seed=9)
    before, after = (
        predict(model, **{**call, "references": r}, include_references=True) for r in (call["references"], references)
    )
    assert all(largest_difference(after[:, :, 3 + r], before[:, :, 3 + r]) > 1e-2 for r in (3, 4, 5))


def test_phrases_change_only_what_the_pictures_say(model):
    call = inputs()
    one_block = lively(LumosXConfig(**{**vars(CONFIG), "num_layers": 1}))
    with torch.no_grad():
        bound, unbound = (
            predict(one_block, **{**call, "phrase_mask": mask}, include_references=True)
            for mask in (call["phrase_mask"], None)
        )
        assert largest_difference(bound[:, :, :3], unbound[:, :, :3]) == 0  # it reaches the video one block later
        assert largest_difference(bound[:, :, 3:], unbound[:, :, 3:]) > 1e-2
        assert largest_difference(predict(model, **call), predict(model, **{**call, "phrase_mask": None})) > 1e-4


@pytest.mark.parametrize("switch", [{"mcam_ratio": 0.0}, {"r2pe": False}, {"csam": False}], ids=str)
def test_each_relation_can_be_switched_off(model, switch):
    before, after = (predict(model, **inputs(), include_references=True, **options) for options in ({}, switch))
    assert largest_difference(after, before) > 1e-2


# Batches


@pytest.mark.parametrize("own_references", [False, True], ids=["shared references", "references for each"])
def test_videos_of_a_batch_come_out_as_they_would_alone(model, own_references):
    call = inputs(3, own_references=own_references)
    together = predict(model, **call, include_references=True)
    for i in range(3):
        alone = {name: call[name][i, None] for name in ("video", "timestep", "text")}
        references = call["references"][i, None] if own_references else call["references"]
        velocity = predict(model, **{**call, **alone, "references": references}, include_references=True)
        assert largest_difference(together[i, None], velocity) <= ROUNDING


def test_the_order_of_a_batch_does_not_matter(model):
    call = inputs(3, own_references=True)
    order = [2, 0, 1]
    turned = {name: call[name][order] for name in ("video", "timestep", "text", "references")}
    assert largest_difference(predict(model, **{**call, **turned}), predict(model, **call)[order]) <= ROUNDING


def test_shared_references_are_the_same_references_for_each(model):
    call = inputs(2)
    repeated = {**call, "references": call["references"].repeat(2, 1, 1, 1, 1)}
    assert torch.equal(predict(model, **repeated), predict(model, **call))


# Attention functions


def written_out(q, k, v, attn_mask=None):
    """Attention in its definition's own terms."""
    logits = q @ k.mT * q.shape[-1] ** -0.5
    return (logits if attn_mask is None else logits + attn_mask).softmax(-1) @ v


def test_another_attention_function_is_used_for_every_call_and_changes_nothing(model, monkeypatch):
    call = inputs(2)
    expected = predict(model, **call, include_references=True)
    used = []

    def attention(q, k, v, attn_mask=None):
        used.append(attn_mask is None)
        return written_out(q, k, v, attn_mask)

    def forbidden(*_, **__):
        raise AssertionError("PyTorch's attention was called although another one was set")

    monkeypatch.setattr(model, "attention", attention)
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", forbidden)
    assert largest_difference(predict(model, **call, include_references=True), expected) <= ROUNDING
    # In each of 2 blocks: video, groups of 1, 2 and 3; text for the video, and for the pictures of each of 2 videos.
    assert used == [*[True] * 4, True, False, False] * 2


@pytest.mark.parametrize("size", [(18, 16), (18, 22), (34, 10)], ids=str)
def test_no_call_gets_a_mask_of_tokens_by_text_and_the_video_gets_none(model, monkeypatch, size):
    """Pictures of a single cell, at most 64 tokens, are left out: their mask is small."""
    calls = []

    def spy(q, k, v, attn_mask=None):
        calls.append((q.shape[2], None if attn_mask is None else attn_mask.shape))
        return scaled_dot_product_attention(q, k, v, attn_mask)

    monkeypatch.setattr(model, "attention", spy)
    frames = 5
    predict(model, **inputs(2, frames, *size), include_references=True)
    video_tokens = frames * -(-size[0] // 2) * -(-size[1] // 2)
    assert [mask for queries, mask in calls if queries == video_tokens] == [None] * 4  # self and cross, 2 blocks
    masks = [mask for _, mask in calls if mask is not None]
    assert len(masks) == 4  # 2 videos, 2 blocks
    for mask in masks:
        assert mask[2:] == (1, CONFIG.text_len)  # one row for a whole cell of tokens
    biggest = max(mask.numel() for mask in masks)
    assert biggest < video_tokens * CONFIG.text_len


@pytest.mark.parametrize("csam", [True, False])
def test_the_last_block_gives_the_video_the_same_with_and_without_pictures(model, csam):
    call = {**inputs(2, frames=3), "csam": csam}
    whole = predict(model, **call, include_references=True)
    assert largest_difference(predict(model, **call), whole[:, :, :3]) <= ROUNDING


def test_the_last_block_asks_nothing_for_pictures_that_nobody_wants(model, monkeypatch):
    queries = []

    def spy(q, k, v, attn_mask=None):
        queries.append(q.shape[2])
        return scaled_dot_product_attention(q, k, v, attn_mask)

    monkeypatch.setattr(model, "attention", spy)
    call = inputs(frames=5)
    predict(model, **call)
    assert queries[-2:] == [5 * 90] * 2  # the video's own attention, to itself and to the text, ends it
    last = len(queries)
    predict(model, **call, include_references=True)
    assert len(queries) > 2 * last


# Training


def test_every_parameter_is_trained():
    model = lively(CONFIG)
    predict(model, **inputs(2)).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.norm() > 0, name


def test_a_new_model_starts_from_an_output_of_zero():
    model = LumosXModel(CONFIG)
    with torch.no_grad():
        assert not predict(model, **inputs()).any()
    assert all(parameter.isfinite().all() for parameter in model.parameters())


# Timesteps


def test_the_sinusoids_of_a_timestep_have_cosines_first():
    waves = timestep_embedding(torch.tensor([0, 250, 999]), 256)
    assert waves.shape == (3, 256) and waves.dtype == torch.float32
    assert waves[0].tolist() == [1.0] * 128 + [0.0] * 128
    angles = torch.tensor([250.0, 999.0], dtype=torch.float64)[:, None] * 10000 ** (-torch.arange(128).double() / 128)
    assert largest_difference(waves[1:], torch.cat([angles.cos(), angles.sin()], 1)) <= 1e-7


def test_timesteps_may_be_integers_or_floats(model):
    call = inputs()
    released = predict(model, **call)
    assert torch.equal(predict(model, **{**call, "timestep": torch.tensor([637.0])}), released)


def test_a_fraction_of_a_timestep_is_cut_as_released_unless_it_is_asked_for(model):
    call = {**inputs(), "timestep": torch.tensor([637.9])}
    assert torch.equal(predict(model, **call), predict(model, **inputs()))
    assert largest_difference(predict(model, **call, truncate_timestep=False), predict(model, **inputs())) > 1e-5


# Configuration


def test_the_default_configuration_is_the_released_model(golden):
    released = json.loads((golden / "released_state_dict.json").read_text())
    ours = {
        name: list(tensor.shape) for name, tensor in LumosXModel(LumosXConfig(), device="meta").state_dict().items()
    }
    assert ours == released["state_dict"]
    assert len(ours) == released["total"] == 825
    parameters = sum(torch.Size(shape).numel() for shape in ours.values())
    assert parameters == released["params"] == 1_418_996_800


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_weights_keep_the_residual_stream_in_float32(model, dtype):
    half = LumosXModel(CONFIG, dtype=dtype)
    half.load_state_dict(model.state_dict())
    streams = []
    for block in half.blocks:
        block.register_forward_hook(lambda _module, inputs, output: streams.extend([inputs[0].dtype, output.dtype]))
    with torch.no_grad():
        for latents in (torch.float32, dtype):
            call = {
                k: v.to(latents) if torch.is_tensor(v) and v.is_floating_point() else v for k, v in inputs().items()
            }
            velocity = predict(half, **call)
            assert velocity.dtype == torch.float32
            assert relative_norm(velocity, predict(model, **inputs())) <= 3e-2
    assert streams == [torch.float32] * 8  # into and out of each of 2 blocks, twice


def test_heads_that_do_not_fit_the_width_are_refused():
    with pytest.raises(LumosXError, match="dim 100 does not divide into 12 heads"):
        LumosXConfig(dim=100)
    with pytest.raises(LumosXError, match="dim 36 does not divide into 12 heads of an even width"):
        LumosXConfig(dim=36)


def test_patches_that_join_frames_are_refused():
    with pytest.raises(LumosXError, match=r"patch_size \(2, 2, 2\) joins frames"):
        LumosXConfig(patch_size=(2, 2, 2))


# Mistakes


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"video": (16, 3, 18, 20)}, r"video has shape \(16, 3, 18, 20\), expected \(B, 16, T, H, W\)"),
        ({"video": (2, 4, 3, 18, 20)}, r"video has shape \(2, 4, 3, 18, 20\), expected \(B, 16, T, H, W\)"),
        ({"timestep": ()}, r"timestep has shape \(\), expected \(2,\)"),
        ({"timestep": (1,)}, r"timestep has shape \(1,\), expected \(2,\)"),
        ({"timestep": (2, 1)}, r"timestep has shape \(2, 1\), expected \(2,\)"),
        ({"text": (1, 13, 24)}, r"text has shape \(1, 13, 24\), expected \(2, up to 20, 24\)"),
        ({"text": (2, 21, 24)}, r"text has shape \(2, 21, 24\), expected \(2, up to 20, 24\).*Shorten"),
        ({"text": (2, 13, 32)}, r"text has shape \(2, 13, 32\), expected \(2, up to 20, 24\)"),
        ({"text": (2, 24)}, r"text has shape \(2, 24\), expected \(2, up to 20, 24\)"),
        ({"text": (2, 13, 1, 24)}, r"text has shape \(2, 13, 1, 24\), expected \(2, up to 20, 24\)"),
        (
            {"references": (16, 6, 18, 20)},
            r"references have shape \(16, 6, 18, 20\).*batch, channels, images, height, width",
        ),
        ({"references": (3, 16, 6, 18, 20)}, r"references have shape \(3, 16, 6, 18, 20\).*\(1 or 2, 16, 6, 18, 20\)"),
        ({"references": (1, 16, 5, 18, 20)}, "describes 6 reference images .*, but 5 were given"),
        ({"references": (1, 16, 6, 20, 18)}, r"references have shape \(1, 16, 6, 20, 18\).*for the video's size"),
        ({"phrase_mask": (5, 20)}, r"phrase_mask has shape \(5, 20\) .*expected \(6, text_len\) and torch.bool"),
        ({"phrase_mask": torch.zeros(6, 13, dtype=torch.bool)}, r"phrase_mask has shape \(6, 13\), expected \(6, 20\)"),
        ({"phrase_mask": (6, 20)}, r"phrase_mask has .* dtype torch.float32, expected .* torch.bool"),
        ({"layout": ReferenceLayout(1, (2, 2))}, "describes 5 reference images .*, but 6 were given"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_inputs_that_do_not_fit_are_refused_by_name_and_shape(model, changed, message):
    wrong = {name: torch.zeros(value) if isinstance(value, tuple) else value for name, value in changed.items()}
    with pytest.raises(LumosXError, match=message):
        predict(model, **{**inputs(2), **wrong})


def test_a_batch_of_scenes_with_words_of_their_own_equals_the_scenes_one_by_one(model):
    call = inputs(2, own_references=True)
    call["phrase_mask"] = torch.stack([call["phrase_mask"], call["phrase_mask"].flip(0)])
    both = predict(model, **call)
    for i in range(2):
        alone = {name: value[i : i + 1] for name, value in call.items() if name != "layout"}
        alone["phrase_mask"] = call["phrase_mask"][i]
        assert largest_difference(predict(model, **alone, layout=LAYOUT), both[i : i + 1]) <= ROUNDING


@pytest.mark.parametrize("size", [(18, 20), (8, 10), (34, 6)], ids=str)  # several cells, one, one of several rows
@pytest.mark.parametrize("ratio", [0.0, 0.5])
def test_joining_the_text_padding_gives_the_same_numbers(model, ratio, size):
    call = inputs(2, height=size[0], width=size[1], words=13)
    call["phrase_mask"][:, 13:] = False  # no phrase names the padding
    expected = predict(model, **call, include_references=True, mcam_ratio=ratio)
    rows = []
    with model.text_embedding.register_forward_hook(lambda module, args, out: rows.append(out.shape[1])):
        joined = predict(model, **call, include_references=True, mcam_ratio=ratio, join_text_padding=True)
    assert largest_difference(joined, expected) <= ROUNDING
    assert rows == [14]
