"""The data of a run: samples from their sources, checked, packed, and combined into batches.

- what a sample is: `samples.py` (on the disk), `clips.py` (its video), `items.py` (encoded, and batches of it)
- `sources/`: where samples come from; `fingerprints.py` detects changes in them
- `check_data.py`, `phrase_check.py`: find bad samples; `pack.py`: writes shards; `augment.py`: varies reference images
- `buckets.py`: chooses the clips of each step
"""
