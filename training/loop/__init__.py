"""The training loop: `trainer.py` runs it, `train.py` is its command; the other files are what it needs.

- what to do: `config.py`, `toml_tables.py`
- a step: `loading.py` prepares batches, with `noise.py` and `dropout.py`; `losses.py`, `optimizer.py`, `ema.py`
- the model: `starting_model.py`, `devices.py`, `sharding.py`
- what is kept: `checkpoints.py`, `optimizer_state.py`, `export.py`
- what is seen: `run_log.py`, `progress.py`, `preview.py`; and `interrupts.py` hears Ctrl-C
"""
