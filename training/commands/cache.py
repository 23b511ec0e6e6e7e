"""`lumosx cache`: encodes a data set once for many runs."""

from __future__ import annotations

from lumosx_core.commands.option_types import MOST_WORKERS, whole
from lumosx_core.models.family import MOST_FRAMES

from .shared import add_source, counter


def add_cache(commands) -> None:
    """Add `lumosx cache` to the command line."""
    parser = commands.add_parser(
        "cache",
        help="write the latents and encoded captions of a data set, once for many training runs",
        description="Encode every sample with the VAE and the text encoder. Run it again to go on where it stopped and "
        "to take in what is new or changed. Bad samples are reported and left out; the exit code is 1 then.",
    )
    add_source(parser)
    parser.add_argument("directory", metavar="CACHE_DIR", help="a new folder, or a cache to extend")
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
        "--frames",
        type=whole(1, MOST_FRAMES),
        nargs="+",
        help="lengths a clip may have (default 81; with --models tiny: 9 17)",
    )
    parser.add_argument("--augment", choices=["paper", "code", "none"], default="paper", help="default paper")
    parser.add_argument("--variants", type=whole(1, 1000), default=1, metavar="K", help="augmented copies (default 1)")
    parser.add_argument("--seed", type=whole(0, 2**63 - 1), default=0, help="of the augmentation (default 0)")
    parser.add_argument(
        "--dtype", choices=["float16", "bfloat16", "float32"], default="float16", help="on the disk (default float16)"
    )
    parser.add_argument("--workers", type=whole(1, MOST_WORKERS), default=1, help="processes (default 1)")
    parser.add_argument("--shard", metavar="I/N", default="1/1", help="machine I of N that fill this cache together")
    parser.add_argument("--device", help="cpu or cuda (default: the best there is)")
    parser.add_argument("--verify", action="store_true", help="first read what exists and encode damaged clips again")
    parser.set_defaults(run=_cache)


def _cache(options) -> None:
    from .. import glyph_world  # noqa: F401 - registers its addresses
    from ..cache import CacheSettings, build_cache
    from ..data.samples import SampleSettings
    from ..data.sources import open_source

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
    with counter(len(source.keys()[shard[0] :: shard[1]]), "Caching") as (tick, say):
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
    print(f"Cached {report.written} samples; {report.kept} were cached already, {len(report.bad)} are bad")
    print(f"The cache is {report.bad_file.parent.resolve()}")
    if report.bad:
        print(f"Bad samples and reasons: {report.bad_file}")
        raise SystemExit(1)


def _encoders(options):
    """The model files whose VAE and text encoder make a cache; a diffusion model is not needed."""
    import os
    from pathlib import Path

    from lumosx_core.errors import LumosXError
    from lumosx_core.files.model_files import ModelFiles, find_model_files
    from lumosx_core.models.lumosx.tiny import TINY_DIRECTORY

    if options.models:
        models = TINY_DIRECTORY if options.models == "tiny" else options.models
        return find_model_files(models, options.vae, options.text_encoder)
    if not (options.vae and options.text_encoder):
        raise LumosXError("No weights are named. Add --models DIR, --models tiny, or both --vae and --text-encoder.")
    return ModelFiles(Path(os.devnull), Path(options.vae), Path(options.text_encoder))


def _sizes(texts) -> tuple[tuple[int, int], ...]:
    """(height, width) of each WIDTHxHEIGHT; none for "own"."""
    from lumosx_core.errors import LumosXError
    from lumosx_core.media.video_size import parse_size

    if "own" not in texts:
        return tuple(parse_size(text)[::-1] for text in texts)
    if len(texts) > 1:
        raise LumosXError(
            f"--size own cannot be combined, but was given with {len(texts) - 1} more. Give own or sizes, not both."
        )
    return ()


def _shard(text: str) -> tuple[int, int]:
    """Number of a machine, from 0, and how many there are; written from 1."""
    from lumosx_core.errors import LumosXError

    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise LumosXError(f"{text!r} is not a shard. Write I/N with I from 1 to N, such as 1/4.")
    return int(number) - 1, int(count)
