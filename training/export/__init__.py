"""Prepared or any other samples in the formats of other trainers: `lumosx export`."""
