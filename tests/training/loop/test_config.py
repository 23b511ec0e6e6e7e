"""A config file becomes a checked run, and a mistake in it is reported by name."""

from __future__ import annotations

from pathlib import Path
from typing import get_type_hints

import pytest
from fakes import tiny_config

from lumosx_core.errors import LumosXError
from lumosx_training.loop.config import ModelSettings, TrainConfig, read_config
from lumosx_training.loop.config.old_names import OLD_NAMES

CONFIGS = Path(__file__).resolve().parents[3] / "training" / "configs"

SMALLEST = """
[model]
file = "model.safetensors"
[data]
cache = "cache"
[training]
output = "out"
steps = 10
"""


@pytest.fixture
def config(tmp_path):
    """Reads a config of this text with these changes."""

    def read(text=SMALLEST, *changes):
        path = tmp_path / "config.toml"
        path.write_text(text)
        return read_config(str(path), changes)

    return read


def test_what_is_not_said_has_the_documented_values(config):
    read = config()
    assert (read.training.steps, read.training.precision, read.training.batch_size) == (10, "bf16", 1)
    assert (read.timesteps.sampling, read.ema.decay, read.lora) == ("uniform", 0.9999, None)


def test_set_takes_the_place_of_a_value_and_of_a_missing_one(config):
    read = config(SMALLEST, "training.steps=100", "optimizer.learning_rate=3e-4", "model.file=other file.safetensors")
    assert read.training.steps == 100
    assert read.optimizer.learning_rate == 3e-4
    assert read.model.file == "other file.safetensors"


OLD = (
    *("data.prefetch=3", "data.picture_dropout=0.25"),
    *("training.accumulate=2", "training.recompute_blocks=true", "training.offload_inputs=true"),
    "training.tensorboard=true",
    *("optimizer.clip=0.5", "optimizer.warmup=7", "optimizer.final_share=0.1"),
)


def test_old_names_still_work_and_the_new_ones_are_logged(config, caplog):
    read = config(SMALLEST, *OLD)
    assert (read.data.prefetch_factor, read.data.single_reference_dropout) == (3, 0.25)
    loop = read.training
    assert (loop.gradient_accumulation_steps, loop.trackers) == (2, ("tensorboard",))
    assert loop.gradient_checkpointing and loop.offload_activations
    optimizer = read.optimizer
    assert (optimizer.max_grad_norm, optimizer.warmup_steps, optimizer.min_lr_ratio) == (0.5, 7, 0.1)
    assert len(caplog.messages) == 9
    assert any("training.accumulate is now called training.gradient_accumulation_steps" in m for m in caplog.messages)


def test_every_current_name_exists():
    fields = get_type_hints(TrainConfig) | {"model": ModelSettings}  # old names are LumosX's
    for old, new in OLD_NAMES.items():
        table, name = new.split(".")
        assert name in get_type_hints(fields[table]), new
        assert old.split(".")[1] not in get_type_hints(fields[table]), old


def test_an_old_name_beside_its_new_one_is_refused(config):
    with pytest.raises(LumosXError, match="data.prefetch is the old name of data.prefetch_factor, and both"):
        config(SMALLEST, "data.prefetch=1", "data.prefetch_factor=1")


def test_a_lora_table_makes_it_a_lora(config):
    assert config(SMALLEST + "[lora]\nrank = 4\n").lora.rank == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("training.stepz=5", "training.stepz does not exist. Did you mean training.steps?"),
        ("trainin.steps=5", "trainin does not exist. Did you mean training?"),
        ("lora.rnak=5", "lora.rnak does not exist. Did you mean lora.rank?"),
        ("training.steps=1.5", "training.steps is 1.5, expected a whole number"),
        ("training.steps=true", "training.steps is True, expected a whole number"),
        ("training.steps=0", "training.steps is 0, expected 1 or more"),
        ("training.precision=fp8", "training.precision is 'fp8', expected one of 'fp32', 'bf16'"),
        ("optimizer.betas=[0.9]", "optimizer.betas is [0.9], expected two numbers"),
        ("optimizer.learning_rate=nan", "optimizer.learning_rate is nan"),
        ("data.text_dropout=2", "data.text_dropout is 2.0, expected a fraction from 0 to 1"),
        ("data.max_subjects=-1", "data.max_subjects is -1"),
        ("model.sizes.dim=1536", "either model.file or [model.sizes]"),
        ("model.shuffle_references=true", "model.r2pe = false"),
        ("model.text_len=600", "model.text_len is 600, expected 1 to 512"),
        ("model.mcam_ratio_start=20", "model.mcam_ratio_steps is 0, expected more than 0"),
        ("model.mcam_ratio_steps=20", "model.mcam_ratio_start is None, expected more than 0"),
        ("model.dtype=bfloat16", "model.dtype is 'bfloat16', expected float32"),
        ("samples.every=5", "samples.cases"),
        ("samples.width=100", "width 100"),
        ("training=3", "--set 'training=3' is not understood"),
        ("training.offload_activations=true", "training.gradient_checkpointing"),
    ],
)
def test_a_mistake_is_told_by_name(config, change, message):
    with pytest.raises(LumosXError) as error:
        config(SMALLEST, change)
    assert message in str(error.value)


def test_a_missing_table_or_value_is_named(config):
    with pytest.raises(LumosXError, match=r"the table \[training\] is missing"):
        config('[model]\nfile = "x"\n[data]\ncache = "x"\n')
    with pytest.raises(LumosXError, match=r"training\.output is missing"):
        config(SMALLEST.replace('output = "out"', ""))


@pytest.mark.parametrize(("sizes", "wrong"), [({"dim": 192}, "dim is 192"), ({"dim": 256}, "num_heads is 12")])
def test_sizes_that_no_reader_could_tell_from_the_file_are_refused(tmp_path, sizes, wrong):
    with pytest.raises(LumosXError, match=f"model.sizes.{wrong}"):
        tiny_config(tmp_path, model={"sizes": sizes})


def test_an_invalid_file_is_named_with_its_line(config, tmp_path):
    with pytest.raises(LumosXError, match="config.toml is not valid TOML.*line 2"):
        config("[model]\nfile = \n")
    with pytest.raises(LumosXError, match="Cannot read"):
        read_config(str(tmp_path / "nothing.toml"))


def test_a_lora_needs_the_model_it_is_for(tmp_path):
    with pytest.raises(LumosXError, match="model.file"):
        tiny_config(tmp_path, lora={"rank": 2})


SHIPPED = sorted([*CONFIGS.glob("*.toml"), *(CONFIGS.parent / "tiny").glob("*.toml")])


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_config_can_be_read(path):
    read_config(str(path))


def test_the_two_phases_are_those_of_the_paper():
    first, second = (read_config(str(CONFIGS / name)) for name in ("phase1_single_subject.toml", "phase2_mixed.toml"))
    assert (first.training.steps, first.data.max_subjects) == (15_000, 1)
    assert (second.training.steps, second.data.max_subjects) == (16_000, 3)
    assert Path(second.model.file).parent == Path(first.training.output)
    assert first.timesteps.sampling == second.timesteps.sampling == "uniform"
