"""From a target to heads that draft for it: text it writes itself, states it went through, and PyTorch."""
