"""Full memory of the computer is one sentence on the node that needed it."""

from __future__ import annotations

SCRIPT = """
import asyncio
from pack.nodes.page import full_memory

import pack.nodes as ours
nodes = {node.__name__: node for node in asyncio.run(ours.LumosXExtension().get_node_list())}
from comfy_api.latest import io

FAILURES = {
    "torch": RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4000000000000 bytes."),
    "python": MemoryError(),
    "gpu": torch.OutOfMemoryError("CUDA out of memory."),
    "other": TypeError("no"),
}

def outcome(failure):
    class Node(io.ComfyNode):
        @classmethod
        def execute(cls, value):
            raise failure
    try:
        full_memory.explains_full_memory(Node).execute(value=1)
    except Exception as error:
        return [type(error).__name__, str(error)]

result = {name: outcome(failure) for name, failure in FAILURES.items()}
result["wrapped"] = [name for name, node in nodes.items() if not hasattr(node.execute, "__wrapped__")]
result["sigmas"] = len(nodes["LumosXSigmas"].execute(steps=4, shift=8.0).args[0])
"""


def test_full_memory_of_the_computer_is_explained_and_that_of_the_gpu_left_to_comfyui(run_in_comfyui):
    result = run_in_comfyui(SCRIPT)
    for name in ("torch", "python"):
        kind, message = result[name]
        assert kind == "OutOfMemory" and message.startswith("The memory of the computer is full")
        assert "\n" not in message and "smaller batch_size" in message
    assert result["gpu"][0] == "OutOfMemoryError" and result["other"] == ["TypeError", "no"]
    assert result["wrapped"] == [] and result["sigmas"] == 5
