"""How Ingredients (CogVideoX) is trained: its examples, their encoder, its settings and losses."""
