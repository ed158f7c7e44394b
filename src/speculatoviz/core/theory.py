"""What to expect of speculation: expected tokens, speedup, best depth (Leviathan et al. 2023, section 3)."""

from __future__ import annotations

from collections.abc import Mapping


def expected_tokens(acceptance: float, depth: int) -> float:
    """Mean tokens of a round of `depth` drafts, each accepted with the same probability (eq. 1)."""
    if acceptance >= 1.0:
        return depth + 1.0
    return float((1.0 - acceptance ** (depth + 1)) / (1.0 - acceptance))


def expected_tps(acceptance: float, depth: int, draft_ms: float, pass_ms: Mapping[int, float]) -> float:
    """Tokens per second at a depth. draft_ms: one drafted token; pass_ms[n]: one target pass over n tokens."""
    return 1000.0 * expected_tokens(acceptance, depth) / (depth * draft_ms + pass_ms[depth + 1])


def best_depth(acceptance: float, draft_ms: float, pass_ms: Mapping[int, float], deepest: int = 16) -> int:
    """The depth of the highest expected rate among those measured, at least 1.

    Verification time is not monotone in the batch size, so every measured size is tried.
    """
    depths = [rows - 1 for rows in sorted(pass_ms) if 1 <= rows - 1 <= deepest]
    if not depths:
        raise ValueError("expected the time of a pass over at least two tokens")
    return max(depths, key=lambda depth: expected_tps(acceptance, depth, draft_ms, pass_ms))
