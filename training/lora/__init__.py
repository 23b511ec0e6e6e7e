"""LoRA, from a model's layers to files and back.

`layers.py` puts LoRA layers into a model, `files.py` reads and writes them. What `lumosx lora` does with files:
`merge.py` adds one to a model, `extract.py` takes one out of two models, `export.py` writes another format.
"""

from .layers import LoraSettings, add_lora, load_lora, lora_state_dict, save_lora

__all__ = ["LoraSettings", "add_lora", "load_lora", "lora_state_dict", "save_lora"]
