"""From settings to a loaded target with its drafters, ready to run."""
