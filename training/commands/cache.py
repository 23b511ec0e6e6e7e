"""`lumosx cache`: encodes a data set once for many runs."""

from __future__ import annotations

from lumosx_core.commands.option_types import MOST_WORKERS, whole
from lumosx_core.models.families import TRAINABLE
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
    parser.add_argument(
        "--family",
        choices=list(TRAINABLE),
        default="lumosx",
        help="the system that is trained (default lumosx): LumosX, or Ingredients (CogVideoX)",
    )
    parser.add_argument("--models", metavar="DIR|tiny", help="a folder laid out as ComfyUI's models folder, or tiny")
    parser.add_argument("--vae", metavar="FILE", help="VAE of the family, instead of the one in --models")
    parser.add_argument("--text-encoder", metavar="FILE", help="its text encoder, instead of the one in --models")
    parser.add_argument(
        "--face-encoder", metavar="DIR", help="face encoder of Ingredients (CogVideoX), instead of the one in --models"
    )
    parser.add_argument(
        "--size",
        nargs="+",
        metavar="WxH",
        help="sizes a clip may have, of which it takes the nearest in shape; own: the video's own size "
        "(default 832x480 480x832; for Ingredients (CogVideoX) 720x480; with --models tiny: own)",
    )
    parser.add_argument(
        "--frames",
        type=whole(1, MOST_FRAMES),
        nargs="+",
        help="lengths a clip may have (default 81, with --models tiny 9 17; for Ingredients (CogVideoX) 49, and 9)",
    )
    parser.add_argument(
        "--augment",
        choices=["paper", "code", "none"],
        help="default paper; images for Ingredients (CogVideoX) are not augmented: none",
    )
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
    from lumosx_core.models.families import trainable_named

    from .. import glyph_world  # noqa: F401 - registers its addresses
    from ..cache import CacheSettings, build_cache
    from ..data.samples import SampleSettings
    from ..data.sources import open_source

    recipe, tiny = trainable_named(options.family), options.models == "tiny"
    settings = CacheSettings(
        frames=tuple(options.frames or (recipe.tiny_frames if tiny else (recipe.family.spec.frames,))),
        sizes=_sizes(options.size) if options.size else () if tiny else recipe.sizes,
        variants=options.variants,
        augment=options.augment or recipe.augmentations[0],
        seed=options.seed,
        dtype=options.dtype,
        family=recipe.family,
        recipe=recipe,
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
    """The model files whose encoders make a cache; a diffusion model is not needed where each encoder is named."""
    import os
    from pathlib import Path

    from lumosx_core.errors import LumosXError
    from lumosx_core.files.model_files import ModelFiles
    from lumosx_core.models.families import family_named, trainable_named

    entry, needed = family_named(options.family), trainable_named(options.family).companions
    companions = {kind: Path(path) for kind, path in (("face_encoder", options.face_encoder),) if path}
    if options.models:
        models = entry.tiny_directory if options.models == "tiny" else options.models
        return entry.family.find_files(models, options.vae, options.text_encoder, companions)
    if strange := companions.keys() - set(needed):
        option = strange.pop().replace("_", "-")
        raise LumosXError(f"--{option} is not an option of {entry.family.spec.name}. Leave it out.")
    if not (options.vae and options.text_encoder and companions.keys() == set(needed)):
        options_of_all = ["--vae", "--text-encoder", *(f"--{kind.replace('_', '-')}" for kind in needed)]
        given = f"both {' and '.join(options_of_all)}" if len(options_of_all) == 2 else ", ".join(options_of_all)
        raise LumosXError(f"No weights are named. Add --models DIR, --models tiny, or {given}.")
    return ModelFiles(Path(os.devnull), Path(options.vae), Path(options.text_encoder), companions)


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
