"""How deep to draft, with which drafter, and whether to draft ahead."""
