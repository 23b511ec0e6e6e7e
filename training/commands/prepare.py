"""`lumosx prepare`: from raw videos to training samples with owners."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from lumosx_core.commands.option_types import MOST_WORKERS, whole

MOST_SHOWN = 10
USUAL_WORKERS = 2


def add_prepare(commands) -> None:
    """Add `lumosx prepare` to the command line."""
    parser = commands.add_parser(
        "prepare",
        help="make training samples with owners from raw videos",
        description="Cut raw videos into clips, filter them, describe them, find who wears what, and write sample "
        "folders with reference images. Run the same command again to resume, or with more videos to add them. The "
        "exit code is 0 if every item was dealt with, 1 if some failed; rejected ones are no failures.",
    )
    parser.add_argument(
        "videos", metavar="VIDEO", nargs="+", help="a video, a folder of videos, or a .txt file with one path a line"
    )
    parser.add_argument("--out", metavar="DATASET", required=True, help="the folder of the data set, new or begun")
    parser.add_argument("--config", metavar="FILE.toml", help="settings; without it, the paper's thresholds")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="TABLE.NAME=VALUE",
        help="a value in the place of the config's, such as cut.min_seconds=3; may be given several times",
    )
    parser.add_argument("--endpoint", metavar="URL", help="a server that speaks OpenAI's chat protocol")
    parser.add_argument("--model", metavar="NAME", help="of the multimodal model at the endpoint")
    parser.add_argument("--stages", metavar="NAME,NAME", help="only these; others stay as earlier runs left them")
    parser.add_argument(
        "--workers",
        type=whole(1, MOST_WORKERS),
        help=f"processes at once (default: {USUAL_WORKERS} where Ray is installed; 1 needs no Ray)",
    )
    parser.add_argument("--ray", metavar="ADDRESS", help="work on this Ray cluster, such as auto or HOST:6379")
    parser.add_argument("--retry-failed", action="store_true", help="work on items again that failed before")
    parser.add_argument(
        "--rerun-changed",
        action="store_true",
        help="where settings have changed, remove the results of the stages that they concern, and make them again",
    )
    parser.set_defaults(run=_prepare)


def _prepare(options) -> None:
    from dataclasses import asdict

    from ..prepare.dataset import Dataset
    from ..prepare.pipeline import LAST, build_stages
    from ..prepare.runner.run import RunOptions, run
    from ..prepare.settings import read_settings
    from ..prepare.videos import find_videos

    settings = read_settings(options.config, [*options.set, *_chat(options)])
    stages = build_stages(settings)
    only = None if options.stages is None else [name.strip() for name in options.stages.split(",") if name.strip()]
    found = find_videos(options.videos, options.out)
    if found.ignored:
        names = ", ".join(str(path) for path in found.ignored[:MOST_SHOWN])
        more = f" and {len(found.ignored) - MOST_SHOWN} more" if len(found.ignored) > MOST_SHOWN else ""
        print(f"Left out, as they are not called like videos, or are links to folders or to nothing: {names}{more}")
    with _ended_by_sigterm():
        report = run(
            Dataset(options.out, LAST),
            _sources(found),
            stages,
            _execution(options),
            asdict(settings),
            RunOptions(only, retry_failed=options.retry_failed, rerun_changed=options.rerun_changed),
        )
    print(report.table())
    if report.failed:
        print("Failed items are in failed/ with their messages; --retry-failed works on them again.")
        raise SystemExit(1)


def _chat(options) -> list[str]:
    """The options about the endpoint as changes of the settings."""
    from lumosx_core.errors import LumosXError

    if options.endpoint is None and options.model is None:
        return []
    if options.endpoint is None:
        raise LumosXError("--model is the name of a model at an endpoint. Add --endpoint URL, or leave it out.")
    changes = ['chat.method="endpoint"', f"chat.base_url={_toml(options.endpoint)}"]
    return changes if options.model is None else [*changes, f"chat.model={_toml(options.model)}"]


def _toml(text: str) -> str:
    """A text as TOML writes it; what JSON escapes, TOML escapes likewise."""
    import json

    return json.dumps(text, ensure_ascii=False)


def _sources(found) -> Iterator[tuple[str, dict[str, str]]]:
    """The videos by their ids, then copies under the id of what they repeat, so that the report counts them."""
    ids = {video.path: video.id for video in found.videos}
    for path, id in ids.items():
        yield id, {"path": str(path)}
    for copy, original in found.copies:
        yield ids[original], {"path": str(copy)}


def _execution(options):
    from ..prepare.runner.local import LocalExecution
    from ..prepare.runner.on_ray import RayExecution

    if options.ray is not None:
        return RayExecution(options.workers, options.ray)
    workers = options.workers
    if workers is None:
        workers = USUAL_WORKERS if find_spec("ray") is not None and (os.cpu_count() or 1) > 1 else 1
    return LocalExecution() if workers == 1 else RayExecution(workers)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM, which schedulers of clusters send, ends a run as Ctrl-C does: what is in work is not held against it."""

    def interrupt(*_) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
