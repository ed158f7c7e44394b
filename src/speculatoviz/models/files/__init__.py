"""Model files: their names, where they come from, what is inside, and files made of others."""
