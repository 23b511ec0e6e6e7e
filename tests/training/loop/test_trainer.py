"""The trainer: the released loss, a network that learns its clips by heart, and a run that ends in a usable file."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fakes import SIZES, FakeCache, tiny_config
from golden_cases import largest_difference, read_golden_case, relative_norm
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lumosx_core import LumosXModel
from lumosx_core.errors import LumosXError
from lumosx_core.models.lumosx.weights.load import load_model
from lumosx_core.scene.layout import ReferenceLayout
from lumosx_training.data.items import TrainingBatch
from lumosx_training.loop.batches.step_batches import NoisyBatch
from lumosx_training.loop.tracking.run_log import read_log
from lumosx_training.loop.trainer import Trainer

pytest.importorskip("accelerate")

LAYOUT = ReferenceLayout(1, (2,))
LOSS, GRADIENT = 1e-5, 1e-4


def trainer(output, cache=None, **tables) -> Trainer:
    cache = FakeCache([LAYOUT] * 4) if cache is None else cache
    return Trainer(tiny_config(output, **tables), cache=cache, say=lambda line: None)


@pytest.fixture(scope="module")
def golden_step(golden, golden_config, golden_weights, tmp_path_factory):
    """The recorded step of the official code, taken by a trainer that began with the recorded weights' file."""
    directory = tmp_path_factory.mktemp("golden")
    save_file(golden_weights, directory / "weights.safetensors")
    recorded = load_file(golden / "training.safetensors")
    with safe_open(golden / "training.safetensors", "pt") as file:
        case = read_golden_case(golden, file.metadata()["case"])
    model = {"file": str(directory / "weights.safetensors"), "text_len": golden_config.text_len}
    run = trainer(directory, model=model)
    scene = replace(case.scene, phrase_mask=case.scene.phrase_mask[None])
    batch = TrainingBatch(("golden",), recorded["x0"], case.text, scene)
    part = NoisyBatch(batch, recorded["t_float"], recorded["noise"])
    losses = run.losses(part)
    run.backward([part])
    return recorded, losses.detach(), {name: parameter.grad for name, parameter in run.parameters.items()}


def test_the_loss_is_the_released_one(golden_step):
    recorded, losses, _ = golden_step
    assert largest_difference(losses, recorded["loss"]) <= LOSS


def test_the_gradients_are_the_released_ones(golden_step):
    recorded, _, gradients = golden_step
    names = [name for name in recorded if name.startswith("grad.")]
    assert len(names) == 11
    for name in names:
        assert relative_norm(gradients[name.removeprefix("grad.")], recorded[name]) <= GRADIENT, name


def loss_of_many_draws(run: Trainer) -> float:
    """The mean loss of the averaged weights over draws that training does not see."""
    steps = range(10**6, 10**6 + 16)
    with torch.no_grad(), run.ema.swapped_in():
        return torch.cat([run.losses(part) for step in steps for part in run.loader.step(step)]).mean().item()


def fit_four_clips(output, seed: int, **tables) -> float:
    """Train on four clips; returns the loss at the end as a share of the one at the start."""
    settings = {
        "data": {"text_dropout": 0.0},
        "training": {"steps": 400, "batch_size": 8, "save_every": 1000},
        "timesteps": {"shift": 8.0},
        "ema": {"decay": 0.9},
    }
    run = trainer(output, FakeCache([LAYOUT] * 4, size=(1, 2, 2), seed=seed), **settings, **tables)
    start = loss_of_many_draws(run)
    run.run()
    return loss_of_many_draws(run) / start


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A folder with a network that was trained on four clips, and how small its loss became."""
    output = tmp_path_factory.mktemp("full")
    sizes = SIZES | {"ffn_dim": 256, "freq_dim": 64}
    optimizer = {"learning_rate": 4e-3, "schedule": "cosine", "warmup_steps": 20, "weight_decay": 0.0}
    return output, fit_four_clips(output, 0, model={"sizes": sizes}, optimizer=optimizer)


@pytest.mark.slow
def test_a_full_run_learns_four_clips_by_heart(fitted):
    assert fitted[1] < 0.05


@pytest.mark.slow
def test_a_lora_learns_four_other_clips_by_heart(fitted, tmp_path):
    pytest.importorskip("peft")
    share = fit_four_clips(
        tmp_path,
        1,
        model={"file": str(fitted[0] / "model.safetensors")},
        optimizer={"learning_rate": 1.5e-2, "schedule": "cosine", "warmup_steps": 20, "weight_decay": 0.0},
        lora={"rank": 32, "alpha": 32.0},
    )
    assert share < 0.05
    names = load_file(tmp_path / "lora.safetensors")
    assert "diffusion_model.blocks.0.self_attn.q.lora_A.weight" in names


def test_the_finished_file_holds_the_averaged_weights_and_loads(tmp_path):
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        run = trainer(tmp_path / precision, export={"precision": precision})
        outcome = run.run()
        assert outcome.file == tmp_path / precision / "model.safetensors"
        model = load_model(outcome.file)
        for name, parameter in model.named_parameters():
            assert torch.equal(parameter, run.ema.averages[name].to(dtype)), name
        assert any(not torch.equal(run.ema.averages[name], p) for name, p in run.parameters.items())


def test_the_last_weights_can_be_exported_instead(tmp_path):
    run = trainer(tmp_path, export={"weights": "last", "precision": "fp32"})
    exported = load_file(run.run().file)
    assert all(torch.equal(exported[name], parameter) for name, parameter in run.parameters.items())


def test_the_ratio_of_mcam_falls_by_the_same_factor_each_step_also_after_a_new_start(tmp_path, monkeypatch):
    used = []
    forward = LumosXModel.forward

    def spy(model, video, timestep, text, scene, options):
        used.append(options.mcam_ratio)
        return forward(model, video, timestep, text, scene, options)

    monkeypatch.setattr(LumosXModel, "forward", spy)
    falling = {"mcam_ratio_start": 8.0, "mcam_ratio": 0.5, "mcam_ratio_steps": 4}
    for steps in (4, 6):  # restarted where it had ended
        trainer(tmp_path, model=falling, training={"steps": steps}).run()
    assert used == pytest.approx([8, 4, 2, 1, 0.5, 0.5])
    with pytest.raises(LumosXError, match=r"mcam_ratio_steps is 4, expected at most training.steps \(3\)"):
        trainer(tmp_path, model=falling, training={"steps": 3})


def test_the_log_has_a_line_for_each_step(tmp_path):
    trainer(tmp_path, optimizer={"warmup_steps": 4, "learning_rate": 0.4}).run()
    lines = read_log(tmp_path / "log.jsonl")
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert [line["lr"] for line in lines] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert all(line["loss"] > 0 and line["grad_norm"] > 0 and line["seconds"] > 0 for line in lines)


def gradients(run: Trainer) -> dict[str, torch.Tensor]:
    run.backward(run.loader.step(0))
    return {name: parameter.grad.clone() for name, parameter in run.parameters.items()}


@pytest.mark.parametrize(
    "way",
    [
        {"gradient_accumulation_steps": 4},
        {"gradient_checkpointing": True},
        {"gradient_checkpointing": True, "offload_activations": True},
        {"offload_blocks": True},
    ],
    ids=lambda way: "+".join(way),
)
def test_what_saves_memory_changes_no_gradient(tmp_path, way):
    plain = gradients(trainer(tmp_path, training={"batch_size": 4}))
    saving = gradients(trainer(tmp_path, training={"batch_size": 4, **way}))
    assert plain.keys() == saving.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(saving[name], gradient, rtol=1e-4, atol=1e-6, msg=name)


def test_bf16_computes_in_bfloat16_and_trains_float32(tmp_path):
    run = trainer(tmp_path, training={"precision": "bf16"})
    seen = []
    run.network.blocks[0].ffn[0].register_forward_hook(lambda _module, _inputs, output: seen.append(output.dtype))
    run.run()
    assert set(seen) == {torch.bfloat16}
    assert {parameter.dtype for parameter in run.parameters.values()} == {torch.float32}


def test_a_loss_that_is_not_finite_ends_the_run_before_it_harms_the_weights(tmp_path):
    cache = FakeCache([LAYOUT] * 4)
    sound = cache.item

    def item(index, variant=0):
        item = sound(index, variant)
        if run.done >= 3:
            item.video[0, 0, 0, 0] = float("nan")
        return item

    cache.item = item
    run = trainer(tmp_path, cache)
    with pytest.raises(LumosXError, match=r"Step 4 has the loss nan.*clip.*step-00000002.*learning_rate"):
        run.run()
    before = load_file(tmp_path / "checkpoints" / "step-00000002" / "model.safetensors")
    assert all(tensor.isfinite().all() for tensor in before.values())
    assert all(parameter.isfinite().all() for parameter in run.parameters.values())
    assert len(read_log(tmp_path / "log.jsonl")) == 3


def test_clipping_bounds_the_gradient(tmp_path):
    run = trainer(tmp_path, optimizer={"max_grad_norm": 0.01})
    norms = []
    step = run.optimizer.step
    run.optimizer.step = lambda: (
        norms.append(torch.stack([p.grad.norm() for p in run.parameters.values()]).norm()),
        step(),
    )
    run.run()
    assert max(norms) <= 0.01001
    assert min(line["grad_norm"] for line in read_log(tmp_path / "log.jsonl")) > 0.1  # the log tells the true one


def test_a_run_without_text_or_pictures_goes_on(tmp_path):
    outcome = trainer(tmp_path, data={"text_dropout": 1.0, "reference_dropout": 1.0}).run()
    assert outcome.step == 4


def test_a_damaged_item_is_counted_and_does_not_end_the_run(tmp_path, caplog):
    outcome = trainer(tmp_path, FakeCache([LAYOUT] * 4, damaged=[2])).run()
    assert (outcome.step, outcome.bad_items) == (4, 1)
    assert "cache/clip2" in caplog.text
