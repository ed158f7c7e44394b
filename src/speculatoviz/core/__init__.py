"""The algorithm itself: pure, without I/O, clocks or global state. p is the target, q the draft."""
