"""A LoRA trained here works in ComfyUI's stock loader: every key is taken, and it does there what it does here."""

import pytest
import torch
from comfy_server import STOCK_TINY
from graphs import node, relative, sample, sampled, scene_graph
from safetensors.torch import load_file, save_file

from lumosx_core import EncodedScene, ReferenceLayout
from lumosx_core.models.lumosx.weights.load import load_model
from lumosx_training.lora import LoraSettings, add_lora, load_lora, save_lora
from lumosx_training.lora.extract import extract_lora

pytest.importorskip("peft")
TINY = "lumosx-tiny.safetensors"


def inputs() -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(3)
    shapes = {"video": (1, 16, 2, 4, 6), "text": (1, 5, 4096), "references": (1, 16, 3, 4, 6)}
    tensors = {name: torch.randn(shape, generator=random) for name, shape in shapes.items()}
    return tensors | {"words": torch.rand(3, 512, generator=random) < 0.02}


def predict(model) -> torch.Tensor:
    given = inputs()
    layout = ReferenceLayout(1, (2,))
    time = torch.tensor([400.0])
    scene = EncodedScene(given["references"], layout, given["words"])
    return model(given["video"], time, given["text"], scene)


@pytest.fixture(scope="module")
def base(tiny_models):
    return tiny_models / "diffusion_models" / TINY


@pytest.fixture(scope="module")
def trained(base, tmp_path_factory):
    """A LoRA after some steps towards another output."""
    torch.manual_seed(0)
    model = load_model(base, dtype=torch.float32)
    add_lora(model, LoraSettings(rank=4, alpha=8.0))
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.02)
    for _ in range(4):
        optimizer.zero_grad()
        (predict(model) + inputs()["video"]).square().mean().backward()
        optimizer.step()
    path = tmp_path_factory.mktemp("lora") / "trained.safetensors"
    save_lora(path, model)
    return path


# The stock loader's own two steps on the MODEL; what it says of keys comes back with the prediction.
PATCHED = """
import logging
import comfy.model_management, comfy.sd, comfy.utils
from safetensors.torch import load_file, save_file
from pack.lumosx_core import ReferenceLayout
from pack.lumosx_core import RelationalOptions
from pack.nodes.bridges.comfy_bridge import attach_scene, patch_model

said = []
handler = logging.Handler()
handler.emit = lambda record: said.append(record.getMessage())
logging.getLogger().addHandler(handler)

model = comfy.sd.load_diffusion_model(arguments["model"], model_options={"dtype": torch.float32})
lora = comfy.utils.load_torch_file(arguments["lora"], safe_load=True)
model, _ = comfy.sd.load_lora_for_models(model, None, lora, arguments["strength"], 0)
patched = len(model.patches)
comfy.model_management.load_models_gpu([model], force_full_load=True)
weights = {name.removeprefix("diffusion_model."): value.float().contiguous().clone()
           for name, value in model.model.state_dict().items() if name.startswith("diffusion_model.")}
save_file(weights, arguments["weights"])
result = {"patched": patched, "said": [line for line in said if "lora" in line.lower() or "NOT LOADED" in line]}
"""


def in_comfyui(run_in_comfyui, base, path, tmp_path, strength=1.0) -> tuple[dict, torch.nn.Module]:
    """The log of the stock loader, and our network with the weights that it patched."""
    weights = tmp_path / "patched.safetensors"
    found = run_in_comfyui(PATCHED, model=str(base), lora=str(path), strength=strength, weights=str(weights))
    return found, load_model(weights, dtype=torch.float32)


def test_the_stock_loader_takes_every_key_and_makes_the_same_network(run_in_comfyui, base, trained, tmp_path):
    found, theirs = in_comfyui(run_in_comfyui, base, trained, tmp_path)
    assert found == {"patched": 3 * len(LoraSettings().targets), "said": []}
    ours, plain = load_model(base, dtype=torch.float32), load_model(base, dtype=torch.float32)
    load_lora(ours, trained)
    with torch.no_grad():
        assert relative(predict(ours), predict(plain)) > 0.05
        assert relative(predict(theirs), predict(ours)) < 1e-5


def test_the_stock_loader_takes_every_key_of_an_extracted_lora(run_in_comfyui, base, tmp_path):
    """Also biases and norms, which a full fine-tune changes; modulation tables it accepts but leaves alone."""
    torch.manual_seed(1)
    before = load_model(base, dtype=torch.float32).state_dict()
    tuned, path = tmp_path / "tuned.safetensors", tmp_path / "extracted.safetensors"
    save_file({name: t + 0.1 * t.std(correction=0) * torch.randn_like(t) + 1e-3 for name, t in before.items()}, tuned)
    assert extract_lora(base, tuned, path, 256).unused == 4
    found, theirs = in_comfyui(run_in_comfyui, base, path, tmp_path)
    assert found["said"] == []
    assert found["patched"] == len(before)
    after = load_file(tuned)
    left_alone = {name for name, t in theirs.state_dict().items() if relative(t, after[name]) > 1e-5}
    assert left_alone <= {name for name in before if name.endswith("modulation")}


def test_in_a_workflow_it_changes_the_video_and_strength_0_keeps_every_bit(server, trained):
    loras = server.directory / "models" / "loras"
    (loras / trained.name).write_bytes(trained.read_bytes())
    graph = {
        **scene_graph(),
        "stock": node("UNETLoader", unet_name=STOCK_TINY, weight_dtype="default"),
        "lora": node("LoraLoaderModelOnly", model=["stock", 0], lora_name=trained.name, strength_model=1.0),
        "applied": node("LumosXApply", model=["lora", 0], mcam_ratio=0.5, r2pe=True, csam=True, mcam=True),
    }
    log = len(server.log.read_text())
    plain = sample(server, sampled(graph, model="model"))
    changed = sample(server, sampled(graph, model="applied"))
    graph["lora"]["inputs"]["strength_model"] = 0.0
    assert torch.equal(sample(server, sampled(graph, model="applied")), plain)
    assert changed.isfinite().all()
    assert relative(changed, plain) > 1e-2
    assert "not loaded" not in server.log.read_text()[log:].lower()
