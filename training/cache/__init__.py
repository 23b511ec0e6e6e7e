"""Latents and encoded captions on the disk, made once and read many times.

`build_cache` (`build.py`) makes a cache or goes on with it, `LatentCache` (`latent_cache.py`) reads it. `settings.py`
says how it is made, `index.py` which files there are, `files.py` what is in one; `encoder.py` encodes samples,
`writer.py` is the work of one process.
"""

from .build import CacheReport, build_cache
from .latent_cache import LatentCache
from .settings import CacheSettings

__all__ = ["CacheReport", "CacheSettings", "LatentCache", "build_cache"]
