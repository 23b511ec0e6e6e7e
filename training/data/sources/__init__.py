"""Where samples come from; `open_source` opens any address.

- `open_source.py`: folders of samples, and the choice among the others
- `manifest.py`: JSONL; `webdataset_source.py`: tar shards; both hold the records of `records.py`
- `research_format.py`, `research_scene.py`: tables of the research format
- `located.py`: the files that manifests and tables name
"""

from .open_source import FolderSource, open_source

__all__ = ["FolderSource", "open_source"]
