"""Measurements of models on this machine: plain runs, pass times, noise floor."""
