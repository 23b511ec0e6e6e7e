"""What a run reports.

- `progress.py`: lines in the terminal; `run_log.py`: log.jsonl; `trackers.py`: TensorBoard and wandb
"""
