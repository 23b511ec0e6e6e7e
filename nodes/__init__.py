"""The nodes, in the order of the artist's work: load, read photos, describe the scene, turn it into a video, sample,
look inside, and score; first those of LumosX, then those of Ingredients (CogVideoX).
"""

from comfy_api.latest import ComfyExtension, io

from .attention import LumosXAttentionMap, LumosXRecordAttention
from .auto_scene import LumosXAutoScene
from .core_tools import LumosXCoreTools
from .evaluation.best_of import LumosXBestOf
from .evaluation.score import LumosXScoreVideo
from .example_picture import LumosXExamplePicture
from .faces import LumosXFaces
from .ingredients.faces import IngredientsFaces
from .ingredients.load import IngredientsLoadModel, IngredientsLoadTextEncoder, IngredientsLoadVAE
from .ingredients.router import IngredientsRecordRouter, IngredientsRouterMap
from .ingredients.sampling import IngredientsSampler, IngredientsSigmas
from .ingredients.to_video import IngredientsToVideo
from .load import LumosXApply, LumosXLoadModel, LumosXLoadTextEncoder, LumosXLoadVAE
from .load_image import LumosXLoadImage
from .other_models import LumosXSceneForOtherModels
from .page.full_memory import explains_full_memory
from .preview import LumosXPreviewScene
from .sampling import LumosXSampler, LumosXSigmas
from .saved_scene import LumosXLoadSubject, LumosXSaveScene, LumosXSaveSubject
from .scene import LumosXScene, LumosXSceneFromFolder, LumosXSubject
from .scene_to_video import LumosXSceneToVideo
from .segment import LumosXSegment
from .self_routing import LumosXSelfRouting


class LumosXExtension(ComfyExtension):
    """The nodes of the pack, as ComfyUI asks for them."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        nodes: list[type[io.ComfyNode]] = [
            LumosXLoadModel,
            LumosXLoadTextEncoder,
            LumosXLoadVAE,
            LumosXApply,
            LumosXLoadImage,
            LumosXExamplePicture,
            LumosXFaces,
            LumosXSegment,
            LumosXCoreTools,
            LumosXAutoScene,
            LumosXSubject,
            LumosXScene,
            LumosXSceneFromFolder,
            LumosXSaveSubject,
            LumosXLoadSubject,
            LumosXSaveScene,
            LumosXPreviewScene,
            LumosXSceneToVideo,
            LumosXSceneForOtherModels,
            LumosXSampler,
            LumosXSigmas,
            LumosXBestOf,
            LumosXSelfRouting,
            LumosXRecordAttention,
            LumosXAttentionMap,
            LumosXScoreVideo,
            IngredientsLoadModel,
            IngredientsLoadTextEncoder,
            IngredientsLoadVAE,
            IngredientsFaces,
            IngredientsToVideo,
            IngredientsSampler,
            IngredientsSigmas,
            IngredientsRecordRouter,
            IngredientsRouterMap,
        ]
        return [explains_full_memory(node) for node in nodes]


async def comfy_entrypoint() -> LumosXExtension:
    """Called by ComfyUI when it loads the pack."""
    return LumosXExtension()
