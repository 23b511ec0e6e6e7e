"""`lumosx lora merge | extract | export`."""

from __future__ import annotations

from lumosx_core.commands.option_types import whole


def add_lora(commands) -> None:
    """Add `lumosx lora` to the command line."""
    parser = commands.add_parser("lora", help="merge, extract or export a LoRA")
    tasks = parser.add_subparsers(required=True, metavar="TASK")

    merge = tasks.add_parser("merge", help="write a model with LoRAs added to its weights")
    merge.add_argument("base", metavar="BASE", help="a model, .safetensors")
    merge.add_argument("loras", metavar="LORA", nargs="+")
    merge.add_argument("out", metavar="OUT", help="a new .safetensors file")
    merge.add_argument(
        "--strength", type=float, action="append", help="of the LoRA (default 1); for several LoRAs give it for each"
    )
    merge.set_defaults(run=_merge_lora)

    extract = tasks.add_parser("extract", help="write the difference of two models as a LoRA")
    extract.add_argument("base", metavar="BASE", help="the model before training")
    extract.add_argument("tuned", metavar="TUNED", help="the model after training")
    extract.add_argument("out", metavar="OUT", help="a new .safetensors file")
    extract.add_argument("--rank", type=whole(), required=True, help="of its matrices, such as 32")
    extract.set_defaults(run=_extract_lora)

    export = tasks.add_parser("export", help="write a LoRA for ComfyUI, or for peft")
    export.add_argument("source", metavar="SOURCE", help="a training checkpoint, a folder of peft, or a LoRA file")
    export.add_argument("out", metavar="OUT", help="a .safetensors file for ComfyUI; another name: a folder for peft")
    export.set_defaults(run=_export_lora)

    for task in (extract, export):
        task.add_argument("--dtype", choices=["fp32", "bf16", "fp16"], default="fp32", help="default fp32")
    for task in (merge, extract, export):
        task.add_argument("--overwrite", action="store_true", help="replace an existing file")


def _merge_lora(options) -> None:
    from ..lora.merge import merge_lora

    strengths = options.strength or [1.0]
    strength = strengths[0] if len(strengths) == 1 else strengths
    path = merge_lora(options.base, options.loras, options.out, strength, overwrite=options.overwrite)
    print(f"The model is {path.resolve()}  (ComfyUI: models/diffusion_models)")


def _extract_lora(options) -> None:
    from lumosx_core.own_command import own_command

    from ..lora.extract import extract_lora

    result = extract_lora(
        options.base,
        options.tuned,
        options.out,
        options.rank,
        dtype=_dtype(options.dtype),
        overwrite=options.overwrite,
    )
    print(
        f"{result.layers} matrices at rank {options.rank} and {result.differences} other tensors. Lost of "
        f"the matrices' change: {result.residual:.1%} in all, {result.worst[1]:.1%} in {result.worst[0] or 'none'}."
    )
    if result.unused:
        print(
            f"ComfyUI's stock loader does not apply the change of the {result.unused} modulation tables; "
            f"merging it into the model does: {own_command('lora', 'merge', 'BASE', 'LORA', 'OUT')}"
        )
    print(f"The LoRA is {options.out}  (ComfyUI: models/loras)")


def _export_lora(options) -> None:
    from ..lora.export import export_lora

    path = export_lora(options.source, options.out, dtype=_dtype(options.dtype), overwrite=options.overwrite)
    print(f"The LoRA is {path.resolve()}")


def _dtype(name: str):
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]
