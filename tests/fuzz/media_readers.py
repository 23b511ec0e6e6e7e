"""Images, clips and case folders."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from fuzz.inputs import STRINGS, edited_bytes, edited_files, edited_text
from fuzz.reader import Make, Reader, put, put_one
from fuzz.seeds import CAPTION, case, clips, images
from hypothesis import strategies as st

from lumosx_core.media.images import read_picture
from lumosx_core.media.loaded_image import load_image
from lumosx_core.scene.case_folder import Case, read_case
from lumosx_core.scene.write_case import check_names, write_case

ENDINGS = (".png", ".jpg", ".webp", ".gif", ".tif", ".bmp", ".avif", ".heic", "", ".PNG")


def _images() -> Reader:
    def read(value, folder: Path) -> None:
        content, ending, options = value
        path = put_one(folder, f"image{ending}", content)
        if options is None:
            read_picture(path)
        else:
            load_image(path, *options[:2], painted=options[2])

    options = st.tuples(st.sampled_from(("white", "grey", "black")), st.booleans(), st.booleans())
    return Reader(st.tuples(edited_bytes(images()), st.sampled_from(ENDINGS), st.none() | options), read)


def _clips() -> Reader:
    from lumosx_training.data.clips import ClipSettings, read_clip, read_frames

    def read(value, folder: Path) -> None:
        content, ending, whole, places = value
        path = put_one(folder, f"clip{ending}", content)
        if places:
            read_frames(path, places)
        else:
            read_clip(path, ClipSettings(frames=(5, 9), sizes=((32, 48),) if whole else (), whole=whole))

    made = clips()
    places = st.none() | st.lists(st.integers(0, 12), min_size=1, max_size=3)
    return Reader(st.tuples(edited_bytes(list(made.values())), st.sampled_from([*made]), st.booleans(), places), read)


def _case_folders() -> Reader:
    def read(value, folder: Path) -> None:
        files, caption = value
        if caption is not None:
            files = {**files, "caption.txt": caption.encode("utf-8", "surrogatepass")}
        found = read_case(put(folder / "case", files))
        write_case(folder / "copy", found)

    utf8 = edited_text([f"clip;{CAPTION}", CAPTION, f"{CAPTION} (a man), [a cup]; {{a|b}}"])
    return Reader(st.tuples(edited_files([case()]), st.none() | utf8), read)


def _case_names() -> Reader:
    import torch

    from lumosx_core.scene.scene import Reference, Scene, Subject

    def read(value, folder: Path) -> None:
        name, prompt, people, objects, background = value
        check_names(name, prompt, people, objects, background)

        def named(phrase: str) -> Reference:
            return Reference(phrase, torch.zeros(2, 2, 3))

        subjects = [Subject(named(face), tuple(map(named, attributes))) for face, attributes in people]
        scene = Scene(tuple(subjects), tuple(map(named, objects)), None if background is None else named(background))
        write_case(folder / "case", Case(name, prompt, scene))
        assert read_case(folder / "case").scene.layout == scene.layout

    person = st.tuples(STRINGS, st.lists(STRINGS, max_size=2))
    lists = st.lists(person, max_size=2), st.lists(STRINGS, max_size=2), st.none() | STRINGS
    return Reader(st.tuples(st.none() | STRINGS, edited_text([CAPTION]), *lists), read)


def _subject_files() -> Reader:
    import torch
    from fuzz.weight_readers import edited_safetensors

    from lumosx_core.scene.scene import Reference, Subject
    from lumosx_core.scene.subject_file import read_subject, read_subject_phrases, write_subject

    def saved(*kinds: torch.dtype) -> bytes:
        images = [torch.linspace(0, 1, 18).reshape(2, 3, 3).to(kind) for kind in kinds]
        whole = Reference("man", torch.ones(2, 2, 3))
        subject = Subject(whole, tuple(Reference("hat#2", image, 0.5) for image in images), 0.8, 0.1, 0.9, "Anna")
        with TemporaryDirectory() as folder:
            return write_subject(Path(folder, "x.safetensors"), subject).read_bytes()

    def read(content: bytes, folder: Path) -> None:
        path = put_one(folder, "x.safetensors", content)
        read_subject_phrases(path)
        write_subject(folder / "copy.safetensors", read_subject(path))

    seeds = [saved(), saved(torch.float32), saved(torch.float16, torch.bfloat16, torch.float64)]
    return Reader(edited_safetensors(seeds), read)


READERS: dict[str, Make] = {
    "images": _images,
    "clips": _clips,
    "case folders": _case_folders,
    "names of a case": _case_names,
    "subject files": _subject_files,
}
