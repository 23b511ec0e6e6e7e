"""Which files are images: by their names, by their first bytes, and what to do with those that are not read here."""

from __future__ import annotations

import importlib.util
import stat
from pathlib import Path, PurePath

from ..errors import LumosXError
from ..own_command import pip_command

_READ_HERE = (
    ".png .apng .jpg .jpeg .jpe .jfif .jif .mpo .webp .avif .bmp .dib .tif .tiff .gif .ppm .pgm .pbm .pnm .tga .jp2 "
    ".j2k .jpx .heic .heif .hif"
)
SUFFIXES = frozenset(_READ_HERE.split())
"""Endings of images that are read; HEIC where pillow-heif is installed."""

_CONVERT = "Open it in the program that made it, and export it as PNG or JPEG."
_RAW = "a raw photo of a camera", "Develop it in your photo app, and export it as JPEG or PNG."
_VIDEO = "a video", "Save the frame that you mean as PNG."
_VECTOR = "a drawing or document, not pixels", "Export it as PNG."
_HDR = "an image of scene-linear light", "Apply a view transform, and export it as PNG with 8 or 16 bits a channel."
_OTHER = "an image of a kind not read here", _CONVERT
_ICON = "an icon of several sizes", "Save the largest one as PNG."
_JXL = "a JPEG XL image", "Save it as PNG or JPEG (djxl IMAGE.jxl IMAGE.png)."
_SEQUENCE = "an animation", "Save the frame that you mean as PNG."

_REFUSED: dict[str, tuple[str, str]] = {
    ending: kind
    for endings, kind in (
        (".jxl", _JXL),
        (
            ".dng .cr2 .cr3 .crw .nef .nrw .arw .srf .sr2 .raf .orf .rw2 .rwl .raw .pef .ptx .3fr .fff .iiq .x3f .erf "
            ".kdc .dcr .mrw .srw .mos .mef .gpr",
            _RAW,
        ),
        (
            ".psd .psb .xcf .kra .ora .clip .sai .sai2 .pdn .procreate .afphoto .af .pxd .psp .pspimage .cdr .fla",
            ("a file of layers", _CONVERT),
        ),
        (".svg .svgz .pdf .ai .eps .ps .wmf .emf .sketch .fig .afdesign .xd", _VECTOR),
        (".exr .hdr .rgbe .pfm .dpx .cin", _HDR),
        (
            ".mp4 .m4v .mov .qt .mkv .webm .avi .wmv .asf .mpg .mpeg .m2v .mts .m2ts .3gp .3g2 .flv .f4v .ogv .gifv "
            ".mxf",
            _VIDEO,
        ),
        (".ico .icns .cur", _ICON),
        (".avifs .heics .heifs .flif .mng .fli .flc", _SEQUENCE),
        (
            ".jxr .wdp .hdp .qoi .dds .pcx .sgi .rgb .rgba .bw .ras .xbm .xpm .pam .pict .pct .bpg .jls .fits .dcm",
            _OTHER,
        ),
    )
    for ending in endings.split()
}

_UNFINISHED = {
    ".part",
    ".crdownload",
    ".download",
    ".partial",
    ".opdownload",
    ".!ut",
    ".aria2",
    ".tmp",
    ".temp",
    ".icloud",
}
_SHORTCUTS = {".lnk", ".url", ".webloc", ".desktop"}

_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"mif2", b"miaf")
_RAW_BRANDS = (b"crx ",)
_STARTS: tuple[tuple[bytes, tuple[str, str]], ...] = (
    (b"\xff\x0a", _JXL),
    (b"\0\0\0\x0cJXL ", _JXL),
    (b"8BPS", ("a file of layers (Photoshop)", _CONVERT)),
    (b"gimp xcf", ("a file of layers (GIMP)", _CONVERT)),
    (b"%PDF", _VECTOR),
    (b"%!PS", _VECTOR),
    (b"v/1\x01", _HDR),
    (b"#?RADIANCE", _HDR),
    (b"#?RGBE", _HDR),
    (b"\x1a\x45\xdf\xa3", _VIDEO),
    (b"\0\0\x01\xba", _VIDEO),
    (b"\0\0\x01\xb3", _VIDEO),
    (b"FLV\x01", _VIDEO),
    (b"FUJIFILMCCD-RAW", _RAW),
    (b"IIRS", _RAW),
    (b"IIRO", _RAW),
    (b"MMOR", _RAW),
    (b"IIU\0", _RAW),
    (b"FOVb", _RAW),
    (b"II\xbc\x01", ("a JPEG XR image", _CONVERT)),
    (b"\0\0\x01\0", _ICON),
    (b"icns", _ICON),
    (b"qoif", _OTHER),
    (b"DDS ", _OTHER),
    (b"BPG\xfb", _OTHER),
    (b"FLIF", _OTHER),
    (b"\x8aMNG", _SEQUENCE),
)
_READ = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"GIF87a",
    b"GIF89a",
    b"II*\0",
    b"MM\0*",
    b"\0\0\0\x0cjP  ",
    b"\xff\x4f\xff\x51",
)


def is_image_name(name: str) -> bool:
    """Whether a file name ends like an image or a video, whether or not this kind is read here."""
    ending = _ending(name)
    return ending in SUFFIXES or ending in _REFUSED


def is_image(path: Path) -> bool:
    """Whether a file in a folder of reference images is meant as one; `read_picture` then reads or refuses it.

    So that nobody's face is passed over, an image under another name is an error, unless it is an older copy ("~",
    .bak) of one that is there.

    Raises:
        LumosXError: see `check_stand_in`; or an image or a video whose name has no ending, or one that is not its own.
    """
    check_stand_in(path)
    name = path.name.rstrip(" .")
    if is_image_name(name):
        return True
    inner = name.removesuffix("~") if name.endswith("~") else name[: -len(_ending(name)) or None]
    if name.startswith(".") or (is_image_name(inner) and path.with_name(inner).exists()):
        return False
    if kind := held_kind(path):
        raise LumosXError(
            f"{path} holds {kind}, but its name does not end as one that is read here. Give it its ending, or save it "
            f"as PNG or JPEG."
        )
    return False


def check_stand_in(path: Path) -> None:
    """Raise LumosXError for what stands for an image that is missing: its unfinished download, or a shortcut."""
    ending = _ending(path.name)
    if ending not in _UNFINISHED and ending not in _SHORTCUTS:
        return
    inner = path.name.rstrip(" .")[: -len(ending)].removeprefix(".").removesuffix(" - Shortcut")
    if not is_image_name(inner) or path.with_name(inner).exists():
        return
    if ending in _UNFINISHED:
        raise LumosXError(f"{path} is an unfinished download. Download it again, and remove this file.")
    raise LumosXError(f"{path} is a shortcut to an image. Copy the image itself there.")


def kind_by_name(name: str) -> tuple[str, str] | None:
    """What a file of this ending is, and how to convert it; None for images that are read and for all else."""
    return _REFUSED.get(_ending(name))


def why_unreadable(path: Path, head: bytes) -> str:
    """What a file is that no decoder takes, and how to convert it.

    Args:
        head: its first bytes.
    """
    if not head:
        return "the file is empty. Save it again as PNG or JPEG."
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS and b"avi" not in head[8:32]:
        return why_no_heif()
    if head[4:8] == b"ftyp" and b"avi" in head[8:32]:
        return "it is an AVIF image, which this installation of Pillow cannot read. Save the image as PNG or JPEG."
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:5].lower() in (b"<?xml", b"<svg ", b"<!doc", b"<html"):
        return "it is a text file such as SVG or a web page. Export the image as PNG."
    known = _kind_of(head) or kind_by_name(path.name)
    if known:
        return f"it is {known[0]}, which is not read here. {known[1]}"
    if head.startswith((b"II*\0", b"MM\0*")):
        return (
            "it is a TIFF of a kind not read here, such as floating point, 32 bits a channel, or a raw photo. Export "
            "it as PNG, with 8 or 16 bits a channel."
        )
    return "it is not an image, or of a kind not read here. Save it again as PNG or JPEG."


def why_no_heif() -> str:
    """What to do with a HEIC photo."""
    if importlib.util.find_spec("pillow_heif") is None:
        here = f"To read it here, run: {pip_command(['pillow-heif'])}. Or open"
    else:
        here = "The package pillow-heif cannot read it. Open"
    return (
        f"it is a HEIC photo, as iPhones save them, which is not read here. {here} it in your photo app and export "
        f"it as JPEG (on the iPhone: Settings > Camera > Formats > Most Compatible saves new photos as JPEG)."
    )


def is_regular(path: Path) -> bool:
    """Whether a path leads to a file of bytes: reading a pipe or a device could wait for ever.

    Raises:
        OSError: it is not there, or may not be looked at.
    """
    return stat.S_ISREG(path.stat().st_mode)


def _ending(name: str) -> str:
    return PurePath(name.rstrip(" .")).suffix.lower()


def held_kind(path: Path) -> str:
    """What the first bytes of a file say that it holds: an image, a video, or (empty) neither."""
    try:
        if not is_regular(path):
            return ""
        with path.open("rb") as file:
            head = file.read(64)
    except OSError:
        return ""
    if head.startswith(_READ) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return "an image"
    if head[4:8] == b"ftyp" and (head[8:12] in _HEIF_BRANDS or b"avi" in head[8:32]):
        return "an image"
    kind = _kind_of(head)
    return "" if kind is None or kind is _VECTOR else "a video" if kind is _VIDEO else "an image"


def _kind_of(head: bytes) -> tuple[str, str] | None:
    """What is known by its first bytes, of the kinds that are not read."""
    for start, kind in _STARTS:
        if head.startswith(start):
            return kind
    if head[4:8] == b"ftyp" and head[8:12] not in _HEIF_BRANDS:
        return _RAW if head[8:12] in _RAW_BRANDS else _VIDEO
    if head[4:8] in (b"moov", b"mdat", b"wide") or (head[:4] == b"RIFF" and head[8:12] == b"AVI "):
        return _VIDEO
    if head[:4] in (b"II*\0", b"MM\0*") and head[8:10] == b"CR":
        return _RAW
    if head.startswith(_READ[0]) and head[12:16] == b"CgBI":
        return "a PNG as Xcode packs it for iPhones", "Unpack it with pngdefry, or take the original."
    if head.startswith(b"version https://git-lfs"):
        return "a placeholder of Git LFS", "Fetch the image itself: git lfs pull."
    return None
