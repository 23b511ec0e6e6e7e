"""The training loop: `trainer.py` runs it, `train.py` is its command; the other files are its parts.

- `config/`: the config file
- `batches/`: the batches of each step
- `checkpoints/`: checkpoints and the finished file
- `tracking/`: progress, log.jsonl, TensorBoard and wandb
- the model: `starting_model.py`, `devices.py`
- a step: `losses.py`, `optimizer.py`, `ema.py`
- `preview.py`: sample videos; `interrupts.py`: Ctrl-C
"""
