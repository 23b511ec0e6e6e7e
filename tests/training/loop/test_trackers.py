"""Metrics reach TensorBoard and wandb through accelerate, and a resumed run continues there."""

from __future__ import annotations

import sys
import types

import pytest
from fakes import FakeCache, tiny_config

from lumosx_core.errors import LumosXError, MissingPackageError
from lumosx_core.scene.layout import ReferenceLayout
from lumosx_training.loop.tracking.run_log import read_log
from lumosx_training.loop.trainer import Trainer

pytest.importorskip("accelerate")


def train(output, steps, trackers):
    config = tiny_config(output, training={"steps": steps, "trackers": trackers})
    return Trainer(config, cache=FakeCache([ReferenceLayout(1, (2,))] * 4), say=lambda line: None).run()


def test_tensorboard_has_each_metric_of_each_step_once_after_a_resume(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for steps in (2, 4):
        train(tmp_path, steps, ["tensorboard"])
    [folder] = {path.parent for path in (tmp_path / "tensorboard").rglob("events*")}
    events = EventAccumulator(str(folder)).Reload()
    logged = read_log(tmp_path / "log.jsonl")
    for name in ("loss", "lr", "grad_norm", "seconds"):
        points = [(event.step, event.value) for event in events.Scalars(name)]
        assert points == [(line["step"], pytest.approx(line[name])) for line in logged]
    assert len(logged) == 4


class FakeWandb(types.ModuleType):
    """What accelerate uses of wandb."""

    def __init__(self):
        super().__init__("wandb")
        self.__spec__ = types.SimpleNamespace(name="wandb", origin="fake")
        self.started, self.logged, self.finished = [], [], 0
        self.error: Exception | None = None

    def init(self, **options):
        if self.error is not None:
            raise self.error
        self.started.append(options)
        return self

    def log(self, values, step):
        self.logged.append((step, values["loss"]))

    def finish(self):
        self.finished += 1


@pytest.fixture
def wandb(monkeypatch):
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    tracking = pytest.importorskip("accelerate.tracking")
    monkeypatch.setattr(tracking, "_available_trackers", [tracking.LoggerType.WANDB])
    return fake


def test_wandb_receives_each_step_and_a_resumed_run_continues_the_same_run(wandb, tmp_path):
    for steps in (2, 4):
        train(tmp_path / "my_lora", steps, ["wandb"])
    first, second = wandb.started
    assert (first["project"], first["name"], first["dir"]) == ("lumosx", "my_lora", str(tmp_path / "my_lora"))
    assert first["id"] == second["id"] and first["resume"] == "allow"
    assert first["config"]["optimizer"]["learning_rate"] == 1e-3
    assert wandb.logged == [(line["step"], line["loss"]) for line in read_log(tmp_path / "my_lora" / "log.jsonl")]
    assert wandb.finished == 2
    train(tmp_path / "other", 2, ["wandb"])
    assert wandb.started[-1]["id"] != first["id"]


def test_wandb_that_does_not_start_is_explained(wandb, tmp_path):
    wandb.error = RuntimeError("No API key configured")
    with pytest.raises(LumosXError, match="did not start: No API key configured.*wandb login.*WANDB_MODE=offline"):
        train(tmp_path, 2, ["wandb"])


def test_a_tracker_that_is_not_installed_is_named_and_none_is_imported_unasked(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert train(tmp_path, 2, []).step == 2
    for name in ("wandb", "tensorboard"):
        with pytest.raises(MissingPackageError, match=f'trackers = \\["{name}"\\] needs the package'):
            train(tmp_path, 2, [name])
