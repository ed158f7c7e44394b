"""This engine's ways to decode, and other engines on the same files, measured on the same prompts in turn."""
