"""Workflows saved from ComfyUI: read without ComfyUI, outlined while they are being made, and run from a shell.

`file` reads one, `ui_format` turns the page's own format into the API's, `graph` follows its links, `values`,
`pictures`, `scenes`, `sampling` and `weights` read what its nodes hold, `outline` tells a scene's phrases without its
pictures, and `run` puts everything together for the pipeline.
"""
