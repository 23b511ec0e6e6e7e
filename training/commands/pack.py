"""`lumosx pack`: a data set becomes WebDataset shards."""

from __future__ import annotations

from lumosx_core.commands.option_types import whole

from .shared import add_source, counter, open_to_check


def add_pack(commands) -> None:
    """Add `lumosx pack` to the command line."""
    parser = commands.add_parser(
        "pack",
        help="write a data set as WebDataset shards",
        description="Write clips-000000.tar and so on. Videos are copied as they are. Bad samples are reported and "
        "left out; the exit code is 1 then. The same command goes on where a killed one stopped.",
    )
    add_source(parser)
    parser.add_argument("directory", metavar="DIR", help="a folder without shards")
    parser.add_argument(
        "--samples", type=whole(1, 1_000_000), default=1000, help="most samples of a shard (default 1000)"
    )
    parser.add_argument(
        "--megabytes", type=whole(1, 1_000_000), default=1000, help="a shard ends when it has as many (default 1000)"
    )
    parser.set_defaults(run=_pack)


def _pack(options) -> None:
    from ..data.pack import pack

    source = open_to_check(options)
    left_out = []
    with counter(len(source.keys()), "Packing") as (tick, say):

        def bad(error) -> None:
            left_out.append(error)
            say(f"BAD      {error}")

        shards = pack(
            source, options.directory, samples=options.samples, megabytes=options.megabytes, bad=bad, done=tick
        )
    total = len(source.keys())
    print(f"Packed {total - len(left_out)} of {total} samples")
    print(f"The data set is {shards[0].parent / '*.tar'}")
    if left_out:
        raise SystemExit(1)
