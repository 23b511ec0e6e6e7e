"""A running ComfyUI with this pack, for the tests that ask it over HTTP and for those in a browser."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from comfy_hosts import ComfyUI

ROOT = Path(__file__).resolve().parents[1]
STOCK_TINY = "stock-tiny.safetensors"
PACK = "ComfyUI-LumosX"  # the name of the pack's folder among the custom nodes


@dataclass
class Failure(Exception):
    """A prompt that ComfyUI refused or could not finish, with its message."""

    message: str


class Server:
    """A running ComfyUI."""

    def __init__(self, address: str, directory: Path, log: Path):
        self.address, self.directory, self.log = address, directory, log

    @property
    def version(self) -> str:
        return self.get("/system_stats")["system"]["comfyui_version"]

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


@contextmanager
def running(comfyui: ComfyUI, directory: Path) -> Iterator[Server]:
    """Start ComfyUI on the CPU and a free port, with this pack and the base directory `directory`."""
    for name in ("custom_nodes", "output", "temp", "user", "models/loras"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    (directory / "custom_nodes" / PACK).symlink_to(ROOT)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = directory / "server.log"
    command = [comfyui.python, "main.py", "--cpu", "--listen", "127.0.0.1", "--port", port]
    command += ["--base-directory", directory, "--disable-auto-launch", "--disable-api-nodes"]
    command += ["--database-url", "sqlite:///:memory:", "--use-pytorch-cross-attention"]
    if comfyui.front_end:
        command += ["--front-end-root", comfyui.front_end]
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


@contextmanager
def serving(comfyui: ComfyUI, cases: Path, directory: Path) -> Iterator[Server]:
    """ComfyUI on the CPU with this pack, photographs in its input folder, and no models but the pack's own.

    lumosx-tiny's network is in the models folder under another name, too: ComfyUI's own loaders list it there only.
    """
    for folder in ("diffusion_models", "vae", "text_encoders"):
        (directory / "models" / folder).mkdir(parents=True)
    tiny = ROOT / "lumosx_core" / "models" / "lumosx" / "lumosx_tiny" / "diffusion_models" / "lumosx-tiny.safetensors"
    shutil.copy(tiny, directory / "models" / "diffusion_models" / STOCK_TINY)
    shutil.copytree(cases, directory / "input")
    with running(comfyui, directory) as server:
        yield server
