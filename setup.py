"""The names that the folders have once they are installed; everything else is in pyproject.toml.

The packages are found here, because pyproject.toml can either find packages or rename them, and `training/` is renamed.
"""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["lumosx_core", "lumosx_core.*"]),
        "lumosx_training",
        *(f"lumosx_training.{name}" for name in find_packages("training")),
    ],
    package_dir={"lumosx_training": "training"},
)
