"""The names that the folders have once they are installed; everything else is in pyproject.toml.

The packages are found here, because pyproject.toml can either find packages or rename them. Renamed are `training/`,
whose own name is too common to claim, and the folders of data that the core shares with ComfyUI's page.
"""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["lumosx_core", "lumosx_core.*"]),
        "lumosx_core.examples",
        "lumosx_core.locales",
        "lumosx_training",
        *(f"lumosx_training.{name}" for name in find_packages("training")),
    ],
    package_dir={
        "lumosx_core.examples": "examples",
        "lumosx_core.locales": "locales",
        "lumosx_training": "training",
    },
)
