"""A workflow is found in what people share: files, what the page sends, histories, videos and images."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from workflow_graphs import node

from lumosx_core.commands.main import main
from lumosx_core.errors import LumosXError
from lumosx_core.workflow.saved.file import read_workflow

PROMPT = {"3": node("A", b=1)}
WORKFLOW = {"nodes": [{"id": 3, "type": "A", "inputs": [], "widgets_values": []}], "links": []}
RUN = {"prompt": [4, "id", PROMPT, {"extra_pnginfo": {"workflow": WORKFLOW}}, ["3"]], "outputs": {}, "status": {}}


def read(tmp_path, content):
    path = tmp_path / "w.json"
    path.write_text(json.dumps(content))
    return read_workflow(path)


@pytest.mark.parametrize(
    "content",
    [
        PROMPT,
        {"prompt": PROMPT},
        {"client_id": "c", "prompt": PROMPT, "extra_data": {"extra_pnginfo": {"workflow": WORKFLOW}}},
        {"workflow": WORKFLOW, "output": PROMPT},
        RUN,
        {"4f0c": RUN},
    ],
    ids=["bare", "wrapped", "as it is sent", "page's own", "run", "history"],
)
def test_a_prompt_is_found_in_its_wrapper(tmp_path, content):
    assert read(tmp_path, content).node("3").get("b") == 1


@pytest.mark.parametrize("content", [{"workflow": WORKFLOW}, {"prompt": WORKFLOW}], ids=["workflow", "prompt"])
def test_a_workflow_is_found_in_its_wrapper(tmp_path, content):
    assert read(tmp_path, content).node("3").type == "A"


def test_a_node_may_be_called_prompt(tmp_path):
    assert read(tmp_path, {"prompt": node("A", b=1)}).node("prompt").get("b") == 1


def test_of_several_runs_one_has_to_be_chosen(tmp_path):
    with pytest.raises(LumosXError, match="history of 2 runs. Keep one of them: 4f0c, 5a"):
        read(tmp_path, {"4f0c": RUN, "5a": RUN})


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_saved_video_carries_its_workflow(tmp_path, suffix):
    av = pytest.importorskip("av")
    path = tmp_path / f"v{suffix}"
    for metadata, key in (
        ({"prompt": json.dumps(PROMPT), "workflow": "{"}, "b"),
        ({"workflow": json.dumps(WORKFLOW)}, ""),
    ):
        with av.open(path, "w", options={"movflags": "use_metadata_tags"}) as container:
            container.metadata.update(metadata)
            stream = container.add_stream("mpeg4", rate=16)
            stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
            for frame in (*range(2), None):
                picture = None if frame is None else av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))
                container.mux(stream.encode(picture))
        assert read_workflow(path).node("3").get("b") == (1 if key else None)


def image(path, **texts):
    information = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        information.add_text(name, text)
    Image.new("RGB", (2, 2)).save(path, pnginfo=information)
    return path


def test_a_saved_image_carries_its_workflow(tmp_path):
    assert read_workflow(image(tmp_path / "i.png", prompt=json.dumps(PROMPT))).node("3").get("b") == 1


def test_a_file_that_carries_none_says_so(tmp_path, capsys):
    with pytest.raises(LumosXError, match="carries no workflow"):
        read_workflow(image(tmp_path / "i.png"))
    with pytest.raises(LumosXError, match="workflow in the metadata of .* is not JSON"):
        read_workflow(image(tmp_path / "i.png", workflow="{"))
    for name, message in (("v.mp4", "Cannot read the video"), ("i.png", "Cannot read the image")):
        (tmp_path / name).write_bytes(b"nothing")
        assert main(["generate", str(tmp_path / name), "--out", str(tmp_path / "o.mp4")]) == 2
        assert message in capsys.readouterr().err


def test_json_that_never_ends_is_refused(tmp_path):
    (tmp_path / "w.json").write_text("[" * 200_000)
    with pytest.raises(LumosXError, match="is not JSON"):
        read_workflow(tmp_path / "w.json")
