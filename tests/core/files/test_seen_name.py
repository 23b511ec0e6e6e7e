import os
import unicodedata

import pytest

from lumosx_core.errors import LumosXError
from lumosx_core.files.seen_name import SeenNames, elsewhere, find_seen, seen_path, with_slashes

NFD = unicodedata.normalize("NFD", "Röcke.png")


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("people\\Anna.png", "people/Anna.png"),
        (".\\people\\Anna.png", "people/Anna.png"),
        ("./people//Anna.png", "people/Anna.png"),
        ("Röcke.png", NFD),
        (NFD, "Röcke.png"),
        ("hat.png", "hat.PNG"),
        ("People/anna.PNG", "people/Anna.png"),
        ("red hat.png", "red\u00a0hat.png"),
        ("T-shirt.png", "T\u2011shirt.png"),
        ("man's hat.png", "man\u2019s hat.png"),
        ("hat.png", "hat\u200b.png"),
        ("ﬁsh.png", "fish.png"),
        ("ｈａｔ.png", "hat.png"),
        ("a hat .png", "a hat .png"),
        ("  hat.png \r", "hat.png"),
    ],
)
def test_a_file_is_found_by_what_people_see(tmp_path, written, stored):
    (tmp_path / stored).parent.mkdir(exist_ok=True)
    (tmp_path / stored).touch()
    assert find_seen(tmp_path, written) == tmp_path / stored


def test_the_exact_name_counts_before_those_that_look_alike(tmp_path):
    for name in ("hat.png", "Hat.png", "HAT.png"):
        (tmp_path / name).touch()
    assert find_seen(tmp_path, "Hat.png") == tmp_path / "Hat.png"
    if len(os.listdir(tmp_path)) == 3:  # not on a disk that ignores case
        with pytest.raises(LumosXError, match="may mean 'HAT.png' and 'Hat.png' and 'hat.png'.*look alike"):
            find_seen(tmp_path, "hAT.png")


@pytest.mark.parametrize("name", ["absent.png", "absent/a.png", "x" * 300, "nul\0.png", "C:\\x\\a.png", "a/" * 3000])
def test_what_is_not_there_is_none(tmp_path, name):
    assert find_seen(tmp_path, name) is None
    assert seen_path(tmp_path, name) == tmp_path / name


def test_absolute_paths_and_paths_that_go_up_are_followed(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "Hat.png").touch()
    assert find_seen(tmp_path / "a", "../hat.png") == tmp_path / "a/../Hat.png"
    assert find_seen("/", str(tmp_path / "hat.png")) == tmp_path / "Hat.png"


def test_paths_in_a_list_are_found_and_near_ones_named():
    names = SeenNames(["subjects/1/shirt.PNG", f"subjects/1/{NFD}", "subjects/1/hat.png"])
    assert names.find("subjects\\1\\shirt.png") == ["subjects/1/shirt.PNG"]
    assert names.find("./subjects/1/Röcke.png") == [f"subjects/1/{NFD}"]
    assert names.find("subjects/1/shrit.png") == []
    assert names.nearest("subjects/1/shrit.png") == "subjects/1/shirt.PNG"
    assert names.nearest("something else") is None


def test_paths_are_written_with_slashes():
    assert with_slashes(" .\\a\\\\b/./c ") == "a/b/c"
    assert with_slashes("\\\\host\\share") == "/host/share"
    assert with_slashes("../a") == "../a"


@pytest.mark.skipif(os.name == "nt", reason="its own paths")
def test_a_path_of_windows_is_called_one():
    assert "path of Windows" in elsewhere("D:\\clips\\a.mp4") and "path of Windows" in elsewhere(
        "\\\\nas\\clips\\a.mp4"
    )
    assert elsewhere("clips/a.mp4") == elsewhere("a:b.png") == ""
