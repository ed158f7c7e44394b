"""Small networks on the target's hidden states, in NumPy: what the drafters `eagle` and `medusa` run."""
