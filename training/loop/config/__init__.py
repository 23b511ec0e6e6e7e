"""The config file of a run: `settings.py` documents every value.

`toml_tables.py` turns TOML into these dataclasses, `old_names.py` reads the names of earlier versions.
"""

from .settings import (
    DataSettings,
    EmaSettings,
    ExportSettings,
    LoopSettings,
    ModelSettings,
    OptimizerSettings,
    SampleSettings,
    SizeSettings,
    TimestepSettings,
    TrainConfig,
    parse_config,
    read_config,
)

__all__ = [
    "DataSettings",
    "EmaSettings",
    "ExportSettings",
    "LoopSettings",
    "ModelSettings",
    "OptimizerSettings",
    "SampleSettings",
    "SizeSettings",
    "TimestepSettings",
    "TrainConfig",
    "parse_config",
    "read_config",
]
