"""Each mistake on the command line is one line with its cause and its fix, and leaves no file behind."""

import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from weight_files import Code, write

from lumosx_core.commands.main import main
from lumosx_core.models.lumosx.tiny import tiny_files

for package in ("av", "sentencepiece", "tqdm"):
    pytest.importorskip(package)


ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "two_people"
SMALL = ["--size", "64x48", "--frames", "5", "--steps", "2"]


@pytest.fixture(scope="module")
def weights(tiny_models) -> dict:
    return load_file(tiny_files(tiny_models).diffusion_model)


@pytest.fixture
def case(tmp_path) -> Path:
    """A copy of the example case, to be spoilt."""
    return Path(shutil.copytree(EXAMPLE, tmp_path / "case"))


@pytest.fixture
def refused(tiny_models, tmp_path, capsys):
    """Run a command that must fail: exit code 2, one line with these parts, and every file as before."""

    def refused(command: str, *arguments, parts: list[str]) -> None:
        before = snapshot(tmp_path), snapshot(tiny_models)
        assert main([command, *map(str, arguments)]) == 2
        errors = [line for line in capsys.readouterr().err.splitlines() if line not in PROGRESS]
        assert len(errors) == 1 and errors[0].startswith("lumosx: ")
        for part in parts:
            assert part in errors[0]
        assert (snapshot(tmp_path), snapshot(tiny_models)) == before

    return refused


PROGRESS = ("Reading the prompt", "Encoding the pictures")


def snapshot(directory: Path) -> dict:
    return {path: path.stat().st_mtime_ns for path in directory.rglob("*")}


# Words and scenes


@pytest.mark.parametrize(
    ("caption", "options", "parts"),
    [
        ("name;A woman waves.", [], ['"orange space suit" of subject 1 (attribute 1)', "exactly as in the prompt"]),
        ("one two three " * 200, [], ["The prompt has", "model reads 512", "Shorten it"]),
        (None, ["--negative", "dark " * 600], ["The negative prompt is too long", "reads 512", "Shorten it"]),
        ("name;", [], ["caption.txt has no prompt", "Write what happens"]),
        (b"K\xf6ln", [], ["caption.txt is not UTF-8", "Save it again"]),
    ],
    ids=["missing phrase", "long prompt", "long negative prompt", "no prompt", "foreign encoding"],
)
def test_words_that_do_not_fit(refused, tiny_models, case, tmp_path, caption, options, parts):
    if caption is not None:
        (case / "caption.txt").write_bytes(caption if isinstance(caption, bytes) else caption.encode())
    refused("generate", case, "--out", tmp_path / "v.mp4", "--model", tiny_models, *SMALL, *options, parts=parts)


def test_an_empty_scene_and_an_empty_subject(refused, tiny_models, case, tmp_path):
    arguments = (case, "--out", tmp_path / "v.mp4", "--model", tiny_models, *SMALL)
    (case / "subjects" / "3").mkdir()
    refused("generate", *arguments, parts=[f"{case / 'subjects' / '3'} has no image", "Put one there"])
    for folder in ("subjects", "objects", "background"):
        shutil.rmtree(case / folder)
    refused("generate", *arguments, parts=["has no images, so its scene is empty", "Put some into subjects/1"])


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--size", "64x50"], ["height 50", "multiple of 16", "Use 48 or 64"]),
        (["--size", "0x48"], ["width 0", "multiple of 16", "Use 16 or 32"]),
        (["--frames", "0"], ["0 frames", "4n + 1", "Use 1 or 5"]),
        (["--steps", "0"], ["steps", "0"]),
        (["--shift", "0"], ["shift", "0"]),
        (["--seed", "-1"], ["seed is -1", "Use 0"]),
        (["--cfg", "nan"], ["cfg is nan", "6"]),
    ],
    ids=lambda value: " ".join(value) if value[0].startswith("--") else "",
)
def test_numbers_that_do_not_fit(refused, tiny_models, tmp_path, options, parts):
    refused("generate", EXAMPLE, "--out", tmp_path / "v.mp4", "--model", tiny_models, *SMALL, *options, parts=parts)


# Pictures


def spoil_animated(path: Path) -> None:
    first, second = (Image.new("RGB", (32, 32), color) for color in ("red", "blue"))
    first.save(path, save_all=True, append_images=[second])


@pytest.mark.parametrize(
    ("spoil", "parts"),
    [
        (lambda path: path.write_bytes(b""), ["the file is empty", "Save it again as PNG or JPEG"]),
        (lambda path: path.write_text("words"), ["it is not an image", "Save it again as PNG or JPEG"]),
        (lambda path: path.write_bytes(path.read_bytes()[:9000]), ["damaged", "truncated", "Get the file again"]),
        (spoil_animated, ["holds 2 images", "animated", "Save the one you mean as PNG"]),
        (lambda path: Image.new("RGBA", (8, 8)).save(path), ["wholly transparent", "something visible"]),
    ],
    ids=["empty", "text", "truncated", "animated", "transparent"],
)
def test_a_picture_that_cannot_be_used(refused, tiny_models, case, tmp_path, spoil, parts):
    path = case / "subjects" / "1" / "face_woman.png"
    spoil(path)
    refused("generate", case, "--out", tmp_path / "v.mp4", "--model", tiny_models, *SMALL, parts=[str(path), *parts])


@pytest.mark.slow
def test_sixteen_bit_grey_and_cmyk_pictures_are_what_they_show(tiny_models, case, tmp_path):
    """Each gives, byte for byte, the video of the 8-bit RGB picture that shows the same."""
    path = case / "subjects" / "1" / "face_woman.png"
    photograph = Image.open(path).convert("RGB")
    grey, inks = photograph.convert("L"), photograph.convert("CMYK")
    sixteen = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)

    def video(image: Image.Image, suffix: str) -> bytes:
        path.unlink(missing_ok=True)
        image.save(path.with_suffix(suffix))
        out = tmp_path / "v.mp4"
        assert main(["generate", str(case), "--out", str(out), "--model", str(tiny_models), *SMALL]) == 0
        path.with_suffix(suffix).unlink()
        return out.read_bytes()

    of_grey, of_inks = video(grey.convert("RGB"), ".png"), video(inks.convert("RGB"), ".png")
    assert video(grey, ".png") == video(sixteen, ".png") == video(sixteen, ".tiff") == of_grey
    assert video(inks, ".tiff") == of_inks != of_grey


# Weight files


LORA = {"diffusion_model.blocks.0.self_attn.q.lora_A.weight": torch.zeros(4, 256)}
STABLE_DIFFUSION = {"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(4, 4, 3, 3)}


def generate_with(tiny_models: Path, tmp_path: Path, **files) -> list:
    """The arguments of `generate` with the tiny files, but for these."""
    tiny = tiny_files(tiny_models)
    chosen = {"model": tiny.diffusion_model, "vae": tiny.vae, "text-encoder": tiny.text_encoder, **files}
    options = [item for name, path in chosen.items() for item in (f"--{name}", path)]
    return [EXAMPLE, "--out", tmp_path / "v.mp4", *options, *SMALL]


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("lora.safetensors", LORA, ["It is a LoRA", "put the LoRA on it"]),
        ("sd.safetensors", STABLE_DIFFUSION, ["It is a Stable Diffusion U-Net", "Give the released LumosX"]),
        ("empty.safetensors", b"", ["is empty", "Copy or download it again"]),
        ("garbage.safetensors", b"\xff" * 64, ["unknown format, or damaged", "Expected: a .safetensors file"]),
        ("nothing.pt", {}, ["holds no tensor at all"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_that_holds_no_such_network(refused, tiny_models, tmp_path, name, content, parts):
    path = write(tmp_path / name, content)
    refused("generate", *generate_with(tiny_models, tmp_path, model=path), parts=[str(path), *parts])
    refused("convert", path, tmp_path / "new.safetensors", parts=[str(path), *parts])


def test_a_truncated_and_an_incomplete_network(refused, tiny_models, weights, tmp_path):
    whole = tiny_files(tiny_models).diffusion_model.read_bytes()
    lacking = {name: tensor for name, tensor in weights.items() if ".cross_attn.k." not in name}
    for name, content, parts in (
        ("half.safetensors", whole[: len(whole) // 2], ["half.safetensors is truncated", "again"]),
        ("lacking.safetensors", lacking, ["incomplete: 6 of", "blocks.0.cross_attn.k."]),
    ):
        path = write(tmp_path / name, content)
        refused("generate", *generate_with(tiny_models, tmp_path, model=path), parts=parts)
        refused("convert", path, tmp_path / "new.safetensors", parts=parts)


def test_code_in_a_file_does_not_run(refused, tiny_models, weights, tmp_path):
    probe = tmp_path / "ran"
    for name, content in (
        ("code.pt", {"model": weights, "extra": Code(probe)}),
        ("bare.pt", pickle.dumps({"model": Code(probe)})),
    ):
        path = write(tmp_path / name, content)
        refused("convert", path, tmp_path / "new.safetensors", parts=[name, "could run code", "safetensors"])
        for kind in ("model", "vae", "text-encoder"):
            arguments = generate_with(tiny_models, tmp_path, **{kind: path})
            refused("generate", *arguments, parts=[name, "could run code", "safetensors"])
    assert not probe.exists()


def test_a_vae_and_a_text_encoder_of_another_model(refused, tiny_models, weights, tmp_path):
    tiny = tiny_files(tiny_models)
    for kind, wrong in (("vae", tiny.text_encoder), ("text-encoder", tiny.vae)):
        refused("generate", *generate_with(tiny_models, tmp_path, **{kind: wrong}), parts=[str(wrong)])
        for name, content in (("cut.safetensors", wrong.read_bytes()[:5000]), ("empty.safetensors", b"")):
            path = write(tmp_path / name, content)
            refused("generate", *generate_with(tiny_models, tmp_path, **{kind: path}), parts=[str(path), "again"])


@pytest.mark.slow
def test_a_mistake_shows_no_traceback_in_a_shell(tiny_models, case, tmp_path):
    (case / "caption.txt").write_text("A woman waves.")
    command = [
        sys.executable,
        "-m",
        "lumosx_core",
        "generate",
        case,
        "--out",
        tmp_path / "v.mp4",
        "--model",
        tiny_models,
    ]
    process = subprocess.run([*map(str, command), *SMALL], cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert process.returncode == 2
    assert "Traceback" not in process.stderr
    assert process.stderr.splitlines()[-1].startswith('lumosx: Phrase "')
    assert sorted(path.name for path in tmp_path.iterdir()) == ["case"]
