"""Killed at any moment, a command leaves nothing half-written under a final name, and the next run completes.

Every command that writes is killed many times at random moments, each run starting in what the killed ones before left.
Whatever lies under a final name must then be whole, nothing unfinished may have a name that ComfyUI or a reader of ours
lists, and every few kills the command runs to its end and must give what an undisturbed run gives.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from forked import fork_server
from local_hub import Hub
from safetensors.torch import save, save_file

from lumosx_core import LumosXConfig, LumosXModel
from lumosx_core.files.read_weights import open_tensors
from lumosx_core.models.ingredients.weights.download import REPOSITORY as INGREDIENTS_REPOSITORY
from lumosx_core.models.lumosx.weights.download import LUMOSX_REPOSITORY, TEXT_ENCODERS, VAE, WAN_REPOSITORY
from lumosx_training.cache import LatentCache
from lumosx_training.loop.checkpoints.checkpoint import Checkpoints

for package in ("accelerate", "av", "diffusers", "huggingface_hub", "onnx", "peft", "sentencepiece", "tqdm"):
    pytest.importorskip(package)
pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "two_people"
LISTED = {".safetensors", ".sft", ".pt", ".pt2", ".pth", ".ckpt", ".bin", ".pkl", ".gguf", ".tar"}
KILLS, EACH = int(os.environ.get("LUMOSX_KILLS", "20")), 4  # of a command, and after how many of them it may end
PRELOAD = (
    *("av", "numpy", "PIL.Image", "sentencepiece", "tqdm", "peft"),
    *("lumosx_core.models.lumosx.pipeline", "lumosx_core.media.video", "lumosx_core.scene.case_folder"),
    *("lumosx_training.commands.lora", "lumosx_training.lora.merge", "lumosx_training.lora.extract"),
    *("lumosx_training.lora.export", "lumosx_training.cache.build", "lumosx_training.data.pack"),
    *("lumosx_training.glyph_world.folders", "lumosx_training.data.sources.open_source"),
    *("lumosx_core.models.wan.vae", "lumosx_core.models.wan.umt5", "lumosx_core.scene.write_case"),
    *("lumosx_core.models.conversion", "lumosx_core.models.ingredients.weights.download"),
)


@dataclass
class Command:
    """One kind of run.

    Args:
        tables: for the task, given the folder that it writes to.
        check: reads what is under final names, beside the comparison of bytes.
        same: whether each run writes the same bytes.
        once: whether what is finished is not written again: a run killed as it left the finished work needs no other.
    """

    tables: Callable[[Path], dict]
    task: str = "command"
    check: Callable[[Path], object] = lambda out: None
    same: bool = True
    once: bool = False


def arguments(*parts: object) -> Callable[[Path], dict]:
    """A command line, in which OUT stands for the folder."""
    return lambda out: {"arguments": [str(part).replace("OUT", str(out)) for part in parts]}


@pytest.fixture(scope="module")
def server(hub, sources):
    environment = {
        "HF_ENDPOINT": hub.url,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HOME": str(sources / "hf"),
        "NO_PROXY": "127.0.0.1",
    }
    with fork_server(PRELOAD, environment) as server:
        yield server


@pytest.fixture(scope="module")
def hub(sources):
    hub = Hub(
        {
            LUMOSX_REPOSITORY: {"lumosx.pt": (sources / "small.pt").read_bytes()},
            WAN_REPOSITORY: {
                VAE: save({"decoder.head.0.gamma": torch.zeros(2**20)}),
                TEXT_ENCODERS["fp8"]: save({"shared.weight": torch.zeros(2**10, 2**10)}),
            },
            INGREDIENTS_REPOSITORY: {
                path.relative_to(sources / "release").as_posix(): path.read_bytes()
                for path in sorted((sources / "release").rglob("*"))
                if path.is_file()
            },
        }
    )
    yield hub
    hub.close()


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """What the commands read: two networks, a LoRA, clips, a release of Ingredients."""
    from miniature import write_miniature

    from lumosx_training.glyph_world import GlyphSource
    from lumosx_training.glyph_world.folders import write_folders

    folder = tmp_path_factory.mktemp("sources")
    torch.manual_seed(0)
    config = LumosXConfig(dim=256, ffn_dim=512, num_heads=2, num_layers=8, text_dim=32)
    network = {name: torch.randn_like(tensor) / 8 for name, tensor in LumosXModel(config).state_dict().items()}
    save_file(network, folder / "base.safetensors")
    save_file(
        {name: tensor + torch.randn_like(tensor) / 50 for name, tensor in network.items()}, folder / "tuned.safetensors"
    )
    lora = {}
    for name, tensor in network.items():
        if name.startswith("blocks.") and tensor.ndim == 2:
            layer = name.removesuffix(".weight")
            lora[f"{layer}.lora_A.weight"] = torch.randn(8, tensor.shape[1]) / 20
            lora[f"{layer}.lora_B.weight"] = torch.randn(tensor.shape[0], 8) / 20
    save_file(lora, folder / "lora.safetensors")
    torch.save({"ema": network}, folder / "small.pt")
    write_folders(GlyphSource(3, 12), folder / "clips")
    write_miniature(folder / "release")
    return folder


def commands(sources: Path) -> dict[str, Command]:
    base, tuned, lora = (sources / f"{name}.safetensors" for name in ("base", "tuned", "lora"))
    loop = {"steps": 12, "batch_size": 2, "save_every": 2}
    small = ("--size", "64x48", "--frames", "5", "--steps", "2", "--device", "cpu")
    return {
        "convert": Command(arguments("convert", sources / "small.pt", "OUT/a.safetensors", "--overwrite")),
        "convert fp8": Command(arguments("convert", base, "OUT/a.safetensors", "--overwrite", "--dtype", "fp8_e4m3fn")),
        "convert ingredients": Command(
            arguments("convert", sources / "release", "OUT/a.safetensors", "--overwrite", "--dtype", "fp8_e4m3fn")
        ),
        "lora merge": Command(arguments("lora", "merge", base, lora, "OUT/a.safetensors", "--overwrite")),
        "lora extract": Command(
            arguments("lora", "extract", base, tuned, "OUT/a.safetensors", "--rank", "4", "--overwrite")
        ),
        "lora export": Command(arguments("lora", "export", lora, "OUT/a.safetensors", "--overwrite")),
        "lora export (peft)": Command(arguments("lora", "export", lora, "OUT/adapter", "--overwrite")),
        "tiny": Command(arguments("tiny", "OUT")),
        "generate": Command(arguments("generate", EXAMPLE, "--out", "OUT/a.mp4", "--batch", "2", *small)),
        "scene": Command(lambda out: {"source": str(EXAMPLE), "out": str(out / "case")}, "case_folder", once=True),
        "glyphs": Command(arguments("glyphs", "OUT/clips", "--count", "12"), once=True),
        "pack": Command(arguments("pack", sources / "clips", "OUT/shards", "--samples", "3"), once=True),
        "export": Command(arguments("export", sources / "clips", "OUT/set", "--format", "ltx"), once=True),
        "cache": Command(
            arguments("cache", sources / "clips", "OUT/cache", "--models", "tiny", "--device", "cpu"),
            check=read_cache,
            same=False,
        ),
        "train": Command(
            lambda out: {"output": str(out / "run"), "training": loop}, "train", check=read_run, same=False
        ),
        "download": Command(arguments("download", "OUT/models", "--cache", "OUT/waiting")),
        "download ingredients": Command(arguments("download", "--ingredients", "OUT/models", "--cache", "OUT/waiting")),
    }


def read_cache(out: Path) -> None:
    if (out / "cache" / "cache.json").exists():
        cache = LatentCache(out / "cache")
        for index in range(len(cache)):
            cache.item(index)


def read_run(out: Path) -> None:
    run = Checkpoints(out / "run")
    latest = run.latest()
    if latest is not None:
        assert all(dict(latest.tensors(part)) for part in ("model", "optimizer"))


def visible(out: Path) -> dict[str, str]:
    """Path -> content of each file that is under a final name: no part of the path is hidden."""
    found = {}
    for path in out.rglob("*"):
        parts = path.relative_to(out).parts
        if path.is_file() and "waiting" not in parts and not any(part.startswith(".") for part in parts):
            found["/".join(parts)] = content(path)
    return found


def content(path: Path) -> str:
    """What is compared of a file: its hash; of a video, which threads encode a little differently, its frames."""
    if path.suffix != ".mp4":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    import av

    with av.open(str(path)) as video:
        return f"{sum(1 for _ in video.decode(video=0))} frames"


def check_names(out: Path) -> None:
    for path in out.rglob("*"):
        parts = path.relative_to(out).parts
        hidden = any(part.startswith(".") for part in parts[:-1])  # inside an unfinished folder, which nothing lists
        if path.is_file() and path.name.startswith(".") and not hidden:
            assert path.suffix not in LISTED, f"{path} would be listed"
        if path.suffix == ".safetensors" and not hidden and "waiting" not in parts:
            open_tensors(path)


def leftovers(out: Path) -> list[Path]:
    return [path for path in out.rglob(".*") if "waiting" not in path.parts]


NAMES = (
    *("convert", "convert fp8", "lora merge", "lora extract", "lora export", "lora export (peft)", "tiny", "generate"),
    *("scene", "glyphs", "pack", "export", "cache", "train", "download", "convert ingredients", "download ingredients"),
)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", NAMES)
def test_killed_at_random_moments_nothing_is_half_written_and_the_next_run_completes(name, server, sources, tmp_path):
    command = commands(sources)[name]
    moments = random.Random(name)

    def start(out: Path) -> int:
        out.mkdir(exist_ok=True)
        return server.start(command.tables(out), task=command.task, log=tmp_path / "log.txt")

    def complete(out: Path) -> float:
        began = time.monotonic()
        assert server.wait(start(out)) == 0, (tmp_path / "log.txt").read_text()[-2000:]
        command.check(out)
        assert not leftovers(out)
        return time.monotonic() - began

    complete(tmp_path / "first")  # with cold caches
    duration = complete(tmp_path / "whole")
    expected = visible(tmp_path / "whole")
    assert expected

    out = tmp_path / "out"
    kills = late = completed = 0
    while kills < KILLS:
        process = start(out)
        time.sleep(moments.uniform(0, duration))
        if server.kill(process) == 0:  # it was faster
            late += 1
            duration *= 0.8
            shutil.rmtree(out)
            continue
        kills += 1
        found = visible(out)
        if command.same:
            assert found.items() <= expected.items(), set(found.items()) - set(expected.items())
        check_names(out)
        command.check(out)
        if command.once and found == expected and not leftovers(out):
            shutil.rmtree(out)
        elif kills % EACH == 0:
            complete(out)
            completed += 1
            if command.same:
                assert visible(out) == expected
            shutil.rmtree(out)
    print(f"\n{name}: {kills} kills, {completed} completed afterwards, {late} had ended, {duration:.2f} s")
