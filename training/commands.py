"""The command line of the training room: `lumosx train | cache | check-data | pack | lora | glyphs`.

The core's command line finds these through the entry-point group `lumosx.commands`. Each function adds one command;
heavy imports stand in what the command runs.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager


def add_train(commands) -> None:
    parser = commands.add_parser("train", help="fine-tune a model, or train a LoRA, from a config file")
    parser.add_argument("config", metavar="CONFIG.toml")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="TABLE.NAME=VALUE",
        help="a value in the place of the config's, such as training.steps=100; may be given several times",
    )
    parser.set_defaults(run=_train)


def _train(options) -> None:
    from .train import main

    main(options)


def add_lora(commands) -> None:
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
    extract.add_argument("--rank", type=int, required=True, help="of its matrices, such as 32")
    extract.set_defaults(run=_extract_lora)

    export = tasks.add_parser("export", help="write a LoRA for ComfyUI, or for peft")
    export.add_argument("source", metavar="SOURCE", help="a training checkpoint, a folder of peft, or a LoRA file")
    export.add_argument("out", metavar="OUT", help="a .safetensors file for ComfyUI; another name: a folder for peft")
    export.set_defaults(run=_export_lora)

    for task in (extract, export):
        task.add_argument("--dtype", choices=["fp32", "bf16", "fp16"], default="fp32", help="default fp32")
    for task in (merge, extract, export):
        task.add_argument("--overwrite", action="store_true", help="replace what is there")


def _merge_lora(options) -> None:
    from .lora_merge import merge_lora

    strengths = options.strength or [1.0]
    strength = strengths[0] if len(strengths) == 1 else strengths
    path = merge_lora(options.base, options.loras, options.out, strength, overwrite=options.overwrite)
    print(f"The model is {path.resolve()}  (ComfyUI: models/diffusion_models)")


def _extract_lora(options) -> None:
    from .lora_extract import extract_lora

    found = extract_lora(
        options.base,
        options.tuned,
        options.out,
        options.rank,
        dtype=_dtype(options.dtype),
        overwrite=options.overwrite,
    )
    print(
        f"{found.layers} matrices at rank {options.rank} and {found.differences} other tensors. Lost of the matrices' "
        f"change: {found.residual:.1%} in all, {found.worst[1]:.1%} in {found.worst[0] or 'none'}."
    )
    if found.unused:
        print(
            f"ComfyUI's stock loader does not apply the change of the {found.unused} modulation tables; "
            f"`lumosx lora merge` does."
        )
    print(f"The LoRA is {options.out}  (ComfyUI: models/loras)")


def _export_lora(options) -> None:
    from .lora_export import export_lora

    path = export_lora(options.source, options.out, dtype=_dtype(options.dtype), overwrite=options.overwrite)
    print(f"The LoRA is {path.resolve()}")


def _dtype(name: str):
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]


# Data


def add_check_data(commands) -> None:
    parser = commands.add_parser(
        "check-data",
        help="read a whole data set and report every bad sample",
        description="Read every sample to its end and report each bad one with its reason. The exit code is 0 if all "
        "are good, 1 if some are bad, 2 if the data set cannot be opened.",
    )
    _add_source(parser)
    parser.add_argument("--text-encoder", metavar="FILE", help="look for phrases by its tokens, not by whole words")
    parser.add_argument("--frames", type=int, default=1, help="the fewest frames a video must give at 16 a second")
    parser.add_argument("--json", metavar="REPORT", help="write the whole report there")
    parser.add_argument("--workers", type=int, help="samples read at once (default: the cores, up to 8)")
    parser.set_defaults(run=_check_data)


def _check_data(options) -> None:
    from pathlib import Path

    from lumosx_core.errors import LumosXError

    from .check_data import DataReport, check_data, write_report

    if options.json and not Path(options.json).absolute().parent.is_dir():
        raise LumosXError(f"The folder for the report {options.json!r} does not exist. Make it first: mkdir -p.")
    tokenize = None
    if options.text_encoder:
        from lumosx_core.text_encoder import TextEncoder

        tokenize = TextEncoder(options.text_encoder).tokenize
    source = _open_to_check(options)
    report = DataReport()
    checking = check_data(source, tokenize=tokenize, shortest=options.frames, workers=options.workers)
    with _counter(len(source.keys()), "Checking") as (tick, say):
        for finding in checking:
            report.findings.append(finding)
            tick()
            if finding.reasons:
                say(f"BAD      {finding.path}: {' '.join(finding.reasons)}")
            for warning in finding.warnings:
                say(f"warning  {finding.path}: {warning}")
    print(report.summary())
    if options.json:
        write_report(options.json, options.source, report)
    if report.bad:
        raise SystemExit(1)


def add_pack(commands) -> None:
    parser = commands.add_parser(
        "pack",
        help="write a data set as WebDataset shards",
        description="Write clips-000000.tar and so on. Videos are copied as they are. Bad samples are reported and "
        "left out; the exit code is 1 then.",
    )
    _add_source(parser)
    parser.add_argument("directory", metavar="DIR", help="a folder without shards")
    parser.add_argument("--samples", type=int, default=1000, help="most samples of a shard (default 1000)")
    parser.add_argument("--megabytes", type=int, default=1000, help="a shard ends when it has as many (default 1000)")
    parser.set_defaults(run=_pack)


def _pack(options) -> None:
    from .pack import pack

    source = _open_to_check(options)
    left_out = []
    with _counter(len(source.keys()), "Packing") as (tick, say):

        def bad(error) -> None:
            left_out.append(error)
            say(f"BAD      {error}")

        shards = pack(
            source, options.directory, samples=options.samples, megabytes=options.megabytes, bad=bad, done=tick
        )
    found = len(source.keys())
    print(f"Packed {found - len(left_out)} of {found} samples")
    print(f"The data set is {shards[0].parent / '*.tar'}")
    if left_out:
        raise SystemExit(1)


# Cache


def add_cache(commands) -> None:
    parser = commands.add_parser(
        "cache",
        help="write the latents and encoded captions of a data set, once for many training runs",
        description="Encode every sample with the VAE and the text encoder. Run it again to go on where it stopped and "
        "to take in what is new or changed. Bad samples are reported and left out; the exit code is 1 then.",
    )
    _add_source(parser)
    parser.add_argument("directory", metavar="CACHE_DIR", help="a new folder, or a cache to go on with")
    parser.add_argument("--models", metavar="DIR|tiny", help="a folder laid out as ComfyUI's models folder, or tiny")
    parser.add_argument("--vae", metavar="FILE", help="Wan 2.1 VAE, instead of the one in --models")
    parser.add_argument("--text-encoder", metavar="FILE", help="UMT5, instead of the one in --models")
    parser.add_argument(
        "--size",
        nargs="+",
        metavar="WxH",
        help="sizes a clip may have, of which it takes the nearest in shape; own: the video's own size "
        "(default 832x480 480x832; with --models tiny: own)",
    )
    parser.add_argument(
        "--frames", type=int, nargs="+", help="lengths a clip may have (default 81; with --models tiny: 9 17)"
    )
    parser.add_argument("--augment", choices=["paper", "code", "none"], default="paper", help="default paper")
    parser.add_argument("--variants", type=int, default=1, metavar="K", help="augmented copies (default 1)")
    parser.add_argument("--seed", type=int, default=0, help="of the augmentation (default 0)")
    parser.add_argument(
        "--dtype", choices=["float16", "bfloat16", "float32"], default="float16", help="on the disk (default float16)"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--shard", metavar="I/N", default="1/1", help="machine I of N that fill this cache together")
    parser.add_argument("--device", help="cpu or cuda (default: the best there is)")
    parser.add_argument("--verify", action="store_true", help="first read what is there and make anew what is damaged")
    parser.set_defaults(run=_cache)


def _cache(options) -> None:
    from .cache import CacheSettings, build_cache
    from .samples import SampleSettings
    from .sources import open_source

    tiny = options.models == "tiny"
    settings = CacheSettings(
        frames=tuple(options.frames or ((9, 17) if tiny else (81,))),
        sizes=_sizes(options.size or (["own"] if tiny else ["832x480", "480x832"])),
        variants=options.variants,
        augment=options.augment,
        seed=options.seed,
        dtype=options.dtype,
    )
    files, shard = _encoders(options), _shard(options.shard)
    source = open_source(
        options.source, SampleSettings(settings.clip, require_faces=not options.allow_faceless, seed=options.seed)
    )
    with _counter(len(source.keys()[shard[0] :: shard[1]]), "Caching") as (tick, say):
        seen = 0

        def progress(done: int, total: int) -> None:
            nonlocal seen
            tick(done - seen)
            seen = done

        report = build_cache(
            source,
            options.directory,
            files,
            settings,
            options.workers,
            shard=shard,
            device=options.device,
            verify=options.verify,
            progress=progress,
            bad=lambda error: say(f"BAD      {error}"),
        )
    print(f"Cached {report.written} samples; {report.kept} were there already, {len(report.bad)} are bad")
    print(f"The cache is {report.bad_file.parent.resolve()}")
    if report.bad:
        print(f"What is bad, and why: {report.bad_file}")
        raise SystemExit(1)


def _encoders(options):
    """The model files whose VAE and text encoder make a cache; a diffusion model is not needed."""
    import os
    from pathlib import Path

    from lumosx_core.errors import LumosXError
    from lumosx_core.model_files import ModelFiles, find_model_files
    from lumosx_core.tiny import TINY_DIRECTORY

    if options.models:
        models = TINY_DIRECTORY if options.models == "tiny" else options.models
        return find_model_files(models, options.vae, options.text_encoder)
    if not (options.vae and options.text_encoder):
        raise LumosXError("No weights are named. Add --models DIR, --models tiny, or both --vae and --text-encoder.")
    return ModelFiles(Path(os.devnull), Path(options.vae), Path(options.text_encoder))


def _sizes(texts) -> tuple[tuple[int, int], ...]:
    """(height, width) of each WIDTHxHEIGHT; none for "own"."""
    from lumosx_core.errors import LumosXError

    if list(texts) == ["own"]:
        return ()
    sizes = []
    for text in texts:
        width, _, height = text.lower().partition("x")
        if not (width.isdecimal() and height.isdecimal()):
            raise LumosXError(f"{text!r} is no size. Write WIDTHxHEIGHT, such as 832x480, or own alone.")
        sizes.append((int(height), int(width)))
    return tuple(sizes)


def _shard(text: str) -> tuple[int, int]:
    """Number of a machine, from 0, and how many there are; written from 1."""
    from lumosx_core.errors import LumosXError

    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise LumosXError(f"{text!r} is no shard. Write I/N with I from 1 to N, such as 1/4.")
    return int(number) - 1, int(count)


def _add_source(parser) -> None:
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a folder of sample folders, a manifest.jsonl, shards such as clips-{000..127}.tar, a research table "
        "(.csv, .parquet), or glyphs:SEED:COUNT",
    )
    parser.add_argument("--allow-faceless", action="store_true", help="a subject without a face is no mistake")


def _open_to_check(options):
    """The source, read so that damage anywhere in a video is found and only one frame of it is kept."""
    from .clips import ClipSettings
    from .samples import SampleSettings
    from .sources import open_source

    clip = ClipSettings(frames=(1,), whole=True)
    return open_source(options.source, SampleSettings(clip, require_faces=not options.allow_faceless))


@contextmanager
def _counter(total: int, what: str):
    """A bar on a terminal: a function that counts one more, and one that prints a line above the bar."""
    from lumosx_core.errors import MissingPackageError

    try:
        from tqdm import tqdm
    except ImportError as error:
        raise MissingPackageError("tqdm", "The progress bar", error) from error
    with tqdm(total=total, unit="sample", desc=what, disable=None) as bar:
        yield bar.update, lambda line: tqdm.write(line, file=sys.stdout)


def add_glyphs(commands) -> None:
    parser = commands.add_parser(
        "glyphs",
        help="write clips of the glyph world as sample folders, to try training without data of your own",
        description="Write clips of the glyph world as sample folders: the world that lumosx-tiny was trained on.",
    )
    parser.add_argument("directory", metavar="DIR", help="a new folder")
    parser.add_argument("--count", type=int, default=10, help="number of clips (default 10)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--people", type=int, choices=(1, 2, 3, 4), help="people in each clip (default: 1 to 3)")
    parser.add_argument("--new", action="store_true", help="colours and patterns that lumosx-tiny never saw")
    parser.add_argument("--sashes", action="store_true", help="everybody wears a white sash: something to teach a LoRA")
    parser.set_defaults(run=_glyphs)


def _glyphs(options) -> None:
    from .glyph_world import Casting, GlyphSource
    from .glyph_world.folders import write_folders

    people = Casting.people
    if options.people:
        people = tuple(float(number == options.people) for number in range(1, options.people + 1))
    source = GlyphSource(
        options.seed, options.count, casting=Casting(people=people, new=options.new, sashes=options.sashes)
    )
    write_folders(source, options.directory)
    print(f"Wrote {options.count} clips to {options.directory}")
