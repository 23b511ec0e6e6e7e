"""A ComfyUI that is too old says so in one line and goes on; version strings of every kind are understood."""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

VERSIONS = {
    "old": ["0.3.64", "0.7.9", "0.7", "v0.7.3-12-gdeadbee", "0.7.9rc10", None],
    "new": ["0.8.0", "0.8", "0.8.0-rc1", "0.10.0", "1.0", "v1.2.3", "nightly"],
}
# Loads the pack as hosts of these versions do (nodes.py, load_custom_node): by its file, then looks for names.
LOAD = """
import importlib.util, json, logging, sys, types
root, versions, output = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
sys.argv = ["main.py", "--cpu"]
import comfy.options
comfy.options.enable_args_parsing()
import folder_paths, utils.extra_config
lines = []
handler = logging.Handler()
handler.emit = lambda record: lines.append(record.getMessage())
logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
result = []
for i, version in enumerate(versions):
    host = types.ModuleType("comfyui_version")
    if version is not None:
        host.__version__ = version
    sys.modules["comfyui_version"] = host
    del lines[:]
    spec = importlib.util.spec_from_file_location(f"pack{i}", root + "/__init__.py", submodule_search_locations=[root])
    pack = importlib.util.module_from_spec(spec)
    sys.modules[f"pack{i}"] = pack
    spec.loader.exec_module(pack)
    result.append({
        "nodes": getattr(pack, "NODE_CLASS_MAPPINGS", None),
        "entry": callable(getattr(pack, "comfy_entrypoint", None)),
        "loaded": [name for name in sys.modules if name.startswith(f"pack{i}.")],
        "lines": list(lines),
    })
json.dump(result, open(output, "w"))
"""


@pytest.fixture(scope="module")
def hosts(comfyui, tmp_path_factory) -> dict:
    """For each version: what the pack gives a host of it, and the lines that loading it adds to the log."""
    output = tmp_path_factory.mktemp("hosts") / "result.json"
    versions = VERSIONS["old"] + VERSIONS["new"]
    process = subprocess.run(
        [comfyui.python, "-c", LOAD, str(ROOT), json.dumps(versions), str(output)],
        cwd=comfyui.path,
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.returncode == 0, process.stderr[-4000:]
    return dict(zip(versions, json.loads(output.read_text()), strict=True))


@pytest.mark.parametrize("version", VERSIONS["old"])
def test_an_old_host_gets_one_clear_line_and_no_nodes(hosts, version):
    """An old host shows a traceback for an error, and a misleading line for a pack without NODE_CLASS_MAPPINGS."""
    found = hosts[version]
    assert (found["nodes"], found["entry"], found["loaded"]) == ({}, False, [])
    (line,) = found["lines"]
    assert line.startswith("LumosX needs ComfyUI 0.8.0 or newer, but this is ")
    assert (version or "of unknown version") in line
    assert "Update ComfyUI, then restart it" in line


@pytest.mark.parametrize("version", VERSIONS["new"])
def test_a_new_host_gets_the_nodes_and_no_line(hosts, version):
    found = hosts[version]
    assert found["nodes"] is None and found["entry"]
    assert any(name.endswith(".nodes.scene_to_video") for name in found["loaded"])
    assert not [line for line in found["lines"] if "LumosX" in line]
