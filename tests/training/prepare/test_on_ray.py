"""The same stages in several processes: the same results, and what kills a process is set aside."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from deadly_stages import Counted, DeadlyToOpen, Poisoned
from synthetic_stages import Dataset, Probe, digest, id_of, stages, unfinished, videos

from lumosx_core.errors import LumosXError, MissingPackageError
from lumosx_training.prepare.runner import on_ray
from lumosx_training.prepare.runner.local import LocalExecution
from lumosx_training.prepare.runner.on_ray import RayExecution
from lumosx_training.prepare.runner.run import run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ray(tmp_path_factory):
    """Two processes, for all tests of this module."""
    pytest.importorskip("ray.data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        with RayExecution(2) as execution:
            yield execution


def prepare(root: Path, execution, these=None, number=60):
    these = these or stages()
    last = "sample" if these[-1].name == "cut" else these[-1].name
    return run(Dataset(root, last), videos(number), these, nullcontext(execution), {})


def test_the_results_are_those_of_one_process(ray, tmp_path):
    report = prepare(tmp_path / "ray", ray, stages()[:2])
    alone = prepare(tmp_path / "local", LocalExecution(), stages()[:2])
    assert digest(tmp_path / "ray") == digest(tmp_path / "local")
    assert [stage.as_json() | {"failed": 0} for stage in report.stages] == [
        stage.as_json() | {"failed": 0} for stage in alone.stages
    ]
    assert unfinished(tmp_path / "ray") == [] and not list((tmp_path / "ray" / "attempts").iterdir())


def test_an_item_that_kills_its_process_is_set_aside_and_no_other_is(ray, tmp_path):
    report = prepare(tmp_path / "data", ray, [Poisoned()])
    assert report.samples == 59 and unfinished(tmp_path / "data") == []
    [(message, count)] = report.stages[0].failed.items()
    assert message == "Each of the 4 processes that worked on it died." and count == 1
    assert [path.stem for path in (tmp_path / "data" / "failed" / "probe").iterdir()] == [id_of(17)]


def test_a_stage_that_kills_its_processes_as_it_starts_ends_the_run(ray, tmp_path):
    with pytest.raises(LumosXError, match=r"1 processes died while stage 'probe' loaded what it needs"):
        prepare(tmp_path / "data", RayExecution(1, most_openings=1), [DeadlyToOpen()], number=2)


def test_a_full_disk_in_a_worker_stops_the_run_and_it_goes_on(ray, tmp_path):
    class Full(Dataset):
        def _publish(self, output, destination):
            if not (self.root / "room").exists():
                raise OSError(28, "No space left on device")
            super()._publish(output, destination)

    with pytest.raises(LumosXError, match=r"The disk of .* is full. What is finished is kept"):
        run(Full(tmp_path / "data", "probe"), videos(20), [Probe()], nullcontext(ray), {})
    assert unfinished(tmp_path / "data") == [] and not list((tmp_path / "data" / "attempts").iterdir())
    (tmp_path / "data" / "room").touch()
    report = run(Full(tmp_path / "data", "probe"), videos(20), [Probe()], LocalExecution(), {})
    assert report.samples + report.failed + report.stages[0].rejected.total() == 20


def test_work_is_done_in_batches_by_both_processes(ray, tmp_path):
    (tmp_path / "begun").mkdir()
    stage = Counted(folder=str(tmp_path / "begun"), batch_size=4)
    report = run(Dataset(tmp_path / "data", "probe"), videos(400), [stage], nullcontext(ray), {})
    assert report.samples == 400
    seen = [path.read_text().split() for path in (tmp_path / "begun").iterdir()]
    assert len({process for process, _ in seen}) == 2 and {size for _, size in seen} == {"4"}


def test_a_stage_for_gpus_names_what_is_missing(ray, tmp_path):
    import ray as installed

    if installed.cluster_resources().get("GPU"):
        pytest.skip("this machine has a GPU")
    with pytest.raises(LumosXError, match=r"'probe' needs 0.5 GPU for each process, but Ray sees 0"):
        prepare(tmp_path / "data", ray, [Probe(gpus=0.5)])


def test_an_address_without_a_cluster_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(on_ray, "_ray", FakeRay)
    with pytest.raises(LumosXError, match=r"Ray could not be reached at '127.0.0.1:1' \(ConnectionError: refused\)"):
        RayExecution(None, "127.0.0.1:1").__enter__()


class FakeRay:
    @staticmethod
    def init(**_):
        raise ConnectionError("refused")


def test_without_ray_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPackageError, match=r"package 'ray\[data\]'"):
        RayExecution(2).__enter__()


def test_the_environment_of_this_process_stays_as_it_was(ray):
    assert os.environ.get("RAY_USAGE_STATS_ENABLED") == "0"
    assert "PYTHONPATH" not in os.environ or str(on_ray.FOLDER) not in os.environ["PYTHONPATH"].split(os.pathsep)[:1]
