"""Draft heads: small networks on the target's states, computed by the kernels of llama.cpp."""
