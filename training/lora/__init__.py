"""LoRA, from a model's layers to files and back.

`layers.py` puts LoRA layers into a model. `read.py` reads files of any program: `names.py` knows what tensors are
called, `scaling.py` where alpha is written, `kinds.py` what a change is; `files.py` writes one format. What
`lumosx lora` does with files:
`merge.py` adds one to a model, `extract.py` takes one out of two models, `export.py` writes another format.
"""

from .layers import LoraSettings, add_lora, load_lora, lora_state_dict, save_lora

__all__ = ["LoraSettings", "add_lora", "load_lora", "lora_state_dict", "save_lora"]
