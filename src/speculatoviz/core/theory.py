"""Formulas of speculative decoding: expected tokens, rate and best depth (Leviathan et al. 2023, section 3).

Used for choices and for labelled estimates, never in place of a measurement.
"""

from __future__ import annotations

from collections.abc import Mapping


def expected_tokens(acceptance: float, depth: int) -> float:
    """Mean tokens of a round: (1 - a^(K+1)) / (1 - a) for acceptance a at every position and depth K (eq. 1)."""
    if acceptance >= 1.0:
        return depth + 1.0
    return float((1.0 - acceptance ** (depth + 1)) / (1.0 - acceptance))


def expected_tps(acceptance: float, depth: int, draft_ms: float, pass_ms: Mapping[int, float]) -> float:
    """Expected tokens per second at a depth.

    draft_ms: milliseconds of one drafted token. pass_ms[n]: milliseconds of one target pass over n tokens.
    """
    return 1000.0 * expected_tokens(acceptance, depth) / (depth * draft_ms + pass_ms[depth + 1])


def best_depth(acceptance: float, draft_ms: float, pass_ms: Mapping[int, float], deepest: int = 16) -> int:
    """The depth >= 1 with the highest expected rate, among the depths whose pass was measured.

    The time of a pass is not monotone in the number of tokens, so every measured size is tried. Raises ValueError if
    no pass over two or more tokens was measured.
    """
    depths = [rows - 1 for rows in sorted(pass_ms) if 1 <= rows - 1 <= deepest]
    if not depths:
        raise ValueError("expected the time of a pass over at least two tokens")
    return max(depths, key=lambda depth: expected_tps(acceptance, depth, draft_ms, pass_ms))


def capacity_gain(depth: int, draft_ms: float, pass_ms: float) -> float:
    """How many times as many clients a busy target serves if they draft themselves: 1 + K t_d / t_v.

    draft_ms: t_d, of one drafted token on the target's machine. pass_ms: t_v, of its pass over K + 1 tokens. With both
    models there, a round keeps that machine busy for K t_d + t_v; without the drafts, for t_v.
    """
    return 1.0 + depth * draft_ms / pass_ms


def colocated_gain(depth: int, draft_ms: float, pass_ms: float, rtt_ms: float) -> float:
    """How much faster a round is with both models on the target's machine: (K t_d + t_v + R) / (K t_d + t_v).

    rtt_ms: R, the round trip, which only drafts that are sent pay in each round. The rest as for `capacity_gain`.
    """
    there_ms = depth * draft_ms + pass_ms
    return (there_ms + rtt_ms) / there_ms
