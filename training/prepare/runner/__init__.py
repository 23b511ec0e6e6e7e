"""Runs stages over all items, exactly once each: on the disk, on one machine or on a Ray cluster."""
