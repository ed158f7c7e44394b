"""Where to draft for a target on another machine: here, or there beside it. Measured pass, computed consequences."""

from __future__ import annotations

import statistics

from speculatoviz.core.theory import capacity_gain, colocated_gain
from speculatoviz.core.types import Draft, Limits, Request, Sampling
from speculatoviz.targets.base import RemoteTarget

_PASSES = 4
_OWN = (
    "One client alone: run `speculatoviz serve` on the verifier's machine, with both models, if it has room for the "
    "draft model. The round trip is then paid once, and not in every round."
)
_MANY = "Many clients: draft here. A busy verifier then serves 1 + k t_d / t_v times as many"
_OTHERS = (
    "One client alone: let the endpoint speculate itself, if it is yours (vLLM: --speculative-config, SGLang: "
    "--speculative-algorithm, llama-server: --spec-type). The round trip is then paid once, and not in every round. "
    "`speculatoviz export-config` writes its settings from recorded runs. Draft here if that machine has no room or no "
    "time for drafts: it then serves 1 + k t_d / t_v times as many clients."
)


def verification_ms(target: RemoteTarget, depth: int) -> float | None:
    """The median time of a pass over `depth` drafted tokens on the target's machine, without the network.

    None if the target does not report it. Raises what the target raises.
    """
    token = target.tokenizer.n_vocab // 2  # any one: the time of a pass does not depend on its tokens
    request = Request((token, token), Sampling(), Limits(_PASSES * (depth + 1), ignore_eos=True), evidence=False)
    target.begin(request)
    depth = min(depth, target.drafting.tokens or depth)
    found = list[float]()
    for round in range(_PASSES + 1):
        verdict = target.submit(Draft.chain(round, [token] * depth, (), "probe")).result()
        found.append((verdict.flight_ms or 0.0) - verdict.network_ms)
    return statistics.median(found[1:]) or None


def where_to_draft(
    *, own: bool, depth: int, rtt_ms: float | None, pass_ms: float | None, draft_ms: float | None
) -> list[str]:
    """A recommendation in sentences.

    own: the target is behind our verifier. depth: drafted tokens of a round. rtt_ms: the round trip. pass_ms: t_v, of
    the pass over a draft. draft_ms: t_d, of one drafted token. What is None is left out.
    """
    if not own:
        return [_OTHERS]
    lines = [_OWN]
    if pass_ms is not None:
        lines.append(f"A pass over {depth} drafted tokens takes {pass_ms:.1f} ms there (t_v, measured).")
    if pass_ms is None or draft_ms is None or rtt_ms is None:
        lines.append(f"{_MANY}. With --draft-ms, the time of a drafted token, both are computed.")
        return lines
    there_ms = depth * draft_ms + pass_ms
    gain, capacity = colocated_gain(depth, draft_ms, pass_ms, rtt_ms), capacity_gain(depth, draft_ms, pass_ms)
    lines.append(
        f"A round takes {there_ms + rtt_ms:.1f} ms with drafts from here, and {there_ms:.1f} ms with both models "
        f"there: {gain:.2f} times as fast for one client (computed, without drafting ahead, if both machines draft "
        "alike)."
    )
    lines.append(f"{_MANY}: {capacity:.2f} times here.")
    return lines
