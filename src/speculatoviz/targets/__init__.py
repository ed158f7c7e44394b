"""One file per way to verify a draft."""
