import pytest

from lumosx_core.files.junk import in_junk, is_junk


@pytest.mark.parametrize(
    "name",
    [
        *("__MACOSX", ".DS_Store", "._face_man.png", "Icon\r", ".AppleDouble", ".Spotlight-V100", ".fseventsd"),
        *("Thumbs.db", "THUMBS.DB", "ehthumbs.db", "desktop.ini", "Desktop.ini", "System Volume Information"),
        *("$RECYCLE.BIN", "RECYCLER", "found.000", "FOUND.012", "lost+found", "LOST.DIR", ".Trash-1000", ".nfs0001"),
        *("@eaDir", "#recycle", "#snapshot", "@Recycle", "x.png@SynoEAStream", ".stfolder", ".sync", "sync.ffs_db"),
        *(".git", ".ipynb_checkpoints", "__pycache__", ".thumbnails", ".directory", "caption.txt~", "~$caption.docx"),
        *("face_man.png.crdownload", "video.mp4.part", ".caption.txt.swp", "Picasa.ini"),
    ],
)
def test_what_systems_leave_behind_is_junk(name):
    assert is_junk(name)


@pytest.mark.parametrize(
    "name",
    [
        *("1", "subjects", "face_man.png", "recycled paper bag.png", "#2 pencil.png", "@ sign.png", "lost dog.png"),
        *("thumb.png", "party hat.png", "a~b.png", "part.png", "found object.png", "video.mp4", "$100 bill.png"),
    ],
)
def test_what_people_put_there_is_not(name):
    assert not is_junk(name)


def test_a_member_of_an_archive_is_junk_if_a_folder_above_it_is():
    assert in_junk("__MACOSX/set/._0001.json") and in_junk("set\\@eaDir\\0001.json") and in_junk("./set/.git/config")
    assert not in_junk("./set/0001.json") and not in_junk("../set/0001.json")
