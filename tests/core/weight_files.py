"""Weight files for the tests of bad input, a malicious one among them."""

import os
from pathlib import Path

import torch
from safetensors.torch import save_file


def write(path: Path, content) -> Path:
    """Write raw bytes, or tensors in the format that the name says; returns the path."""
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif path.suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path)
    return path


class Code:
    """Unpickling it would make a folder."""

    def __init__(self, probe):
        self.probe = probe

    def __reduce__(self):
        return os.mkdir, (str(self.probe),)
