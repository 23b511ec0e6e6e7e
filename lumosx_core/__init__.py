"""LumosX without ComfyUI: scene, layout, relational attention and the video transformer.

A scene becomes a layout, and the layout shapes attention; see the modules in that order: scene, layout, r2pe, csam,
mcam, relations, block, model.
"""

from .errors import LumosXError, MissingPackageError
from .models.ingredients.config import IngredientsConfig
from .models.ingredients.model import IngredientsModel
from .models.lumosx.config import LumosXConfig, RelationalOptions
from .models.lumosx.model import LumosXModel
from .scene.encoded import EncodedScene
from .scene.layout import ReferenceLayout
from .scene.scene import Reference, Scene, Subject
from .scene.subject_file import read_subject, write_subject
from .version import __version__

__all__ = [
    "EncodedScene",
    "IngredientsConfig",
    "IngredientsModel",
    "LumosXConfig",
    "LumosXError",
    "LumosXModel",
    "MissingPackageError",
    "Reference",
    "ReferenceLayout",
    "RelationalOptions",
    "Scene",
    "Subject",
    "__version__",
    "read_subject",
    "write_subject",
]
