"""`lumosx subject save | show | case`: subjects in files of their own, between case folders and ComfyUI."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .option_types import whole


def add_subject(commands) -> None:
    """Add `lumosx subject` to the command line."""
    parser = commands.add_parser(
        "subject",
        help="keep a subject of a case in a file, to use it again",
        description="Keep one subject in a file of its own: reference images without loss, phrases, strengths and time "
        "range. The nodes LumosX Save Subject and LumosX Load Subject write and read the same files.",
    )
    tasks = parser.add_subparsers(required=True, metavar="TASK")

    save = tasks.add_parser("save", help="write a subject of a case folder as a file")
    save.add_argument("case", metavar="CASE", help="a case folder")
    save.add_argument("--subject", type=whole(), default=0, metavar="N", help="counted from 1 (default: the only one)")
    save.add_argument("--out", required=True, metavar="FILE", help="a .safetensors file")
    save.add_argument("--name", default="", help="under which it is listed (default: the file's)")
    save.add_argument("--overwrite", action="store_true", help="replace a file with another subject in it")
    save.set_defaults(run=_save_subject)

    show = tasks.add_parser("show", help="print what is in a subject's file")
    show.add_argument("files", metavar="FILE", nargs="+")
    show.set_defaults(run=_show_subject)

    case = tasks.add_parser("case", help="write a case folder of one or several subjects' files")
    case.add_argument("files", metavar="FILE", nargs="+", help="in the order of the subjects")
    case.add_argument("--prompt", required=True, metavar="TEXT", help="of the video; it has to have the phrases")
    case.add_argument("--out", required=True, metavar="CASE_DIR", help="a new folder")
    case.add_argument("--name", help="of the case (default: none)")
    case.add_argument(
        "--phrase",
        action="append",
        default=[],
        metavar="N:OLD=NEW",
        help='other words in this prompt for a phrase of the Nth file, such as "2:woman=woman#2"; may be repeated',
    )
    case.set_defaults(run=_case_of_subjects)


def _save_subject(options: argparse.Namespace) -> None:
    from dataclasses import replace

    from ..scene.build import only_subject
    from ..scene.case_folder import read_case
    from ..scene.subject_file import summary, write_subject

    subject = only_subject(read_case(options.case).scene, options.subject)
    path = write_subject(options.out, replace(subject, title=options.name), overwrite=options.overwrite)
    print(f"The subject is {path.resolve()}: {summary(subject)}  (ComfyUI: models/lumosx_subjects)")


def _show_subject(options: argparse.Namespace) -> None:
    from ..scene.subject_file import read_subject, summary

    for file in options.files:
        subject = read_subject(file)
        print(f"{subject.title}: {summary(subject)}")
        for i, reference in enumerate(subject.references):
            kind = "face" if i == 0 and subject.face is not None else "attribute"
            height, width = reference.image.shape[:2]
            strength = "" if reference.strength == 1 else f", strength {reference.strength:g}"
            print(f'  {kind} "{reference.phrase}", {width} x {height}{strength}')


def _case_of_subjects(options: argparse.Namespace) -> None:
    from ..prompt.phrase_mask import clean_prompt
    from ..scene.build import rephrased
    from ..scene.case_folder import Case
    from ..scene.scene import Scene
    from ..scene.subject_file import read_subject
    from ..scene.write_case import check_unused, lost_in_case, write_case

    check_unused(Path(options.out))
    changes = _changes(options.phrase, len(options.files))
    subjects = [
        rephrased(read_subject(file), "\n".join(lines)) for file, lines in zip(options.files, changes, strict=True)
    ]
    scene = Scene(tuple(subjects))
    write_case(options.out, Case(options.name, clean_prompt(options.prompt), scene))
    print(f"The case is {Path(options.out).resolve()}")
    for text in lost_in_case(scene):
        print(f"Warning: {text}", file=sys.stderr)


def _changes(given: list[str], files: int) -> list[list[str]]:
    """The lines that change phrases, for each file."""
    from ..errors import LumosXError, shown

    changes: list[list[str]] = [[] for _ in range(files)]
    for each in given:
        number, divided, change = each.partition(":")
        if not divided or not number.strip().isdecimal() or not 1 <= int(number[:9]) <= files or "=" not in change:
            raise LumosXError(
                f"--phrase is {shown(each, 80)!r}, expected N:OLD=NEW with N from 1 to {files}, such as "
                f'"1:woman=woman#2".'
            )
        changes[int(number) - 1].append(change)
    return changes
