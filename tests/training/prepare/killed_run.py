"""A run that tests kill, as a process of its own: python killed_run.py FOLDER VIDEOS SECONDS ray|local."""

from __future__ import annotations

import sys
from pathlib import Path

from synthetic_stages import KillingDataset, stages, videos

from lumosx_training.prepare.runner.local import LocalExecution
from lumosx_training.prepare.runner.on_ray import RayExecution
from lumosx_training.prepare.runner.run import run

if __name__ == "__main__":
    folder, number, seconds, where = sys.argv[1:]
    dataset = KillingDataset(Path(folder) / "data", "sample")
    execution = RayExecution(2) if where == "ray" else LocalExecution()
    report = run(dataset, videos(int(number)), stages(float(seconds)), execution, {})
    print(report.table())
