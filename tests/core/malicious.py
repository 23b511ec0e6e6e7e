"""What an attacker would put into a checkpoint."""

import os


class Code:
    """Unpickling it would make a folder."""

    def __init__(self, probe):
        self.probe = probe

    def __reduce__(self):
        return os.mkdir, (str(self.probe),)
