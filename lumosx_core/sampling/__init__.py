"""Noise schedule, solver and guidance: what every family samples with."""
