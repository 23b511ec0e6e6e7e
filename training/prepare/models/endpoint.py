"""A multimodal model behind any server that speaks OpenAI's chat protocol: vLLM, SGLang, llama.cpp, hosted ones.

What can pass is tried again, with a growing wait: time-outs, lost connections, server errors, limits of the rate.
A wrong key, model or address ends the run, since every sample would meet it. Everything else is an error of the sample
that was asked about, and says what the server did.
"""

from __future__ import annotations

import base64
import io
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image
from torch import Tensor

from lumosx_core.auto_scene.plan.language_model import LONG_SIDE, Message
from lumosx_core.errors import LumosXError, MissingPackageError, shown
from lumosx_core.media.images import to_pil

from ..scene_settings import ChatSettings
from ..stage import StopRun

_LONGEST_WAIT = 60.0  # seconds, whatever a server asks for
_AGAIN = (408, 409, 425, 429)  # statuses below 500 that may pass
_NEVER = (401, 404, 405)  # a wrong key, model or address: every other question would meet the same


class EndpointError(LumosXError):
    """The endpoint did not answer a question."""


class EndpointChat:
    """An `Ask` that sends images as data URLs.

    Args:
        settings: of the endpoint.
        sleep: waits so many seconds; a test need not.

    Raises:
        LumosXError: no address or model, or no key in the environment.
        MissingPackageError: openai is not installed.
    """

    def __init__(self, settings: ChatSettings, *, sleep: Callable[[float], None] = time.sleep):
        for name in ("base_url", "model"):
            if not getattr(settings, name):
                raise LumosXError(
                    f"chat.{name} is empty, but chat.method is 'endpoint'. Give it, such as base_url = "
                    f"'http://localhost:8000/v1' and model = 'Qwen/Qwen2.5-VL-7B-Instruct'."
                )
        key = os.environ.get(settings.key_variable, "")
        if not key:
            raise LumosXError(
                f"The environment variable {shown(settings.key_variable, 60)!r}, which chat.key_variable names, is not "
                f"set. Set it to the endpoint's key; a local server takes any text."
            )
        try:
            import openai
        except ImportError as error:
            raise MissingPackageError("openai", "Asking a model behind an endpoint", error) from error
        self._errors: Any = openai
        self._settings = settings
        self._sleep = sleep
        self._client: Any = openai.OpenAI(
            base_url=settings.base_url, api_key=key, timeout=settings.timeout_seconds, max_retries=0
        )

    def ask(self, images: Sequence[Tensor], messages: Sequence[Message]) -> str:
        """The model's answer; the images come before the first message, each reduced to 1024 pixels.

        Raises:
            StopRun: the key, the model or the address is wrong.
            EndpointError: the endpoint refuses, cannot be reached or fails in all tries, or answers something that is
                not a whole answer.
        """
        chat: list[dict[str, Any]] = [{"role": each["role"], "content": each["content"]} for each in messages]
        shown_images = [{"type": "image_url", "image_url": {"url": data_url(image)}} for image in images]
        chat[0]["content"] = [*shown_images, {"type": "text", "text": chat[0]["content"]}]
        tries = self._settings.retries + 1
        for number in range(1, tries + 1):
            try:
                return self._whole_answer(self._request(chat))
            except _MayPass as error:
                if number == tries:
                    raise EndpointError(
                        f"The endpoint {self._settings.base_url} did not answer in {tries} "
                        f"{'try' if tries == 1 else 'tries'}: {error} Check the server, raise chat.timeout_seconds or "
                        f"chat.retries, and run the command again with --retry-failed."
                    ) from error
                wait = max(self._settings.wait_seconds * 2 ** (number - 1), error.wait)
                self._sleep(min(wait, _LONGEST_WAIT))
        raise AssertionError("unreachable: the last try returns or raises")

    def _request(self, chat: list[dict[str, Any]]) -> Any:
        errors, settings = self._errors, self._settings
        try:
            return self._client.chat.completions.create(
                model=settings.model, messages=chat, max_tokens=settings.max_tokens, temperature=0.0
            )
        except errors.APITimeoutError as error:
            raise _MayPass(f"no answer within {settings.timeout_seconds:g} seconds.") from error
        except errors.APIConnectionError as error:
            raise _MayPass(f"it cannot be reached ({shown(error.__cause__ or error, 200)}).") from error
        except errors.APIStatusError as error:
            text = f"status {error.status_code}: {shown(error, 300)}"
            if error.status_code in _NEVER:
                raise StopRun(
                    f"The endpoint {settings.base_url} answers {text}. Check the key in the environment variable "
                    f"{settings.key_variable}, chat.base_url and chat.model ({settings.model!r}), and run the command "
                    f"again: it goes on from here."
                ) from error
            if error.status_code >= 500 or error.status_code in _AGAIN:
                raise _MayPass(f"{text}.", _seconds(error.response.headers.get("retry-after"))) from error
            raise EndpointError(
                f"The endpoint {settings.base_url} refuses the question, {text}. Check whether {settings.model!r} "
                f"takes images, and so many."
            ) from error
        except (errors.OpenAIError, ValueError, TypeError, RecursionError) as error:  # not JSON, or of another form
            raise _MayPass(f"its answer is not of the chat protocol ({shown(error, 200)}).") from error

    def _whole_answer(self, completion: Any) -> str:
        """The text of a completion; its fields are whatever the server sent."""
        choices: Any = getattr(completion, "choices", None)
        message = getattr(choices[0], "message", None) if isinstance(choices, list) and choices else None
        if message is None:
            raise _MayPass(f"its answer is not of the chat protocol ({shown(completion, 200)}).")
        if refusal := getattr(message, "refusal", None):
            raise EndpointError(f"The model refuses to answer: {shown(refusal, 300)} Ask another one.")
        reason = getattr(choices[0], "finish_reason", None)
        if reason == "length":
            raise EndpointError(
                f"The model's answer ends after chat.max_tokens ({self._settings.max_tokens}) tokens: "
                f'"{shown(message.content or "", 200)}" Raise it.'
            )
        if reason == "content_filter":
            raise EndpointError("The endpoint's filter removed the answer. Leave out the clip, or ask another model.")
        if not isinstance(message.content, str):
            raise _MayPass("its answer has no text.")
        return message.content


class _MayPass(Exception):
    """An error after which the same request may succeed.

    Args:
        wait: seconds that the server asks to wait.
    """

    def __init__(self, text: str, wait: float = 0.0):
        super().__init__(text)
        self.wait = wait


def data_url(image: Tensor) -> str:
    """An (H, W, 3) image of 0..1 as a data URL: JPEG, its long side at most 1024 pixels."""
    page = to_pil(image)
    page.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    page.save(file, format="JPEG", quality=92)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _seconds(header: str | None) -> float:
    try:
        return max(0.0, float(header or 0))
    except ValueError:  # a date: the growing wait has to do
        return 0.0
