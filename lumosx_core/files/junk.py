"""What operating systems, file servers and editors leave in folders and archives: nobody put it there on purpose."""

from __future__ import annotations

import re

_NAMES = {
    # macOS, and archives and network folders it wrote to
    *("__macosx", "icon\r", "network trash folder", "temporary items", "thevolumesettingsfolder"),
    # Windows
    *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "system volume information", "$recycle.bin"),
    *("recycler", "recycled", "$winreagent", "config.msi", "msocache", "dumpstack.log", "dumpstack.log.tmp"),
    *("indexervolumeguid", "wpsettings.dat", "autorun.inf", "folder.htt", "$sysreset", "found.000"),
    # Linux, Android, camera cards
    *("lost+found", "lost.dir", "aquota.user", "aquota.group", "wpsystem"),
    # file servers and synchronising programs
    *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "@sharebin", "#recycle", "#snapshot", "@sharesnap"),
    *("~snapshot", "recycle.bin", "sync.ffs_db", "icon\uf00d"),
    # programs for photos, Python
    *("picasa.ini", "zbthumbnail.info", "__pycache__", "pspbrwse.jbf", "picasaoriginals"),
}
_PATTERN = re.compile(
    r"~\$.*"  # lock of an office program
    r"|.*~"  # an editor's copy of what was there before
    r"|.*@syno(?:eastream|resource)"  # streams of a file on a NAS
    r"|found\.\d{3}"
    r"|.*\.(?:tmp|swp|swo|crdownload|part|partial|filepart|lock)",
    re.DOTALL,
)


def is_junk(name: str) -> bool:
    """Whether a file or folder of this name is junk: hidden ones (".DS_Store", "._x.png", ".git") and known names.

    Args:
        name: without its folder; case does not matter.
    """
    lowered = name.lower()
    return name.startswith(".") or lowered in _NAMES or bool(_PATTERN.fullmatch(lowered))


def in_junk(path: str) -> bool:
    r"""Whether a name within an archive or a folder, with "/" or "\", is junk, or is in a folder that is."""
    return any(is_junk(part) for part in re.split(r"[/\\]", path) if part not in ("", ".", ".."))
