"""LumosX: Wan2.1-T2V with three relational changes to attention."""
