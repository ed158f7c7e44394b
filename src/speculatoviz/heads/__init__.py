"""Draft heads: small networks on the target's hidden states, in NumPy, for the drafters `eagle` and `medusa`."""
