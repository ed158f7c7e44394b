"""Targets behind endpoints of others."""
