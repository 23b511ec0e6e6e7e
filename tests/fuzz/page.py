"""The page's route without ComfyUI: what it imports of the host is replaced, the rest of the nodes is not loaded."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_PACK = "lumosx_fuzzed_pack"


def route_answer(folder: Path) -> Callable[[bytes], object]:
    """What answers a request, with `folder` as ComfyUI's input folder."""
    if _PACK not in sys.modules:
        server = types.ModuleType("server")
        server.PromptServer = types.SimpleNamespace(instance=None)
        sys.modules.update({"server": server, "folder_paths": types.ModuleType("folder_paths")})
        for name, path in ((_PACK, ROOT), (f"{_PACK}.nodes", ROOT / "nodes")):
            package = types.ModuleType(name)
            package.__path__ = [str(path)]  # its __init__ would load all nodes
            sys.modules[name] = package
    sys.modules["folder_paths"].get_input_directory = lambda: str(folder)
    module = importlib.import_module(f"{_PACK}.nodes.page.prompt_route")

    def answer(body: bytes) -> object:
        try:
            return module.answer(module.read_question(body))
        except Exception as error:
            # The pack has a copy of the core under its own name; its errors are ours.
            if any(kind.__name__ == "LumosXError" for kind in type(error).__mro__):
                from lumosx_core.errors import LumosXError

                raise LumosXError(str(error)) from error
            raise

    return answer
