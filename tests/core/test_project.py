"""The rules of the house that a reviewer would otherwise have to remember (see CONTRIBUTING.md)."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter, defaultdict
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
    *("segment_anything", "sentencepiece", "timm", "torchvision", "tqdm", "transformers"),
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


# The rooms of the core, lowest floor first: a room imports from the floors below its own only.
FLOORS = (
    {"errors", "own_command", "shipped", "version"},
    {"files", "sampling"},
    {"media"},
    {"scene"},
    {"prompt"},
    {"drawing", "models"},
    {"attention_map", "auto_scene", "bridges"},
    {"evaluation"},
    {"workflow"},
    {"commands"},
)
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
BASES = {
    "lumosx": {"wan"},
    "wan": {"t5"},
    "cogvideox": {"t5"},
    "ingredients": {"cogvideox"},
}  # the model families that a family is built on
MOST_MODULES = 12  # of a room, beside __init__
LARGER_ROOMS = {"lumosx_core/models/lumosx": 14}  # one network with its weight files: a family stays in one room


def room_of(module: str) -> str:
    """The room of a file or module of the core: its folder below lumosx_core, or the module itself if it has none."""
    return ([*re.split(r"[./:]", module), ""])[1]


def test_every_room_of_the_core_has_a_floor():
    rooms = {room_of(name(path)) for path in sources("lumosx_core")} - {"__init__", "__main__"}
    assert rooms - FLOOR_OF.keys() == set()


def test_rooms_of_the_core_import_from_lower_floors_only():
    upwards = []
    for each in all_imports("lumosx_core"):
        own, other = room_of(each.where), room_of(each.module)
        if each.package != "lumosx_core" or own not in FLOOR_OF or other not in FLOOR_OF or own == other:
            continue
        # The modules of the lowest floor are no rooms: they may import each other.
        if FLOOR_OF[other] > FLOOR_OF[own] or FLOOR_OF[other] == FLOOR_OF[own] > 0:
            upwards.append(each)
    assert upwards == []


def test_a_model_family_imports_no_other_family_but_its_base():
    families = {path.name for path in (ROOT / "lumosx_core" / "models").iterdir() if (path / "__init__.py").is_file()}
    foreign = []
    for each in all_imports("lumosx_core/models"):
        own, other = each.where.split("/")[2], ([*each.module.split("."), "", ""])[2]
        in_models = each.module.startswith("lumosx_core.models.")
        if in_models and own in families and other in families - {own} - BASES.get(own, set()):
            foreign.append(each)
    assert families and foreign == []


def test_training_stands_on_the_core_and_its_data_know_no_glyph_world():
    assert [each for each in all_imports("training") if each.package == "nodes"] == []
    glyphs = r"(training|lumosx_training)\.glyph_world"
    assert [each for each in all_imports("training/data") if re.match(rf"{glyphs}\b", each.module)] == []


def test_no_room_of_the_core_has_too_many_modules():
    counts = Counter(path.parent for path in sources("lumosx_core") if path.stem != "__init__")
    assert {
        name(room): count for room, count in counts.items() if count > LARGER_ROOMS.get(name(room), MOST_MODULES)
    } == {}


def test_no_module_of_the_core_has_the_name_of_another():
    places = defaultdict(list)
    for path in sources("lumosx_core"):
        room = name(path.parent)
        # A command's module has the name of the command, and the parts of a model have the same names in each family.
        if room != "lumosx_core/commands" and path.stem not in ("__init__", "__main__"):
            key = "family" if re.match(r"lumosx_core/models/\w+", room) else "core"
            places[(key, room if key == "family" else "", path.stem)].append(name(path))
    own_names = {stem for key, _, stem in places if key == "core"}
    twice = [
        paths for (key, _, stem), paths in places.items() if len(paths) > 1 or (key == "family" and stem in own_names)
    ]
    assert twice == []


def test_the_core_loads_optional_packages_only_where_they_are_needed():
    loaded = [found for found in all_imports("lumosx_core") if third_party(found) and not found.inside]
    assert [found for found in loaded if found.package not in EVERYWHERE] == []


def test_the_nodes_load_optional_packages_only_where_they_are_needed():
    loaded = [found for found in all_imports("nodes", "__init__.py") if third_party(found) and not found.inside]
    assert [found for found in loaded if found.package not in EVERYWHERE | COMFYUI | {"tqdm"}] == []


WITHOUT_MODELS = ("files", "media", "scene", "prompt", "sampling", "drawing", "attention_map")
DOWNLOADERS = (r"models\.\w+\.weights\.download", r"files\.hub", r"auto_scene\.networks\.fetch")


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
    assert {"/tests/", "/training/", "/benchmarks/"} <= set(ignored)
    # Without the slash in front a pattern means a name at any depth, such as that of a room of the core.
    assert [pattern for pattern in ignored if not pattern.startswith("/")] == []
    # The example workflows show these.
    assert not {"/examples/", "/example_workflows/", "/web/", "/locales/", "/lumosx_core/", "/nodes/"} & set(ignored)


def test_the_version_is_that_of_the_registry():
    assert f'\nname = "lumosx"\nversion = "{lumosx_core.__version__}"\n' in (ROOT / "pyproject.toml").read_text()


def test_no_room_without_a_model_spells_out_the_facts_of_one():
    """What is true of Wan2.1 or LumosX comes from its ModelSpec: sizes, frames a second, text length, steps, shift."""
    from lumosx_core.models.lumosx.spec import SPEC

    facts = {SPEC.width, SPEC.height, SPEC.frames, SPEC.text_len}
    defaults = {"fps": SPEC.frames_per_second, "steps": SPEC.steps, "shift": SPEC.shift, "cfg": SPEC.cfg}
    found = []
    for path in sources(*(f"lumosx_core/{room}" for room in WITHOUT_MODELS)):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found += [
            f"{name(path)}:{node.lineno}: {node.value}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and type(node.value) is int and node.value in facts
        ]
        for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
            arguments = function.args.args[-len(function.args.defaults) :] if function.args.defaults else []
            given = [*zip(arguments, function.args.defaults, strict=True)]
            given += zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
            found += [
                f"{name(path)}:{function.lineno}: {argument.arg}={value.value}"
                for argument, value in given
                if isinstance(value, ast.Constant) and (argument.arg, value.value) in defaults.items()
            ]
    # The first bytes of a file, by which its format is known, are as many by chance.
    assert [each for each in found if each.split(":")[0] != "lumosx_core/files/read_weights.py"] == []
