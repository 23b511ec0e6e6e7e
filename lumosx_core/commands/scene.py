"""`lumosx scene`: photos and a prompt become a case folder."""

from __future__ import annotations

import argparse
import sys
from functools import cache
from pathlib import Path

from ..errors import LumosXError

READERS = ("rules", "language-model")
PREVIEWS = (".png", ".jpg", ".webp")


def add_scene(commands) -> None:
    """Add `lumosx scene` to the command line."""
    parser = commands.add_parser(
        "scene",
        help="make a case folder of photos and a prompt",
        description="Find the people of photos, what each of them wears, objects and the background; cut them out "
        "and write a case folder, from which a video is generated. Look at the preview before a long run.",
    )
    parser.add_argument("photos", metavar="PHOTO", nargs="+")
    parser.add_argument("--prompt", required=True, metavar="TEXT", help="of the video")
    parser.add_argument("--out", required=True, metavar="CASE_DIR", help="a new folder")
    parser.add_argument(
        "--plan",
        metavar="TEXT",
        help='who wears what: "man: denim jacket, white shirt | woman: sweater || lamp || cozy room" (default: read '
        "from the prompt)",
    )
    parser.add_argument("--read-prompt-by", choices=READERS, default="rules", help="without --plan (default rules)")
    parser.add_argument("--plan-only", action="store_true", help="print the plan and stop, to correct it")
    parser.add_argument("--name", help="of the case (default: none)")
    parser.add_argument(
        "--background",
        default="fill",
        metavar="fill|fill-always|none|FILE",
        help="filled in, if half of it or more is seen; filled in always; left out; or an image (default fill)",
    )
    parser.add_argument("--leave-out-missing", action="store_true", help="go on without what is not found")
    parser.add_argument("--face-threshold", type=float, default=0.5, help="default 0.5")
    parser.add_argument("--box-threshold", type=float, default=0.3, help="default 0.3")
    parser.add_argument("--feather", type=float, default=1.5, help="pixels over which edges fade (default 1.5)")
    parser.add_argument("--preview", metavar="FILE.png", help="what was found, drawn; several become FILE_0.png, ...")
    parser.add_argument(
        "--models", metavar="DIR", default="models", help="laid out as ComfyUI's models folder (default models)"
    )
    for kind, text in (
        ("face", "insightface detector"),
        ("box", "GroundingDINO"),
        ("mask", "Segment Anything"),
        ("language", "vision-language model"),
    ):
        parser.add_argument(
            f"--{kind}-model", metavar="NAME", help=f"{text}: a name or path (default: the first found)"
        )
    parser.add_argument("--device", help="cpu, cuda or mps (default: the best there is)")
    parser.set_defaults(run=_scene)


def _scene(options: argparse.Namespace) -> None:
    from ..auto_scene.assemble import build_scene
    from ..auto_scene.plan.plan import check_plan, format_plan
    from ..auto_scene.search import PartsMissing
    from ..auto_scene.settings import AutoSettings
    from ..media.images import read_picture
    from ..prompt.phrase_mask import clean_prompt
    from ..scene.case_folder import Case
    from ..scene.scene import Reference, Scene
    from ..scene.write_case import check_names, write_case

    _check(options)
    prompt = clean_prompt(options.prompt)
    photos = [read_picture(path) for path in options.photos]
    warnings: list[str] = []
    plan = _plan(options, prompt, photos, warnings)
    print(f"The plan is: {format_plan(plan)}")
    warnings += check_plan(plan, prompt)
    if options.plan_only:
        _say(warnings)
        return
    people = [(person.word, person.attributes) for person in plan.people]
    check_names(options.name, prompt, people, plan.objects, None if options.background == "none" else plan.background)
    overrides, background = None, options.background
    background = {"fill-always": "fill always"}.get(background, background)
    if background not in ("fill", "fill always", "none"):
        if plan.background is None:
            raise LumosXError(f"The plan has no background for {background}. Name it after the second || of --plan.")
        overrides, background = Scene(background=Reference(plan.background, read_picture(background))), "none"
    settings = AutoSettings(background, "leave out" if options.leave_out_missing else "error", options.feather)
    try:
        found = build_scene(photos, plan, _finders(options), settings, overrides=overrides)
    except PartsMissing as missing:
        _preview(options, photos, missing.marks)
        raise
    try:
        _preview(options, photos, found.marks)
    finally:  # last: a case is not written twice, so a run that was killed before it can be repeated
        write_case(options.out, Case(options.name, prompt, found.scene))
        print(f"The case is {Path(options.out).resolve()}")
    _say(warnings + found.warnings)


def _check(options: argparse.Namespace) -> None:
    """Raise LumosXError for what can be known to be wrong before the long work begins."""
    from ..auto_scene.cutouts.mask_cleaning import check_feather
    from ..files.new_file import check_new_file
    from ..scene.write_case import check_unused

    for name in ("face_threshold", "box_threshold"):
        if not 0 < (value := getattr(options, name)) < 1:
            raise LumosXError(f"--{name.replace('_', '-')} is {value}, expected a number between 0 and 1.")
    check_feather(options.feather)
    check_unused(Path(options.out))
    if options.preview and Path(options.preview).suffix.lower() not in PREVIEWS:
        ending = Path(options.preview).suffix
        raise LumosXError(f"--preview {options.preview} has the ending {ending!r}, expected {' or '.join(PREVIEWS)}.")
    if options.preview and Path(options.preview).parent.is_dir():  # otherwise it is created
        check_new_file(options.preview)


def _plan(options: argparse.Namespace, prompt: str, photos: list, warnings: list[str]):
    import torch

    from ..auto_scene.networks.find import choose_model
    from ..auto_scene.plan.english_rules import read_prompt
    from ..auto_scene.plan.plan import parse_plan

    if options.plan is not None:
        return parse_plan(options.plan)
    if options.read_prompt_by == "rules":
        return read_prompt(prompt, warnings.append)
    from ..auto_scene.plan.language_model import VisionLanguageModel, plan_from_model

    device, dtype = _device_and_dtype(options)
    # These models overflow in float16.
    dtype = torch.bfloat16 if dtype == torch.float16 else dtype
    path = choose_model("language", options.language_model, [Path(options.models)])
    model = VisionLanguageModel.load(path, device=device, dtype=dtype)
    return plan_from_model(model.ask, photos, prompt, say=warnings.append)


def _finders(options: argparse.Namespace):
    from ..auto_scene.networks.face_detector import FaceDetector
    from ..auto_scene.networks.find import choose_model
    from ..auto_scene.networks.grounding_dino import GroundingDino
    from ..auto_scene.networks.sam import load_segmenter
    from ..auto_scene.settings import Finders

    device, dtype = _device_and_dtype(options)
    folders = [Path(options.models)]

    @cache
    def faces():
        path = choose_model("faces", options.face_model, folders)
        return FaceDetector.load(path, threshold=options.face_threshold, cuda=device.type == "cuda")

    @cache
    def phrases():
        path = choose_model("phrases", options.box_model, folders)
        return GroundingDino.load(path, threshold=options.box_threshold, device=device, dtype=dtype)

    @cache
    def masks():
        return load_segmenter(choose_model("masks", options.mask_model, folders), device=device, dtype=dtype)

    return Finders(faces, phrases, masks)


def _device_and_dtype(options: argparse.Namespace):
    import torch

    from ..models.video_pipeline import choose_device

    device = choose_device(options.device)
    return device, torch.float16 if device.type == "cuda" else torch.float32


def _preview(options: argparse.Namespace, photos: list, marks: list) -> None:
    from ..auto_scene.annotations import draw_findings
    from ..files.atomic_file import atomic_path

    if not options.preview:
        return
    path = Path(options.preview)
    for i, (image, each) in enumerate(zip(photos, marks, strict=True)):
        destination = path if len(photos) == 1 else path.with_stem(f"{path.stem}_{i}")
        try:
            destination.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(destination) as partial:
                draw_findings(image, each).save(partial)
        except OSError as error:
            raise LumosXError(f"The preview {destination} cannot be written: {error}. Choose another place.") from error
        print(f"The preview is {destination.resolve()}")


def _say(warnings: list[str]) -> None:
    for warning in warnings:
        print(f"Warning: {warning}", file=sys.stderr)
