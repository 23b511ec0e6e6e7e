"""`python -m lumosx_core` is `lumosx`."""

import sys

from .cli import main

sys.exit(main())
