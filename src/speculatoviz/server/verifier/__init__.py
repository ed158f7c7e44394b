"""A local target served to drafters elsewhere."""
