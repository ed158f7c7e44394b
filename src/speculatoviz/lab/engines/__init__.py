"""Other engines: settings for them, checks of their commands, and their statistics."""
