"""A classroom: visitors bet on the target's decisions before they are shown. Nothing of it is stored."""
