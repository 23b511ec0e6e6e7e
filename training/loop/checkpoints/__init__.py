"""What a run saves.

- `checkpoint.py`: checkpoint folders, complete or absent; `run_facts.py`: their run.json
- `sharded_state.py`: weights and optimizer state as named tensors, also when they are sharded over processes
- `finished_file.py`: the model or LoRA at the end
"""
