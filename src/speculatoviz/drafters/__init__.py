"""One file per answer to "where does the draft come from?"."""
