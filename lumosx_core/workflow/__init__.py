"""Workflows saved from ComfyUI: read without ComfyUI, outlined while they are edited, and run from a shell.

`saved` reads a file as a graph of nodes; `values`, `image_nodes`, `scene_nodes`, `sampler_nodes` and `loader_nodes`
evaluate its nodes; `outline` lists a scene's phrases without its images; `run` puts everything together for the
pipeline.
"""
