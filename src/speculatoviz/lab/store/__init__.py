"""Runs that are kept: their settings, figures and traces, in SQLite or any other database that SQLAlchemy supports."""
