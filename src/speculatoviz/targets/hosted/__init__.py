"""Targets at endpoints of others: servers that do not verify drafts themselves."""
