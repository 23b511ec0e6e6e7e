"""Bytes on disk: reading and writing files whole or not at all. No network is known here."""
