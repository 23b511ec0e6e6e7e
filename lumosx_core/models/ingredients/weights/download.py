"""Fetches the released weights of Ingredients (CogVideoX) and puts them where ComfyUI and our nodes look for them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

from ....errors import LumosXError
from ....files.hub import (
    RemoteFile,
    check_space,
    fetch,
    folder_in_cache,
    forget,
    is_there,
    list_files,
    matching,
    models_folder,
    need_packages,
    place,
    size_text,
)
from ....files.model_files import user_cache
from ...cogvideox.dpm import CogVideoXSchedule
from ...cogvideox.t5 import T5Encoder
from ...write_checkpoint import Precision, Progress, check_precision, conversion_bar
from ..faces.face_encoder import ARCFACE, EVA_CLIP
from ..faces.retinaface import RETINAFACE
from .convert import convert_network, convert_text_encoder, convert_vae, open_vae
from .files import FACE_ENCODER_FOLDER
from .load import SCHEDULER_FILE, open_network, schedule_of
from .other_networks import NAME

REPOSITORY = "feizhengcong/Ingredients"
TextEncoder = Literal["bf16", "fp16", "fp8"]

_LICENCES = (
    f"The weights are your own download under their own licences; read them at https://huggingface.co/{REPOSITORY}. "
    f"The base model is under the CogVideoX licence (https://huggingface.co/THUDM/CogVideoX-5b-I2V). The network of "
    f"insightface's antelopev2, which reads faces, is for non-commercial research only "
    f"(https://github.com/deepinsight/insightface#license)."
)
_FP8_FRACTION = 0.66  # of the bytes in bfloat16: the matrices of the base model are halved


@dataclass(frozen=True)
class _Part:
    """A network that is fetched in the released files and written as one.

    Args:
        name: for the report.
        path: of the finished file.
        patterns: of the files in the repository.
        convert: writes `path` from the folder of the repository's files.
        check: opens the finished file, and raises for a bad one.
        optional: names of files that are fetched, too, if they are there.
    """

    name: str
    path: Path
    patterns: tuple[str, ...]
    convert: Callable[[Path, Progress], object]
    check: Callable[[Path], object]
    optional: tuple[str, ...] = ()

    def files(self, listing: list[RemoteFile]) -> list[RemoteFile]:
        """Its files in the repository, in the order in which they are fetched."""
        needed = [file for pattern in self.patterns for file in matching(listing, REPOSITORY, pattern)]
        return sorted([*needed, *(file for file in listing if file.name in self.optional)], key=lambda file: file.name)


def download_ingredients(
    destination: str | Path | None = None,
    *,
    comfyui: str | Path | None = None,
    dtype: Precision = "bf16",
    text_encoder: TextEncoder = "bf16",
    cache: str | Path | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Fetch the network, its text encoder, VAE and face encoder; convert and check them, and put each in its folder.

    Of the released face encoder only the networks that are used: EVA02-CLIP, antelopev2's recogniser, and RetinaFace,
    which finds faces in photos. An interrupted download goes on where it stopped when it is started again: what has
    arrived waits in `cache`, and only whole, checked files enter the destination. Files that are there already are
    kept.

    Args:
        destination: folder that takes the place of ComfyUI's `models`; its sub-folders are made.
        comfyui: a ComfyUI folder, instead of `destination`.
        dtype: what the network is converted to: "bf16" (12.9 GB), "fp16" or "fp8_e4m3fn" (8.1 GB).
        text_encoder: T5-XXL as "bf16" or "fp16" (9.5 GB), or "fp8" (4.9 GB).
        cache: folder of unfinished downloads; default `~/.cache/lumosx`.
        overwrite: replace files that are there already.
        say: takes each line of the report.

    Returns:
        The network, the VAE, the text encoder and the folder of the face encoder.

    Raises:
        MissingPackageError: huggingface-hub, sentencepiece or tqdm is not installed; nothing has been fetched then.
        LumosXError: no connection, a file that is missing, damaged or another model, or too little space.
    """
    need_packages("The download", "huggingface-hub", "tqdm", "numpy", "sentencepiece")
    check_precision(dtype)
    if text_encoder not in get_args(TextEncoder):
        raise LumosXError(
            f"text_encoder {text_encoder!r} is not possible. Use one of {', '.join(get_args(TextEncoder))}."
        )
    models = models_folder(destination, comfyui)
    cache = user_cache() if cache is None else Path(cache)

    say(_LICENCES)
    listing = list_files(REPOSITORY)
    faces = _face_files(listing, models / FACE_ENCODER_FOLDER, say)
    faces = {path: remote for path, remote in faces.items() if overwrite or not is_there(path, remote)}
    parts = _parts(models, dtype, text_encoder, overwrite)
    wanted: dict[_Part, list[RemoteFile]] = {}
    for part in parts:
        if overwrite or not part.path.exists():
            wanted[part] = part.files(listing)
        else:
            part.check(part.path)  # it was converted here, so the hub knows no checksum of it
    _check_space(cache, models, list(faces.values()), wanted, dtype)

    for path in (*faces, *(part.path for part in parts)):
        path.parent.mkdir(parents=True, exist_ok=True)
    for path, remote in faces.items():
        say(f"Fetching {remote.name} ({size_text(remote.size)})")
        place(fetch(remote, cache), path)
    for part, files in wanted.items():
        _fetch_part(part, files, cache, say)
    forget(cache, (REPOSITORY,))
    _say_schedule(parts[0].path, say)
    for part in parts:
        say(f"{part.path}  (ComfyUI: models/{part.path.parent.name})")
    folder = models / FACE_ENCODER_FOLDER
    say(f"{folder}  (ComfyUI: models/{FACE_ENCODER_FOLDER})")
    return [*(part.path for part in parts), folder]


def _parts(models: Path, dtype: Precision, text_encoder: TextEncoder, overwrite: bool) -> list[_Part]:
    text_dtype: Precision = "fp8_e4m3fn" if text_encoder == "fp8" else text_encoder
    network = models / "diffusion_models" / f"ingredients_{dtype}.safetensors"
    vae = models / "vae" / "cogvideox_vae.safetensors"
    text = models / "text_encoders" / f"ingredients_t5xxl_{text_dtype}.safetensors"
    return [
        _Part(
            NAME,
            network,
            ("transformer/config.json", "transformer/*.safetensors*"),  # shards and their index, too
            lambda source, bar: convert_network(source, network, dtype, overwrite=overwrite, progress=bar),
            open_network,
            (SCHEDULER_FILE,),
        ),
        _Part(
            "its VAE",
            vae,
            ("vae/config.json", "vae/*.safetensors"),
            lambda source, bar: convert_vae(source, vae, overwrite=overwrite, progress=bar),
            open_vae,
        ),
        _Part(
            "its text encoder",
            text,
            ("text_encoder/*.safetensors*", "tokenizer/spiece.model"),
            lambda source, bar: convert_text_encoder(source, text, text_dtype, overwrite=overwrite, progress=bar),
            T5Encoder,
        ),
    ]


def _face_files(listing: list[RemoteFile], folder: Path, say: Callable[[str], None]) -> dict[Path, RemoteFile]:
    """The files of the face encoder by the path that each gets."""
    found = {}
    for name in (EVA_CLIP, ARCFACE):
        [found[folder / name]] = matching(listing, REPOSITORY, f"face_encoder/{name}")
    detector = [file for file in listing if file.name == f"face_encoder/{RETINAFACE}"]
    if detector:
        found[folder / RETINAFACE] = detector[0]
    else:  # any other of the detectors that are known does as well
        say(f"{REPOSITORY} holds no face detector {RETINAFACE}. To fetch another: download --photographs")
    return found


def _say_schedule(network: Path, say: Callable[[str], None]) -> None:
    """Report a released schedule other than the one that is the default here."""
    schedule = schedule_of(network)
    if schedule is not None and schedule.snr_shift_scale != CogVideoXSchedule().snr_shift_scale:
        shift = schedule.snr_shift_scale
        say(f"It was released with a shift of {shift:g}. Make videos with that: --shift {shift:g}")


def _check_space(
    cache: Path, models: Path, faces: list[RemoteFile], wanted: dict[_Part, list[RemoteFile]], dtype: Precision
) -> None:
    """Raise LumosXError unless there is space; of the parts, the sources of one at a time wait beside its result."""
    largest = max(wanted.values(), key=lambda files: sum(file.size for file in files), default=[])
    others = [file for files in wanted.values() if files is not largest for file in files]
    size = sum(file.size for file in largest)
    if dtype == "fp8_e4m3fn":
        size = int(size * _FP8_FRACTION)
    check_space(cache, models, [*faces, *others], largest, size)


def _fetch_part(part: _Part, files: list[RemoteFile], cache: Path, say: Callable[[str], None]) -> None:
    say(f"Fetching {part.name} ({size_text(sum(file.size for file in files))})")
    for file in files:
        fetch(file, cache)
    root = folder_in_cache(files[0], cache)
    with conversion_bar() as progress:
        part.convert(root, progress)
    part.check(part.path)
    for folder in {PurePosixPath(file.name).parts[0] for file in files}:
        shutil.rmtree(root / folder, ignore_errors=True)
