"""Opens the multimodal model that the settings name."""

from __future__ import annotations

from lumosx_core.auto_scene.plan.language_model import Ask, VisionLanguageModel
from lumosx_core.errors import LumosXError

from ..required import require_package, require_path
from ..scene_settings import ChatSettings
from .endpoint import EndpointChat


def open_chat(settings: ChatSettings) -> Ask:
    """The model, ready to be asked.

    Raises:
        LumosXError: the settings name no model, or it cannot be loaded.
        MissingPackageError: transformers or openai is not installed.
    """
    if settings.method == "endpoint":
        return EndpointChat(settings).ask
    check_chat(settings)
    model = VisionLanguageModel.load(settings.folder, device=settings.device, max_tokens=settings.max_tokens)
    return model.ask_whole


def check_chat(settings: ChatSettings) -> None:
    """Raise what `open_chat` would of a missing setting, key, folder or package, without loading or asking anything."""
    if settings.method == "endpoint":
        EndpointChat(settings)
        return
    if not settings.folder:
        raise LumosXError(
            "chat.folder is empty: no multimodal model is given. Give the folder of one, such as that of "
            "Qwen2.5-VL-7B-Instruct, or set chat.method = 'endpoint' with chat.base_url and chat.model."
        )
    require_path("chat.folder", settings.folder, "the folder of a multimodal model in Hugging Face's layout")
    require_package("transformers", "chat.method = 'transformers'")
    require_package("torchvision", "chat.method = 'transformers'")
