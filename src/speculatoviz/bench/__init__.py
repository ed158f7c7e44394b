"""Benchmarks: they measure and never assert. Each ends in one JSON line."""
