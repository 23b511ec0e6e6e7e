"""A LoRA in the model: only it learns, and what it learnt goes through a file and back."""

import math

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lumosx_core import EncodedScene, LumosXConfig, LumosXError, LumosXModel, ReferenceLayout
from lumosx_training.lora import LoraSettings, add_lora, load_lora, lora_state_dict, save_lora
from lumosx_training.lora.layers import lora_layers

pytest.importorskip("peft")
CONFIG = LumosXConfig(dim=256, ffn_dim=128, num_heads=2, num_layers=2, text_dim=32, text_len=16)


def plain_model(dtype=torch.float32, config=CONFIG) -> LumosXModel:
    torch.manual_seed(0)
    model = LumosXModel(config)
    torch.nn.init.normal_(model.head.head.weight, std=0.02)
    return model.to(dtype)


def trained_model(settings=None, dtype=torch.float32) -> LumosXModel:
    """A model with a LoRA that changes its output."""
    model = plain_model(dtype)
    add_lora(model, settings or LoraSettings(rank=3, alpha=6.0))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def predict(model: LumosXModel) -> torch.Tensor:
    random = torch.Generator().manual_seed(1)
    video, pictures = torch.randn(1, 16, 2, 4, 6, generator=random), torch.randn(1, 16, 3, 4, 6, generator=random)
    text, words = torch.randn(1, 5, 32, generator=random), torch.rand(3, 16, generator=random) < 0.3
    return model(video, torch.tensor([300.0]), text, EncodedScene(pictures, ReferenceLayout(1, (2,)), words))


def relative(a, b) -> float:
    return ((a - b).norm() / b.norm()).item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_new_lora_changes_nothing_and_alone_learns_in_float32(dtype):
    model = plain_model(dtype)
    before = predict(model)
    add_lora(model, LoraSettings(rank=3))
    assert torch.equal(predict(model), before)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert len(trained) == 2 * len(LoraSettings().targets) * CONFIG.num_layers
    assert all("lora_" in name and p.dtype == torch.float32 for name, p in trained.items())
    assert all(p.dtype == dtype for name, p in model.named_parameters() if name not in trained)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_step_moves_every_layer_and_lowers_the_loss(dtype, autocast):
    model = trained_model(dtype=dtype)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=2.0)

    def loss():
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            return (predict(model) - 1).square().mean()

    before = loss()
    before.backward()
    gradients = [p.grad for p in model.parameters() if p.requires_grad]
    assert all(gradient is not None and gradient.dtype == torch.float32 and gradient.any() for gradient in gradients)
    optimizer.step()
    assert loss() < before


@pytest.mark.parametrize("autocast", [False, True])
def test_over_bfloat16_weights_the_lora_adds_what_it_adds_over_float32(autocast):
    """peft keeps the layers' own forward, which casts the float32 stream."""
    low, full = trained_model(dtype=torch.bfloat16), trained_model()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        added, expected = predict(low) - predict(plain_model(torch.bfloat16)), predict(full) - predict(plain_model())
    assert relative(added, expected) < 0.05


def test_the_layers_with_a_precision_of_their_own_can_be_trained_too():
    targets = ("time_embedding.0", "time_projection.1", "text_embedding.2", "head.head", "blocks.1.ffn.0")
    model = trained_model(LoraSettings(rank=2, targets=targets), torch.bfloat16)
    assert set(lora_layers(model)) == set(targets)
    with torch.autocast("cpu", torch.bfloat16):
        out = predict(model)
    assert out.dtype == torch.float32
    out.square().mean().backward()
    assert all(p.grad.any() for p in model.parameters() if p.requires_grad)


def test_the_tensors_have_comfyuis_names():
    tensors = lora_state_dict(trained_model(LoraSettings(rank=3, alpha=6.0, targets=("self_attn.q", "ffn.2"))))
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items() if "blocks.1" in name} == {
        "diffusion_model.blocks.1.self_attn.q.lora_A.weight": (3, 256),
        "diffusion_model.blocks.1.self_attn.q.lora_B.weight": (256, 3),
        "diffusion_model.blocks.1.self_attn.q.alpha": (),
        "diffusion_model.blocks.1.ffn.2.lora_A.weight": (3, 128),
        "diffusion_model.blocks.1.ffn.2.lora_B.weight": (256, 3),
        "diffusion_model.blocks.1.ffn.2.alpha": (),
    }
    assert tensors["diffusion_model.blocks.0.ffn.2.alpha"] == 6.0


def test_a_saved_lora_comes_back_to_the_last_bit_in_a_plain_model_and_in_one_with_a_lora(tmp_path):
    model, path = trained_model(), tmp_path / "lora.safetensors"
    save_lora(path, model, {"modelspec.trigger_phrase": "a zigzag coat", "lumosx_training": {"steps": 7}})
    plain, begun = plain_model(), plain_model()
    add_lora(begun, LoraSettings(rank=3, alpha=1.0))  # the file's alpha counts
    for other in (plain, begun):
        load_lora(other, path)
        assert torch.equal(predict(other), predict(model))
        assert {n for n, p in other.named_parameters() if p.requires_grad} == {
            n for n, p in model.named_parameters() if p.requires_grad
        }
        assert all(torch.equal(lora_state_dict(other)[n], t) for n, t in lora_state_dict(model).items())
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert metadata["modelspec.trigger_phrase"] == "a zigzag coat"
    assert metadata["lumosx_training"] == '{"steps": 7}'
    assert (metadata["lumosx_rank"], metadata["lumosx_alpha"]) == ("3", "6.0")
    assert [each.name for each in tmp_path.iterdir()] == ["lora.safetensors"]


KOHYA = ("lora_unet_", "_", ".lora_down.weight", ".lora_up.weight")
FORMATS = {
    "ComfyUI": ("diffusion_model.", ".", ".lora_A.weight", ".lora_B.weight"),
    "bare": ("", ".", ".lora_A.weight", ".lora_B.weight"),
    "up and down": ("diffusion_model.", ".", ".lora_down.weight", ".lora_up.weight"),
    "peft": ("base_model.model.", ".", ".lora_A.weight", ".lora_B.weight"),
    "peft in a checkpoint": ("", ".", ".lora_A.default.weight", ".lora_B.default.weight"),
    "diffusers": ("transformer.", ".", ".lora.down.weight", ".lora.up.weight"),
    "kohya": KOHYA,
    "kohya with two underscores": ("lora_unet__", *KOHYA[1:]),
}


@pytest.mark.parametrize("style", FORMATS)
def test_other_formats_load_as_well(style, tmp_path):
    model, path = trained_model(), tmp_path / "lora.safetensors"
    prefix, dot, down, up = FORMATS[style]
    renamed = {}
    for name, tensor in lora_state_dict(model).items():
        stem, part = name.removeprefix("diffusion_model.").split(".lora_" if "lora_" in name else ".alpha")
        ending = {"A.weight": down, "B.weight": up}.get(part, ".alpha")
        renamed[prefix + stem.replace(".", dot) + ending] = tensor
    save_file(renamed, path)
    other = plain_model()
    load_lora(other, path)
    assert torch.equal(predict(other), predict(model))


def test_the_names_of_diffusers_transformer_load_as_well(tmp_path):
    names = {
        "self_attn.q": "attn1.to_q",
        "self_attn.o": "attn1.to_out.0",
        "cross_attn.v": "attn2.to_v",
        "ffn.0": "ffn.net.0.proj",
        "ffn.2": "ffn.net.2",
    }
    model, path = trained_model(LoraSettings(rank=3, targets=tuple(names))), tmp_path / "lora.safetensors"
    renamed = {}
    for name, tensor in lora_state_dict(model).items():
        for ours, theirs in names.items():
            name = name.replace(f".{ours}.", f".{theirs}.").replace("diffusion_model.", "transformer.")
        renamed[name] = tensor
    save_file(renamed, path)
    other = plain_model()
    load_lora(other, path)
    assert torch.equal(predict(other), predict(model))


def test_without_alpha_the_change_is_taken_as_it_is(tmp_path):
    model, path = trained_model(LoraSettings(rank=3, alpha=3.0)), tmp_path / "lora.safetensors"
    save_file({name: t for name, t in lora_state_dict(model).items() if not name.endswith("alpha")}, path)
    other = plain_model()
    load_lora(other, path)
    assert torch.equal(predict(other), predict(model))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rank": 0}, "rank 0 is not possible"),
        ({"rank": 2.5}, "rank 2.5 is not possible"),
        ({"alpha": 0.0}, "alpha 0.0 is not possible"),
        ({"alpha": math.nan}, "alpha nan is not possible"),
        ({"dropout": 1.0}, "dropout 1.0 is not possible"),
        ({"targets": ()}, "targets is empty"),
        ({"targets": "self_attn.q"}, r"is one text. Give a list of names, such as \['self_attn.q'\]"),
    ],
)
def test_impossible_settings_are_refused(values, message):
    with pytest.raises(LumosXError, match=message):
        LoraSettings(**values)


def test_a_target_that_names_nothing_is_refused_and_the_model_left_alone():
    model = plain_model()
    with pytest.raises(LumosXError, match=r"\['self_attn.qkv'\] name no linear layer.*: self_attn.q, self_attn.k"):
        add_lora(model, LoraSettings(targets=("self_attn.q", "self_attn.qkv")))
    assert not lora_layers(model)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_second_lora_is_refused():
    model = trained_model()
    with pytest.raises(LumosXError, match="has a LoRA already"):
        add_lora(model, LoraSettings())


def test_a_model_without_a_lora_has_nothing_to_save(tmp_path):
    with pytest.raises(LumosXError, match="has no LoRA"):
        save_lora(tmp_path / "lora.safetensors", plain_model())
    assert not any(tmp_path.iterdir())


BAD = {
    "a wider model": (lambda t: {n: torch.zeros(3, 384) if "A" in n else v for n, v in t.items()}, "another model"),
    "a deeper model": (lambda t: {n.replace("blocks.1", "blocks.7"): v for n, v in t.items()}, "no such layer"),
    "half a pair": (lambda t: {n: v for n, v in t.items() if "0.self_attn.q.lora_B" not in n}, "incomplete"),
    "two ranks in a pair": (lambda t: {n: v[:2] if "lora_A" in n else v for n, v in t.items()}, "do not share a rank"),
    "LoKr": (lambda t: {"diffusion_model.blocks.0.ffn.0.lokr_w1": torch.zeros(2, 2)}, "not all matrices"),
    "DoRA": (lambda t: {**t, "diffusion_model.blocks.0.ffn.0.dora_scale": torch.ones(1)}, "it is a DoRA"),
    "a whole model": (lambda t: {"blocks.0.ffn.0.weight": torch.zeros(2, 2)}, "is a whole weight"),
    "differences": (lambda t: {**t, "diffusion_model.blocks.0.norm3.diff": torch.zeros(256)}, "lumosx_core lora merge"),
    "nothing": (lambda t: {}, "not a LoRA"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_file_that_does_not_fit_is_refused_by_name(case, tmp_path):
    change, message = BAD[case]
    path = tmp_path / "lora.safetensors"
    save_file(change(lora_state_dict(trained_model())), path)
    model = plain_model()
    with pytest.raises(LumosXError, match=message) as error:
        load_lora(model, path)
    assert str(path) in str(error.value)
    assert not lora_layers(model)


def test_a_file_of_another_rank_or_other_layers_than_the_models_lora_is_refused(tmp_path):
    path = tmp_path / "lora.safetensors"
    save_lora(path, trained_model())
    with pytest.raises(LumosXError, match="has rank 3 in 'blocks.0.*has rank 4"):
        load_lora(trained_model(LoraSettings(rank=4)), path)
    with pytest.raises(LumosXError, match=r"only the file has \['blocks.0.cross_attn.k'"):
        load_lora(trained_model(LoraSettings(rank=3, targets=("self_attn.q",))), path)


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "is empty"), (b"no model", "a text file"), (b"\xff" * 100, "or damaged")]
)
def test_a_damaged_file_is_refused_by_name(content, message, tmp_path):
    path = tmp_path / "lora.safetensors"
    path.write_bytes(content)
    with pytest.raises(LumosXError, match=message):
        load_lora(plain_model(), path)


def test_a_truncated_file_is_refused_by_name(tmp_path):
    path = tmp_path / "lora.safetensors"
    save_lora(path, trained_model())
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(LumosXError, match="is truncated"):
        load_lora(plain_model(), path)


def test_a_full_disk_leaves_the_last_good_file(tmp_path, monkeypatch):
    import errno
    import os

    path = tmp_path / "lora.safetensors"
    save_lora(path, trained_model())
    before = load_file(path)

    def full(number):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LumosXError, match="Free some space"):
        save_lora(path, trained_model(LoraSettings(rank=1)))
    assert [each.name for each in tmp_path.iterdir()] == ["lora.safetensors"]
    assert load_file(path).keys() == before.keys()
