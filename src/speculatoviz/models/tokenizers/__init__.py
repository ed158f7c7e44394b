"""Text to token ids and back, chat templates, and vocabularies side by side."""
