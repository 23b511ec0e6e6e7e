"""Data sets, caches, configs and checkpoints."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from fuzz.inputs import STRINGS, Files, edited_bytes, edited_files, edited_text, edited_tree, json_bytes
from fuzz.reader import Make, Reader, put, put_one
from fuzz.seeds import CAPTION, case, clip, noise, saved
from fuzz.weight_readers import edited_safetensors
from hypothesis import strategies as st
from PIL import Image

from lumosx_training.cache import LatentCache
from lumosx_training.cache.encoder import text_name
from lumosx_training.cache.files import write_pack
from lumosx_training.cache.settings import FORMAT, HEAD
from lumosx_training.data.check_data import check_data
from lumosx_training.data.clips import ClipSettings
from lumosx_training.data.samples import BadSample, SampleSettings
from lumosx_training.data.sources.open_source import open_source
from lumosx_training.loop.checkpoints.checkpoint import Checkpoints
from lumosx_training.loop.checkpoints.run_facts import changes, run_facts
from lumosx_training.loop.config import read_config
from lumosx_training.loop.tracking.run_log import RunLog

ROOT = Path(__file__).resolve().parents[2]
SHORT = SampleSettings(ClipSettings(frames=(5,)), whole_body=0.5)


# Data sets


def check(address: Path) -> None:
    """Open a data set, read what is in it, and refuse it if a sample is bad."""
    source = open_source(str(address), SHORT)
    bad = []
    for key in source.keys()[:4]:
        source.fingerprint(key)
        try:
            source.load(key)
        except BadSample as error:
            bad.append(error)
    check_data(open_source(str(address), SHORT))
    if bad:
        raise bad[0]


@cache
def image() -> bytes:
    return saved(Image.fromarray(noise(32, 48)), "PNG")


@cache
def mask() -> bytes:
    inside = np.zeros((32, 48), np.uint8)
    inside[4:20, 6:30] = 255
    return saved(Image.fromarray(inside), "PNG")


def _records() -> list[dict]:
    """The record that the pack command writes, so that it has the names that are read."""
    from lumosx_core.scene.case_folder import Case
    from lumosx_core.scene.scene import Reference, Scene, Subject
    from lumosx_training.data.sources.records import describe_record

    def named(phrase: str) -> Reference:
        return Reference(phrase, torch.ones(2, 2, 3))

    scene = Scene((Subject(named("man"), (named("denim jacket"),)),), (named("red cup"),), named("bright kitchen"))
    return [{"key": "a", **describe_record(Case("clip", CAPTION, scene), "a.mp4", lambda label, reference: "x.png")}]


def _folders() -> Reader:
    sample = {**case(), "video.mp4": clip()}
    seed = {f"{name}/{path}": content for name in ("one", "deep/two") for path, content in sample.items()}
    return Reader(edited_files([seed, sample]), lambda value, folder: check(put(folder / "data", value)))


def _manifests() -> Reader:
    records = [*_records(), {"case": "one"}]
    line = edited_tree([records[0], *records], least=0).map(json_bytes)
    lines = line | st.lists(line, min_size=2, max_size=3).map(b"\n".join)
    damaged = edited_bytes([b"\n".join(json.dumps(record).encode() for record in records)])
    files = {
        "a.mp4": clip(),
        "x.png": image(),
        **{f"one/{path}": content for path, content in case().items()},
        "one/video.mp4": clip(),
    }

    def read(value: bytes, folder: Path) -> None:
        put(folder, files)
        check(put_one(folder, "data.jsonl", value))

    return Reader(lines | damaged, read)


def _tar(members: Files, form: int = tarfile.GNU_FORMAT) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=form) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return content.getvalue()


def _shards() -> Reader:
    [record] = _records()
    members = {
        "000.json": json.dumps(record | {"video": "mp4"}).encode().replace(b"x.png", b"x.png"),
        "000.mp4": clip(),
        "000.x.png": image(),
    }
    seeds = [_tar(members, form) for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT)]

    @st.composite
    def renamed(draw) -> bytes:
        text = draw(edited_tree([record | {"video": "mp4"}], least=0))
        names = {"000.json": json_bytes(text)} | {
            draw(STRINGS) + name if draw(st.integers(0, 3)) == 0 else name: data
            for name, data in list(members.items())[1:]
        }
        usable = {name.encode("utf-8", "replace").decode(): data for name, data in names.items()}
        return _tar(usable, draw(st.sampled_from((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))))

    contents = edited_bytes(seeds) | renamed()
    return Reader(contents, lambda value, folder: check(put_one(folder, "clips-000000.tar", value)))


def _info() -> dict:
    def three(name: str) -> list[str]:
        return [f"{name}_frame{place}.png" for place in (1, 4, 7)]

    person = {
        "subject": {"man": three("man"), "face": {"1": [5, 3, 15, 13], "4": [5.5, 3, 15, 13]}},
        "attributes": [{"denim jacket": three("jacket")}],
    }
    tags = {
        "person": [person],
        "other_subjects": [{"red cup": three("cup")}],
        "background": {"bright kitchen": ["kitchen_0.png"]},
    }
    return {"video": "/x/a.mp4", "selected_frames": [1, 4, 7], "word_tags_path": tags}


def _research() -> Reader:
    import pyarrow
    from pyarrow import parquet

    rows = [{"path": "a.mp4", "text": CAPTION, "duration": 0.5, "height": 32, "width": 48}]
    sink = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows), sink)
    header = "path,text,duration,height,width"
    csv = f'{header}\na.mp4,"{CAPTION}",0.5,32,48\n'
    tables = st.one_of(
        st.tuples(
            st.just("csv"),
            st.one_of(st.just(csv.encode()), edited_text([csv]).map(json_bytes), edited_bytes([csv.encode()])),
        ),
        st.tuples(st.just("parquet"), edited_bytes([sink.getvalue()], least=0)),
    )
    files = {"a.mp4": clip(), "a/kitchen_0.png": image()}
    files |= {f"a/{name}_frame{place}.png": mask() for name in ("man", "jacket", "cup") for place in (1, 4, 7)}

    def read(value, folder: Path) -> None:
        (ending, table), info = value
        put(folder, {**files, "a/info.json": json_bytes(info)})
        check(put_one(folder, f"data.{ending}", table))

    return Reader(st.tuples(tables, edited_tree([_info()], least=0)), read)


# Caches


def _caches() -> Reader:
    records = [{"key": "a", "fingerprint": "0", "text": "t", "standalone": 0, "subjects": [2], "variants": 1}]
    tensors = {
        "0.video": torch.ones(16, 3, 4, 6, dtype=torch.float16),
        "0.references.0": torch.ones(16, 2, 4, 6, dtype=torch.float16),
        "0.phrase_mask": torch.ones(2, 64, dtype=torch.uint8),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip_pack = write_pack(folder, tensors, records).read_bytes()
        texts_of = {name: torch.ones(3, 16, dtype=torch.float16) for name in ("t", text_name(""))}
        text_pack = write_pack(folder, texts_of, []).read_bytes()
    head = {
        "format": FORMAT,
        "vae": "0",
        "text_encoder": "0",
        "family": "lumosx",
        "settings": {"frames": [9], "sizes": []},
    }
    from lumosx_core.models.lumosx.lumosx_family import LUMOSX

    head["family"] = LUMOSX.spec.name
    forged = edited_tree([records], least=0).flatmap(
        lambda text: edited_safetensors([_with_records(clip_pack, text)]) | st.just(_with_records(clip_pack, text))
    )
    texts = edited_safetensors([text_pack]) | st.just(text_pack)
    heads = edited_tree([head], least=0).map(json_bytes)
    good = st.just(json.dumps(head).encode())

    def read(value, folder: Path) -> None:
        clips, words, written = value
        put(folder, {HEAD: written, "clips/1.safetensors": clips, "texts/1.safetensors": words})
        cache = LatentCache(folder)
        for index in range(len(cache)):
            cache.bucket(index)
            for variant in range(min(3, cache.variants(index))):
                cache.item(index, variant)
        _ = cache.empty_text

    return Reader(st.tuples(forged | edited_safetensors([clip_pack]), texts, good | heads), read)


def _with_records(pack: bytes, records: str) -> bytes:
    start = 8 + int.from_bytes(pack[:8], "little")
    header = json.loads(pack[8:start])
    header["__metadata__"]["records"] = records
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + pack[start:]


# Runs

_CONFIGS = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "training" / "configs").glob("*.toml"))]
NASTY_TOML = (
    *(
        "inf",
        "-inf",
        "nan",
        "0",
        "-1",
        "1e999",
        "1.5",
        "true",
        "[]",
        "[1, 2]",
        "{}",
        '""',
        "''",
        '"x"',
        "1979-05-27",
        "07:32:00",
    ),
    *(
        "9" * 5000,
        "[" * 3000 + "]" * 3000,
        "0x" + "f" * 5000,
        '"D:\\temp"',
        "'D:\\temp'",
        "[model]",
        "[[model]]",
        "x.y.z = 1",
    ),
    *("9223372036854775808", '"""', "#", "=", "\\", '"\\ud800"', "sizes = {a = 1}", "[training.training]"),
)


def toml_text(configs: Sequence[str]) -> st.SearchStrategy[str]:
    """Configs, of which some lines are changed."""

    @st.composite
    def edited(draw) -> str:
        lines = draw(st.sampled_from(configs)).split("\n")
        for _ in range(draw(st.integers(0, 4))):
            at = draw(st.integers(0, len(lines) - 1))
            name, equals, _ = lines[at].partition("=")
            kind = draw(st.integers(0, 3))
            if kind == 0 and equals:
                lines[at] = f"{name}= {draw(st.sampled_from(NASTY_TOML) | STRINGS)}"
            elif kind == 1:
                lines.insert(at, draw(st.sampled_from([*NASTY_TOML, *lines])))
            elif kind == 2:
                del lines[at]
            elif equals:
                lines[at] = f"{draw(STRINGS)} = 1"
            lines = lines or [""]
        return "\n".join(lines)

    return edited()


def _configs() -> Reader:
    names = [line.partition("=")[0].strip() for text in _CONFIGS for line in text.split("\n") if "=" in line]
    tables = [
        f"{table}.{name}"
        for table in ("model", "data", "training", "optimizer", "lora", "ema")
        for name in (*names, "x", "")
    ]
    value = st.one_of(st.sampled_from(NASTY_TOML), STRINGS, st.integers().map(str), st.floats().map(str))
    change = st.builds("{}={}".format, st.sampled_from(tables) | STRINGS, value) | STRINGS
    content = st.one_of(toml_text(_CONFIGS).map(json_bytes), edited_bytes([text.encode() for text in _CONFIGS]))

    def read(value, folder: Path) -> None:
        read_config(str(put_one(folder, "config.toml", value[0])), tuple(value[1]))

    return Reader(st.tuples(content, st.lists(change, max_size=3)), read)


def _checkpoints() -> Reader:
    from fakes import tiny_config
    from safetensors.torch import save

    facts = {"step": 3, **run_facts(tiny_config("out"), ["a", "b"], "0" * 64)}
    now = run_facts(tiny_config("out"), ["a", "c"], "1" * 64)
    lines = b"".join(json.dumps({"step": step, "loss": 0.5}).encode() + b"\n" for step in range(5))
    seed = {
        "checkpoints/step-00000003/run.json": json.dumps(facts).encode(),
        "checkpoints/step-00000003/model.safetensors": save({"a": torch.ones(3)}),
        "checkpoints/step-00000002/run.json": json.dumps(facts | {"step": 2}).encode(),
        "log.jsonl": lines,
    }

    def read(value: Files, folder: Path) -> None:
        put(folder, value)
        RunLog(folder, 3).close()
        checkpoints = Checkpoints(folder)
        checkpoints.clean()
        latest = checkpoints.latest()
        if latest is None:
            return
        changes(latest.facts, now)
        if latest.has("model"):
            latest.shapes("model")
            dict(latest.tensors("model"))

    return Reader(edited_files([seed], texts=lambda name: name.endswith(".json")), read)


READERS: dict[str, Make] = {
    "sample folders": _folders,
    "manifests": _manifests,
    "shards of samples": _shards,
    "research format": _research,
    "caches": _caches,
    "configs": _configs,
    "checkpoints": _checkpoints,
}
