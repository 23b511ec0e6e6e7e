"""One subject in one file, to be used again in other videos: reference images, phrases, strengths and time range.

A safetensors file:

    image_1, image_2, ...    (height, width, 3), 0..1, the face first: bytes where these hold every value exactly,
                             else the floats that they are
    metadata
        lumosx_subject       JSON: the version of the format, and all that is not an image, see `_details`
        modelspec.*          title, description and thumbnail, which ComfyUI's page and other programs show
        ssmd_cover_images    the thumbnail again, as ComfyUI's server looks for it

Images are arrays, not PNG, so that their size is known before anything is decoded, and any program that reads
safetensors can read them.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import LumosXError, shown
from ..files.atomic_file import atomic_file
from ..files.new_file import check_new_file
from ..files.safe_names import is_safe_name
from ..files.safetensors_file import DTYPES, Header, in_file_order, read_header, write_safetensors
from ..files.stored_tensor import StoredTensor
from ..media.images import fit_on_canvas, to_pil, to_tensor
from .scene import MOST_IMAGES, Reference, Subject

ENDING = ".safetensors"
VERSION = 1
MOST_BYTES = 2**30
"""Of a file; four images of 8 million pixels have 100 million bytes."""

_KEY = "lumosx_subject"
_MOST_DETAILS = 2**18  # letters; ComfyUI reads no header above a million bytes
_LONGEST_TITLE = 100
_THUMBNAIL = 256  # pixels
_FIELDS = {"title": str, "face": bool, "references": list, "strength": float, "start": float, "end": float}
_REFERENCE = {"phrase": str, "strength": float}
_AGAIN = "Copy it again, or save the subject again."


def write_subject(path: str | Path, subject: Subject, *, overwrite: bool = False) -> Path:
    """Write a subject so that `read_subject` gives it back exactly: every value of its images, phrases, numbers, order.

    Args:
        path: a new .safetensors file; its folder is created. A file that has the same subject already is left alone.
        subject: its title is the name under which other programs list it; without one it is named after the file.
        overwrite: replace another file that is there.

    Returns: the path.

    Raises:
        LumosXError: the name is not a plain .safetensors name, another file is there, the subject has no image or too
            much for a file, or the file cannot be written.
    """
    path = Path(path)
    if not path.name.lower().endswith(ENDING) or path.name.startswith(".") or not is_safe_name(path.name):
        raise LumosXError(
            f"{shown(path.name)!r} cannot be the name of a subject's file. Use a plain name that ends in {ENDING}, "
            f'without / \\ : * ? " < > | and without a dot at the start.'
        )
    subject = replace(subject, title=shown(subject.title or path.stem, _LONGEST_TITLE))
    metadata = _metadata(subject)
    stored = {f"image_{i}": _stored(each.image) for i, each in enumerate(subject.references, 1)}
    if sum(image.nbytes for image in stored.values()) > MOST_BYTES:
        raise LumosXError(
            f"The images of {subject.title} are too large for one file: {sum(i.nbytes for i in stored.values()):,} "
            f"bytes, expected at most {MOST_BYTES:,}. Reduce them; a video needs no more than a million pixels each."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LumosXError(f"The folder {path.parent} cannot be created: {error.strerror}. Choose another.") from error
    check_new_file(path)
    if path.exists() and not overwrite:
        if _holds(path, subject):
            return path
        raise LumosXError(
            f"{path} exists already, and has another subject in it. Choose another name, or allow it to be overwritten."
        )
    with atomic_file(path) as file:
        write_safetensors(file, in_file_order({name: StoredTensor.of(each) for name, each in stored.items()}), metadata)
    return path


def read_subject(path: str | Path) -> Subject:
    """Read a subject that `write_subject` has written.

    Returns: the subject; its title is the name that it was saved under. Images of bytes are float32, others of the
        type that they were saved with.

    Raises:
        LumosXError: no such file, damaged, of another kind, of a newer version, without an image, with too many or too
            large ones, or with values that are not numbers.
    """
    path = Path(path)
    header = _header(path)

    def image(name: str) -> Tensor:
        entry = header.entries[name]
        begin, end = entry["data_offsets"]
        with path.open("rb") as file:
            file.seek(header.start + begin)
            values = torch.frombuffer(bytearray(file.read(end - begin)), dtype=DTYPES[entry["dtype"]])
        values = values.reshape(entry["shape"])
        return values.to(torch.float32).div_(255) if values.dtype == torch.uint8 else values

    try:
        return _subject(path, header, image)
    except OSError as error:
        raise LumosXError(f"{path} cannot be read: {error.strerror}. {_AGAIN}") from error


def read_subject_phrases(path: str | Path) -> Subject:
    """A subject like `read_subject`'s with one white pixel for each image: of a large file only the header is read.

    Raises:
        LumosXError: as `read_subject`, except for what is wrong within an image.
    """
    pixel = torch.ones(1, 1, 3)
    return _subject(Path(path), _header(Path(path)), lambda name: pixel)


def summary(subject: Subject) -> str:
    """A subject in one sentence, such as "man, denim jacket; strength 0.8, from 0 to 0.5"."""
    phrases = [reference.phrase or "(no phrase)" for reference in subject.references]
    text = ", ".join(dict.fromkeys(phrases))
    if subject.strength != 1:
        text += f"; strength {subject.strength:g}"
    if (subject.start, subject.end) != (0, 1):
        text += f"; from {subject.start:g} to {subject.end:g} of the sampling"
    return text


# Writing


def _metadata(subject: Subject) -> dict[str, str]:
    if not subject.references:
        raise LumosXError(f"{subject.title} has no image, so there is nothing to save. Give it a face or an attribute.")
    if len(subject.references) > MOST_IMAGES:
        raise LumosXError(
            f"{subject.title} has {len(subject.references)} images, expected at most {MOST_IMAGES}. Remove some."
        )
    details = json.dumps({"version": VERSION, **_details(subject)})
    if len(details) > _MOST_DETAILS:
        raise LumosXError(
            f"The phrases of {subject.title} have {len(details):,} letters in the file, expected at most "
            f"{_MOST_DETAILS:,}. Shorten them: a prompt has a few hundred words."
        )
    thumbnail = _thumbnail(subject.references[0].image)
    return {
        _KEY: details,
        "modelspec.title": subject.title,
        "modelspec.description": shown(summary(subject), 1000),
        "modelspec.thumbnail": f"data:image/jpeg;base64,{thumbnail}",
        "ssmd_cover_images": json.dumps([thumbnail]),
    }


def _details(subject: Subject) -> dict[str, Any]:
    return {
        "title": subject.title,
        "face": subject.face is not None,
        "references": [{"phrase": each.phrase, "strength": float(each.strength)} for each in subject.references],
        "strength": float(subject.strength),
        "start": float(subject.start),
        "end": float(subject.end),
    }


def _thumbnail(image: Tensor) -> str:
    content = io.BytesIO()
    to_pil(fit_on_canvas(image, _THUMBNAIL, _THUMBNAIL)).save(content, format="JPEG", quality=88)
    return base64.b64encode(content.getvalue()).decode()


def _stored(image: Tensor) -> Tensor:
    image = image.detach().cpu()
    eight_bit = to_pil(image)
    exact = image.dtype == torch.float32 and torch.equal(to_tensor(eight_bit), image)
    return torch.from_numpy(np.array(eight_bit)) if exact else image


def _holds(path: Path, subject: Subject) -> bool:
    try:
        other = read_subject(path)
    except LumosXError:
        return False
    return _details(other) == _details(subject) and all(
        one.image.dtype == two.image.dtype and torch.equal(one.image, two.image.cpu())
        for one, two in zip(other.references, subject.references, strict=True)
    )


# Reading


def _header(path: Path) -> Header:
    header = read_header(path)
    if _KEY not in header.metadata:
        raise LumosXError(
            f"{path} is a safetensors file, but not a subject's. Choose one that LumosX Save Subject or "
            f"`lumosx subject save` has written."
        )
    return header


def _subject(path: Path, header: Header, image: Callable[[str], Tensor]) -> Subject:
    details = _read_details(path, header.metadata[_KEY])
    given = details["references"]
    names = [f"image_{i}" for i in range(1, len(given) + 1)]
    if not given:
        raise LumosXError(f"{path} has no image in it. {_AGAIN}")
    if len(given) > MOST_IMAGES:
        raise LumosXError(f"{path} has {len(given)} images, but a scene has at most {MOST_IMAGES}. {_AGAIN}")
    if set(names) != header.entries.keys():
        raise LumosXError(
            f"{path} is a damaged subject file: it describes {len(names)} images, and its images are "
            f"{shown(', '.join(sorted(header.entries)))}. {_AGAIN}"
        )
    _check_images(path, header)
    try:
        references = [
            Reference(each["phrase"], image(name), each["strength"]) for name, each in zip(names, given, strict=True)
        ]
        face, attributes = (references[0], references[1:]) if details["face"] else (None, references)
        return Subject(face, tuple(attributes), details["strength"], details["start"], details["end"], details["title"])
    except LumosXError as error:
        raise LumosXError(f"{path} cannot be used: {error}") from error


def _check_images(path: Path, header: Header) -> None:
    """Raise LumosXError for images whose header alone shows that they are none, or together too large."""
    size = 0
    for name, entry in header.entries.items():
        dtype, shape = DTYPES.get(entry["dtype"]), entry["shape"]
        if dtype is None or not (dtype == torch.uint8 or dtype.is_floating_point):
            raise LumosXError(f"{path} is a damaged subject file: {name} has values of type {entry['dtype']}. {_AGAIN}")
        if len(shape) != 3 or shape[-1] != 3 or 0 in shape:
            raise LumosXError(
                f"{path} is a damaged subject file: {name} has shape {shown(shape)}, expected (height, width, 3). "
                f"{_AGAIN}"
            )
        size += entry["data_offsets"][1] - entry["data_offsets"][0]
    if size > MOST_BYTES:
        raise LumosXError(
            f"{path} is too large for a subject: {size:,} bytes, expected at most {MOST_BYTES:,}. Save it again with "
            f"smaller images."
        )


def _read_details(path: Path, text: str) -> dict[str, Any]:
    try:
        if len(text) > _MOST_DETAILS:
            raise ValueError
        details = json.loads(text)
        version = details.pop("version")
        if type(version) is int and version > VERSION:
            raise LumosXError(
                f"{path} was saved by a newer version of LumosX: its format is {shown(version, 20)}, and this version "
                f"reads {VERSION}. Update LumosX."
            )
        if type(version) is not int or version != VERSION:
            raise ValueError
        read = _typed(details, _FIELDS)
        return {**read, "references": [_typed(each, _REFERENCE) for each in read["references"]]}
    except LumosXError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise LumosXError(
            f"{path} is a damaged subject file: what it says of its images is not readable. {_AGAIN}"
        ) from error


def _typed(fields: Mapping[str, Any], kinds: Mapping[str, type]) -> dict[str, Any]:
    """The fields of a JSON object; ValueError unless it has just these, of these kinds."""
    if fields.keys() != kinds.keys():
        raise ValueError
    for name, kind in kinds.items():
        if type(fields[name]) is not kind and not (kind is float and type(fields[name]) is int):
            raise ValueError
    return {name: float(value) if kinds[name] is float else value for name, value in fields.items()}
