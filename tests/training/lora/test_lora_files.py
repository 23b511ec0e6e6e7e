"""Merging, extracting and exporting LoRA files: what goes in comes out, up to the rounding of the file's dtype."""

import gc
import json
import weakref

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lumosx_core import LumosXConfig, LumosXError, LumosXModel
from lumosx_core.commands.main import main
from lumosx_core.files.file_hash import sha256_of
from lumosx_core.models.lumosx.weights.convert import convert
from lumosx_core.models.lumosx.weights.load import load_model
from lumosx_core.models.wan.names import read_state_dict
from lumosx_training.lora import LoraSettings, add_lora, load_lora, save_lora
from lumosx_training.lora.export import export_lora
from lumosx_training.lora.extract import extract_lora, low_rank
from lumosx_training.lora.files import LoraFile
from lumosx_training.lora.kinds import LoraLayer
from lumosx_training.lora.layers import lora_layers
from lumosx_training.lora.merge import _Merge, merge_lora
from lumosx_training.lora.read import read_any_lora, read_lora

CONFIG = LumosXConfig(dim=128, ffn_dim=64, num_heads=1, num_layers=2, text_dim=32)


def weights(seed: int, dtype=torch.float32, config=CONFIG) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return {name: torch.randn_like(tensor).to(dtype) / 8 for name, tensor in LumosXModel(config).state_dict().items()}


def lora(seed: int = 5, rank: int = 3, alpha: float = 6.0, **differences) -> LoraFile:
    """A LoRA for some of the layers."""
    torch.manual_seed(seed)
    shapes = {"blocks.0.self_attn.q": (128, 128), "blocks.1.ffn.0": (64, 128), "head.head": (64, 128)}
    layers = {
        name: LoraLayer(torch.randn(rank, inputs) / 4, torch.randn(outputs, rank) / 4, alpha)
        for name, (outputs, inputs) in shapes.items()
    }
    return LoraFile(layers, differences)


@pytest.fixture
def base(tmp_path):
    path = tmp_path / "base.safetensors"
    save_file(weights(1), path, {"format": "pt", "note": "kept"})
    return path


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "lora.safetensors"
    lora().write(path)
    return path


def closest(values: torch.Tensor, expected: torch.Tensor) -> bool:
    """Equal up to one rounding of the dtype."""
    step = torch.finfo(values.dtype).eps * expected.abs() + 1e-7
    return bool(((values.float() - expected).abs() <= step).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_merged_model_is_the_base_plus_strength_times_the_lora_and_keeps_everything_else(dtype, tmp_path, file):
    base, out = tmp_path / "base.safetensors", tmp_path / "out.safetensors"
    save_file(weights(1, dtype), base, {"note": "kept"})
    assert merge_lora(base, file, out, 0.5) == out
    before, after = load_file(base), load_file(out)
    assert before.keys() == after.keys()
    layers = read_lora(file).layers
    for name, tensor in before.items():
        assert after[name].dtype == dtype
        layer = layers.get(name.removesuffix(".weight")) if name.endswith(".weight") else None
        if layer is None:
            assert torch.equal(after[name], tensor)
        else:
            change = 0.5 * (6.0 / 3) * layer.up @ layer.down
            assert change.abs().max() > 0.1
            assert closest(after[name], tensor.float() + change)
    with safe_open(out, "pt") as opened:
        assert opened.metadata()["note"] == "kept"
        assert json.loads(opened.metadata()["lumosx_merged"]) == {"lora.safetensors": 0.5}


def test_strength_0_writes_the_bases_bytes(base, file, tmp_path):
    out = tmp_path / "out.safetensors"
    merge_lora(base, file, out, 0.0)
    assert all(torch.equal(tensor, load_file(out)[name]) for name, tensor in load_file(base).items())


def test_a_lora_of_another_base_is_merged_with_a_warning(base, tmp_path, caplog):
    paths = [tmp_path / name for name in ("own.safetensors", "others.safetensors", "silent.safetensors")]
    for path, sha256 in zip(paths, (sha256_of(base), "0123456789abcdef" * 4, None), strict=True):
        lora().write(path, {"lumosx_base_sha256": sha256} if sha256 else {})
    assert merge_lora(base, paths, tmp_path / "out.safetensors").is_file()
    [warning] = caplog.messages
    assert "others.safetensors was trained on another file" in warning and "0123456789ab..." in warning


def test_several_loras_add_up_each_with_its_strength(base, file, tmp_path):
    other, out = tmp_path / "other.safetensors", tmp_path / "out.safetensors"
    lora(seed=6).write(other)
    merge_lora(base, [file, other], out, [1.0, -0.5])
    name = "blocks.1.ffn.0"
    expected = (
        load_file(base)[f"{name}.weight"]
        + read_lora(file).layers[name].change()
        - read_lora(other).layers[name].change() / 2
    )
    assert closest(load_file(out)[f"{name}.weight"], expected)


def test_plain_differences_of_a_lora_file_are_merged_too(base, tmp_path):
    path, out = tmp_path / "lora.safetensors", tmp_path / "out.safetensors"
    names = {"blocks.0.norm3.weight": 128, "blocks.0.self_attn.q.bias": 128}
    differences = {name: torch.rand(size) for name, size in names.items()} | {"head.modulation": torch.rand(1, 2, 128)}
    lora(**differences).write(path)
    merge_lora(base, path, out, 2.0)
    before, after = load_file(base), load_file(out)
    for name, difference in differences.items():
        assert closest(after[name], before[name] + 2 * difference)


def test_a_scaled_fp8_base_stays_scaled_fp8_and_holds_the_sum(base, file, tmp_path):
    fp8, out = tmp_path / "fp8.safetensors", tmp_path / "out.safetensors"
    convert(base, fp8, "fp8_e4m3fn")
    merge_lora(fp8, file, out)
    stored, before, after = load_file(out), read_state_dict(fp8), read_state_dict(out)
    name = "blocks.0.self_attn.q.weight"
    assert stored[name].dtype == torch.float8_e4m3fn
    expected = before[name] + read_lora(file).layers["blocks.0.self_attn.q"].change()
    assert expected.abs().max() > 1.5 * before[name].abs().max()  # without a new scale it would not fit
    assert (after[name] - expected).norm() / expected.norm() < 0.04
    assert stored[name].float().abs().max() == torch.finfo(torch.float8_e4m3fn).max
    untouched = "blocks.0.self_attn.k.weight"
    assert torch.equal(after[untouched], before[untouched])


def test_a_scaled_fp8_matrix_of_zeros_stays_zero(tmp_path):
    """Some networks begin with matrices of zeros; a scale of 0 would make NaN of them."""
    base, fp8, out = (tmp_path / f"{name}.safetensors" for name in ("base", "fp8", "out"))
    name = "blocks.0.self_attn.q"
    save_file(weights(1) | {f"{name}.weight": torch.zeros(128, 128)}, base)
    convert(base, fp8, "fp8_e4m3fn")
    silent = LoraFile({name: LoraLayer(torch.randn(3, 128), torch.zeros(128, 3), 6.0)}, {})
    silent.write(tmp_path / "lora.safetensors")
    merge_lora(fp8, tmp_path / "lora.safetensors", out)
    for source in (fp8, out):
        stored = load_file(source)
        assert stored[f"{name}.scale_weight"].isfinite() and stored[f"{name}.scale_weight"] > 0
        assert torch.equal(stored[f"{name}.weight"].float(), torch.zeros(128, 128))


def test_a_base_with_comfyuis_prefix_keeps_its_names(base, file, tmp_path):
    wrapped, out, plain = (tmp_path / f"{name}.safetensors" for name in ("wrapped", "out", "plain"))
    save_file({f"model.diffusion_model.{name}": tensor for name, tensor in load_file(base).items()}, wrapped)
    merge_lora(wrapped, file, out)
    merge_lora(base, file, plain)
    assert load_file(out).keys() == load_file(wrapped).keys()
    assert all(torch.equal(load_file(out)[f"model.diffusion_model.{n}"], t) for n, t in load_file(plain).items())


def test_a_merged_model_predicts_what_the_model_with_the_lora_predicts(base, file, tmp_path):
    pytest.importorskip("peft")
    out = tmp_path / "out.safetensors"
    merge_lora(base, file, out)
    adapted = load_model(base)
    load_lora(adapted, file)
    random = torch.Generator().manual_seed(1)
    video, text = torch.randn(1, 16, 2, 4, 4, generator=random), torch.randn(1, 3, 32, generator=random)
    plain, merged, lively = (
        model(video, torch.tensor([300.0]), text) for model in (load_model(base), load_model(out), adapted)
    )
    assert (merged - plain).norm() / plain.norm() > 0.1
    assert (merged - lively).norm() / plain.norm() < 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_lora_of_full_rank_gives_the_tuned_model_back(dtype, tmp_path):
    base, tuned, between, out = (tmp_path / f"{name}.safetensors" for name in ("base", "tuned", "lora", "out"))
    save_file(weights(1, dtype), base)
    save_file(weights(2, dtype), tuned)
    found = extract_lora(base, tuned, between, 4096)
    assert found.residual < 1e-6
    merge_lora(base, between, out)
    merged, wanted = load_file(out), load_file(tuned)
    assert merged.keys() == wanted.keys()
    for name, tensor in wanted.items():
        most = torch.finfo(dtype).eps + 2e-6  # the LoRA's own matrices are float32
        assert (merged[name].float() - tensor.float()).abs().max() <= most * tensor.abs().max()


def test_what_a_lora_changed_is_found_again_at_its_rank(base, file, tmp_path):
    tuned, found = tmp_path / "tuned.safetensors", tmp_path / "found.safetensors"
    merge_lora(base, file, tuned)
    report = extract_lora(base, tuned, found, 3)
    assert (report.layers, report.differences) == (3, 0)
    assert report.residual < 1e-5
    for name, layer in read_lora(file).layers.items():
        again = read_lora(found).layers[name]
        assert again.rank == 3
        assert (again.change() - layer.change()).norm() < 1e-4 * layer.change().norm()


def test_the_reported_loss_is_what_the_best_approximation_misses(base, file, tmp_path):
    tuned, found = tmp_path / "tuned.safetensors", tmp_path / "found.safetensors"
    merge_lora(base, file, tuned)
    report = extract_lora(base, tuned, found, 1)
    missed, whole, parts = 0.0, 0.0, {}
    for name, layer in read_lora(file).layers.items():
        values = torch.linalg.svdvals(layer.change().double())
        missed, whole = missed + (values[1:] ** 2).sum(), whole + (values**2).sum()
        parts[name] = ((values[1:] ** 2).sum() / (values**2).sum()).sqrt().item()
        kept = read_lora(found).layers[name].change()
        assert torch.isclose((kept - layer.change()).norm().double(), (values[1:] ** 2).sum().sqrt(), rtol=1e-4)
    assert report.residual == pytest.approx((missed / whole).sqrt().item(), rel=1e-4)
    assert report.worst == (max(parts, key=parts.get), pytest.approx(max(parts.values()), rel=1e-4))


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (6, 6)])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_low_rank_handles_wide_tall_and_deficient_matrices_of_any_size(shape, scale):
    torch.manual_seed(0)
    matrix = scale * torch.randn(shape[0], 2) @ torch.randn(2, shape[1])
    for rank in (2, 4, 100):
        layer, missed = low_rank(matrix, rank)
        assert layer.change().shape == matrix.shape
        assert (layer.change() - matrix).norm() < 1e-5 * matrix.norm()
        assert missed < 1e-5 * matrix.norm()
        assert layer.up.isfinite().all() and layer.down.isfinite().all()


def test_merging_holds_one_tensor_of_the_model_at_a_time(base, file, tmp_path, monkeypatch):
    alive, most = weakref.WeakSet(), []
    load = _Merge._load

    def watched(self, name):
        tensor = load(self, name)
        alive.add(Held(tensor))
        gc.collect()
        most.append(len(alive))
        return tensor

    class Held:
        """Lives as long as the tensor: a tensor itself cannot be in a set by identity."""

        def __init__(self, tensor):
            tensor.held = self

    monkeypatch.setattr(_Merge, "_load", watched)
    merge_lora(base, file, tmp_path / "out.safetensors")
    assert most == [1, 1, 1]


def refused(message: str, call, *arguments, **options) -> None:
    with pytest.raises(LumosXError, match=message):
        call(*arguments, **options)


def test_mistakes_are_named_and_leave_nothing(base, file, tmp_path):
    out = tmp_path / "out.safetensors"
    wide = tmp_path / "wide.safetensors"
    save_file(weights(3, config=LumosXConfig(dim=256, ffn_dim=64, num_heads=2, num_layers=2, text_dim=32)), wide)
    pickled = tmp_path / "base.pt"
    torch.save(weights(1), pickled)
    refused("is a LoRA for another model: it changes 'blocks.0.self_attn.q'", merge_lora, wide, file, out)
    refused("cannot be used. It is a LoRA", merge_lora, file, file, out)
    refused("-m lumosx_core convert", merge_lora, pickled, file, out)
    refused("does not exist", merge_lora, tmp_path / "absent", file, out)
    refused("does not exist or is not a file", merge_lora, base, tmp_path / "absent", out)
    refused("2 strengths for 1 LoRAs", merge_lora, base, file, out, [1.0, 2.0])
    refused("0 LoRAs", merge_lora, base, [], out)
    refused("must end in .safetensors", merge_lora, base, file, tmp_path / "out.pt")
    refused("folder .* does not exist", merge_lora, base, file, tmp_path / "nowhere" / "out.safetensors")
    refused("exists already", merge_lora, base, file, wide)
    refused("is itself one of the files", merge_lora, base, file, base, overwrite=True)
    refused("networks of different sizes", extract_lora, base, wide, out, 4)
    refused("hold the same weights", extract_lora, base, base, out, 4)
    refused("rank 0 is not possible", extract_lora, base, wide, out, 0)
    refused("is a folder without", export_lora, tmp_path, out)
    assert not out.exists() and not list(tmp_path.glob(".*"))


def test_a_sum_that_the_dtype_cannot_hold_is_an_error_and_leaves_nothing(file, tmp_path):
    base, out = tmp_path / "half.safetensors", tmp_path / "out.safetensors"
    save_file(weights(1, torch.float16), base)
    refused("cannot hold. Use a smaller strength", merge_lora, base, file, out, 1e6)
    assert not out.exists() and not list(tmp_path.glob(".*"))


def test_peft_itself_loads_the_exported_folder(base, file, tmp_path):
    peft = pytest.importorskip("peft")
    folder, back = tmp_path / "adapter", tmp_path / "back.safetensors"
    export_lora(file, folder)
    theirs, ours = peft.PeftModel.from_pretrained(load_model(base), folder), load_model(base)
    load_lora(ours, file)
    video, text = torch.randn(1, 16, 2, 4, 4), torch.randn(1, 3, 32)
    assert torch.equal(theirs(video, torch.tensor([300.0]), text), ours(video, torch.tensor([300.0]), text))
    export_lora(folder, back)
    assert all(torch.equal(tensor, load_file(back)[name]) for name, tensor in load_file(file).items())


def test_a_folder_that_peft_wrote_is_read_with_its_own_ranks_and_alphas(base, tmp_path):
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(
        r=2,
        lora_alpha=8,
        target_modules=["self_attn.q", "ffn.0"],
        rank_pattern={"blocks.1.ffn.0": 4},
        alpha_pattern={"blocks.1.ffn.0": 1},
        use_rslora=True,
        init_lora_weights=False,
    )
    theirs = peft.get_peft_model(load_model(base), config)
    theirs.save_pretrained(tmp_path / "adapter")
    export_lora(tmp_path / "adapter", tmp_path / "lora.safetensors")
    ours = load_model(base)
    load_lora(ours, tmp_path / "lora.safetensors")
    video, text = torch.randn(1, 16, 2, 4, 4), torch.randn(1, 3, 32)
    expected = theirs(video, torch.tensor([300.0]), text)
    assert torch.allclose(ours(video, torch.tensor([300.0]), text), expected, atol=1e-5)
    assert lora_layers(ours)["blocks.1.ffn.0"].r["default"] == 4


@pytest.mark.parametrize("averaged", [True, False])
def test_a_checkpoint_of_a_run_is_exported_with_the_runs_alpha_and_its_averaged_weights(averaged, base, tmp_path):
    pytest.importorskip("peft")
    model = load_model(base)
    add_lora(model, LoraSettings(rank=2, alpha=5.0))
    folder, out = tmp_path / "step-00000007", tmp_path / "lora.safetensors"
    folder.mkdir()
    trained = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    save_file(trained, folder / "model.safetensors")
    if averaged:
        save_file({name: tensor + 1 for name, tensor in trained.items()}, folder / "ema.safetensors")
    (folder / "run.json").write_text(json.dumps({"step": 7, "config": {"lora": {"rank": 2, "alpha": 5.0}}}))
    export_lora(folder, out)
    save_lora(tmp_path / "expected.safetensors", model)
    expected = load_file(tmp_path / "expected.safetensors")
    for name, tensor in load_file(out).items():
        more = averaged and not name.endswith("alpha")
        assert torch.equal(tensor, expected[name] + 1 if more else expected[name])


def test_a_checkpoint_of_a_full_run_has_no_lora(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"step": 7, "config": {"lora": None}}))
    refused("trained the whole model: it has no LoRA", read_any_lora, tmp_path)


def test_the_command_line_extracts_merges_and_exports(base, tmp_path, capsys):
    tuned, found, out, half = (tmp_path / f"{name}.safetensors" for name in ("tuned", "found", "out", "half"))
    save_file(weights(2), tuned)
    assert main(["lora", "extract", str(base), str(tuned), str(found), "--rank", "128"]) == 0
    assert "Lost of the matrices' change: 0.0% in all" in capsys.readouterr().out
    assert main(["lora", "merge", str(base), str(found), str(out), "--strength", "1"]) == 0
    assert all(torch.allclose(t, load_file(out)[n], atol=1e-5) for n, t in load_file(tuned).items())
    assert main(["lora", "merge", str(base), str(found), str(out)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["lora", "export", str(found), str(half), "--dtype", "fp16"]) == 0
    assert {tensor.dtype for name, tensor in load_file(half).items() if "lora_" in name} == {torch.float16}
