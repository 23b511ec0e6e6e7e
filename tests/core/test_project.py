"""The rules of the house that a reviewer would otherwise have to remember (see CONTRIBUTING.md)."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import lumosx_core

ROOT = Path(__file__).resolve().parent.parent.parent
ROOMS = ("lumosx_core", "nodes", "training", "evaluation", "benchmarks")
INSTALLED_AS = {"lumosx_core", "lumosx_training"}  # training/ is installed as lumosx_training
SHIPPED = ("lumosx_core", "nodes", "__init__.py")  # what runs inside somebody's ComfyUI

EVERYWHERE = {"torch", "einops", "safetensors", "PIL", "numpy"}
COMFYUI = {
    *("comfy", "comfy_api", "comfy_execution", "comfy_extras", "comfyui_version", "folder_paths", "latent_preview"),
    *("node_helpers", "nodes", "server"),
}
ON_DEMAND = (
    *("accelerate", "av", "diffusers", "ftfy", "huggingface_hub", "insightface", "onnxruntime", "peft", "scipy"),
    *("segment_anything", "sentencepiece", "torchvision", "tqdm", "transformers"),
)


@dataclass(frozen=True)
class Import:
    """One imported module; `inside` a function it is loaded only when that function runs."""

    where: str
    module: str
    relative: bool
    inside: bool

    @property
    def package(self) -> str:
        return self.module.split(".")[0]


def sources(*rooms: str) -> Iterator[Path]:
    for room in rooms:
        path = ROOT / room
        yield from (p for p in ([path] if path.is_file() else sorted(path.rglob("*.py"))))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> Iterator[Import]:
    """Every import of a file. Relative ones are resolved from the repository root, those for type checkers left out."""

    def walk(node: ast.AST, inside: bool) -> Iterator[Import]:
        where = f"{name(path)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            yield from (Import(where, alias.name, False, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = path.relative_to(ROOT).with_suffix("").parts[: -node.level] if node.level else ()
            module = ".".join((*above, *filter(None, [node.module])))
            targets = [f"{module}.{alias.name}".lstrip(".") for alias in node.names]  # a module or a name in one
            yield from (Import(where, target, node.level > 0, inside) for target in targets)
        inside = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, inside)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), False)


def all_imports(*rooms: str) -> list[Import]:
    return [found for path in sources(*rooms) for found in imports(path)]


def third_party(found: Import) -> bool:
    return not found.relative and found.package not in sys.stdlib_module_names


def test_the_core_imports_no_other_room_and_nothing_of_comfyui():
    forbidden = (COMFYUI | set(ROOMS) | INSTALLED_AS) - {"lumosx_core"}
    assert [found for found in all_imports("lumosx_core") if found.package in forbidden] == []


def test_the_nodes_import_the_core_and_no_other_room():
    others = (set(ROOMS) | INSTALLED_AS) - {"lumosx_core", "nodes"}
    assert [found for found in all_imports("nodes", "__init__.py") if found.package in others] == []


def test_imports_inside_the_pack_are_relative():
    """ComfyUI loads the folder under any name, so an absolute import finds nothing, or another copy."""
    own = INSTALLED_AS | {"training", "evaluation", "benchmarks"}
    assert [found for found in all_imports(*SHIPPED) if found.package in own and not found.relative] == []


def test_training_imports_itself_relatively_and_the_core_by_name():
    """It has another name when it is installed than its folder has."""
    own = INSTALLED_AS | set(ROOMS)
    found = [each for each in all_imports("training") if each.package in own]
    assert [each for each in found if each.relative != (each.package == "training")] == []


def test_the_core_loads_optional_packages_only_where_they_are_needed():
    loaded = [found for found in all_imports("lumosx_core") if third_party(found) and not found.inside]
    assert [found for found in loaded if found.package not in EVERYWHERE] == []


def test_the_nodes_load_optional_packages_only_where_they_are_needed():
    loaded = [found for found in all_imports("nodes", "__init__.py") if third_party(found) and not found.inside]
    assert [found for found in loaded if found.package not in EVERYWHERE | COMFYUI | {"tqdm"}] == []


DOWNLOADERS = (r"models\.lumosx\.download", r"files\.hub", r"auto_scene\.networks\.fetch")


def test_the_nodes_download_nothing_and_start_no_program():
    """The registry flags packs that do."""
    forbidden = {"huggingface_hub", "pip", "requests", "socket", "subprocess", "urllib"}
    found = all_imports("nodes", "__init__.py")
    assert [
        f for f in found if f.package in forbidden or re.match(rf"lumosx_core\.({'|'.join(DOWNLOADERS)})\b", f.module)
    ] == []


def test_every_module_of_the_core_imports_without_the_optional_packages():
    program = f"""
import importlib, pkgutil, sys
for package in {ON_DEMAND}:
    sys.modules[package] = None  # any import of it now fails
sys.path.insert(0, {str(ROOT)!r})
import lumosx_core
for module in pkgutil.walk_packages(lumosx_core.__path__, "lumosx_core."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield f"{name(path)}:{node.lineno}", node


@pytest.mark.parametrize("builtin", ["eval", "exec", "compile", "__import__"])
def test_shipped_code_never_runs_text_as_code(builtin):
    found = [where for path in sources(*SHIPPED) for where, call in calls(path) if ast.unparse(call.func) == builtin]
    assert found == []


def test_shipped_code_never_calls_cuda_by_name():
    """Devices are ComfyUI's to manage, and not every user has that one."""
    called = [(where, call.func) for path in sources(*SHIPPED) for where, call in calls(path)]
    assert [where for where, func in called if isinstance(func, ast.Attribute) and func.attr == "cuda"] == []


def test_shipped_code_unpickles_nothing_but_weights():
    called = [(where, call) for path in sources(*SHIPPED) for where, call in calls(path)]
    found = [
        where
        for where, call in called
        if ast.unparse(call.func) in ("pickle.load", "pickle.loads")
        or (ast.unparse(call.func) == "torch.load" and "weights_only=True" not in map(ast.unparse, call.keywords))
    ]
    assert found == []


def test_a_file_fits_in_a_sitting():
    lengths = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in sources(*ROOMS)}
    assert {file: lines for file, lines in lengths.items() if lines > 400} == {}


def requirements() -> list[str]:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return sorted(line.strip() for line in lines if line.strip() and not line.startswith("#"))


def test_requirements_leave_the_users_torch_alone():
    """No torch, nothing that brings its own copy of it or of OpenCV, no pin that could downgrade a package."""
    assert all(re.fullmatch(r"[a-z0-9-]+", line) for line in requirements())
    assert not {"torch", "torchvision", "torchaudio", "xformers", "accelerate"} & set(requirements())
    assert not [line for line in requirements() if "opencv" in line]


def test_the_registry_reads_the_same_requirements_as_pip():
    text = (ROOT / "pyproject.toml").read_text()
    dependencies = re.search(r"^dependencies = (\[.*?\])", text, re.MULTILINE | re.DOTALL).group(1)
    assert sorted(ast.literal_eval(dependencies)) == requirements()


def test_what_only_developers_need_is_not_sent_to_the_registry():
    ignored = (ROOT / ".comfyignore").read_text().split()
    assert {"tests/", "training/", "benchmarks/", "evaluation/"} <= set(ignored)
    # The example workflows show these.
    assert not {"examples/", "example_workflows/", "web/", "locales/", "lumosx_core/"} & set(ignored)


def test_the_version_is_that_of_the_registry():
    assert f'\nname = "lumosx"\nversion = "{lumosx_core.__version__}"\n' in (ROOT / "pyproject.toml").read_text()
