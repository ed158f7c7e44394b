"""The target drafts for itself with a cheaper version of itself (Zhang et al. 2024, "Draft & Verify")."""

from __future__ import annotations

from speculatoviz.drafters.model import ModelDrafter


class SelfDrafter(ModelDrafter):
    """A draft model made from the target's own file: with a smaller quantisation, or with fewer layers."""

    name = "selfspec"
