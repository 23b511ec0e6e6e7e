"""The data of a run: samples from their sources, checked, packed, and put together into batches.

- what a sample is: `samples.py` (on the disk), `clips.py` (its video), `records.py` (as one JSON record), `items.py`
  (encoded, and batches of it)
- where samples come from: `sources.py` opens folders, and finds the rest: `manifest.py` (JSONL),
  `webdataset_source.py` (tar shards), `research_format.py` with `research_scene.py` (tables); `fingerprints.py` tells
  whether one has changed
- what is done to them: `check_data.py` and `phrase_check.py` look for bad ones, `pack.py` writes shards, `augment.py`
  varies reference pictures, `buckets.py` chooses the clips of each step
"""
