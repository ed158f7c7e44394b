"""What a run asks for and what a drafter proposes: frozen dataclasses over NumPy arrays.

p is the target's distribution, q the draft's. Shapes: V is the size of the vocabulary, S the size of a support,
n the number of nodes of a draft. Arrays keep their dtype (float32 from runtimes, float64 from the toy model). Nothing
writes to an array after it is made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from speculatoviz.core.constraint import Constraint

GREEDY_BELOW = 1e-5  # a lower temperature is greedy, as in vLLM: dividing float32 logits by it overflows

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.int32]

ROOT = -1  # the parent of a node that follows the last committed token

Status = Literal["pending", "accepted", "rejected", "resampled", "bonus", "discarded", "plain", "received"]
FinishReason = Literal["stop", "length", "context", "cancelled", "error"]
Rule = Literal["token", "block", "match", "typical"]
Need = Literal["hidden", "layers", "probes"]  # what a drafter may need of a target beyond verdicts
Label = Literal["exact", "exact-greedy", "bounded", "lossy", "unverified"]


@dataclass(frozen=True, slots=True)
class Penalties:
    """Changes of the logits z of tokens x at a position, before temperature and filters, in this order.

    bias: pairs (x, b): z + b. repetition r > 0, of the x among the last `last_n` tokens before the position, prompt
    included, or among all of them for None: z / r if z > 0, else z r (Keskar et al. 2019, section 4.1). presence,
    frequency: z - presence [c > 0] - frequency c, where c is how often x occurs in the output before the position.
    Raises ValueError for numbers that are not finite, r <= 0, and last_n < 1.
    """

    presence: float = 0.0
    frequency: float = 0.0
    repetition: float = 1.0
    last_n: int | None = None
    bias: tuple[tuple[int, float], ...] = ()

    def __post_init__(self) -> None:
        numbers = (self.presence, self.frequency, self.repetition, *(value for _, value in self.bias))
        if not all(math.isfinite(number) for number in numbers) or self.repetition <= 0.0:
            raise ValueError(f"expected finite penalties and a repetition penalty above 0, got {numbers}")
        if self.last_n is not None and self.last_n < 1:
            raise ValueError(f"expected a window of at least one token, got {self.last_n}")

    @property
    def active(self) -> bool:
        """Whether any logit changes."""
        return bool(self.presence or self.frequency or self.bias) or self.repetition != 1.0


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the target is sampled. Penalties change the logits first; filters follow in the order temperature, top-k,
    top-p, min-p.

    temperature 0 is greedy: the point mass on the argmax, the lowest id if several are equal. A temperature below
    GREEDY_BELOW becomes 0. top_k 0, top_p 1 and min_p 0 switch a filter off. Raises ValueError for a temperature that
    is negative, infinite or not a number.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    penalties: Penalties = Penalties()

    def __post_init__(self) -> None:
        if not 0.0 <= self.temperature < math.inf:
            raise ValueError(f"expected a finite temperature of at least 0, got {self.temperature}")
        if self.temperature < GREEDY_BELOW:
            object.__setattr__(self, "temperature", 0.0)

    @property
    def greedy(self) -> bool:
        return self.temperature == 0.0

    @property
    def filtered(self) -> bool:
        return self.top_k > 0 or self.top_p < 1.0 or self.min_p > 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """When a run ends.

    stop_ids: end tokens; the one that ends the run is counted and adds no text. stop: strings that end the text; they
    are never shown. ignore_eos: go on after an end token.
    """

    max_tokens: int
    stop_ids: frozenset[int] = frozenset()
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False

    @property
    def end_ids(self) -> frozenset[int]:
        """The tokens that end this run: none with ignore_eos."""
        return frozenset() if self.ignore_eos else self.stop_ids


@dataclass(frozen=True, slots=True)
class Drafting:
    """What a target requires of its drafts.

    sampled: if False, the drafter takes its most probable tokens instead of drawing them; the target compares tokens
    and never sees q. support_size: the largest S of a q; None for any. quantised: q in whole multiples of 2^-16, which
    a wire format carries without loss. tokens: the largest n of a draft; None for any. trees: whether a draft may
    branch.
    """

    sampled: bool = True
    support_size: int | None = None
    quantised: bool = False
    tokens: int | None = None
    trees: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """One decoding run, or the rest of one after its sampling changed.

    prompt: the committed token ids, at least one. seed: of every random choice (see `chance.run_seed`). rule: how
    drafts are verified. evidence: whether to compute entropies and alternatives for display. cancelled: called between
    forward passes; True ends the run. drafting: what the target requires of drafts. overlap: whether to draft the next
    round while a remote target verifies this one. needs: what the drafters of the run need of the target.
    conversation: the (role, text) of the turns that the prompt renders, for endpoints that take chats only; empty for a
    text that is no chat. certainty: whether verdicts report the target's certainty, for a policy that learns from it.
    prediction: ids that a part of the output is expected to repeat, after the last ids of the prompt; for drafters that
    match text. alternatives: how many, at least 1, a local target reports per token as evidence; None for its default.
    output_from: the index in `prompt` at which the output begins, where `prompt` contains a part of it; None: after it.
    constraint: the tokens that p allows at each position; None for all.
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
    conversation: tuple[tuple[str, str], ...] = ()
    certainty: bool = False
    prediction: tuple[int, ...] = ()
    alternatives: int | None = None
    output_from: int | None = None
    constraint: Constraint | None = None

    @property
    def output_start(self) -> int:
        """The number of ids before the output of the run."""
        return len(self.prompt) if self.output_from is None else self.output_from


@dataclass(frozen=True, slots=True)
class Exactness:
    """What is claimed about the output distribution, and why. docs/exactness.md defines the labels."""

    label: Label
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Support:
    """A distribution over few tokens: ids int32[S], ascending and unique; probs float[S], with sum 1."""

    ids: Ints
    probs: Floats

    def prob(self, token: int) -> float:
        """The probability of a token, 0 outside the support."""
        place = int(np.searchsorted(self.ids, token))
        if place == len(self.ids) or self.ids[place] != token:
            return 0.0
        return float(self.probs[place])

    @classmethod
    def point(cls, token: int, dtype: npt.DTypeLike = np.float64) -> Support:
        """The point mass on one token."""
        return cls(np.array([token], np.int32), np.ones(1, dtype))


@dataclass(frozen=True, slots=True)
class Scores:
    """A model's raw scores at one position (T=1, no filters), for display only. Logarithms and entropy in nats.

    logprob: of the token at that position. logprob and entropy are None if an endpoint does not return them.
    """

    logprob: float | None
    entropy: float | None
    top: tuple[tuple[int, float], ...]  # (id, log-probability), most probable first


@dataclass(frozen=True, slots=True, eq=False)
class DraftEvidence:
    """What a drafter could have proposed at a node, for display.

    own: the distribution that a chosen token could have been drawn from at the request's sampling; None for a drawn
    token, and for a drafter without distributions. vocabulary int32[K], ascending: the ids that the drafter can
    propose; None for all.
    """

    own: Support | None = None
    vocabulary: Ints | None = None


class Node(NamedTuple):
    """One token of a draft that is being made. The fields are those of `Draft`, for one node."""

    token: int
    parent: int
    q: Support | None = None
    source: str = ""
    scores: Scores | None = None
    time_ms: float = 0.0
    covered_mass: float | None = None
    certainty: float | None = None
    evidence: DraftEvidence | None = None


class Probes(NamedTuple):
    """Further tokens in the target's pass. They are never tested and never emitted; only their rows are read.

    parents[i]: ROOT, a node of the draft (0 to n - 1), or n + the index of an earlier probe.
    """

    tokens: tuple[int, ...]
    parents: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """A tree of proposed tokens in topological order. A chain is the usual case.

    tokens int32[n]. parents int32[n]: an earlier node, or ROOT. q[i]: the distribution that tokens[i] was drawn from,
    given its ancestors and its earlier siblings; None for a token that was chosen without chance (a point mass).
    source[i]: the drafter's name. scores[i]: the drafter's raw scores there. times_ms[i]: what the node cost.
    covered_mass[i]: the share of the draft model's own distribution that lies on the support of q[i]. certainties[i]:
    the largest probability of the drafter's own distribution at node i, where a plan's stop rule asked for it.
    evidence[i]: what the drafter could have proposed there, if the request asks for evidence.

    The two laws of drafting, without which verification is not exact: whether a node exists, and from which q, depends
    only on what was known before its token was drawn; a drawn token is never withdrawn. What is tested earlier must
    not depend on what was drawn for later.
    """

    round: int
    tokens: Ints
    parents: Ints
    q: tuple[Support | None, ...]
    source: tuple[str, ...]
    scores: tuple[Scores | None, ...]
    times_ms: tuple[float, ...]
    evidence_ms: float = 0.0  # the part of the drafter's time that went into scores and covered_mass
    covered_mass: tuple[float | None, ...] = ()
    certainties: tuple[float | None, ...] = ()
    ahead: int = 0  # nodes that were drafted while a remote target verified the round before
    kept_mass: float | None = None  # mean share of the draft model's q that the target's vocabulary contains, this run
    probes: Probes | None = None
    evidence: tuple[DraftEvidence | None, ...] = ()

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def is_chain(self) -> bool:
        """Whether every node is the child of the node before it. An empty draft is a chain."""
        return bool(np.array_equal(self.parents, np.arange(len(self.tokens)) - 1))

    @property
    def depth(self) -> int:
        """The number of nodes on the longest path."""
        levels: list[int] = []
        for up in self.parents.tolist():
            levels.append(1 if up == ROOT else levels[up] + 1)
        return max(levels, default=0)

    def path(self, node: int) -> list[int]:
        """The nodes from the first level down to `node`, both included; empty for ROOT."""
        path: list[int] = []
        while node != ROOT:
            path.append(node)
            node = int(self.parents[node])
        return path[::-1]

    def position(self, node: int) -> int:
        """The depth of a node: 0 for a child of the last committed token."""
        return len(self.path(node)) - 1

    def children(self, parent: int) -> list[int]:
        """The children of a node or of ROOT, in the order in which they are tested."""
        return [node for node, up in enumerate(self.parents.tolist()) if up == parent]

    @classmethod
    def empty(cls, round: int) -> Draft:
        """A draft without nodes: its verification is one plain step."""
        return cls.chain(round, [], (), "none")

    @classmethod
    def tree(cls, round: int, nodes: Sequence[Node], evidence_ms: float = 0.0) -> Draft:
        """A draft from nodes in topological order, siblings in the order in which they were drawn."""
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
            certainties=tuple(node.certainty for node in nodes),
            evidence=tuple(node.evidence for node in nodes),
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
        certainties: tuple[float | None, ...] = (),
    ) -> Draft:
        """A draft whose nodes follow each other. An empty tuple stands for n times the default."""
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
            certainties=certainties,
        )
