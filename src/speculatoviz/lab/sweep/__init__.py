"""Every choice of drafter, depth, policy and temperature on the same prompts, against measured plain runs."""
