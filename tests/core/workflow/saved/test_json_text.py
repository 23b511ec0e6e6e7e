"""JSON that cannot be read is refused for its true reason, in every wrapper, and in images and videos."""

from __future__ import annotations

import codecs
import json
import os

import pytest
from PIL import Image, PngImagePlugin
from workflow_graphs import node

from lumosx_core.errors import LumosXError
from lumosx_core.workflow.saved.file import read_workflow
from lumosx_core.workflow.saved.json_text import parse_json

PROMPT = {"3": node("A", b=1)}
WORKFLOW = {"nodes": [{"id": 3, "type": "A", "inputs": [], "widgets_values": []}], "links": []}
ITEM = [4, "id", PROMPT, {"extra_pnginfo": {"workflow": WORKFLOW}}, ["3"]]


def read(tmp_path, content, name="w.json"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return read_workflow(path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "nested"),
        ("[" * 200 + "]" * 200, "nested more than 100 times"),
        ('{"a": ' + "9" * 5000 + "}", "4300 digits"),
        ("{'a': 1}", "not JSON"),
        ("", "not JSON"),
        ('{"a": 1} extra', "Extra data"),
        ('{"a": 1,}', "not JSON"),
    ],
)
def test_the_reason_is_true(text, reason):
    with pytest.raises(LumosXError, match=reason) as error:
        parse_json(text, "It", "Save it again.")
    assert len(str(error.value)) < 600


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (b"", "utf-16-le"),
    ],
)
def test_every_encoding_of_an_editor_is_read(tmp_path, mark, encoding):
    text = json.dumps(PROMPT, indent=1).replace("\n", "\r\n")
    assert read(tmp_path, mark + text.encode(encoding)).node("3").get("b") == 1


WRAPPED = {
    "a list of the queue": ITEM,
    "the queue": {"queue_running": [ITEM], "queue_pending": []},
    "a service": {"input": {"workflow": PROMPT}},
    "another service": {"input": {"prompt": PROMPT, "images": []}},
    "text in text": {"prompt": json.dumps(PROMPT)},
    "twice": {"data": {"prompt": {"prompt": PROMPT}}},
    "a workflow that is a prompt": {"workflow": PROMPT},
    "metadata": {"metadata": {"prompt": json.dumps(PROMPT), "workflow": json.dumps(WORKFLOW)}},
}


@pytest.mark.parametrize("content", WRAPPED.values(), ids=WRAPPED)
def test_a_prompt_is_found_in_further_wrappers(tmp_path, content):
    assert read(tmp_path, content).node("3").get("b") == 1


@pytest.mark.parametrize("content", [{"extra_data": {"extra_pnginfo": {"workflow": WORKFLOW}}}, {"graph": WORKFLOW}])
def test_a_workflow_is_found_in_further_wrappers(tmp_path, content):
    assert read(tmp_path, content).node("3").type == "A"


@pytest.mark.parametrize(
    "content",
    [
        *(None, 1, "a", "{", [], [1], [1, 2, 3], {}, {"prompt": None}, {"prompt": "{"}, {"prompt": [1, 2, "x"]}),
        *({"nodes": []}, {"nodes": [None]}, {"nodes": [{"id": 1}]}, {"nodes": [{"id": 1, "type": 5}]}),
        *({"nodes": [{"id": 1, "type": "A", "inputs": [5]}]}, {"nodes": [{"id": 1, "type": "A", "inputs": {"a": 1}}]}),
        *({"nodes": [{"id": [], "type": "A"}]}, {"nodes": [{"id": 1, "type": "A", "inputs": [{"link": []}]}]}),
        *({"nodes": [], "links": [5]}, {"nodes": [], "links": [[1]]}, {"nodes": [], "links": {"a": 1}}),
        *({"nodes": [], "links": [[1, 2, "x", 3, 4]]}, {"nodes": [], "links": [[1, 2, 1e400, 3, 4]]}),
        *({"nodes": [], "definitions": 5}, {"nodes": [], "definitions": {"subgraphs": [1]}}, {"nodes": [], "extra": 3}),
        *({"1": {"class_type": "A", "inputs": None}}, {"1": {"class_type": []}}, {"1": {"class_type": "A"}, "x": 3}),
        *(
            {"1": {"class_type": "A", "inputs": {"a": ["1", 1e400]}}},
            {"1": {"class_type": "A", "inputs": {"a": ["1", 0]}}},
        ),
    ],
    ids=lambda content: str(content)[:50],
)
def test_wrong_types_are_a_mistake_of_the_file_and_nothing_else(tmp_path, content):
    try:
        graph = read(tmp_path, content)
    except LumosXError as error:
        assert len(str(error)) < 1000
        return
    for each in graph.nodes.values():  # what could be read has nothing that fails later in another way
        for name in each.inputs:
            try:
                graph.source(each, name)
            except LumosXError:
                continue


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "w.json")
    (tmp_path / "folder.json").mkdir()
    for name in ("w.json", "folder.json", "absent.json", "a" * 300 + ".json", "w\0.json"):
        with pytest.raises(LumosXError):
            read_workflow(tmp_path / name)
    with pytest.raises(LumosXError, match="bytes, but at most"):
        path = tmp_path / "huge.json"
        with path.open("wb") as file:
            file.truncate(2**31)
        read_workflow(path)


def exif(**tags) -> Image.Exif:
    made = Image.Exif()
    for tag, text in tags.items():
        made[int(tag[1:], 16)] = text
    return made


@pytest.mark.parametrize("name", ["v.webp", "v.jpg", "v.png", "V.WEBP", "v.jpeg"])
def test_an_image_with_exif_texts_carries_its_workflow(tmp_path, name):
    """As Save Animated WEBP and nodes that save JPEG write them."""
    path = tmp_path / name
    texts = exif(x0110="prompt:" + json.dumps(PROMPT), x010f="workflow:" + json.dumps(WORKFLOW))
    Image.new("RGB", (4, 4)).save(path, exif=texts)
    assert read_workflow(path).node("3").get("b") == 1


def test_a_comment_with_json_carries_it_too(tmp_path):
    content = json.dumps({"prompt": json.dumps(PROMPT), "workflow": WORKFLOW})
    Image.new("RGB", (4, 4)).save(tmp_path / "i.gif", comment=content.encode())
    assert read_workflow(tmp_path / "i.gif").node("3").get("b") == 1
    av = pytest.importorskip("av")
    with av.open(tmp_path / "v.mp4", "w") as container:
        container.metadata["comment"] = content
        stream = container.add_stream("mpeg4", rate=16)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        container.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(stream.encode())
    assert read_workflow(tmp_path / "v.mp4").node("3").get("b") == 1


def test_images_of_other_programs_say_so(tmp_path):
    information = PngImagePlugin.PngInfo()
    information.add_text("parameters", "a man, Steps: 20, Sampler: Euler")
    Image.new("RGB", (2, 2)).save(tmp_path / "i.png", pnginfo=information)
    with pytest.raises(LumosXError, match="saved by AUTOMATIC1111 or Forge"):
        read_workflow(tmp_path / "i.png")
    Image.new("RGB", (2, 2)).save(tmp_path / "photo.jpg")
    with pytest.raises(LumosXError, match="carries no workflow"):
        read_workflow(tmp_path / "photo.jpg")
