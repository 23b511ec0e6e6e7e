"""Shared fixtures: the reference numbers, a model with the reference weights, a real ComfyUI, and a browser.

None of these is part of the repository. A test that needs a missing one is skipped and says what was looked for;
with LUMOSX_REQUIRE_ALL=1 it fails instead, so that a full run can prove that nothing was skipped.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
from pathlib import Path

import pytest
import torch
from comfy_hosts import ComfyUI, hosts, name_of_page, pages
from comfy_server import serving
from needs import existing, missing, present
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parent.parent

# The tests' networks are tiny: a second thread costs more than it brings, and much more on a busy machine.
torch.set_num_threads(1)


def pytest_report_header() -> str:
    names = [f"{host.version} ({host.path})" for host in hosts()]
    return f"ComfyUI: {', '.join(names) or 'none'}; with its page: {', '.join(map(name_of_page, pages())) or 'none'}"


@pytest.hookimpl(tryfirst=True)  # before pytest chooses by mark
def pytest_collection_modifyitems(config, items) -> None:
    """Marks tests by what they start, and leaves out those of other versions of ComfyUI.

    A test that is about some versions is not there for the others: it neither passes nor is skipped.
    """
    for item in items:
        if "chromium" in item.fixturenames:
            item.add_marker("browser")
        elif "comfyui" in item.fixturenames:
            item.add_marker("comfyui")
    other = [item for item in items if not _fits_its_host(item)]
    config.hook.pytest_deselected(items=other)
    items[:] = [item for item in items if item not in set(other)]


def _fits_its_host(item) -> bool:
    host = item.callspec.params.get("comfyui") if hasattr(item, "callspec") else None
    limits = [mark.kwargs for mark in item.iter_markers("host")] if host else []
    return all(
        host.is_at_least(each.get("since", "0")) and not ("before" in each and host.is_at_least(each["before"]))
        for each in limits
    )


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of the recorded numbers of the official LumosX code."""
    return existing(
        Path(os.environ.get("LUMOSX_GOLDEN", ROOT.parent / "shared" / "golden" / "lumosx")),
        "reference numbers",
        "Set LUMOSX_GOLDEN to their folder.",
    )


@pytest.fixture(scope="session")
def golden_ingredients() -> Path:
    """Folder of the recorded numbers of Ingredients (CogVideoX) in miniature."""
    return existing(
        Path(os.environ.get("LUMOSX_GOLDEN_INGREDIENTS", ROOT.parent / "shared" / "golden" / "ingredients")),
        "reference numbers of Ingredients (CogVideoX)",
        "Set LUMOSX_GOLDEN_INGREDIENTS to their folder.",
    )


@pytest.fixture(scope="session")
def golden_weights(golden) -> dict[str, torch.Tensor]:
    """State dict of the small model behind the reference numbers (dim 256, 2 heads, 2 layers)."""
    return {
        name: tensor
        for part in ("weights_stem", "weights_block0", "weights_block1")
        for name, tensor in load_file(golden / f"{part}.safetensors").items()
    }


@pytest.fixture(scope="session")
def golden_config(golden):
    """LumosXConfig of the small model behind the reference numbers."""
    from lumosx_core import LumosXConfig

    values = json.loads((golden / "config.json").read_text())
    names = (
        *("dim", "ffn_dim", "num_heads", "num_layers", "text_dim", "text_len"),
        *("freq_dim", "in_dim", "out_dim", "eps"),
    )
    return LumosXConfig(**{name: values[name] for name in names}, patch_size=tuple(values["patch_size"]))


@pytest.fixture(scope="session")
def golden_model(golden_config, golden_weights):
    """LumosXModel in float32 on the CPU with the weights behind the reference numbers. Do not change it."""
    from lumosx_core import LumosXModel

    model = LumosXModel(golden_config)
    model.load_state_dict(golden_weights)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def shared_cases() -> Path:
    """Folder of released case folders with photographs."""
    return existing(
        Path(os.environ.get("LUMOSX_CASES", ROOT.parent / "shared" / "cases")),
        "case folders with photographs",
        "Set LUMOSX_CASES to their folder.",
    )


@pytest.fixture(scope="session")
def real_networks() -> Path:
    """Folder of small released networks that read photos."""
    folder = Path(os.environ.get("LUMOSX_NETWORKS", ROOT.parent / "shared" / "weights"))
    for name in ("mobile_sam.pt", "scrfd_500m_kps.onnx"):
        existing(folder / name, f"the network {name}", "Set LUMOSX_NETWORKS to its folder.")
    return folder


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory) -> Path:
    """A models folder in ComfyUI's layout with the tiny preset. Do not change it."""
    pytest.importorskip("sentencepiece")
    from lumosx_core.models.lumosx.tiny import write_tiny

    directory = tmp_path_factory.mktemp("models")
    write_tiny(directory)
    return directory


# Without a host one test each remains, which says what is missing.
@pytest.fixture(scope="session", params=hosts() or [None], ids=lambda host: host.version if host else "no host")
def comfyui(request) -> ComfyUI:
    """Each ComfyUI of tests/comfy_hosts.py. All tests on one of them run before those on the next."""
    return present(request.param)


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The browser that LUMOSX_CHROMIUM names, by default /usr/bin/chromium, and playwright to drive it."""
    if importlib.util.find_spec("playwright") is None:
        missing("playwright is not installed. Install the extra `dev`.")
    path = Path(os.environ.get("LUMOSX_CHROMIUM", "/usr/bin/chromium"))
    return existing(path, "chromium", "Install it, or set LUMOSX_CHROMIUM to the program.")


@pytest.fixture(scope="session")
def comfyui_reads_photographs(comfyui) -> ComfyUI:
    """That ComfyUI, with the packages that photographs are read with."""
    for package in ("insightface", "segment_anything"):
        found = subprocess.run([comfyui.python, "-c", f"import {package}"], capture_output=True)
        if found.returncode:
            missing(f"{package} is not installed for {comfyui.python}")
    return comfyui


@pytest.fixture(scope="session")
def server(comfyui, shared_cases, tmp_path_factory):
    """Each ComfyUI as a server, as `serving` starts it."""
    with serving(comfyui, shared_cases, tmp_path_factory.mktemp("comfyui")) as server:
        yield server
