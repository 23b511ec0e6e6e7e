"""`python -m lumosx_core` is `lumosx`; so is `python PATH/lumosx_core`, for a Python that does not import from the
current folder.
"""

import sys
from pathlib import Path

if not __package__:  # run by its path
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    __package__ = "lumosx_core"

from .commands.main import main

sys.exit(main())
