"""Time, memory and utilisation of a training step, and the smallest memory at which it still runs.

    python benchmarks/training.py                       LoRA at 81 x 480 x 832 with 6 reference images, on CUDA
    python benchmarks/training.py --full                all weights, kept in float32
    python benchmarks/training.py --tiny --device cpu   a small network and video: checks that everything runs

The network has random weights. A step is forward and backward pass under bfloat16 autocast, clipping and AdamW, for one
video. Each setting is measured in a separate process, all on the same weights, latents and noise:

    plain              everything that the backward pass needs is kept
    recompute          blocks are computed again (gradient checkpointing)
    recompute, host    and their inputs wait in the CPU's memory
    offload            blocks visit the GPU one by one (block offload, which recomputes)
    offload, host      and their inputs wait in the CPU's memory

Memory is the peak of what torch allocates on CUDA, with weights and optimiser; on the CPU it is the growth of the
resident set. "Runs in" is the smallest cap on torch's memory (in steps of --grain) under which two steps still succeed;
the CUDA context, about half a GiB, comes on top. TFLOP are those the step needs (training/flops.py), not those
computed again; utilisation is their rate over the device's peak for dense bfloat16. The last column compares the loss
and the gradient's norm after the last step with the first setting's.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from attention import PeakMemory, layout_of
from torch import Tensor

from lumosx_core import EncodedScene, LumosXConfig, LumosXModel
from lumosx_core.models.lumosx.spec import SPEC
from lumosx_core.models.lumosx.tiny import TINY_CONFIG
from lumosx_training.flops import forward_flops, step_flops
from lumosx_training.lora import LoraSettings, add_lora
from lumosx_training.memory.gradient_checkpointing import checkpoint_blocks
from lumosx_training.memory.offload import offload_blocks

GIB = 2**30
WAYS = ("plain", "recompute", "recompute, host", "offload", "offload, host")
# Dense bfloat16 with float32 sums, from the makers' data sheets, by a part of the device's name.
PEAK_TFLOPS = {
    "H200": 989,
    "H100 PCIe": 756,
    "H100": 989,
    "A100": 312,
    "L40S": 362,
    "RTX 5090": 209.5,
    "RTX 4090": 165.2,
    "RTX 3090": 71,
}
HEADER = (
    f"{'way':<16} {'s a step':>9} {'peak GiB':>9} {'runs in GiB':>12} {'TFLOP/s':>8} {'of peak':>8} {'difference':>11}"
)


class Case:
    """The network and the clip of the benchmark."""

    def __init__(self, arguments: argparse.Namespace):
        frames, width, height = arguments.video
        self.config = TINY_CONFIG if arguments.tiny else LumosXConfig()
        self.layout = layout_of(arguments.references)
        _, _, self.frames, *self.latent = SPEC.latent_shape(1, frames, height, width)
        self.grid = tuple(-(-size // 2) for size in self.latent)
        self.settings = None if arguments.full else LoraSettings(rank=arguments.rank, alpha=float(arguments.rank))

    def flops(self) -> float:
        lora = {} if self.settings is None else {"rank": self.settings.rank, "targets": self.settings.targets}
        return step_flops(self.config, self.layout, self.frames, self.grid, **lora)

    def model(self, device: str) -> LumosXModel:
        """Random weights, drawn on the device but left on the CPU: a small GPU never holds them all."""
        model = LumosXModel(
            self.config, device="meta", dtype=torch.float32 if self.settings is None else torch.bfloat16
        )
        random = torch.Generator(device).manual_seed(0)

        def values(name: str, like: Tensor) -> Tensor:
            if "norm" in name:
                return torch.full(like.shape, float(name.endswith("weight")), dtype=like.dtype)
            drawn = torch.randn(like.shape, generator=random, device=device) * 0.02
            return drawn.to("cpu", like.dtype)

        model.load_state_dict({name: values(name, t) for name, t in model.state_dict().items()}, assign=True)
        if self.settings is not None:
            torch.manual_seed(0)
            add_lora(model, self.settings)
        return model.train()

    def batch(self, device: str) -> dict:
        random = torch.Generator().manual_seed(1)

        def latents(frames: int) -> Tensor:
            return torch.randn(1, self.config.in_dim, frames, *self.latent, generator=random).to(device)

        words = torch.rand(self.layout.pictures, self.config.text_len, generator=random) < 0.02
        text = torch.randn(1, self.config.text_len, self.config.text_dim, generator=random)
        return {
            "clean": latents(self.frames),
            "noise": latents(self.frames),
            "timestep": torch.tensor([600.0], device=device),
            "text": text.to(device),
            "references": latents(self.layout.pictures),
            "phrase_mask": words.to(device),
        }


def save_memory(model: LumosXModel, way: str, device: str) -> None:
    """Place the model on the device in one of the ways."""
    on_cpu = way.endswith("host")
    if way.startswith("offload"):
        trained = {p for p in model.parameters() if p.requires_grad}
        offload_blocks(model, device, keep_trainable=len(trained) < len(list(model.parameters())), inputs_on_cpu=on_cpu)
        return
    model.to(device)
    if way.startswith("recompute"):
        checkpoint_blocks(model, inputs_on_cpu=on_cpu)


def step(model: LumosXModel, optimizer: torch.optim.Optimizer, batch: dict, layout) -> tuple[float, float]:
    """One step of training; the loss and the gradient's norm."""
    sigma = batch["timestep"][0] / 1000
    noisy = (1 - sigma) * batch["clean"] + sigma * batch["noise"]
    with torch.autocast(noisy.device.type, torch.bfloat16):
        scene = EncodedScene(batch["references"], layout, batch["phrase_mask"])
        velocity = model(noisy, batch["timestep"], batch["text"], scene)
    loss = (velocity - (batch["noise"] - batch["clean"])).square().mean()
    loss.backward()
    trained = [p for p in model.parameters() if p.requires_grad]
    norm = torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item(), norm.item()


def measure(arguments: argparse.Namespace) -> dict:
    """In the child process: one way, perhaps under a cap."""
    device, case = arguments.device, Case(arguments)
    cuda = device.startswith("cuda")
    if arguments.cap:
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, arguments.cap * GIB / total), device)
    synchronize = torch.cuda.synchronize if cuda else lambda: None
    try:
        memory, seconds = PeakMemory(device), []
        model, batch = case.model(device), case.batch(device)
        save_memory(model, arguments.measure, device)
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=1e-4)
        for _ in range(arguments.steps + 1):  # the first step makes the optimiser's state and warms up
            synchronize()
            start = time.perf_counter()
            loss, norm = step(model, optimizer, batch, case.layout)
            synchronize()
            seconds.append(time.perf_counter() - start)
    except torch.OutOfMemoryError:
        return {"fits": False}
    reserved = torch.cuda.max_memory_reserved() if cuda else memory.extra()
    return {
        "fits": True,
        "seconds": min(seconds[1:]),
        "bytes": memory.extra(),
        "reserved": reserved,
        "loss": loss,
        "norm": norm,
    }


def measured(way: str, cap: float = 0.0, *more: str) -> dict:
    """Measure in a fresh process, so that no other measurement's memory is counted."""
    command = [sys.executable, __file__, *sys.argv[1:], "--measure", way, "--cap", str(cap), *more]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(output.stdout.splitlines()[-1])


def smallest(fits: Callable[[float], bool], low: float, high: float, grain: float) -> float | None:
    """The smallest multiple of `grain` that fits, known to be between `low` and `high`; None if even that does not."""
    below, above = math.ceil(low / grain) - 1, math.ceil(high / grain)
    if not fits(above * grain):
        return None
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (below, middle) if fits(middle * grain) else (middle, above)
    return above * grain


def runs_in(arguments: argparse.Namespace, way: str, row: dict) -> float | None:
    """GiB: no less than what is allocated at the peak, and no more than what torch reserved when it was free to."""
    if not arguments.device.startswith("cuda") or arguments.no_search:
        return None
    low, high = row["bytes"] / GIB, row["reserved"] / GIB + arguments.grain
    return smallest(lambda cap: measured(way, cap, "--steps", "1")["fits"], low, high, arguments.grain)


def peak_tflops(arguments: argparse.Namespace) -> float | None:
    if arguments.peak_tflops or not arguments.device.startswith("cuda"):
        return arguments.peak_tflops
    device = torch.cuda.get_device_name(arguments.device)
    return next((peak for name, peak in PEAK_TFLOPS.items() if name in device), None)


def table(arguments: argparse.Namespace) -> None:
    """Measure everything and print a line for each way as soon as it is known."""
    case, peak = Case(arguments), peak_tflops(arguments)
    cuda = arguments.device.startswith("cuda")
    flops, forward = case.flops(), sum(forward_flops(case.config, case.layout, case.frames, case.grid).values())
    tokens = (case.frames + case.layout.pictures) * math.prod(case.grid)
    print(
        f"{'all weights' if arguments.full else f'LoRA of rank {arguments.rank}'}, dim {case.config.dim}, "
        f"{case.config.num_layers} blocks; video of {'x'.join(map(str, arguments.video))}, {case.layout.pictures} "
        f"reference images, {tokens} tokens; "
        f"{torch.cuda.get_device_name(arguments.device) if cuda else arguments.device}, "
        f"torch {torch.__version__}; best of {arguments.steps}\n"
        f"{flops / 1e12:.4g} TFLOP a step ({forward / 1e12:.4g} a forward pass); peak "
        f"{f'{peak} TFLOP/s' if peak else 'unknown'}\n\n{HEADER}",
        flush=True,
    )
    first, least = None, None
    for way in arguments.ways:
        row = measured(way)
        if not row["fits"]:
            print(f"{way:<16} {'out of memory':>19}", flush=True)
            continue
        first = first or row
        cap = runs_in(arguments, way, row)
        if cap and (least is None or cap < least[0]):
            least = (cap, way, row["seconds"])
        rate = flops / row["seconds"] / 1e12
        difference = max(abs(row[name] / first[name] - 1) for name in ("loss", "norm"))
        print(
            f"{way:<16} {row['seconds']:>9.3f} {row['bytes'] / GIB:>9.2f} {f'{cap:.2f}' if cap else '-':>12} "
            f"{rate:>8.3g} {f'{rate / peak:.1%}' if peak else '-':>8} {difference:>11.1e}",
            flush=True,
        )
    if least:
        print(f"\nSmallest: {least[0]:.2f} GiB with {least[1]!r}, {least[2]:.2f} s a step when memory is plenty.")


def parsed(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda (default) or cpu")
    parser.add_argument("--full", action="store_true", help="train all weights instead of a LoRA")
    parser.add_argument("--rank", type=int, default=16, help="of the LoRA (default 16)")
    parser.add_argument("--references", type=int, default=6, help="number of reference images (default 6)")
    parser.add_argument("--video", type=int, nargs=3, metavar=("FRAMES", "WIDTH", "HEIGHT"), help="default 81 832 480")
    parser.add_argument("--tiny", action="store_true", help="the tiny preset's network and, by default, 9 96 64")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), metavar="WAY", help="default: all")
    parser.add_argument("--steps", type=int, default=3, help="measured steps; the fastest counts (default 3)")
    parser.add_argument("--grain", type=float, default=0.25, help="GiB, of the search for the smallest memory")
    parser.add_argument("--no-search", action="store_true", help="skip the search for the smallest memory")
    parser.add_argument("--peak-tflops", type=float, help="of the device, if it is not in the table")
    parser.add_argument("--measure", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--cap", type=float, default=0.0, help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    if arguments.device == "cuda":
        arguments.device = "cuda:0"  # memory limits want a number
    arguments.video = arguments.video or ([9, 96, 64] if arguments.tiny else [81, 832, 480])
    return arguments


def main() -> None:
    arguments = parsed()
    if arguments.measure:
        print(json.dumps(measure(arguments)))
    elif arguments.device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit("No CUDA device was found. Try: python benchmarks/training.py --tiny --device cpu")
    else:
        table(arguments)


if __name__ == "__main__":
    main()
