"""How far predictions are from the truth, and the report of it."""
