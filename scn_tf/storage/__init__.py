"""Files: written whole or not at all, with an owner, a checksum, limits."""
