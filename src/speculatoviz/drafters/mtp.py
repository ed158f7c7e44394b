"""A model's own next-token layer drafts (Gloeckle et al. 2024; DeepSeek-AI 2024, "DeepSeek-V3", section 2.2)."""

from __future__ import annotations

from speculatoviz.drafters.eagle3 import Eagle3Drafter


class MtpDrafter(Eagle3Drafter):
    """The layer continues the target's hidden states, as an EAGLE-3 head continues inner layers.

    states: the target's hidden states. vocabulary: all of the target's ids.
    """

    name = "mtp"
    _needs = frozenset({"hidden"})
