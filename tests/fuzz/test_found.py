"""What the fuzz found, each input as small as it gets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lumosx_core.auto_scene.plan.plan import PersonPlan, ScenePlan, check_plan, parse_plan
from lumosx_core.errors import LumosXError
from lumosx_core.files.model_files import find_model_files
from lumosx_core.files.read_weights import open_tensors
from lumosx_core.files.safetensors_file import read_header
from lumosx_core.files.seen_name import find_seen
from lumosx_core.media.video import write_video
from lumosx_core.models.lumosx.tiny import tiny_files
from lumosx_core.models.wan.umt5 import TextEncoder
from lumosx_core.scene.write_case import check_names
from lumosx_core.workflow.saved.file import read_workflow
from lumosx_training.cache.files import write_pack
from lumosx_training.cache.index import read_clips
from lumosx_training.data.clips import read_frames
from lumosx_training.loop.checkpoints.checkpoint import Checkpoint
from lumosx_training.loop.tracking.run_log import RunLog, read_log
from lumosx_training.lora.read import read_any_lora


@pytest.mark.parametrize("file", [["a"], {"a": 1}, 1, None])
def test_an_index_of_shards_names_files(tmp_path, file):
    index = tmp_path / "x.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": file}}))
    with pytest.raises(LumosXError, match="refused: it names the file"):
        open_tensors(index)


def test_a_header_of_a_missing_file_is_refused(tmp_path):
    with pytest.raises(LumosXError, match=r"No such file or directory. Check the path."):
        read_header(tmp_path / "x.safetensors")


def test_a_file_of_the_first_byte_of_a_pickle_is_refused(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"\x80")
    with pytest.raises(LumosXError, match="only 1 bytes long"):
        open_tensors(tmp_path / "x.safetensors")


def test_no_folder_has_a_name_with_a_zero_byte(tmp_path):
    assert find_seen(tmp_path / "a\0b", "x") is None


@pytest.mark.parametrize("line", [b"\xff", b"[1]", b"{}", b'{"step": "1"}', b"", b"[" * 100_000])
def test_a_damaged_line_within_a_log_is_refused_and_nothing_behind_it_is_lost(tmp_path, line):
    content = b'{"step": 1}\n' + line + b'\n{"step": 2}\n'
    (tmp_path / "log.jsonl").write_bytes(content)
    with pytest.raises(LumosXError, match="Line 2 of"):
        RunLog(tmp_path, 2)
    assert (tmp_path / "log.jsonl").read_bytes() == content


@pytest.mark.parametrize("end", [b"", b'{"ste', b"\xff", b'{"ste\n'])
def test_an_unfinished_last_line_of_a_log_is_left_out(tmp_path, end):
    (tmp_path / "log.jsonl").write_bytes(b'{"step": 1}\n' + end)
    assert read_log(tmp_path / "log.jsonl") == [{"step": 1}]


@pytest.mark.parametrize(
    "facts",
    [{"step": "1"}, {"step": True}, {"step": 1, "config": [1]}, {"step": 1, "clips": {}}, {"step": 1, "clips": 2}],
)
def test_a_checkpoint_whose_description_is_of_other_types_is_damaged(tmp_path, facts):
    (tmp_path / "run.json").write_text(json.dumps(facts))
    with pytest.raises(LumosXError, match="is damaged: run.json"):
        Checkpoint(tmp_path)


@pytest.mark.parametrize(
    "change", [{"text": ["t"]}, {"key": 1}, {"fingerprint": None}, {"subjects": 2}, {"variants": "1"}]
)
def test_a_pack_whose_records_are_of_other_types_is_skipped(tmp_path, change):
    record = {"key": "a", "fingerprint": "0", "text": "t", "standalone": 0, "subjects": [1], "variants": 1}
    tensors = {name: torch.ones(4, 1, 2, 2) for name in ("0.video", "0.references.0")}
    tensors["0.phrase_mask"] = torch.ones(1, 8, dtype=torch.uint8)
    (tmp_path / "clips").mkdir()
    write_pack(tmp_path / "clips", tensors, [record])
    assert list(read_clips(tmp_path)) == ["a"]
    write_pack(tmp_path / "clips", tensors, [record | {"key": "b"} | change])
    assert list(read_clips(tmp_path)) == ["a"]


def test_the_name_of_an_input_is_text(tmp_path):
    nodes = [{"id": 1, "type": "X", "inputs": [{"name": None, "link": 1}]}, {"id": 2, "type": "Y", "outputs": [{}]}]
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"nodes": nodes, "links": [[1, 2, 0, 1, 0, "*"]]}))
    with pytest.raises(LumosXError):
        read_workflow(path)


def test_a_caption_with_half_a_surrogate_pair_is_refused():
    with pytest.raises(LumosXError, match="half a surrogate pair"):
        check_names("clip", "A man \udfff.", [])


def test_a_plan_has_no_more_phrases_than_a_scene_has_images():
    with pytest.raises(LumosXError, match="201 phrases, but a scene has at most 200"):
        parse_plan("man: " + ", ".join(f"hat {number}" for number in range(200)))


def test_a_message_names_the_first_phrases_that_are_missing():
    plan = ScenePlan((PersonPlan("man", tuple(f"hat {number}" for number in range(30))),))
    with pytest.raises(LumosXError) as refused:
        check_plan(plan, "A man stands there.")
    assert '"hat 9"' in str(refused.value) and '"hat 10"' not in str(refused.value)


def test_a_plan_is_not_looked_for_in_a_prompt_that_nobody_uses():
    with pytest.raises(LumosXError, match="30000 letters"):
        check_plan(ScenePlan((PersonPlan("man"),)), "man " * 7500)


def test_a_file_of_weights_is_read_as_before(tmp_path: Path):
    save_file({"a": torch.ones(2)}, tmp_path / "x.safetensors")
    assert read_header(tmp_path / "x.safetensors").entries["a"]["shape"] == [2]


def test_a_colon_in_the_path_of_a_video_is_no_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_video("take:1.mp4", torch.zeros(2, 16, 16, 3), 16)
    assert read_frames("take:1.mp4", [0])[0].shape == (16, 16, 3)
    with pytest.raises(LumosXError, match="carries no workflow"):
        read_workflow("take:1.mp4")


def test_a_lora_and_a_model_with_too_long_a_name_are_not_there(tmp_path):
    with pytest.raises(LumosXError):
        read_any_lora(tmp_path / ("x" * 300))
    with pytest.raises(LumosXError):
        find_model_files(tmp_path / ("x" * 300), tmp_path / "vae", tmp_path / "text")


def test_a_damaged_tokeniser_and_one_of_another_encoder_are_refused(tmp_path):
    pytest.importorskip("sentencepiece")
    tensors = load_file(tiny_files().text_encoder)
    path = tmp_path / "encoder.safetensors"
    save_file(tensors | {"spiece_model": tensors["spiece_model"][:5000].clone()}, path)
    with pytest.raises(LumosXError, match="damaged tokeniser"):
        TextEncoder(path)
    save_file(tensors | {"shared.weight": tensors["shared.weight"][:100].clone()}, path)
    with pytest.raises(LumosXError, match="100 token embeddings, but its tokeniser has 512 pieces"):
        TextEncoder(path)
