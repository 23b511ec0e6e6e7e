"""Adapters to the internals of ComfyUI: one module for each part of it, to be repaired when that part changes."""
