"""The client side of our own verifier."""
