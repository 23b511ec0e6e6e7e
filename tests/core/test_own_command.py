"""Commands in messages run as they stand: with this Python, from any folder, with nothing installed."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lumosx_core.commands import main as cli
from lumosx_core.errors import MissingPackageError
from lumosx_core.files.hub import need_packages
from lumosx_core.models.lumosx.weights.missing import missing_weights
from lumosx_core.own_command import own_command

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("isolated", [False, True])
def test_the_command_runs_in_a_shell_from_another_folder_with_spaces_everywhere(tmp_path, isolated):
    pack = tmp_path / "custom nodes" / "it's LumosX"
    pack.mkdir(parents=True)
    (pack / "lumosx_core").symlink_to(ROOT / "lumosx_core")
    command = own_command("tiny", tmp_path / "my models", folder=pack, isolated=isolated)
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "my models" / "vae" / "lumosx-tiny-vae.safetensors").is_file()
    shutil.rmtree(tmp_path / "my models")


def test_on_windows_it_is_quoted_for_the_command_prompt():
    options = {"python": r"C:\My Comfy\venv\python.exe", "folder": r"C:\My Comfy\custom_nodes\lumosx", "windows": True}
    assert own_command("download", "--comfyui", r"C:\My Comfy", isolated=False, **options) == (
        r'cd /d "C:\My Comfy\custom_nodes\lumosx" && "C:\My Comfy\venv\python.exe" -m lumosx_core download '
        r'--comfyui "C:\My Comfy"'
    )
    assert own_command("download", isolated=True, **options) == (
        r'"C:\My Comfy\venv\python.exe" "C:\My Comfy\custom_nodes\lumosx\lumosx_core" download'
    )


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("lumosx_bf16.safetensors", ""),
        ("lumosx_fp8_e4m3fn.safetensors", " --dtype fp8_e4m3fn"),
        ("wan/umt5_xxl_fp16.safetensors", " --text-encoder fp16"),
        ("my own.safetensors", ""),
    ],
)
def test_a_missing_file_names_the_command_that_fetches_it(tmp_path, name, options):
    message = str(missing_weights(name, "diffusion_models", tmp_path / "Comfy UI"))
    assert message.startswith(f"{name} is not in models/diffusion_models. ")
    assert message.endswith(f"{sys.executable} -m lumosx_core download --comfyui '{tmp_path / 'Comfy UI'}'{options}")


def test_packages_are_asked_for_before_anything_is_fetched(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    from lumosx_core.models.lumosx.weights import download

    monkeypatch.setattr(download, "list_files", lambda repository: pytest.fail("it asked the hub"))
    with pytest.raises(MissingPackageError, match="'tqdm'.*-m pip install"):
        download.download(ROOT)
    with pytest.raises(MissingPackageError, match="absent-package"):
        need_packages("This", "safetensors", "absent-package")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 reads no TOML")
def test_commands_of_training_are_there_in_a_folder_that_is_not_installed(monkeypatch, capsys):
    monkeypatch.setattr(cli, "entry_points", lambda group: [])
    with pytest.raises(SystemExit):
        cli.main(["lora", "merge", "--help"])
    assert "BASE LORA [LORA ...] OUT" in capsys.readouterr().out


def test_training_has_its_installed_name_in_a_checkout_that_is_not_installed():
    program = """
import sys
sys.meta_path[:] = [each for each in sys.meta_path if "editable" not in str(each)]  # as if it were not installed
from lumosx_training import flops
print(flops.__name__, flops.__file__)
"""
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert result.stdout.split() == ["lumosx_training.flops", str(ROOT / "training" / "flops.py")], result.stderr


MENTION = re.compile(r"\blumosx (scene|generate|convert|download|tiny|lora|glyphs|train|cache|check-data|pack)\b")


def test_no_message_names_a_command_that_is_not_installed():
    found = []
    for path in [path for room in ("lumosx_core", "nodes", "training") for path in (ROOT / room).rglob("*.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                found += [f"{path.name}: {mention}" for mention in MENTION.findall(node.value)]
    assert found == []
