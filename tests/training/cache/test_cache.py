"""The cache: what goes in comes out, a stopped run goes on, and what does not belong together is refused."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from toy_source import FRAMES, HEIGHT, PLAIN, WIDTH, DeadlySource, ToySource, clip_pack, picture

from lumosx_core import LumosXError, ReferenceLayout
from lumosx_core.media.images import fit_on_canvas
from lumosx_core.models.wan.umt5 import TextEncoder
from lumosx_core.models.wan.vae import WanVae
from lumosx_core.prompt.phrase_mask import phrase_mask
from lumosx_training.cache import LatentCache, build_cache
from lumosx_training.cache.files import packs_of, read_pack, read_tensors, write_pack
from lumosx_training.data.buckets import Bucket, BucketPlan
from lumosx_training.data.items import collate

# What goes in comes out


def test_an_item_holds_what_the_encoders_give(built, files):
    item = LatentCache(built).item(0)
    sample = ToySource().load("clip-0")
    scene, prompt = sample.case.scene, sample.case.prompt
    vae, encoder = WanVae.load(files.vae), TextEncoder(files.text_encoder)
    ids, text = encoder.encode(prompt)
    canvases = torch.stack([fit_on_canvas(reference.image, HEIGHT, WIDTH) for reference in scene.references])
    video = vae.encode_video(sample.video)[0]
    assert item.key == "clip-0"
    assert item.video.dtype == torch.float16 and item.video.shape == (16, 3, HEIGHT // 8, WIDTH // 8)
    assert torch.allclose(item.video.float(), video, atol=2e-3)
    assert torch.allclose(item.scene.references.float(), vae.encode_images(canvases), atol=2e-3)
    assert torch.allclose(item.text.float(), text, rtol=1e-3, atol=5e-3)
    assert item.scene.layout == ReferenceLayout(0, (3,))
    mask = phrase_mask(ids, scene, encoder.tokenize, pieces=encoder.pieces, prompt=prompt, text_len=512)
    assert torch.equal(item.scene.phrase_mask, mask)
    assert item.scene.phrase_mask.any(dim=1).all()


def test_clips_come_in_the_order_of_their_keys_with_their_buckets(built):
    cache = LatentCache(built)
    assert len(cache) == 4 and cache.keys == ["clip-0", "clip-1", "clip-2", "clip-3"]
    expected = [Bucket(FRAMES, HEIGHT, WIDTH, ReferenceLayout(0, (pictures,))) for pictures in (3, 2, 2, 3)]
    assert [cache.bucket(index) for index in range(4)] == expected
    assert [cache.item(index).key for index in range(4)] == cache.keys


def test_items_of_a_bucket_make_a_batch(built):
    cache = LatentCache(built)
    plan = BucketPlan([cache.bucket(index) for index in range(len(cache))], 2, 0)
    batch = collate([cache.item(index) for index in plan.batch(0)])
    assert batch.video.shape == (2, 16, 3, HEIGHT // 8, WIDTH // 8) and batch.video.dtype == torch.float32


def test_equal_captions_are_stored_once_and_the_empty_one_always(built, files):
    texts = [name for path in packs_of(built / "texts") for name in read_pack(path).spans]
    assert len(texts) == len(set(texts)) == 4  # clips 1 and 3 share theirs; and the empty one
    empty = TextEncoder(files.text_encoder).encode("")[1]
    assert torch.allclose(LatentCache(built).empty_text.float(), empty, rtol=1e-3, atol=5e-3)


def test_small_clips_share_a_pack_that_any_reader_of_safetensors_opens(built):
    tensors = load_file(clip_pack(built))
    assert torch.equal(tensors["2.video"], LatentCache(built).item(2).video)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_latents_are_stored_in_the_type_asked_for(dtype, files, tmp_path):
    build_cache(ToySource(1), tmp_path / "cache", files, replace(PLAIN, dtype=dtype))
    item = LatentCache(tmp_path / "cache").item(0)
    assert {item.video.dtype, item.scene.references.dtype, item.text.dtype} == {getattr(torch, dtype)}


def test_variants_are_differently_augmented_and_the_same_each_time(files, tmp_path):
    settings = replace(PLAIN, augment="paper", variants=2)
    for name in ("one", "two"):
        build_cache(ToySource(2), tmp_path / name, files, settings)
    build_cache(ToySource(2), tmp_path / "other seed", files, replace(settings, seed=1))
    one, two, other = (LatentCache(tmp_path / name) for name in ("one", "two", "other seed"))
    assert one.variants(0) == 2
    assert torch.equal(one.item(1, 1).scene.references, two.item(1, 1).scene.references)
    assert not torch.allclose(one.item(1, 0).scene.references, one.item(1, 1).scene.references, atol=0.01)
    assert not torch.allclose(one.item(1, 0).scene.references, other.item(1, 0).scene.references, atol=0.01)
    assert torch.equal(one.item(1, 0).video, one.item(1, 1).video)


def test_a_clip_takes_the_longest_length_and_the_nearest_size(files, tmp_path):
    build_cache(ToySource(1), tmp_path / "cache", files, replace(PLAIN, frames=(5, 9, 13), sizes=((48, 32), (16, 32))))
    assert LatentCache(tmp_path / "cache").bucket(0) == Bucket(9, 16, 32, ReferenceLayout(0, (3,)))


# Going on


def test_a_second_run_does_nothing_again(copied, files):
    source = ToySource()
    report = build_cache(source, copied, files, PLAIN)
    assert (report.written, report.kept, source.loaded) == (0, 4, [])


def test_only_what_is_new_or_changed_is_made(copied, files):
    before = LatentCache(copied).item(1)
    source = ToySource(5, changed={"clip-1": "1"})
    report = build_cache(source, copied, files, PLAIN)
    assert sorted(source.loaded) == ["clip-1", "clip-4"] and (report.written, report.kept) == (2, 3)
    cache = LatentCache(copied)
    assert cache.keys == [f"clip-{number}" for number in range(5)]
    assert not torch.equal(cache.item(1).video, before.video)
    build_cache(source, copied, files, PLAIN)
    assert len(source.loaded) == 2


def test_machines_share_the_work(files, tmp_path, built):
    sources = [ToySource(), ToySource()]
    for part, source in enumerate(sources):
        build_cache(source, tmp_path / "cache", files, PLAIN, shard=(part, 2))
    assert [source.loaded for source in sources] == [["clip-0", "clip-2"], ["clip-1", "clip-3"]]
    one, other = LatentCache(tmp_path / "cache"), LatentCache(built)
    assert one.keys == other.keys
    for index in range(4):
        assert torch.allclose(one.item(index).scene.references, other.item(index).scene.references, atol=4e-3)


@pytest.mark.slow
def test_processes_make_the_same_cache(files, tmp_path, built):
    done = []
    source = ToySource(5, bad=("clip-4",))
    report = build_cache(
        source, tmp_path / "cache", files, PLAIN, workers=2, progress=lambda *progress: done.append(progress)
    )
    assert report.written == 4 and [key for key, _ in report.bad] == ["clip-4"]
    assert report.bad[0][1].reasons == ("The video is truncated.", "The caption is empty.")
    assert done[-1] == (5, 5) and source.loaded == []  # all of it was done elsewhere
    one, other = LatentCache(tmp_path / "cache"), LatentCache(built)
    for index in range(4):
        assert torch.allclose(one.item(index).video, other.item(index).video, atol=4e-3)


@pytest.mark.slow
def test_a_killed_worker_ends_the_run_with_its_reason(files, tmp_path):
    with pytest.raises(LumosXError, match="worker process was lost.*fewer --workers"):
        build_cache(DeadlySource(), tmp_path / "cache", files, PLAIN, workers=2)


CLIPS = 40  # more than two workers do until they are stopped
RUN = """
import signal
import sys
from pathlib import Path
from toy_source import ToySource
from lumosx_core.models.lumosx.tiny import tiny_files
from lumosx_training.cache import CacheSettings, build_cache

if __name__ == "__main__":
    directory, models, clips = sys.argv[1:]
    settings = CacheSettings(frames=(9,), sizes=(), augment="none")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    build_cache(ToySource(int(clips), slow=0.2), directory, tiny_files(Path(models)), settings, 2)
"""


def start(directory, files, tmp_path):
    """A run with two workers in a process group of its own, which has written its first clips."""
    script = tmp_path / "run.py"
    script.write_text(RUN)
    root = Path(__file__).resolve().parents[3]
    run = subprocess.Popen(
        [sys.executable, str(script), str(directory), str(files.vae.parent.parent), str(CLIPS)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(root), str(Path(__file__).resolve().parents[1])])},
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not list(packs_of(directory / "clips")) and run.poll() is None:
        time.sleep(0.02)
    return run


@pytest.mark.slow
def test_a_killed_run_leaves_no_workers_behind_and_a_cache_to_go_on_with(files, tmp_path):
    directory = tmp_path / "cache"
    run = start(directory, files, tmp_path)
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    assert gone(run.pid)
    there = LatentCache(directory)
    assert 0 < len(there) < CLIPS
    assert all(there.item(index).video.isfinite().all() for index in range(len(there)))
    source = ToySource(len(there) + 2)
    report = build_cache(source, directory, files, PLAIN)
    assert not set(source.loaded) & set(there.keys)
    assert report.kept + report.written == source.count


@pytest.mark.slow
def test_ctrl_c_stops_the_workers_and_keeps_what_is_finished(files, tmp_path):
    directory = tmp_path / "cache"
    run = start(directory, files, tmp_path)
    os.killpg(run.pid, signal.SIGINT)
    _, errors = run.communicate()
    assert run.returncode != 0 and "KeyboardInterrupt" in errors
    assert gone(run.pid)
    assert 0 < len(LatentCache(directory)) < CLIPS
    assert not [path for path in directory.rglob("*partial*")]


def gone(group):
    """Whether all processes of a group end within a while."""
    for _ in range(600):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    os.killpg(group, signal.SIGKILL)
    return False


# Settings


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 1}, r"seed \(0 there, 1 now\)"),
        ({"frames": (5,)}, r"frames \(\[9\] there, \[5\] now\)"),
        ({"dtype": "float32"}, "dtype"),
        ({"augment": "code"}, "augment"),
    ],
)
def test_other_settings_are_refused(change, named, copied, files):
    with pytest.raises(LumosXError, match=named):
        build_cache(ToySource(), copied, files, replace(PLAIN, **change))


@pytest.mark.parametrize(("field", "name"), [("vae", "vae file"), ("text_encoder", "text encoder file")])
def test_other_weights_are_refused(field, name, copied, files, tmp_path):
    other = tmp_path / "other.safetensors"
    tensors = load_file(getattr(files, field))
    next(iter(tensors.values())).view(-1)[0] = 1
    save_file(tensors, other)
    with pytest.raises(LumosXError, match=f"made with another {name}.*new folder"):
        build_cache(ToySource(), copied, replace(files, **{field: other}), PLAIN)


def test_a_folder_in_use_is_not_made_a_cache(files, tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(LumosXError, match="in use and does not contain a cache"):
        build_cache(ToySource(), tmp_path, files, PLAIN)


@pytest.mark.parametrize(
    ("head", "message"),
    [(None, "There is no cache"), ("{", "damaged"), ('{"format": 99, "settings": {}}', "format 99")],
)
def test_a_folder_without_a_readable_head_is_refused(head, message, tmp_path):
    if head is not None:
        (tmp_path / "cache.json").write_text(head)
    with pytest.raises(LumosXError, match=message):
        LatentCache(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"augment": "strong"}, "none, paper, code"),
        ({"dtype": "int8"}, "float16, bfloat16, float32"),
        ({"variants": 0}, "variants is 0"),
        ({"variants": 2}, "would be equal"),
        ({"frames": (8,)}, "8 frames does not fit"),
        ({"sizes": ((30, 48),)}, "height 30"),
    ],
)
def test_impossible_settings_are_refused(change, message):
    with pytest.raises(LumosXError, match=message):
        replace(PLAIN, **change)


# Packs


def test_a_pack_gives_back_tensors_of_every_kind_bit_for_bit(tmp_path):
    tensors = {
        "half": torch.randn(3, 4).half(),
        "brain": torch.randn(2).bfloat16(),
        "single": torch.randn(2, 2),
        "bytes": torch.arange(5, dtype=torch.uint8),
        "none": torch.zeros(16, 0, 2),
        "odd": torch.randn(4, 4).T,
    }
    tensors["odd"] = tensors["odd"].contiguous()
    pack = read_pack(write_pack(tmp_path, tensors, [{"key": "ü"}]))
    assert pack.records == [{"key": "ü"}]
    for name, tensor in tensors.items():
        [read] = read_tensors(pack.path, [pack.spans[name]])
        assert read.dtype == tensor.dtype and torch.equal(read, tensor)


# The command


def run(*arguments):
    from lumosx_core.commands.main import main

    return main(["cache", *map(str, arguments)])


def test_the_command_caches_a_folder_and_reports_what_is_bad(files, tmp_path, capsys):
    av = pytest.importorskip("av")
    del av
    from lumosx_core.media.video import write_video

    for name in ("good", "bad"):
        sample = tmp_path / "data" / name
        (sample / "subjects" / "1").mkdir(parents=True)
        (sample / "caption.txt").write_text("A man in a shirt." if name == "good" else "A dog.")
        Image.fromarray((picture(0) * 255).byte().numpy()).save(sample / "subjects" / "1" / "face_man.png")
        video = np.random.default_rng(0).integers(0, 255, (9, HEIGHT, WIDTH, 3), np.uint8)
        write_video(sample / "video.mp4", torch.from_numpy(video), 16)
    arguments = (tmp_path / "data", tmp_path / "cache", "--vae", files.vae, "--text-encoder", files.text_encoder)
    with pytest.raises(SystemExit) as exit_code:
        run(*arguments, "--size", "48x32", "--frames", 5, 9, "--variants", 2)
    assert exit_code.value.code == 1
    said = capsys.readouterr().out
    assert "Cached 1 samples; 0 were cached already, 1 are bad" in said and "does not occur in the prompt" in said
    cache = LatentCache(tmp_path / "cache")
    assert cache.keys == ["good"] and cache.variants(0) == 2
    assert cache.bucket(0) == Bucket(9, HEIGHT, WIDTH, ReferenceLayout(0, (1,)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "No weights are named"),
        (["--models", "tiny", "--size", "big"], "'big' is not a size"),
        (["--models", "tiny", "--size", "own", "80x64"], "--size own cannot be combined"),
        (["--models", "tiny", "--shard", "3/2"], "'3/2' is not a shard"),
        (["--vae", "missing", "--text-encoder", "missing"], "no VAE at 'missing'"),
    ],
)
def test_the_command_names_a_mistake_in_one_line(arguments, message, tmp_path, capsys):
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "caption.txt").write_text("A man.")
    assert run(tmp_path, tmp_path / "cache", *arguments) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
