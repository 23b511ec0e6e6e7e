"""A real ComfyUI with this pack: as a server, and as a Python process that runs a script."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

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


@dataclass
class Failure(Exception):
    """A prompt that ComfyUI refused or could not finish, with its message."""

    message: str


class Server:
    """A running ComfyUI."""

    def __init__(self, address: str, directory: Path, log: Path):
        self.address, self.directory, self.log = address, directory, log

    def get(self, path: str):
        with urllib.request.urlopen(f"{self.address}{path}", timeout=30) as response:
            return json.load(response)

    def post(self, path: str, content: dict) -> dict:
        body = json.dumps(content).encode()
        request = urllib.request.Request(f"{self.address}{path}", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return json.loads(response.read() or "{}")
        except urllib.error.HTTPError as error:
            raise Failure(error.read().decode()) from None

    def queue(self, graph: dict) -> str:
        return self.post("/prompt", {"prompt": graph})["prompt_id"]

    def wait(self, prompt_id: str, timeout: float = 240) -> dict[str, dict]:
        """The outputs of each node, or Failure."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            history = self.get(f"/history/{prompt_id}").get(prompt_id)
            if history and history["status"]["completed"]:
                return history["outputs"]
            if history and history["status"]["status_str"] == "error":
                kind, details = history["status"]["messages"][-1]
                raise Failure(details.get("exception_message", kind))
            time.sleep(0.1)
        raise Failure(f"not finished after {timeout} s")

    def run(self, graph: dict) -> dict[str, dict]:
        return self.wait(self.queue(graph))

    def saved(self, outputs: dict, node: str) -> list[Path]:
        """The files a saving node wrote."""
        files = [file for kind in outputs[node].values() for file in kind if isinstance(file, dict)]
        return [self.directory / file["type"] / file["subfolder"] / file["filename"] for file in files]


@pytest.fixture(scope="session")
def server(comfyui, tiny_models, shared_cases, tmp_path_factory):
    """ComfyUI 0.8.0 on the CPU with this pack, the tiny preset, and photographs in its input folder."""
    directory = tmp_path_factory.mktemp("comfyui")
    for name in ("custom_nodes", "output", "temp", "user", "models/loras"):
        (directory / name).mkdir(parents=True)
    (directory / "custom_nodes" / "ComfyUI-LumosX").symlink_to(ROOT)
    shutil.copytree(tiny_models, directory / "models", dirs_exist_ok=True)
    shutil.copytree(shared_cases, directory / "input")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = directory / "server.log"
    command = [comfyui.python, "main.py", "--cpu", "--listen", "127.0.0.1", "--port", port]
    command += ["--base-directory", directory, "--disable-auto-launch", "--disable-api-nodes"]
    command += ["--database-url", "sqlite:///:memory:", "--use-pytorch-cross-attention"]
    with log.open("w") as output:
        process = subprocess.Popen(
            list(map(str, command)),
            cwd=comfyui.path,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    server = Server(f"http://127.0.0.1:{port}", directory, log)
    try:
        end = time.monotonic() + 120
        while True:
            try:
                server.get("/system_stats")
                break
            except (urllib.error.URLError, ConnectionError):
                if process.poll() is not None or time.monotonic() > end:
                    pytest.fail(f"ComfyUI did not start:\n{log.read_text()[-4000:]}")
                time.sleep(0.2)
        yield server
    finally:
        process.terminate()
        process.wait(30)
