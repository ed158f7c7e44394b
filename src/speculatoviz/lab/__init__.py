"""Experiments over runs: decoding prompts and comparing what came of it."""
