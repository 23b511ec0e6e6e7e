"""lumosx scene: photos and a prompt become a case folder that lumosx generate reads."""

import pytest
import torch
from PIL import Image

for package in ("insightface", "transformers", "scipy"):
    pytest.importorskip(package, reason=f"{package} is not installed")

from tiny_networks import SKIN, write_face_detector, write_grounding_dino, write_hub_sam  # noqa: E402

from lumosx_core.commands.main import main  # noqa: E402
from lumosx_core.media.images import read_picture  # noqa: E402
from lumosx_core.scene.case_folder import read_case  # noqa: E402

PROMPT = "A man in a denim jacket and a woman in a red hat stand by a lamp in a cozy room."
PLAN = "man: denim jacket | woman: red hat || lamp || cozy room"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    (models / "insightface" / "models" / "tiny").mkdir(parents=True)
    write_face_detector(models / "insightface" / "models" / "tiny" / "det_tiny.onnx")
    write_grounding_dino(models / "grounding-dino" / "tiny")
    write_hub_sam(models / "sams" / "tiny")
    return models


@pytest.fixture
def photo(tmp_path):
    """Two faces before a noisy wall."""
    noise = torch.rand(360, 480, 3, generator=torch.Generator().manual_seed(0)) * 0.3 + 0.2
    noise = noise.mean(-1, keepdim=True).expand(-1, -1, 3).clone()
    for left in (90, 300):
        noise[40:110, left : left + 60] = torch.tensor(SKIN)
    path = tmp_path / "photo.png"
    Image.fromarray((noise * 255).byte().numpy()).save(path)
    return path


@pytest.fixture
def scene(models, photo, tmp_path, monkeypatch, capsys):
    """Run `lumosx scene` and give its exit code, output and errors."""
    for name in ("HOME", "HF_HOME", "HF_HUB_CACHE"):  # the user's own models are not meant
        monkeypatch.setenv(name, str(tmp_path / "home"))

    def run(*options, photos=None, prompt=PROMPT):
        arguments = ["scene", *map(str, photos or [photo]), "--prompt", prompt, "--out", tmp_path / "case"]
        arguments += ["--models", models, "--device", "cpu", *options]
        code = main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run


def test_a_photograph_becomes_a_case(scene, tmp_path):
    code, out, err = scene(
        "--plan", PLAN, "--box-threshold", 0.98, "--leave-out-missing", "--name", "two", "--background", "fill-always"
    )
    assert code == 0, err
    assert f"The plan is: {PLAN}" in out and f"The case is {tmp_path / 'case'}" in out
    case = read_case(tmp_path / "case")
    assert (case.name, case.prompt) == ("two", PROMPT)
    assert [subject.face.phrase for subject in case.scene.subjects] == ["man", "woman"]
    for subject in case.scene.subjects:
        assert abs(subject.face.image.shape[1] - 60) < 12
        assert (subject.face.image.mean((0, 1)) - torch.tensor(SKIN)).abs().max() < 0.25
    assert case.scene.background.phrase == "cozy room" and case.scene.background.image.shape == (360, 480, 3)


def test_whatever_the_networks_find_becomes_a_case_that_can_be_read(scene, tmp_path):
    code, _, err = scene("--plan", PLAN, "--box-threshold", 0.01, "--leave-out-missing")
    assert code == 0, err
    found = read_case(tmp_path / "case").scene.references
    assert {"denim jacket", "lamp"} <= {reference.phrase for reference in found}


def test_the_plan_is_read_from_the_prompt_and_can_be_printed_alone(scene, tmp_path):
    code, out, _ = scene("--plan-only")
    assert code == 0 and f"The plan is: {PLAN}" in out
    assert not (tmp_path / "case").exists()


def test_a_background_of_ones_own_and_a_preview(scene, photo, tmp_path):
    own = tmp_path / "room.png"
    Image.new("RGB", (40, 30), (10, 200, 30)).save(own)
    plan = "man | woman || || cozy room"
    code, _out, err = scene(
        "--plan", plan, "--box-threshold", 0.98, "--background", own, "--preview", tmp_path / "look" / "seen.png"
    )
    assert code == 0, err
    assert read_case(tmp_path / "case").scene.background.image.shape == (30, 40, 3)
    assert Image.open(tmp_path / "look" / "seen.png").size == (640, 480)


def test_nothing_is_written_when_something_is_missing(scene, tmp_path):
    code, _, err = scene("--plan", PLAN, "--box-threshold", 0.99)
    assert code == 2 and 'Nothing was found for "denim jacket" of person 1' in err
    assert not (tmp_path / "case").exists() and "Traceback" not in err


def test_the_preview_shows_what_was_found_also_where_something_is_missing(scene, tmp_path):
    code, *_ = scene("--plan", PLAN, "--box-threshold", 0.98, "--preview", tmp_path / "seen.png")
    assert code == 2 and Image.open(tmp_path / "seen.png").size == (640, 480)
    (tmp_path / "file").write_text("no folder")
    code, _, err = scene("--plan", "man | woman", "--box-threshold", 0.98, "--preview", tmp_path / "file" / "seen.png")
    assert code == 2 and "cannot be written" in err
    assert (tmp_path / "case" / "caption.txt").exists()  # what was made is not lost for that


def test_words_that_no_case_can_hold_are_told_before_the_work_begins(scene, tmp_path):
    prompt = "A man walks before Mt. Fuji."
    code, _, err = scene("--plan", "man || Mt. Fuji", "--models", tmp_path / "none", prompt=prompt)
    assert code == 2 and "cannot become the file name" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--plan", "man: tie"), '"tie"'),
        (("--plan", ""), "plan is empty"),
        (("--plan", "man", "--background", "room.png"), "The plan has no background for room.png"),
        (("--plan", "man", "--box-threshold", "1.5"), "--box-threshold is 1.5"),
        (("--plan", "man", "--face-model", "nothing"), "nothing"),
        (("--plan", "man", "--preview", "look.txt"), "'.txt', expected .png"),
        (("--plan", "man", "--name", "a;b"), "must not be empty, contain ';'"),
        (("--plan", "man", "--feather", "100"), "100"),
        (("--plan", "man", "--device", "abacus"), "abacus"),
        (("--read-prompt-by", "language-model"), "qwen2.5-vl"),
    ],
)
def test_mistakes_are_one_line(scene, options, message, tmp_path):
    code, _, err = scene(*options)
    assert code == 2 and message in err, err
    assert not (tmp_path / "case").exists()


def test_a_folder_in_use_and_a_picture_that_is_none_are_refused(scene, tmp_path):
    (tmp_path / "words.png").write_text("no image")
    code, _, err = scene("--plan", "man", photos=[tmp_path / "words.png"])
    assert code == 2 and "words.png" in err
    (tmp_path / "case").mkdir()
    (tmp_path / "case" / "mine.txt").write_text("keep")
    code, _, err = scene("--plan", "man")
    assert code == 2 and "is in use" in err


def test_cases_of_the_release_go_through_a_scene_and_back(shared_cases, tmp_path):
    from lumosx_core.scene.write_case import write_case

    for folder in sorted(path for path in shared_cases.iterdir() if (path / "caption.txt").exists()):
        case = read_case(folder)
        write_case(tmp_path / folder.name, case)
        again = read_case(tmp_path / folder.name)
        assert (again.name, again.prompt, again.scene.layout) == (case.name, case.prompt, case.scene.layout)
        for one, other in zip(case.scene.references, again.scene.references, strict=True):
            assert one.phrase == other.phrase and torch.equal(one.image, other.image)
        pictures = {p.relative_to(folder) for p in folder.rglob("*.png")}
        assert pictures == {p.relative_to(tmp_path / folder.name) for p in (tmp_path / folder.name).rglob("*.png")}
        for picture in pictures:
            assert torch.equal(read_picture(folder / picture), read_picture(tmp_path / folder.name / picture))
