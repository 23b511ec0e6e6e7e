"""lumosx subject: a subject of a case becomes a file, and files become a case."""

import pytest
import torch

from lumosx_core import Reference, Scene, Subject, read_subject, write_subject
from lumosx_core.commands.main import main
from lumosx_core.scene.case_folder import Case, read_case
from lumosx_core.scene.write_case import write_case


def named(phrase, seed):
    values = torch.randint(0, 256, (5, 4, 3), generator=torch.Generator().manual_seed(seed))
    return Reference(phrase, values / 255)


@pytest.fixture
def case(tmp_path):
    people = Subject(named("man", 1), (named("hat", 2),)), Subject(named("woman", 3), (named("coat", 4),))
    write_case(tmp_path / "case", Case(None, "A man in a hat and a woman in a coat.", Scene(people)))
    return tmp_path / "case"


def test_a_subject_goes_from_case_to_file_and_back(case, tmp_path, capsys):
    file = tmp_path / "Anna.safetensors"
    assert main(["subject", "save", str(case), "--subject", "2", "--out", str(file)]) == 0
    assert "Anna.safetensors: woman, coat" in capsys.readouterr().out
    assert main(["subject", "show", str(file)]) == 0
    assert capsys.readouterr().out == 'Anna: woman, coat\n  face "woman", 4 x 5\n  attribute "coat", 4 x 5\n'
    arguments = ["--prompt", "A girl in a coat.", "--out", str(tmp_path / "new"), "--phrase", "1:woman=girl"]
    assert main(["subject", "case", str(file), *arguments]) == 0
    (found,) = read_case(tmp_path / "new").scene.subjects
    expected = read_case(case).scene.subjects[1]
    assert [each.phrase for each in found.references] == ["girl", "coat"]
    assert all(torch.equal(a.image, b.image) for a, b in zip(found.references, expected.references, strict=True))


def test_strengths_that_a_case_has_no_place_for_are_reported(tmp_path, capsys):
    file = write_subject(tmp_path / "x.safetensors", Subject(named("man", 1), (), 0.5, 0.0, 0.5))
    assert main(["subject", "case", str(file), "--prompt", "A man.", "--out", str(tmp_path / "case")]) == 0
    errors = capsys.readouterr().err
    assert "The strengths are left out" in errors and "start_percent and end_percent are left out" in errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["save", "CASE", "--out", "x.safetensors"], 'has 2 subjects: 1 "man", 2 "woman"'),
        (["save", "CASE", "--subject", "3", "--out", "x.safetensors"], "no subject 3"),
        (["save", "CASE", "--subject", "1", "--out", "x.png"], "Use a plain name that ends in .safetensors"),
        (["show", "absent.safetensors"], "cannot be read"),
        (["case", "FILE", "--prompt", "x", "--out", "CASE"], "is in use"),
        (["case", "FILE", "--prompt", "x", "--out", "new", "--phrase", "woman=girl"], "expected N:OLD=NEW"),
        (["case", "FILE", "--prompt", "x", "--out", "new", "--phrase", "2:woman=girl"], "with N from 1 to 1"),
        (["case", "FILE", "--prompt", "x", "--out", "new", "--phrase", "1:girl=x"], "changes no phrase"),
    ],
)
def test_a_mistake_is_named(case, tmp_path, capsys, monkeypatch, options, message):
    file = write_subject(tmp_path / "Anna.safetensors", read_case(case).scene.subjects[1])
    monkeypatch.chdir(tmp_path)
    given = {"CASE": str(case), "FILE": str(file)}
    assert main(["subject", *(given.get(each, each) for each in options)]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists() and not (tmp_path / "x.safetensors").exists()
    assert read_subject(file).title == "Anna"
