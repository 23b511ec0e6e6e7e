"""Inputs of nodes that several nodes share: their slots and options, and conversion of their values."""
