"""A real ComfyUI with this pack as a Python process that runs a script; as a server it is in tests/conftest.py."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from comfy_server import ROOT

# Loads the pack the way ComfyUI does, as a module of an arbitrary name, inside a ComfyUI without a server.
PRELUDE = """
import importlib.util, json, sys
root, arguments = sys.argv[1], json.loads(sys.argv[2])
sys.argv = ["main.py", "--cpu", arguments.get("attention", "--use-pytorch-cross-attention")]
import comfy.options
comfy.options.enable_args_parsing()
import torch, utils.extra_config
spec = importlib.util.spec_from_file_location("pack", root + "/__init__.py", submodule_search_locations=[root])
pack = importlib.util.module_from_spec(spec)
sys.modules["pack"] = pack
spec.loader.exec_module(pack)
"""


@pytest.fixture(scope="session")
def run_in_comfyui(comfyui, tmp_path_factory):
    """Run a script inside ComfyUI's Python with the pack loaded as `pack`; what it puts in `result` comes back."""

    def run(script: str, timeout: int = 300, **arguments):
        folder = tmp_path_factory.mktemp("script")
        output = folder / "result.json"
        arguments["output"] = str(output)
        source = PRELUDE + script + "\njson.dump(result, open(arguments['output'], 'w'))\n"
        process = subprocess.run(
            [comfyui.python, "-c", source, str(ROOT), json.dumps(arguments)],
            cwd=comfyui.path,
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, "OMP_NUM_THREADS": "1"},  # faster for tiny models
        )
        assert process.returncode == 0, process.stderr[-4000:]
        return json.loads(output.read_text())

    return run


@pytest.fixture(scope="session")
def ingredients_release(server):
    """A server that has the release of Ingredients (CogVideoX) in miniature, and three images of faces."""
    for package in ("onnx", "diffusers"):
        pytest.importorskip(package)
    from ingredients_graphs import write_faces, write_release

    write_release(server.directory / "models")
    write_faces(server.directory / "input" / "faces")
    return server
