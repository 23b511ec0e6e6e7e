"""From raw videos to training samples with owners: `lumosx prepare`.

`stages/` has one module a stage, in the order in which they run; each reads what earlier stages left on the disk and
leaves its own result there. `runner/` runs a stage over all items, on this machine or on a cluster, so that each item
is done exactly once whatever is killed. `settings.py` has the thresholds, `stage.py` what both sides agree on,
`pipeline.py` the order of the stages, `dataset.py` what is on the disk.
"""
