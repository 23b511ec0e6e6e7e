"""Weights that were not trained for LumosX are named in the page, by whatever way they reach the scene."""

from __future__ import annotations

import pytest
from graphs import node
from safetensors.torch import load_file, save_file
from test_left_out import notices

from lumosx_core.models.lumosx.tiny import tiny_files

PLAIN, UNKNOWN, NAMED = "wan2.1_t2v_1.3B_fp16.safetensors", "my model.safetensors", "lumosx copy.safetensors"
PHANTOM = "Phantom-Wan-1_3B_fp16.safetensors"
LORA = "hat.safetensors"


@pytest.fixture(scope="module")
def files(server):
    """Files of the tiny network that say nothing of themselves, and an empty LoRA; removed afterwards."""
    weights = load_file(tiny_files().diffusion_model)
    lora = {
        f"diffusion_model.blocks.0.ffn.0.lora_{part}.weight": weights["blocks.0.ffn.0.weight"].new_zeros(shape)
        for part, shape in (("A", (1, weights["blocks.0.ffn.0.weight"].shape[1])),)
    }
    lora["diffusion_model.blocks.0.ffn.0.lora_B.weight"] = weights["blocks.0.ffn.0.weight"].new_zeros(
        weights["blocks.0.ffn.0.weight"].shape[0], 1
    )
    models = server.directory / "models"
    paths = [models / "diffusion_models" / name for name in (PLAIN, UNKNOWN, NAMED, PHANTOM)]
    for path in paths:
        save_file(weights, path)
    (models / "loras").mkdir(exist_ok=True)
    paths.append(models / "loras" / LORA)
    save_file(lora, paths[-1])
    yield
    for path in paths:
        path.unlink()


def applied(name: str, loader: str = "UNETLoader", **between: dict) -> dict:
    """A model file through a loader, other nodes and LumosX Apply, shown as text."""
    key = "model_name" if loader == "LumosXLoadModel" else "unet_name"
    return {
        "load": node(loader, **{key: name, "weight_dtype": "default"}),
        **between,
        "apply": node("LumosXApply", model=[[*between, "load"][0], 0], mcam_ratio=0.5, r2pe=True, csam=True, mcam=True)
        | {"_meta": {"title": "Make it LumosX"}},
        "show": node("PreviewAny", source=["apply", 0]),
    }


WAYS = {
    "alone": {},
    "LoRA": {"lora": node("LoraLoaderModelOnly", model=["load", 0], lora_name=LORA, strength_model=1.0)},
    "merge": {
        "merge": node("ModelMergeSimple", model1=["trained", 0], model2=["load", 0], ratio=0.5),
        "trained": node("LumosXLoadModel", model_name="lumosx-tiny.safetensors", weight_dtype="default"),
    },
    "LoRA and sampling": {
        "shift": node("ModelSamplingSD3", model=["lora", 0], shift=3.0),
        "lora": node("LoraLoaderModelOnly", model=["load", 0], lora_name=LORA, strength_model=1.0),
    },
}


@pytest.mark.parametrize("way", WAYS)
def test_plain_wan_that_reaches_apply_is_named_every_time(server, files, way):
    [(node_id, title, text)] = notices(server, applied(PLAIN, **WAYS[way]))
    assert (node_id, title) == ("apply", "Make it LumosX")
    assert text.startswith(f"{PLAIN} is plain Wan2.1, by its name.")
    assert f"-m lumosx_core download --comfyui {server.directory}" in text


@pytest.mark.parametrize(
    ("name", "start"), [(UNKNOWN, "It is unknown whether my model"), (NAMED, "Only its name says that lumosx copy")]
)
def test_what_cannot_be_told_is_said_once(server, files, name, start):
    [(_, _, text)] = notices(server, applied(name))
    assert text.startswith(start) and "all is well" in text
    again = applied(name)
    again["apply"]["inputs"]["mcam_ratio"] = 0.75  # so that it is not taken from the cache
    assert notices(server, again) == []


def test_lumosx_load_model_before_apply_warns_alone(server, files):
    [(node_id, _, text)] = notices(server, applied(PLAIN, loader="LumosXLoadModel"))
    assert node_id == "load" and text.startswith(f"{PLAIN} is plain Wan2.1, by its name.")


def test_phantom_by_its_name_is_asked_to_be_run_with_its_preset(server, files):
    [(_, _, text)] = notices(server, applied(PHANTOM))
    assert text.startswith(f"{PHANTOM} is Phantom, by its name.") and "choose the preset Phantom" in text


@pytest.mark.parametrize(("name", "more"), [(PHANTOM, None), (UNKNOWN, None), (PLAIN, "is plain Wan2.1, not Phantom")])
def test_the_preset_phantom_says_that_the_parts_are_off(server, files, name, more):
    graph = applied(name)
    graph["apply"]["inputs"]["preset"] = "Phantom"
    texts = [text for _, title, text in notices(server, graph) if title == "Make it LumosX"]
    assert "were not trained with R2PE, CSAM and MCAM, so they are off" in texts[0]
    assert [text for text in texts[1:] if more is None or more not in text] == []
    assert len(texts) == (1 if more is None else 2)
    graph["apply"]["inputs"]["preset"] = "custom"
    assert notices(server, graph) == []


def test_lumosx_weights_by_the_stock_loader_say_nothing(server, files):
    name = "trained.safetensors"
    path = server.directory / "models" / "diffusion_models" / name
    path.write_bytes(tiny_files().diffusion_model.read_bytes())
    assert notices(server, applied(name)) == []
    path.unlink()
