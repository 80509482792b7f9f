"""One module per subject, one row per kind of mistake."""
