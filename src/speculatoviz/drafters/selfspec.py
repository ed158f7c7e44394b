"""The target drafts for itself through a cheaper version of itself (Zhang et al. 2024, "Draft & Verify")."""

from __future__ import annotations

from speculatoviz.drafters.model import ModelDrafter


class SelfDrafter(ModelDrafter):
    """A draft model made from the target's own file: stronger quantisation, or fewer layers."""

    name = "selfspec"
