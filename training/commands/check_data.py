"""`lumosx check-data`: finds every bad sample of a data set before a run does."""

from __future__ import annotations

from lumosx_core.commands.option_types import MOST_WORKERS, whole
from lumosx_core.models.family import MOST_FRAMES

from .shared import add_source, counter, open_to_check


def add_check_data(commands) -> None:
    """Add `lumosx check-data` to the command line."""
    parser = commands.add_parser(
        "check-data",
        help="read a whole data set and report every bad sample",
        description="Read every sample to its end and report each bad one with its reason. The exit code is 0 if all "
        "are good, 1 if some are bad, 2 if the data set cannot be opened.",
    )
    add_source(parser)
    parser.add_argument("--text-encoder", metavar="FILE", help="look for phrases by its tokens, not by whole words")
    parser.add_argument(
        "--frames", type=whole(1, MOST_FRAMES), default=1, help="the fewest frames a video must give at 16 a second"
    )
    parser.add_argument("--json", metavar="REPORT", help="write the whole report there")
    parser.add_argument(
        "--workers", type=whole(0, MOST_WORKERS), help="samples read at once (default: the cores, up to 8)"
    )
    parser.set_defaults(run=_check_data)


def _check_data(options) -> None:
    from pathlib import Path

    from lumosx_core.errors import LumosXError
    from lumosx_core.files.new_file import check_new_file

    from ..data.check_data import DataReport, check_data, write_report

    if options.json:
        if not Path(options.json).absolute().parent.is_dir():
            raise LumosXError(f"The folder for the report {options.json!r} does not exist. Create it first: mkdir -p.")
        check_new_file(Path(options.json).absolute())
    text_encoder = None
    if options.text_encoder:
        from lumosx_core.models.wan.umt5 import TextEncoder

        text_encoder = TextEncoder(options.text_encoder)
    source = open_to_check(options)
    report = DataReport()
    checking = check_data(source, text_encoder=text_encoder, shortest=options.frames, workers=options.workers)
    with counter(len(source.keys()), "Checking") as (tick, say):
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
