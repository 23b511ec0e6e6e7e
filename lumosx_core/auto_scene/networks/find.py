"""Installed models that read photos: search, choice by name, and the error when there is none.

Found where ComfyUI and its other packs keep them, in InsightFace's own folder, and in the hub's cache. They are judged
by their names and, for folders as transformers reads them, by the few words of config.json; nothing is loaded.
Files that this account may not read are ignored.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import LumosXError
from ...files.junk import is_junk
from ...own_command import own_command
from .hub_folder import read_object
from .known import DEFAULTS, MODEL_TYPES, Kind, models_of


@dataclass(frozen=True)
class _Form:
    """What the models of a kind look like.

    Args:
        noun: for messages.
        folders: below `models`, where ComfyUI's packs keep them, the most usual first.
        file: what a single file is called; None if the kind has none.
        beside: of each group, a folder needs one file beside its weights.
    """

    noun: str
    folders: tuple[str, ...]
    file: re.Pattern | None = None
    beside: tuple[tuple[str, ...], ...] = ()


_TOKENIZER = ("tokenizer.json", "vocab.txt", "vocab.json")
_FORMS: dict[Kind, _Form] = {
    "faces": _Form("face detector", ("insightface", "detection"), re.compile(r"(det_|scrfd).*\.onnx", re.IGNORECASE)),
    "phrases": _Form(
        "phrase detector (Grounding DINO in the format of transformers)",
        ("grounding-dino",),
        beside=(_TOKENIZER,),
    ),
    "masks": _Form(
        "segmentation model (SAM, MobileSAM, or SAM 2 in the format of transformers)",
        ("sams", "sam", "SAM", "sam2"),
        # Not sam_hq_vit_...: another network.
        re.compile(r"(.*sam_vit_.*|mobile_?sam.*)\.(pth|pt|safetensors)", re.IGNORECASE),
    ),
    "language": _Form(
        "vision-language model",
        ("LLM", "VLM", "prompt_generator"),
        beside=(_TOKENIZER, ("preprocessor_config.json", "processor_config.json")),
    ),
}
# Other networks of InsightFace; one of them alone in a folder is no detector.
_OTHER_FACE_MODELS = re.compile(r"1k3d68|2d106det|genderage|glint|inswapper|w600k", re.IGNORECASE)
_DEPTH = 4  # folders below a usual place that are looked into: LLM/Qwen-VL/models--ORG--NAME/snapshots/COMMIT


def find_models(kind: Kind, folders: Sequence[Path], *, own: Sequence[Path] = ()) -> dict[str, Path]:
    """Every usable model of a kind by a short name; the best known first, then in the order of the places.

    Args:
        kind: what the model is for.
        folders: ComfyUI's `models` first, and others laid out like it.
        own: folders that hold models of this kind only, whatever their names. InsightFace's own folder and the hub's
            cache are looked into after them.

    Returns: names with forward slashes, and the file or folder. Where two places hold the same name, the first counts,
        as in ComfyUI.
    """
    usable: dict[str, Path] = {}
    for name, path in _everything(kind, folders, own):
        if name not in usable and path not in usable.values() and _is_usable(kind, path):
            usable[name] = path
    found: dict[str, Path] = {}
    for name, path in usable.items():
        short = "/".join(name.split("/")[-2:])
        found[name if short in found else short] = path
    best = [model.shown_name.casefold() for model in models_of(kind)]

    def rank(name: str) -> int:
        last = name.rpartition("/")[2].casefold()
        return best.index(last) if last in best else len(best)

    return {name: found[name] for name in sorted(found, key=rank)}


def choose_model(kind: Kind, wanted: str | None, folders: Sequence[Path], *, own: Sequence[Path] = ()) -> Path:
    """The model that is meant.

    Args:
        wanted: a name as `find_models` gives it, or a path; None or "auto" takes the first that is found.
        folders, own: as for `find_models`.

    Raises:
        LumosXError: nothing is found, or not what is wanted.
    """
    found = find_models(kind, folders, own=own)
    if wanted in (None, "auto"):
        if not found:
            raise missing_model(kind, folders, own=own)
        return next(iter(found.values()))
    if wanted in found:
        return found[wanted]
    path = os.path.expanduser(wanted)
    if os.path.exists(path):
        return Path(path)
    if not found:
        raise missing_model(kind, folders, wanted, own=own)
    raise LumosXError(
        f"There is no {_FORMS[kind].noun} {wanted!r}. Use one of {', '.join(found)}; or a path; or auto, which takes "
        f"the first of them."
    )


def usual_folders(kind: Kind) -> tuple[str, ...]:
    """The names of the folders in which ComfyUI's packs keep models of a kind, the most usual first."""
    return _FORMS[kind].folders


def fetch_options(kind: Kind) -> tuple[str, ...]:
    """The options of `lumosx download` that fetch the best model of a kind."""
    best = models_of(kind)[0].name
    return ("--photographs",) if best in DEFAULTS else ("--photo-model", best)


def missing_model(
    kind: Kind, folders: Sequence[Path], wanted: str | None = None, *, own: Sequence[Path] = ()
) -> LumosXError:
    """The error that says what to fetch, and where it goes, when no model of a kind is found."""
    form, known = _FORMS[kind], models_of(kind)
    models = Path(folders[0] if folders else "models").absolute()
    name = f" {wanted!r}, nor any other" if wanted else ""
    others = "; ".join(map(str, known[1:]))
    return LumosXError(
        f"There is no {form.noun}{name}. To download {known[0]} into {models / known[0].folder}, run this in a "
        f"terminal: {own_command('download', *fetch_options(kind), models)}\n"
        f"Others, with --photo-model NAME: {others}. Models of other packs in "
        f"{', '.join([*form.folders, *map(str, own)])} are used as well."
    )


def _everything(kind: Kind, folders: Sequence[Path], own: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    for folder in map(Path, folders):
        yield from _below(folder, 0)
        for name in _FORMS[kind].folders:
            yield from _below(folder / name, _DEPTH)
    for folder in map(Path, own):
        yield from _below(folder, _DEPTH)
    if kind == "faces":
        yield from _below(Path(os.path.expanduser("~/.insightface")), _DEPTH)
    for repository in _children(_hub_cache()):
        if repository.name.startswith("models--"):
            yield from _snapshots(repository, 2)


def models_below(folders: Sequence[Path], names: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Files and model folders, each with a name: in the folders of these names, then in the hub's cache.

    Args:
        folders: ComfyUI's `models` first, and others laid out like it.
    """
    for folder in map(Path, folders):
        for name in names:
            yield from _below(folder / name, _DEPTH)
    for repository in _children(_hub_cache()):
        if repository.name.startswith("models--"):
            yield from _snapshots(repository, 2)


def _below(folder: Path, depth: int, name: str = "") -> Iterator[tuple[str, Path]]:
    """Files and model folders in a folder, and so on down to a depth, each with its name there."""
    for child in _children(folder):
        inside = f"{name}/{child.name}".removeprefix("/")
        if os.path.isfile(child):
            yield inside, child
        elif child.name.startswith("models--"):  # other packs let the hub's client make its cache here
            yield from _snapshots(child, depth - 1)
        elif os.path.isdir(child):
            if os.path.isfile(child / "config.json"):
                yield inside, child
            if depth > 0:
                yield from _below(child, depth - 1, inside)


def _snapshots(repository: Path, depth: int) -> Iterator[tuple[str, Path]]:
    """What a repository in a hub cache holds, the commit that its branch is at first, then the newest."""
    name = repository.name.removeprefix("models--").replace("--", "/")
    try:
        current = (repository / "refs" / "main").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        current = ""
    commits = [path for path in _children(repository / "snapshots") if os.path.isdir(path)]
    for commit in sorted(commits, key=lambda path: (path.name != current, -path.stat().st_mtime)):
        yield name, commit
        yield from _below(commit, depth, name)


def _children(folder: Path) -> list[Path]:
    """What is in a folder, in the order of names, without junk."""
    try:
        return sorted(path for path in folder.iterdir() if not is_junk(path.name))
    except (OSError, ValueError):  # not there, not for us, or no name that a folder can have
        return []


def _hub_cache() -> Path:
    """Where the hub's client keeps what it fetches (environment variables of huggingface_hub)."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or Path(cache) / "huggingface"
    return Path(os.path.expanduser(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub"))


def _is_usable(kind: Kind, path: Path) -> bool:
    form = _FORMS[kind]
    if os.path.isfile(path):
        return form.file is not None and bool(form.file.fullmatch(path.name) or _is_lone_detector(kind, path))
    return (
        _json(path / "config.json").get("model_type") in MODEL_TYPES[kind]
        and _has_weights(path)
        and all(_any_file(path, names) for names in form.beside)
    )


def _is_lone_detector(kind: Kind, path: Path) -> bool:
    """Whether this is the only network in a pack of InsightFace's, .../insightface/models/PACK: any name will do."""
    return (
        kind == "faces"
        and path.suffix.lower() == ".onnx"
        and [parent.name.removeprefix(".") for parent in path.parents[1:3]] == ["models", "insightface"]
        and len([other for other in _children(path.parent) if other.suffix.lower() == ".onnx"]) == 1
        and not _OTHER_FACE_MODELS.search(path.name)
    )


def _has_weights(folder: Path) -> bool:
    """Whether the weights of a folder are complete: one file, or all that its index names."""
    for name in ("model.safetensors", "pytorch_model.bin"):
        places = _json(folder / f"{name}.index.json").get("weight_map")
        parts = set(map(str, places.values())) if isinstance(places, dict) else {name}
        if all(os.path.isfile(folder / part) for part in parts):
            return True
    return False


def _any_file(folder: Path, names: Iterable[str]) -> bool:
    return any(os.path.isfile(folder / name) for name in names)


def _json(path: Path) -> dict:
    """The object in a JSON file; empty if there is none, or it is damaged."""
    try:
        return read_object(path)
    except LumosXError:
        return {}
