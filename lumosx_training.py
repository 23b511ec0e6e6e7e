"""`training/` under the name that it is installed as, for a checkout that is not installed.

A module with a `__path__` is a package: `import lumosx_training.loop` reads `training/loop`, also in a process that was
started by this one.
"""

from pathlib import Path

__path__ = [str(Path(__file__).resolve().with_name("training"))]
