"""`lumosx evaluate`: generated videos are measured against their cases, and a report is written."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import LumosXError, shown

PARTS = {
    "faces": "face detector of InsightFace",
    "phrases": "Grounding DINO",
    "things": "OWLv2",
    "arc": "face embedder: an onnx file of InsightFace, or dlib's in face-api's format",
    "cur": "CurricularFace",
    "clip": "CLIP",
    "dino": "DINOv2",
    "video": "X-CLIP",
    "flow": "RAFT",
}


def add_evaluate(commands) -> None:
    """Add `lumosx evaluate` to the command line."""
    parser = commands.add_parser(
        "evaluate",
        help="measure generated videos: identity, attributes, who wears what",
        description="Measure generated videos against the cases that they were generated from. RESULTS holds CASE.mp4 "
        "for each folder CASE of --cases; a video.mp4 in the case folder is its ground truth. Writes report.html and "
        "report.json. Networks are searched for in --models and the hub's cache; nothing is downloaded, and a metric "
        "whose networks are missing is left out and named. The exit code is 1 if a case could not be measured.",
    )
    parser.add_argument("results", metavar="RESULTS", help="the folder of the generated videos")
    parser.add_argument("--cases", required=True, metavar="CASES", help="a folder of case folders")
    parser.add_argument(
        "--out", default="report", metavar="DIR", help="for report.html and report.json (default report)"
    )
    parser.add_argument(
        "--protocol",
        choices=["clean", "reference"],
        default="clean",
        help="clean (default): as the metrics are defined; reference: with the peculiarities of the released "
        "benchmark, for numbers that are compared with the paper's",
    )
    parser.add_argument(
        "--metrics",
        metavar="NAME",
        nargs="+",
        help="only these of: identity, subjects, consistency, dynamic, face_similarity, ingredients, misbinding",
    )
    parser.add_argument(
        "--models", metavar="DIR", default="models", help="laid out as ComfyUI's models folder (default models)"
    )
    parser.add_argument(
        "--network",
        metavar="PART=PATH",
        action="append",
        default=[],
        help="a network, instead of the first one found; may be repeated. Parts: "
        + "; ".join(f"{part} ({what})" for part, what in PARTS.items()),
    )
    parser.add_argument(
        "--calibrate",
        action="store_true",
        help="measure on the ground truths of the cases how much one and the same look varies, and call less than that "
        "no misbinding (default: 0.10)",
    )
    parser.add_argument("--device", help="cpu, cuda or mps (default: the best there is)")
    parser.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> None:
    from ..evaluation.evaluate_cases import evaluate_cases
    from ..evaluation.installed import open_networks
    from ..evaluation.measure import METRICS, unmeasurable
    from ..evaluation.measured_video import Protocol
    from ..evaluation.report.html_page import part_name
    from ..evaluation.result_files import pair_up
    from ..models.video_pipeline import choose_device

    protocol = Protocol(options.protocol)
    metrics = tuple(dict.fromkeys(options.metrics or METRICS))
    for name in metrics:
        if name not in METRICS:
            raise LumosXError(
                f"--metrics {shown(name)!r} is unknown. Use some of these, with spaces between: {' '.join(METRICS)}."
            )
    chosen = _chosen(options.network)
    folder = _report_folder(Path(options.out))
    pairs, extra = pair_up(Path(options.results), Path(options.cases), protocol)
    networks, missing = open_networks([Path(options.models)], chosen=chosen, device=choose_device(options.device))
    for part, note in networks.notes():
        print(f"{part_name(part)}: {note.name}" + ("" if note.of_the_paper else ", not the paper's weights"))
    for part, why in missing.items():
        print(f"Left out: {part_name(part)}. {why}", file=sys.stderr)

    lacking = unmeasurable(networks, metrics)
    for metric, parts in lacking.items():
        print(f"Not measured: {metric}, without {' and '.join(map(part_name, parts))}.", file=sys.stderr)

    def step(done: int, name: str) -> None:
        print(f"{done + 1} of {len(pairs)}: {shown(name)}", file=sys.stderr)

    evaluation = evaluate_cases(
        pairs,
        extra,
        networks,
        missing,
        protocol=protocol,
        metrics=metrics,
        calibrate=options.calibrate,
        step=step,
    )
    page, data = _write(folder, evaluation)
    for outcome in evaluation.problems:
        print(f"Not measured: {shown(outcome.name)}: {outcome.problem}", file=sys.stderr)
    for name in evaluation.extra:
        print(f"Not used: {shown(name)}, as no case has this name.", file=sys.stderr)
    print(f"{len(evaluation.scores)} of {len(pairs)} cases were measured.")
    print(f"The report is {page.resolve()}, its numbers are in {data.resolve()}")
    if evaluation.problems:
        raise SystemExit(1)


def _chosen(given: list[str]) -> dict[str, str]:
    """Part -> path of the networks that were named."""
    chosen: dict[str, str] = {}
    for each in given:
        part, equals, path = each.partition("=")
        if not equals or part not in PARTS or not path:
            raise LumosXError(f"--network {shown(each)!r} is not PART=PATH with one of the parts {', '.join(PARTS)}.")
        if part in chosen:
            raise LumosXError(f"--network names {part} twice: {shown(chosen[part])} and {shown(path)}. Keep one.")
        chosen[part] = path
    return chosen


def _report_folder(folder: Path) -> Path:
    """The folder of the report, which is created; before the work, so that it is not lost after it.

    Raises:
        LumosXError: it is a file, or cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        detail = error.strerror if isinstance(error, OSError) else error
        raise LumosXError(
            f"The folder --out {shown(folder)!r} cannot be created ({detail}). Choose another."
        ) from error
    return folder


def _write(folder: Path, evaluation) -> tuple[Path, Path]:
    from ..evaluation.report.html_page import html_page
    from ..evaluation.report.json_report import report_json
    from ..files.atomic_file import atomic_file

    page, data = folder / "report.html", folder / "report.json"
    for path, content in ((data, report_json(evaluation)), (page, html_page(evaluation))):
        with atomic_file(path) as file:
            file.write(content.encode("utf-8"))
    return page, data
