"""Time and memory of LumosX attention (CSAM + MCAM) against its dense-mask form and against plain Wan2.1.

    python benchmarks/attention.py
    python benchmarks/attention.py --device cuda --frames 21 --dim 1536 --heads 12 --references 2 4 8 12

One block's self-attention and cross-attention, on ready queries, keys and values, at growing numbers of reference
images after a video of `--frames` latent frames:

    ours    lumosx_core's ranged_attention and biased_cross_attention
    dense   the same maths in its direct form: one attention call under an L x L boolean mask, and one under an
            additive (heads, L, words) bias
    plain   the video alone, without reference images: the cost of Wan2.1 itself

Each row is measured in a separate process. Extra memory is the peak above the inputs: the process's resident set on the
CPU (Linux and macOS), allocated memory on CUDA. The mask counts towards the dense form's memory, but not its time, as
a model builds it once for all blocks. The last column compares the results of both forms, element by element.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from lumosx_core import ReferenceLayout
from lumosx_core.models.lumosx.csam import attention_ranges, ranged_attention
from lumosx_core.models.lumosx.mcam import CELL, biased_cross_attention, cell_bias, word_weights

MIB = 2**20
RATIO = 0.5
HEADER = (
    f"{'pictures':>8} {'groups':>12} {'tokens':>7} | {'ours s':>8} {'dense s':>8} {'faster':>7} | "
    f"{'ours MiB':>8} {'dense MiB':>9} {'share':>6} | {'difference':>10}"
)


def layout_of(pictures: int) -> ReferenceLayout:
    """A usual scene with this many reference images: background, object, and subjects of up to four images."""
    standalone = min(2, max(0, pictures - 2))
    people = -(-(pictures - standalone) // 4)
    return ReferenceLayout(standalone, tuple(len(range(s, pictures - standalone, people)) for s in range(people)))


class Inputs:
    """Random queries, keys and values of one block, laid out in memory as the block's projections leave them."""

    def __init__(self, arguments: argparse.Namespace, pictures: int):
        random = torch.Generator().manual_seed(0)
        dtype = getattr(torch, arguments.dtype)

        def tokens(count: int) -> Tensor:  # (1, heads, count, d)
            x = torch.randn(1, count, arguments.heads, arguments.dim // arguments.heads, generator=random)
            return x.to(arguments.device, dtype).transpose(1, 2)

        self.layout = layout_of(pictures)
        self.grid = (arguments.height, arguments.width)
        self.picture_tokens = arguments.height * arguments.width
        self.video_tokens = arguments.frames * self.picture_tokens
        self.count = self.video_tokens + pictures * self.picture_tokens
        phrases = torch.rand(pictures, arguments.words, generator=random) < 0.05
        self.words = word_weights(phrases.to(arguments.device), self.layout)
        self.own = [tokens(self.count) for _ in range(3)]  # q, k, v of self-attention
        self.text = [tokens(self.count), tokens(arguments.words), tokens(arguments.words)]  # of cross-attention


def ours(inputs: Inputs) -> tuple[Tensor, Tensor]:
    return (
        ranged_attention(*inputs.own, attention_ranges(inputs.layout, inputs.video_tokens, inputs.picture_tokens)),
        biased_cross_attention(*inputs.text, inputs.words, inputs.grid, RATIO),
    )


def dense(inputs: Inputs, mask: Tensor) -> tuple[Tensor, Tensor]:
    return (
        scaled_dot_product_attention(*inputs.own, attn_mask=mask),
        scaled_dot_product_attention(*inputs.text, attn_mask=dense_bias(inputs)),
    )


def plain(inputs: Inputs) -> tuple[Tensor, Tensor]:
    return scaled_dot_product_attention(*inputs.own), scaled_dot_product_attention(*inputs.text)


def dense_mask(inputs: Inputs) -> Tensor:
    """(L, L) boolean: which token sees which."""
    mask = torch.zeros(inputs.count, inputs.count, dtype=torch.bool, device=inputs.words.device)
    mask[: inputs.video_tokens] = True
    for group in inputs.layout.groups:
        start, stop = (inputs.video_tokens + picture * inputs.picture_tokens for picture in (group.start, group.stop))
        mask[start:stop, start:stop] = True
    return mask


def dense_bias(inputs: Inputs) -> Tensor:
    """(heads, L, words): the bias of each token, zero for the video."""
    q, k, _ = inputs.text
    cells = cell_bias(q[:, :, inputs.video_tokens :], k, inputs.words, inputs.grid, RATIO)[
        0
    ]  # (R, cells, heads, words)
    across = -(-inputs.grid[1] // CELL)
    token = torch.arange(inputs.picture_tokens, device=q.device)
    cell = token // (across * CELL) // CELL * across + token % (across * CELL) // CELL
    bias = q.new_zeros(q.shape[1], inputs.count, k.shape[2])
    for picture in range(inputs.layout.pictures):
        start = inputs.video_tokens + picture * inputs.picture_tokens
        bias[:, start : start + inputs.picture_tokens] = cells[picture, cell].transpose(0, 1)
    return bias


class PeakMemory:
    """Peak memory in bytes since this object was made, above what was in use then."""

    def __init__(self, device: str):
        self.cuda = device.startswith("cuda")
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
            self.before = torch.cuda.memory_allocated()
        else:
            with suppress(OSError):  # Linux: reset the peak caused by imports and the creation of the inputs
                Path("/proc/self/clear_refs").write_text("5")
            self.before = self._peak_resident()

    def extra(self) -> int:
        return (torch.cuda.max_memory_allocated() if self.cuda else self._peak_resident()) - self.before

    @staticmethod
    def _peak_resident() -> int:
        with suppress(OSError):
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("VmHWM"):
                    return int(line.split()[1]) * 1024
        import resource  # not on Windows

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@torch.inference_mode()
def measure(arguments: argparse.Namespace) -> None:
    """In the child process: run one form, save its result, print seconds and bytes."""
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    inputs = Inputs(arguments, arguments.references[0])
    synchronize = torch.cuda.synchronize if arguments.device.startswith("cuda") else lambda: None
    x = torch.zeros(1, 1, 64, 64, device=arguments.device, dtype=getattr(torch, arguments.dtype))
    scaled_dot_product_attention(x, x, x)  # start threads and kernels before anything is measured

    memory = PeakMemory(arguments.device)
    run = {"ours": ours, "plain": plain, "dense": dense}[arguments.measure]
    extra = (dense_mask(inputs),) if run is dense else ()
    seconds = []
    for _ in range(arguments.repeats):
        result = None  # not two results at a time
        synchronize()
        start = time.perf_counter()
        result = run(inputs, *extra)
        synchronize()
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": min(seconds), "bytes": memory.extra(), "threads": torch.get_num_threads()}))
    if arguments.save:
        torch.save([x.float().cpu() for x in result], arguments.save)


def measured(form: str, pictures: int, save: Path | None = None) -> dict:
    """Measure in a fresh process, so that no other measurement's memory is counted."""
    command = [sys.executable, __file__, *sys.argv[1:], "--measure", form, "--references", str(pictures)]
    output = subprocess.run(
        [*command, *(["--save", str(save)] if save else [])], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(output.stdout.splitlines()[-1])


def table(arguments: argparse.Namespace) -> None:
    """Measure everything and print one line per number of reference images as soon as it is known."""
    video = measured("plain", 0)
    tokens = arguments.height * arguments.width
    print(
        f"{arguments.frames} latent frames of {arguments.height} x {arguments.width} tokens, {arguments.words} words, "
        f"dim {arguments.dim}, {arguments.heads} heads, {arguments.dtype}, {arguments.device}, "
        f"{video['threads']} threads, torch {torch.__version__}; best of {arguments.repeats}\n\n{HEADER}"
    )
    print(
        f"{'plain':>8} {'-':>12} {arguments.frames * tokens:>7} | {video['seconds']:>8.3f} {'':>8} {'':>7} | "
        f"{video['bytes'] / MIB:>8.0f} {'':>9} {'':>6} |",
        flush=True,
    )
    for pictures in arguments.references:
        with tempfile.TemporaryDirectory() as folder:
            files = {form: Path(folder) / form for form in ("ours", "dense")}
            row = {form: measured(form, pictures, file) for form, file in files.items()}
            results = [torch.load(file, weights_only=True, mmap=True) for file in files.values()]
            difference = max((a - b).abs().max().item() for a, b in zip(*results, strict=True))
        layout = layout_of(pictures)
        groups = "+".join(map(str, (*(1,) * layout.standalone, *layout.subjects)))
        ours, dense = row["ours"], row["dense"]
        print(
            f"{pictures:>8} {groups:>12} {(arguments.frames + pictures) * tokens:>7} | "
            f"{ours['seconds']:>8.3f} {dense['seconds']:>8.3f} {dense['seconds'] / ours['seconds']:>6.2f}x | "
            f"{ours['bytes'] / MIB:>8.0f} {dense['bytes'] / MIB:>9.0f} {ours['bytes'] / dense['bytes']:>6.1%} | "
            f"{difference:>10.1e}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--references", type=int, nargs="+", default=[2, 4, 8, 12], help="numbers of reference images")
    parser.add_argument("--frames", type=int, default=8, help="latent frames of the video (the released model: 21)")
    parser.add_argument("--height", type=int, default=30, help="tokens down a frame: pixels / 16")
    parser.add_argument("--width", type=int, default=52, help="tokens across a frame: pixels / 16")
    parser.add_argument("--dim", type=int, default=512, help="channels (the released model: 1536)")
    parser.add_argument("--heads", type=int, default=4, help="attention heads (the released model: 12)")
    parser.add_argument("--words", type=int, default=512, help="text tokens")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 leaves the choice to torch")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--measure", choices=["ours", "dense", "plain"], help=argparse.SUPPRESS)
    parser.add_argument("--save", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments)
    else:
        table(arguments)


if __name__ == "__main__":
    main()
