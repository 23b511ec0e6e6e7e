"""Latents and encoded captions on disk, written once and read many times.

`build_cache` (`build.py`) creates or extends a cache, `LatentCache` (`latent_cache.py`) reads it. `settings.py`
says how it is made, `index.py` which files there are, `files.py` what is in one; `encoder.py` encodes samples,
`writer.py` is the work of one process.
"""

from .build import CacheReport, build_cache
from .latent_cache import LatentCache
from .settings import CacheSettings

__all__ = ["CacheReport", "CacheSettings", "LatentCache", "build_cache"]
