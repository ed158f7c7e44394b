"""A target of this machine, served to drafters on other machines."""
