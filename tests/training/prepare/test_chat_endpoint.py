"""Models behind an endpoint: what is sent, and what becomes of servers that fail in every way."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("openai", reason="openai is not installed")

from glyph_endpoint import serving

from lumosx_core.errors import LumosXError
from lumosx_training.prepare.models.chat import open_chat
from lumosx_training.prepare.models.endpoint import EndpointChat, EndpointError
from lumosx_training.prepare.scene_settings import ChatSettings
from lumosx_training.prepare.stage import StopRun

QUESTION = [{"role": "user", "content": "Who is there?"}]
IMAGE = torch.zeros(40, 60, 3)
IMAGE[..., 1] = 1


class Model:
    """Misbehaves once for each entry, then answers; remembers its requests."""

    def __init__(self, *wrong: str):
        self.wrong = list(wrong)
        self.seen: list[tuple] = []

    def answer(self, images, text):
        self.seen.append((images, text))
        return '{"a": "man"}', self.wrong.pop(0) if self.wrong else ""


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("LUMOSX_TEST_KEY", "secret")


def asked(model: Model, images=(IMAGE,), stall=2.2, **settings):
    waits: list[float] = []
    with serving(model, stall=stall) as url:
        given = {"base_url": url, "model": "glyphs", "key_variable": "LUMOSX_TEST_KEY", "timeout_seconds": 20.0}
        chat = EndpointChat(ChatSettings(method="endpoint", **{**given, **settings}), sleep=waits.append)
        return chat.ask(images, QUESTION), waits


def test_images_come_before_the_question_and_the_answer_is_the_text():
    model = Model()
    answer, waits = asked(model, [IMAGE, 1 - IMAGE])
    assert answer == '{"a": "man"}' and waits == []
    ((images, text),) = model.seen
    assert text == "Who is there?"
    assert [image.size for image in images] == [(60, 40)] * 2
    assert images[0].getpixel((30, 20))[1] > 240 and images[1].getpixel((30, 20))[1] < 15


@pytest.mark.parametrize("wrong", ["error", "cut off"])
def test_what_may_pass_is_tried_again_with_growing_waits(wrong):
    model = Model(wrong, wrong, wrong)
    answer, waits = asked(model, retries=3, wait_seconds=0.5)
    assert answer == '{"a": "man"}' and len(model.seen) == 4
    assert waits == [0.5, 1.0, 2.0]


@pytest.mark.slow
def test_a_request_that_times_out_is_tried_again():
    model = Model("timeout")
    answer, waits = asked(model, timeout_seconds=2.0, retries=1)
    assert answer == '{"a": "man"}' and len(waits) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("wrong", "message"), [("error", "status 500"), ("timeout", "within 1 seconds")])
def test_when_all_tries_fail_the_message_says_how(wrong, message):
    with pytest.raises(EndpointError, match=message) as caught:
        asked(Model(*[wrong] * 3), timeout_seconds=1.0 if wrong == "timeout" else 20.0, retries=2)
    assert "in 3 tries" in str(caught.value) and "--retry-failed" in str(caught.value)


def test_a_refusal_is_an_error_at_once():
    model = Model("refusal")
    with pytest.raises(EndpointError, match="I cannot describe people"):
        asked(model)
    assert len(model.seen) == 1


@pytest.mark.parametrize("status", ["401", "404", "405"])
def test_a_wrong_key_model_or_address_ends_the_run_at_once(status):
    model = Model(status)
    with pytest.raises(StopRun, match=rf"status {status}: .*LUMOSX_TEST_KEY, chat.base_url and chat.model") as caught:
        asked(model)
    assert len(model.seen) == 1 and "secret" not in str(caught.value)


@pytest.mark.parametrize("status", ["400", "403", "413", "422"])
def test_a_question_that_is_refused_is_an_error_of_its_clip(status):
    model = Model(status)
    with pytest.raises(EndpointError, match=f"refuses the question, status {status}"):
        asked(model)
    assert len(model.seen) == 1


def test_an_endpoint_that_is_not_there_is_named():
    settings = ChatSettings(
        method="endpoint", base_url="http://127.0.0.1:9/v1", model="m", key_variable="LUMOSX_TEST_KEY", retries=0
    )
    with pytest.raises(EndpointError, match=r"127\.0\.0\.1:9/v1 did not answer in 1 try: it cannot be reached"):
        EndpointChat(settings).ask([], QUESTION)


def test_settings_without_a_model_or_a_key_are_refused(monkeypatch):
    with pytest.raises(LumosXError, match=r"chat\.folder is empty"):
        open_chat(ChatSettings())
    with pytest.raises(LumosXError, match=r"chat\.base_url is empty"):
        open_chat(ChatSettings(method="endpoint"))
    monkeypatch.delenv("LUMOSX_TEST_KEY")
    with pytest.raises(LumosXError, match="'LUMOSX_TEST_KEY'"):
        open_chat(ChatSettings(method="endpoint", base_url="http://x/v1", model="m", key_variable="LUMOSX_TEST_KEY"))
