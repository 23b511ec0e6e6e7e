"""The batches of a run, the same for any number of workers and processes.

- `loading.py`: worker processes (PyTorch's DataLoader)
- `step_batches.py`: the batch of one step, as a pure function of the step
- `noise.py`: random draws; `dropout.py`: captions and reference images that are left out
"""
