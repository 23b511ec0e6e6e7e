"""The command line: a case folder becomes an mp4, a mistake becomes one line, and Ctrl-C leaves nothing."""

import re
import signal
import subprocess
import sys
import time
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lumosx_core.commands.main import main
from lumosx_core.models.families import FAMILIES, family_named
from lumosx_core.models.lumosx.tiny import tiny_files

for package in ("av", "sentencepiece", "tqdm"):
    pytest.importorskip(package)

import av  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
CASE = ROOT / "examples" / "two_people"
SMALL = ["--size", "64x48", "--frames", "5", "--steps", "2"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A user's cache directory of these tests' own."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_CACHE_HOME", str(cache))
        yield cache


@pytest.fixture(scope="module")
def plain_video(cache, tmp_path_factory):
    """The video of the example case without any option but a small size."""
    path = tmp_path_factory.mktemp("plain") / "video.mp4"
    assert run("generate", CASE, "--out", path, *SMALL) == 0
    return path


def run(*arguments):
    return main([str(argument) for argument in arguments])


def frames(path):
    with av.open(str(path)) as container:
        return torch.stack([torch.from_numpy(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)])


def test_the_example_case_becomes_a_playable_mp4(cache, tmp_path, capsys):
    path = tmp_path / "video.mp4"
    assert run("generate", CASE, "--out", path, "--model", "tiny", *SMALL) == 0
    video = frames(path)
    assert video.shape == (5, 48, 64, 3)
    assert video.float().std() > 10
    output = capsys.readouterr()
    assert f"The video is {path}" in output.out
    assert "2/2" in output.err  # the progress bar counts steps


@pytest.mark.slow
def test_the_tiny_model_leaves_nothing_in_the_users_cache(cache, plain_video, tmp_path):
    assert run("generate", CASE, "--out", tmp_path / "again.mp4", *SMALL) == 0
    assert not list(cache.rglob("*.safetensors"))
    assert (tmp_path / "again.mp4").read_bytes() == plain_video.read_bytes()


@pytest.mark.slow
def test_files_a_directory_and_the_preset_give_the_same_video(plain_video, tiny_models, tmp_path):
    files = tiny_files(tiny_models)
    single = ("--model", files.diffusion_model, "--vae", files.vae, "--text-encoder", files.text_encoder)
    for choice in (("--model", tiny_models), single):
        as_tiny = (*SMALL, "--shift", 3, "--cfg", 1)  # what tiny means, too
        assert run("generate", CASE, "--out", tmp_path / "video.mp4", *choice, *as_tiny) == 0
        assert (tmp_path / "video.mp4").read_bytes() == plain_video.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ("--seed", 3),
        ("--cfg", 2),
        ("--shift", 8),
        ("--steps", 3),
        ("--dtype", "bfloat16"),
    ],
    ids=lambda options: options[0],
)
def test_each_option_reaches_the_video(cache, plain_video, tmp_path, options):
    assert run("generate", CASE, "--out", tmp_path / "changed.mp4", *SMALL, *options, "--device", "cpu") == 0
    assert (tmp_path / "changed.mp4").read_bytes() != plain_video.read_bytes()


@pytest.mark.slow
def test_the_negative_prompt_reaches_the_video_with_guidance(cache, tmp_path):
    for name, negative in (("one", "dark"), ("other", "a man on the left")):
        assert run("generate", CASE, "--out", tmp_path / f"{name}.mp4", *SMALL, "--cfg", 4, "--negative", negative) == 0
    assert (tmp_path / "one.mp4").read_bytes() != (tmp_path / "other.mp4").read_bytes()


@pytest.mark.slow
def test_several_videos_get_numbered_names(cache, tmp_path):
    assert run("generate", CASE, "--out", tmp_path / "out.mp4", "--batch", 2, *SMALL) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out_0.mp4", "out_1.mp4"]
    assert not torch.equal(frames(tmp_path / "out_0.mp4"), frames(tmp_path / "out_1.mp4"))


@pytest.mark.parametrize("name", FAMILIES)
def test_the_defaults_of_a_family_and_its_miniature_fit_the_network(name):
    entry = family_named(name)
    released, tiny = entry.settings(), entry.settings(**entry.tiny_settings)
    spec = entry.family.spec
    assert (released.width, released.height, released.frames) == (spec.width, spec.height, spec.frames)
    assert (released.steps, released.shift, released.cfg) == (spec.steps, spec.shift, spec.cfg)
    assert (tiny.width, tiny.height, tiny.frames) == (80, 64, 9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((CASE, "--out", "OUT/video.avi"), "only mp4"),
        ((CASE, "--out", "OUT/missing/video.mp4"), "does not exist"),
        (("OUT/nothing", "--out", "OUT/video.mp4"), "nothing"),
        ((CASE, "--out", "OUT/video.mp4", "--size", "830x480"), "width 830"),
        ((CASE, "--out", "OUT/video.mp4", "--frames", "80"), "80 frames"),
        ((CASE, "--out", "OUT/video.mp4", "--batch", "0"), "batch is 0"),
        ((CASE, "--out", "OUT/video.mp4", "--device", "tpu"), "no device 'tpu'"),
        ((CASE, "--out", "OUT/video.mp4", "--model", "OUT/absent.safetensors"), "--vae FILE"),
        ((CASE, "--out", "OUT/video.mp4", "--vae", "OUT/absent.safetensors"), "no VAE"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_mistake_is_one_line_and_leaves_nothing(cache, tmp_path, capsys, arguments, message):
    given = [str(argument).replace("OUT", str(tmp_path)) for argument in arguments]
    assert run("generate", *given) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("lumosx: ") and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", ["832", "832x", "x480", "832x480x2", "-832x480", "axb"])
def test_a_size_that_is_none_is_refused_with_the_way_to_write_it(size, capsys):
    with pytest.raises(SystemExit) as stopped:
        run("generate", CASE, "--out", "video.mp4", f"--size={size}")
    assert stopped.value.code == 2
    assert "WIDTHxHEIGHT" in capsys.readouterr().err


@pytest.mark.slow
def test_ctrl_c_while_sampling_leaves_no_file_and_no_traceback(cache, tmp_path):
    # A test run in a shell's background has Ctrl-C switched off, and hands that on.
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); import sys; "
    program += "from lumosx_core.commands.main import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "generate", CASE, "--out", tmp_path / "video.mp4"]
    options = ["--size", "64x48", "--frames", "5", "--steps", "10000"]
    process = subprocess.Popen(
        [*map(str, command), *options], cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    seen = ""
    deadline = time.monotonic() + 120
    while "/10000" not in seen and time.monotonic() < deadline:
        seen += process.stderr.read(1)
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "no unfinished file was left" in rest and "Traceback" not in seen + rest
    assert not list(tmp_path.iterdir())


def test_convert_writes_the_file_it_names(tiny_models, tmp_path, capsys):
    path = tmp_path / "converted.safetensors"
    assert run("convert", tiny_files(tiny_models).diffusion_model, path, "--dtype", "fp16") == 0
    assert str(path) in capsys.readouterr().out
    assert load_file(path)["patch_embedding.weight"].dtype == torch.float16
    assert run("convert", tiny_files(tiny_models).vae, tmp_path / "other.safetensors") == 2
    assert "lumosx-tiny-vae.safetensors" in capsys.readouterr().err


def test_tiny_writes_the_preset_and_says_where(tmp_path, capsys):
    assert run("tiny", tmp_path) == 0
    output = capsys.readouterr().out
    for folder, path in tiny_files(tmp_path).by_folder.items():
        assert path.is_file() and f"{path}  (ComfyUI: models/{folder})" in output


@pytest.fixture
def announce(tmp_path, monkeypatch):
    """Announces the command `greet` of a room; the room `toy_room` is there, with commands.py as given."""

    def announce(address, source="def add(commands):\n    commands.add_parser('greet').set_defaults(run=print)\n"):
        room = tmp_path / "rooms" / "toy_room"
        room.mkdir(parents=True)
        (room / "__init__.py").touch()
        (room / "commands.py").write_text(source)
        monkeypatch.syspath_prepend(room.parent)
        entry = EntryPoint("greet", address, "lumosx.commands")
        target = "lumosx_core.commands.main.entry_points"
        monkeypatch.setattr(target, lambda group: [entry] if group == entry.group else [])

    yield announce
    for module in ("toy_room", "toy_room.commands"):
        sys.modules.pop(module, None)


def test_another_room_adds_its_command(announce, capsys):
    announce("toy_room.commands:add")
    assert run("greet") == 0
    assert "greet" not in capsys.readouterr().err


def test_the_command_of_a_room_that_is_not_there_is_left_out(announce, capsys):
    announce("absent_room.commands:add")
    with pytest.raises(SystemExit) as left:
        run("--help")
    output = capsys.readouterr()
    assert (left.value.code, output.err) == (0, "")
    assert "generate" in output.out and "greet" not in output.out


@pytest.mark.parametrize(
    ("address", "source", "expected"),
    [
        ("toy_room.absent:add", "", ModuleNotFoundError),
        ("toy_room.commands:add", "", AttributeError),
        ("toy_room.commands:add", "import a_package_that_is_absent", ModuleNotFoundError),
    ],
    ids=["no module", "no function", "no package"],
)
def test_a_room_that_is_there_but_broken_says_so(announce, address, source, expected):
    announce(address, source)
    with pytest.raises(expected):
        run("--help")


def test_download_needs_a_place(capsys, tmp_path):
    assert run("download", "--cache", str(tmp_path)) == 2
    assert "where the files should go" in capsys.readouterr().err


@pytest.mark.slow
def test_generate_imports_only_what_it_uses(tmp_path):
    case, video = str(ROOT / "examples" / "glyph_people"), str(tmp_path / "a.mp4")
    # Each of these takes longer to import than a step of a small video takes.
    unused = ["accelerate", "diffusers", "pandas", "peft", "scipy", "sklearn", "torch._dynamo", "torchvision"]
    program = (
        "import sys; from lumosx_core.commands.main import main; "
        f"code = main(['generate', {case!r}, '--out', {video!r}, '--steps', '1']); "
        f"print(code, [name for name in [*{unused!r}, 'transformers'] if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert run.stdout.splitlines()[-1] == "0 []", run.stderr


def test_a_routed_video_is_another_one_and_strength_0_is_off(cache, tmp_path, capsys):
    videos = {}
    for name, options in {"plain": [], "off": ["--self-routing", "0"], "box": ["--box", "2:0,0,0.5,1"]}.items():
        path = tmp_path / f"{name}.mp4"
        assert run("generate", CASE, "--out", path, *SMALL, *options) == 0
        videos[name] = path.read_bytes()
    assert videos["plain"] == videos["off"] != videos["box"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--self-routing", "9"], "The strength of self-routing is 9, expected 0"),
        (["--box", "1:0,0,0.5,1", "--best-of", "2"], "--best-of chooses among runs without self-routing"),
        (["--box", "1:0,0,0.5,1", "--box", "1:0.5,0,1,1"], "--box names a subject twice"),
        (["--box", "1:0.5,0,0.5,1"], "The box of subject 1 is 0.5,0,0.5,1, expected left, top, right, bottom"),
        (["--box", "9:0,0,0.5,1"], "a mask for subject 9, but the scene has"),
        (
            ["--self-routing", "1", "--family", "ingredients"],
            "which Ingredients .* does not have. Leave out --self-rou",
        ),
    ],
)
def test_routing_that_cannot_be_is_refused(cache, tmp_path, capsys, options, message):
    assert run("generate", CASE, "--out", tmp_path / "video.mp4", *SMALL, *options) == 2
    assert re.search(message, capsys.readouterr().err)


def test_the_best_of_two_seeds_is_the_video_of_its_seed(cache, tmp_path, capsys):
    path = tmp_path / "best.mp4"
    assert run("generate", CASE, "--out", path, *SMALL, "--seed", "4", "--best-of", "2", "--score-after", "0.5") == 0
    scores = re.findall(r"Seed (\d): score (0\.\d{3}) after 1 of 2 steps, (\w+)\.", capsys.readouterr().out)
    assert [each[0] for each in scores] == ["4", "5"] and sorted(each[2] for each in scores) == ["finished", "stopped"]
    best = max(scores, key=lambda each: float(each[1]))
    assert best[2] == "finished"
    assert run("generate", CASE, "--out", tmp_path / "plain.mp4", *SMALL, "--seed", best[0]) == 0
    assert torch.equal(frames(path), frames(tmp_path / "plain.mp4"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--keep", "2"], "--keep is for --best-of N. Add --best-of 4, or leave it out"),
        (["--score-after", "0.5"], "--score-after is for --best-of N"),
        (["--best-of", "2", "--keep", "3"], "3 videos are to be kept of 2 seeds"),
        (["--best-of", "2", "--batch", "2"], "batch is 2, but best of N makes one video of each seed"),
        (["--best-of", "2", "--family", "ingredients"], "which Ingredients .* does not have. Leave out --best-of"),
    ],
)
def test_best_of_that_cannot_be_is_refused(cache, tmp_path, capsys, options, message):
    path = tmp_path / "best.mp4"
    size = [] if "ingredients" in options else SMALL
    assert run("generate", CASE, "--out", path, *size, *options) == 2
    assert re.search(message, capsys.readouterr().err) and not path.exists()


def test_the_preset_phantom_runs_a_case_without_the_parts(cache, tmp_path, capsys):
    """And the released one is what a case is run with where none is given."""
    options = [*SMALL, "--seed", "4", "--cfg", "3"]
    assert run("generate", CASE, "--out", tmp_path / "phantom.mp4", *options, "--preset", "phantom") == 0
    assert run("generate", CASE, "--out", tmp_path / "released.mp4", *options, "--preset", "released") == 0
    assert run("generate", CASE, "--out", tmp_path / "plain.mp4", *options) == 0
    phantom, released, plain = (frames(tmp_path / f"{name}.mp4") for name in ("phantom", "released", "plain"))
    assert torch.equal(released, plain)
    assert not torch.equal(phantom, released)


def test_a_preset_is_refused_where_it_has_no_meaning(tmp_path, capsys):
    workflow = str(ROOT / "example_workflows" / "Three people, objects, background.json")
    for source, options, message in (
        (CASE, ["--family", "ingredients"], "--preset is for --family lumosx"),
        (workflow, [], "a workflow has it in its LumosX Apply"),
    ):
        assert run("generate", source, "--out", tmp_path / "a.mp4", "--preset", "phantom", *options) == 2
        assert message in capsys.readouterr().err
