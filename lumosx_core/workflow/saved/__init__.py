"""Workflow files as ComfyUI saves, exports and sends them, read as graphs of nodes."""
