"""The command line of the training room: `lumosx train | cache | check-data | pack | export | prepare | lora | glyphs`.

The core's command line finds these functions through the entry-point group `lumosx.commands` (pyproject.toml). Each
adds one command; heavy imports are in the functions that the commands run.
"""

from .cache import add_cache
from .check_data import add_check_data
from .export import add_export
from .glyphs import add_glyphs
from .lora import add_lora
from .pack import add_pack
from .prepare import add_prepare
from .train import add_train

__all__ = [
    "add_cache",
    "add_check_data",
    "add_export",
    "add_glyphs",
    "add_lora",
    "add_pack",
    "add_prepare",
    "add_train",
]
