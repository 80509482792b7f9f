"""Files: written completely or not at all, with ownership, checksums and limits."""
