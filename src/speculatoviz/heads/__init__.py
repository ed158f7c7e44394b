"""Draft heads: small networks on the target's states. `eagle` and `medusa` in NumPy, `eagle3` on llama.cpp."""
