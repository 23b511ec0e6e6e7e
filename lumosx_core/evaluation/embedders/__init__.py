"""The networks that scores are computed with, in the formats in which they are released; nothing is downloaded.

Each has a `load` that opens a local file or folder and refuses another network, and a `note` for the report that says
which weights it has and whether the paper's figures were made with them.
"""
