"""`lumosx export`: a data set becomes one of another trainer."""

from __future__ import annotations

from .shared import add_source, counter, open_to_check


def add_export(commands) -> None:
    """Add `lumosx export` to the command line."""
    from ..export.formats import FORMATS

    parser = commands.add_parser(
        "export",
        help="write a data set in the format of another trainer",
        description="Write videos, captions and reference images as musubi-tuner (MiniMax-H3 references), ai-toolkit "
        "(control paths), DiffSynth-Studio (CSV and JSON) or the LTX trainer (reference sheets) reads them. None of "
        "these knows whose an image is; owners.jsonl keeps it. Bad samples are reported and left out; the exit code is "
        "1 then. The same command goes on where a killed one stopped.",
    )
    add_source(parser)
    parser.add_argument("directory", metavar="DIR", help="a new folder")
    parser.add_argument("--format", required=True, choices=FORMATS, help="whose data set is written")
    parser.set_defaults(run=_export)


def _export(options) -> None:
    from ..export.export import export
    from ..export.formats import trainer_format

    source, form = open_to_check(options), trainer_format(options.format)
    left_out = []
    with counter(len(source.keys()), "Exporting") as (tick, say):

        def bad(error) -> None:
            left_out.append(error)
            say(f"BAD      {error}")

        result = export(source, options.directory, form, bad=bad, done=tick)
    print(f"Exported {result.samples} of {len(source.keys())} samples: {', '.join(str(path) for path in result.files)}")
    print(form.lost)
    if left_out:
        raise SystemExit(1)
