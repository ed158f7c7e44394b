"""After a run: what its drafter proposes after every token of the output, so that later questions need no model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from speculatoviz.core.chance import ChanceSource
from speculatoviz.core.compared import READS_Q
from speculatoviz.core.planning import Plan
from speculatoviz.core.rounds import Check, Round
from speculatoviz.core.steps import Changed, Ended
from speculatoviz.core.types import ROOT, Draft, Drafting, Request, Sampling, Scores, Support
from speculatoviz.drafters.base import Drafter
from speculatoviz.engine import Step
from speculatoviz.errors import CancelledError, SpeculatoVizError
from speculatoviz.telemetry.events import Record
from speculatoviz.telemetry.mapping import Stamp, TokenNames
from speculatoviz.telemetry.shadow import Shadowed

UNRECORDABLE = frozenset({"lookahead", "multi"})  # a draft depends on the rounds before, or is a tree
_FIRST_ROUND = 1 << 32  # of the random numbers, which are no round's
_TOP = 8  # tokens of q that are kept


@dataclass(frozen=True, slots=True)
class Emitted:
    """A token of the output as its round verified it. Fields as in `telemetry.events.Record`."""

    token: int
    target_prob: float | None
    target_certainty: float | None
    overlap: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """A draft after the first `position` tokens of the output. text_probs: q of the output's tokens along it."""

    position: int
    emitted: Emitted
    draft: Draft
    text_probs: tuple[float, ...]
    draft_ms: float


@dataclass(frozen=True, slots=True)
class NotRecorded:
    """Nothing more is recorded: what happened, and what to do. round: the last one."""

    round: int
    message: str
    hint: str


class _NeverStops:
    """A stop rule that lets the drafter report its certainty of every token and never ends a draft."""

    def computes_another(self, certainties: Sequence[float]) -> bool:
        del certainties
        return True

    def adds_another(self, certainties: Sequence[float], certainty: float) -> bool:
        del certainties, certainty
        return True


class Recorder:
    """Records with the drafter of a run, once the run has ended. depth: of the drafts. clock: seconds.

    request: of the run. drafting: what the target requires of drafts. The engine's clock stops meanwhile.
    """

    def __init__(
        self,
        drafter: Drafter,
        depth: int,
        request: Request,
        drafting: Callable[[], Drafting],
        chance: ChanceSource,
        clock: Callable[[], float],
    ) -> None:
        self._drafter, self._depth, self._request = drafter, depth, request
        self._drafting, self._chance, self._clock = drafting, chance, clock
        self._emitted: list[Emitted] = []
        self._round = 0
        self._resampled = False  # whether the sampling changed during the run

    def follow(self, steps: Iterable[Step | Shadowed]) -> Iterator[Step | Shadowed | Recorded | NotRecorded]:
        """The steps, unchanged, and before the last one a draft for each token of the output."""
        for step in steps:
            match step:
                case Round():
                    self._emitted += emitted_tokens(step, self._request)
                    self._round = step.index
                case Changed():
                    self._resampled |= step.sampling != self._request.sampling
                case Ended():
                    yield from self._record()
            yield step

    def _record(self) -> Iterator[Recorded | NotRecorded]:
        if self._resampled:
            what = "The temperature changed during the run, so nothing is recorded."
            yield NotRecorded(self._round, what, "Run it without changes.")
            return
        try:
            yield from self._drafts()
        except CancelledError:
            return
        except SpeculatoVizError as error:
            what = f"The drafter {self._drafter.name} failed, so the record ends. {error.message}"
            yield NotRecorded(self._round, what, error.hint)

    def _drafts(self) -> Iterator[Recorded]:
        """A draft after every prefix of the output, in order, as a round there would draft."""
        drafter, text = self._drafter, [emitted.token for emitted in self._emitted]
        plan = Plan(drafter.name, self._depth, stop=_NeverStops())
        drafter.begin(replace(self._request, drafting=self._drafting(), evidence=False, overlap=False))
        ids = list(self._request.prompt)
        for position, emitted in enumerate(self._emitted):
            if self._request.cancelled():
                return
            begun_s = self._clock()
            draft = drafter.draft(ids, position, plan, self._chance("draft", _FIRST_ROUND + position))
            draft_ms = (self._clock() - begun_s) * 1000
            yield Recorded(position, emitted, draft, text_probs(draft, text[position:]), draft_ms)
            ids.append(emitted.token)


def emitted_tokens(round: Round, request: Request) -> list[Emitted]:
    """The tokens that a round emitted, with what its verification knows of p and q before each."""
    verdict, sampling, found = round.verdict, request.sampling, list[Emitted]()
    checks = {check.node: check for check in verdict.checks}
    for place, (token, status) in enumerate(zip(round.emitted, round.statuses, strict=True)):
        parent = verdict.path[place - 1] if place else ROOT
        tested = [checks[node] for node in round.draft.children(parent) if node in checks]
        if status == "accepted":
            check = checks[verdict.path[place]]
            found.append(Emitted(token, check.target_prob, certainty(check.target, sampling), _overlap(tested)))
            continue
        extra = verdict.extra
        residual = status == "resampled" and request.rule in READS_Q
        known = _compared(tested, token) if residual else extra.target_prob
        found.append(Emitted(token, known, certainty(extra.target, sampling), _overlap(tested)))
    return found


def certainty(shown: Scores | None, sampling: Sampling) -> float | None:
    """The largest probability at the temperature, at 1 if it is greedy, as `sampling.largest_prob` defines it.

    From raw scores, which have the temperature 1: None at any other one, with penalties, and without scores.
    """
    known = (sampling.greedy or sampling.temperature == 1.0) and not sampling.penalties.active
    if shown is None or not shown.top or not known:
        return None
    return math.exp(shown.top[0][1])


def text_probs(draft: Draft, text: Sequence[int]) -> tuple[float, ...]:
    """q of the text's token at each place of a chain, up to and with the first place that holds another token."""
    probs: list[float] = []
    for node, (drafted, token) in enumerate(zip(draft.tokens.tolist(), text, strict=False)):
        probs.append((draft.q[node] or Support.point(drafted)).prob(token))
        if drafted != token:
            break
    return tuple(probs)


def record_event(stamp: Stamp, step: Recorded, names: TokenNames) -> Record:
    """The event of one recorded draft."""
    draft, emitted = step.draft, step.emitted
    q = draft.q[0] if len(draft) else None
    known = [certainty for certainty in draft.certainties if certainty is not None]
    return Record(
        run=stamp.run,
        seq=stamp.seq,
        t_ms=stamp.t_ms,
        position=step.position,
        token_id=emitted.token,
        target_prob=emitted.target_prob,
        target_certainty=emitted.target_certainty,
        overlap=emitted.overlap,
        drafted=draft.tokens.tolist(),
        draft_probs=[own.prob(int(token)) if own else 1.0 for own, token in zip(draft.q, draft.tokens, strict=True)],
        text_probs=list(step.text_probs),
        certainties=known if len(known) == len(draft) else [],
        draft_top=names.top(_top(q)) if q else [],
        draft_ms=step.draft_ms,
    )


def _top(q: Support) -> list[tuple[int, float]]:
    """The most probable (id, log-probability) of q."""
    order = (-q.probs).argsort(kind="stable")[:_TOP]
    return [(int(q.ids[i]), math.log(q.probs[i])) for i in order if q.probs[i] > 0]


def _compared(tested: Sequence[Check], token: int) -> float | None:
    """p of a token that was drawn from a residual: the first test at its position compared p itself with q."""
    rows = tested[0].compared if tested else ()
    return next((row.target_prob for row in rows if row.token == token), None)


def _overlap(tested: Sequence[Check]) -> float | None:
    """sum min(p, q) of the first test at a position, unless the rule tested with another weight than 1."""
    overlap = tested[0].overlap if tested else None
    return overlap.shared if overlap is not None and overlap.reach == 1.0 else None
