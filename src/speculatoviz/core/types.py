"""The nouns of speculative decoding: frozen dataclasses over NumPy arrays.

p is the target's distribution, q the draft's. Shapes: V is the vocabulary, S a support, n the nodes of a draft.
Arrays keep the dtype they are given (runtimes give float32, the toy float64) and are never written to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.int32]

ROOT = -1  # the parent of a child of the last committed token

Status = Literal["pending", "accepted", "rejected", "resampled", "bonus", "discarded", "plain"]
FinishReason = Literal["stop", "length", "context", "cancelled", "error"]
Rule = Literal["token", "block", "match", "typical"]
Need = Literal["hidden", "probes"]  # what a drafter may want of a target beyond verdicts
Label = Literal["exact", "exact-greedy", "bounded", "lossy", "unverified"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the target is sampled. Filters apply in the order temperature, top-k, top-p, min-p.

    temperature 0 is greedy: the point mass on the argmax, lowest id on ties. top_k 0, top_p 1 and min_p 0 are off.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    @property
    def greedy(self) -> bool:
        return self.temperature == 0.0

    @property
    def filtered(self) -> bool:
        return self.top_k > 0 or self.top_p < 1.0 or self.min_p > 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """When to stop. `stop` strings are never shown; `stop_ids` are counted and not shown."""

    max_tokens: int
    stop_ids: frozenset[int] = frozenset()
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False

    @property
    def end_ids(self) -> frozenset[int]:
        return frozenset() if self.ignore_eos else self.stop_ids


@dataclass(frozen=True, slots=True)
class Drafting:
    """How a target wants its drafts made.

    sampled: False asks for the most probable tokens, chosen and not drawn: the target compares tokens and never sees
    q. support_size: the most ids a q may have. quantised: q in whole multiples of 2^-16, which travel without loss.
    tokens: the most a draft may have. trees: False asks for chains.
    """

    sampled: bool = True
    support_size: int | None = None
    quantised: bool = False
    tokens: int | None = None
    trees: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """One decoding run, or the rest of one whose sampling has changed.

    prompt: token ids already fixed, at least one. cancelled: asked between forward passes. drafting: what the target
    wants of a drafter. overlap: whether drafting goes on while a verification is under way elsewhere. needs: what the
    drafters of the run want of the target beyond verdicts.
    """

    prompt: tuple[int, ...]
    sampling: Sampling
    limits: Limits
    seed: int = 0
    rule: Rule = "token"
    evidence: bool = True
    cancelled: Callable[[], bool] = lambda: False
    drafting: Drafting = Drafting()
    overlap: bool = True
    needs: frozenset[Need] = frozenset()


@dataclass(frozen=True, slots=True)
class Exactness:
    """What may be claimed about the output distribution, and why."""

    label: Label
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Support:
    """A distribution with small support: ids int32[S], ascending and unique; probs float[S], summing to 1."""

    ids: Ints
    probs: Floats

    def prob(self, token: int) -> float:
        place = int(np.searchsorted(self.ids, token))
        if place == len(self.ids) or self.ids[place] != token:
            return 0.0
        return float(self.probs[place])

    @classmethod
    def point(cls, token: int, dtype: npt.DTypeLike = np.float64) -> Support:
        return cls(np.array([token], np.int32), np.ones(1, dtype))


@dataclass(frozen=True, slots=True)
class Scores:
    """A model's raw opinion at one place (T=1, unfiltered), for display only. Logs and entropy in nats.

    logprob: of the token in question. None for what an endpoint does not tell.
    """

    logprob: float | None
    entropy: float | None
    top: tuple[tuple[int, float], ...]  # (id, log-probability), most probable first


class Node(NamedTuple):
    """One token of a draft while it is being made; the fields are those of `Draft`."""

    token: int
    parent: int
    q: Support | None = None
    source: str = ""
    scores: Scores | None = None
    time_ms: float = 0.0
    covered_mass: float | None = None


class Probes(NamedTuple):
    """Further rows for the target to compute, never tested and never emitted.

    parents: ROOT, a node of the draft, or n + an earlier probe.
    """

    tokens: tuple[int, ...]
    parents: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """A tree of proposed tokens in topological order; a chain is the ordinary case.

    tokens int32[n]; parents int32[n], ROOT for a child of the last committed token; q[i] is the distribution
    tokens[i] was drawn from given its ancestors and earlier siblings, None for a token chosen deterministically
    (a point mass). Whether a node exists, and from which q, depends only on what was known before its token was
    drawn; a drawn token is never withdrawn.
    """

    round: int
    tokens: Ints
    parents: Ints
    q: tuple[Support | None, ...]
    source: tuple[str, ...]
    scores: tuple[Scores | None, ...]
    times_ms: tuple[float, ...]
    evidence_ms: float = 0.0  # part of the drafter's time that was spent on scores and covered_mass
    covered_mass: tuple[float | None, ...] = ()
    ahead: int = 0  # nodes that were drafted while the round before was verified elsewhere
    kept_mass: float | None = None  # share of the draft model's q that the target's vocabulary has, so far in the run
    probes: Probes | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def is_chain(self) -> bool:
        return bool(np.array_equal(self.parents, np.arange(len(self.tokens)) - 1))

    def path(self, node: int) -> list[int]:
        """The nodes from a child of the last committed token down to `node`, both included; none for ROOT."""
        path: list[int] = []
        while node != ROOT:
            path.append(node)
            node = int(self.parents[node])
        return path[::-1]

    def position(self, node: int) -> int:
        """Depth of a node below the last committed token, from 0."""
        return len(self.path(node)) - 1

    def children(self, parent: int) -> list[int]:
        """In the order in which they are tested."""
        return [node for node, up in enumerate(self.parents.tolist()) if up == parent]

    @classmethod
    def empty(cls, round: int) -> Draft:
        return cls.chain(round, [], (), "none")

    @classmethod
    def tree(cls, round: int, nodes: Sequence[Node], evidence_ms: float = 0.0) -> Draft:
        """nodes: in topological order, siblings in the order in which they were drawn."""
        return cls(
            round=round,
            tokens=np.array([node.token for node in nodes], np.int32),
            parents=np.array([node.parent for node in nodes], np.int32),
            q=tuple(node.q for node in nodes),
            source=tuple(node.source for node in nodes),
            scores=tuple(node.scores for node in nodes),
            times_ms=tuple(node.time_ms for node in nodes),
            evidence_ms=evidence_ms,
            covered_mass=tuple(node.covered_mass for node in nodes),
        )

    @classmethod
    def chain(
        cls,
        round: int,
        tokens: list[int],
        q: tuple[Support | None, ...],
        source: str,
        scores: tuple[Scores | None, ...] = (),
        times_ms: tuple[float, ...] = (),
        evidence_ms: float = 0.0,
        covered_mass: tuple[float | None, ...] = (),
    ) -> Draft:
        n = len(tokens)
        return cls(
            round=round,
            tokens=np.array(tokens, np.int32),
            parents=np.arange(n, dtype=np.int32) - 1,
            q=q or (None,) * n,
            source=(source,) * n,
            scores=scores or (None,) * n,
            times_ms=times_ms or (0.0,) * n,
            evidence_ms=evidence_ms,
            covered_mass=covered_mass or (None,) * n,
        )


@dataclass(frozen=True, slots=True)
class Check:
    """One tested node: what the rule compared and decided, and, for display, both models' raw opinions.

    Probabilities are None where a target decides without knowing them.
    """

    node: int
    token: int
    status: Status
    target_prob: float | None
    draft_prob: float | None
    acceptance_prob: float | None
    uniform: float | None  # None where the outcome needed no chance
    target: Scores | None = None


@dataclass(frozen=True, slots=True)
class Extra:
    """The one token behind the accepted path, drawn from what is left of p there.

    target_prob is the token's probability under the distribution it was drawn from, None where that is not known;
    `residual` holds the top (id, log-probability) of that distribution after a rejection.
    """

    token: int
    status: Status
    target_prob: float | None
    target: Scores | None = None
    residual: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """What a verification took of a remote target; None where it does not say.

    Tokens as the endpoint bills them, cached ones being part of the prompt's; bytes as they went over the wire.
    """

    calls: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    sent_bytes: int | None = None
    received_bytes: int | None = None

    def __add__(self, other: Usage) -> Usage:
        """The sum; a part that one of them does not tell is not told by the sum either."""
        others = asdict(other)
        told: dict[str, Any] = {
            name: None if mine is None or others[name] is None else mine + others[name]
            for name, mine in asdict(self).items()
        }
        return Usage(**told)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one verification: the accepted path (node indices), the token after it, every check.

    total_variation_bound: at most so far is the distribution of what was emitted from the target's, summed over the
    tokens. flight_ms: from submission to answer where the work was done elsewhere; network_ms is the part of it that
    was not the target's own. probed: the most probable token behind each of the draft's probes.
    """

    path: tuple[int, ...]
    extra: Extra
    checks: tuple[Check, ...]
    exactness: Label = "exact"
    total_variation_bound: float = 0.0
    network_ms: float = 0.0
    evidence_ms: float = 0.0
    flight_ms: float | None = None
    usage: Usage | None = None
    probed: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What a policy wants of the next round.

    nodes: the most tokens the draft may have; more than `depth` of them ask for a tree. room: how many tokens, probes
    among them, the target has place for; None for any number.
    """

    drafter: str
    depth: int
    nodes: int = 0
    room: int | None = None

    @property
    def spare(self) -> int:
        """Nodes beside a chain of full depth."""
        return max(0, self.nodes - self.depth)


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds of one round. draft, verify, network, evidence and other add up to round_ms.

    hidden_draft_ms: drafting of the next round while this one was being verified elsewhere.
    """

    draft_ms: float
    verify_ms: float
    network_ms: float
    evidence_ms: float
    other_ms: float
    hidden_draft_ms: float = 0.0
    prefill_ms: float = 0.0

    @property
    def round_ms(self) -> float:
        return self.draft_ms + self.verify_ms + self.network_ms + self.evidence_ms + self.other_ms


@dataclass(frozen=True, slots=True, eq=False)
class Round:
    """One draft-and-verify step as it was committed.

    emitted: ids added to the output, 1 to depth + 1 of them; statuses and texts run along with it. Tokens behind
    an end token or a stop string are dropped: they are neither emitted nor counted.
    """

    index: int
    plan: Plan
    draft: Draft
    verdict: Verdict
    emitted: tuple[int, ...]
    statuses: tuple[Status, ...]
    texts: tuple[str, ...]
    times: Times

    @property
    def drafted(self) -> int:
        return len(self.draft)

    @property
    def accepted(self) -> int:
        return sum(status == "accepted" for status in self.statuses)

    def count(self, status: Status) -> int:
        return sum(s == status for s in self.statuses)
