"""Converting a checkpoint shows how far it is, from a shell and within a download."""

from __future__ import annotations

import builtins
from itertools import pairwise

import pytest
import torch

from lumosx_core import LumosXConfig, LumosXModel
from lumosx_core.errors import LumosXError, MissingPackageError
from lumosx_core.models.lumosx.weights.convert import convert
from lumosx_core.models.write_checkpoint import conversion_bar


@pytest.fixture
def source(tmp_path):
    torch.manual_seed(0)
    network = LumosXModel(LumosXConfig(dim=128, ffn_dim=256, num_heads=1, num_layers=2, text_dim=64))
    torch.save(network.state_dict(), tmp_path / "network.pt")
    return tmp_path / "network.pt"


@pytest.mark.parametrize("dtype", ["bf16", "fp8_e4m3fn"])
def test_progress_grows_with_each_tensor_to_the_size_of_the_file(source, tmp_path, dtype):
    reports = []
    path = convert(source, tmp_path / "a.safetensors", dtype, progress=lambda *numbers: reports.append(numbers))
    sizes, totals = zip(*reports, strict=True)
    assert set(totals) == {path.stat().st_size} and sizes[-1] == path.stat().st_size
    assert all(one < other for one, other in pairwise(sizes))
    assert len(sizes) >= len(torch.load(source, weights_only=True))


def test_the_bar_of_a_conversion_fills_up(source, tmp_path, capsys):
    pytest.importorskip("tqdm", reason="tqdm is not installed")
    with conversion_bar() as progress:
        convert(source, tmp_path / "a.safetensors", progress=progress)
    shown = capsys.readouterr().err
    assert "Converting: 100%" in shown


def test_a_conversion_that_is_refused_shows_no_bar(source, capsys):
    pytest.importorskip("tqdm", reason="tqdm is not installed")
    with pytest.raises(LumosXError), conversion_bar() as progress:
        convert(source, source, progress=progress)
    assert capsys.readouterr().err == ""


def test_without_tqdm_the_bar_says_what_to_install(monkeypatch):
    imported = builtins.__import__

    def without_tqdm(name, *more, **named):
        if name == "tqdm":
            raise ModuleNotFoundError("No module named 'tqdm'", name="tqdm")
        return imported(name, *more, **named)

    monkeypatch.setattr(builtins, "__import__", without_tqdm)
    with pytest.raises(MissingPackageError, match="pip install tqdm"), conversion_bar():
        pass
