"""Sample videos are made on the way, by the averaged weights, and change nothing of the run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fakes import SIZES, FakeCache, tiny_config

from lumosx_core.errors import LumosXError
from lumosx_core.models.lumosx.tiny import tiny_files
from lumosx_core.scene.layout import ReferenceLayout
from lumosx_training.loop.tracking.run_log import read_log
from lumosx_training.loop.trainer import Trainer

for package in ("accelerate", "av", "diffusers", "sentencepiece", "transformers"):
    pytest.importorskip(package)

CASE = Path(__file__).resolve().parents[3] / "examples" / "two_people"


class WideCache(FakeCache):
    """Clips whose text is as wide as the tiny preset's encoder makes it."""

    def item(self, index, variant=0):
        item = super().item(index, variant)
        text, mask = torch.zeros(3, 4096), torch.zeros(item.scene.layout.pictures, 512, dtype=torch.bool)
        return replace(item, text=text, scene=replace(item.scene, phrase_mask=mask))


def run(output, tiny_models, *, model=None, **samples):
    files = tiny_files(tiny_models)
    samples = {
        "every": 2,
        "cases": [str(CASE)],
        "vae": str(files.vae),
        "text_encoder": str(files.text_encoder),
        "width": 48,
        "height": 32,
        "frames": 5,
        "steps": 2,
    } | samples
    model = {"sizes": SIZES | {"text_dim": 4096}, "text_len": 512} | (model or {})
    config = tiny_config(output, model=model, samples=samples, data={"text_dropout": 0.0}, ema={"warmup": False})
    return Trainer(config, cache=WideCache([ReferenceLayout(1, (2,))] * 4), say=lambda line: None)


@pytest.mark.slow
def test_a_video_of_each_case_is_made_and_the_run_is_the_same_as_without(tmp_path, tiny_models):
    shown = run(tmp_path / "shown", tiny_models)
    weights = []
    write = shown.preview.write

    def looking(network, *rest, **options):
        weights.append({name: parameter.clone() for name, parameter in network.named_parameters()})
        averages = {name: average.clone() for name, average in shown.ema.averages.items()}
        assert all(torch.equal(weights[-1][name], average) for name, average in averages.items())
        return write(network, *rest, **options)

    shown.preview.write = looking
    shown.run()
    assert len(weights) == 2
    videos = sorted(path.name for path in (tmp_path / "shown" / "samples").iterdir())
    assert videos == ["step-00000002-two_people.mp4", "step-00000004-two_people.mp4"]
    assert shown.network.training

    run(tmp_path / "plain", tiny_models, every=0).run()
    lines = [read_log(tmp_path / name / "log.jsonl") for name in ("shown", "plain")]
    assert [line["loss"] for line in lines[0]] == [line["loss"] for line in lines[1]]


def test_a_case_that_cannot_be_used_shows_before_the_first_step(tmp_path, tiny_models):
    with pytest.raises(LumosXError, match="There is no case folder"):
        run(tmp_path, tiny_models, cases=["nowhere"])


def test_a_video_that_cannot_be_written_does_not_end_the_run(tmp_path, tiny_models, caplog):
    (tmp_path / "samples").write_text("a file where the folder should be")
    assert run(tmp_path, tiny_models).run().step == 4
    assert "No sample videos at step 2" in caplog.text


def test_shuffled_pictures_are_shown_shuffled(tmp_path, tiny_models):
    shown = run(tmp_path, tiny_models, model={"r2pe": False, "shuffle_references": True})
    [shot] = shown.preview.shots
    assert shot.conditions.scene.layout == ReferenceLayout(shot.conditions.scene.references.shape[2])


def test_a_short_text_length_holds_for_samples_too(tmp_path, tiny_models):
    with pytest.raises(LumosXError, match="negative prompt is too long.*reads 192"):
        run(tmp_path, tiny_models, model={"text_len": 192})
    shown = run(tmp_path, tiny_models, model={"text_len": 192}, negative_prompt="blurry")
    [shot] = shown.preview.shots
    assert shot.conditions.scene.phrase_mask.shape[-1] == 192
    assert shown.run().step == 4
    assert len(list((tmp_path / "samples").iterdir())) == 2
