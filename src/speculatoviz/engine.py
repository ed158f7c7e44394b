"""The loop: plan, draft, verify, commit.

One synchronous generator; everything else hangs off what it yields. It never sleeps, prints, opens sockets or knows
of the page, and its clock stands still while it is suspended at a yield.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from speculatoviz.core.chance import ChanceSource
from speculatoviz.core.steps import Begun, Changed, Drafted, Ended
from speculatoviz.core.text import TextStream
from speculatoviz.core.types import Draft, FinishReason, Plan, Request, Round, Status, Times, Verdict
from speculatoviz.drafters.base import Drafter
from speculatoviz.errors import BadRequestError, CancelledError
from speculatoviz.policies.base import Policy, State
from speculatoviz.policies.draft_ahead import Foresight
from speculatoviz.targets.base import Pending, Target

Step = Begun | Changed | Drafted | Round | Ended


@dataclass(frozen=True, slots=True)
class Change:
    """What a user changed during a run; None leaves a setting as it is."""

    depth: int | None = None
    temperature: float | None = None
    drafter: str | None = None
    nodes: int | None = None


def speculate(
    request: Request,
    target: Target,
    drafters: Mapping[str, Drafter],
    policy: Policy,
    chance: ChanceSource,
    clock: Callable[[], float],
    changes: Callable[[], Sequence[Change]] = tuple,
) -> Iterator[Step]:
    """Decode `request` speculatively.

    clock: seconds. changes: what was asked for since the last round. Yields Begun, then for every round Drafted
    before verification and Round after it, and Ended last. Raises BadRequestError where the prompt does not fit.
    """
    run = _Run(request, target, drafters, policy, chance, clock)
    try:
        yield run.begin()
        while run.finish_reason is None:
            if changed := run.apply(changes()):
                yield changed
            drafted = run.draft()
            yield drafted
            yield run.verify(drafted)
    except CancelledError:
        run.finish_reason = "cancelled"
    yield Ended(run.finish_reason, run.text.finish())


class _Run:
    """The state of one decoding run: the committed ids and who is drafting."""

    def __init__(
        self,
        request: Request,
        target: Target,
        drafters: Mapping[str, Drafter],
        policy: Policy,
        chance: ChanceSource,
        clock: Callable[[], float],
    ) -> None:
        self.request, self.target, self.drafters = request, target, drafters
        self.policy, self.chance = policy, chance
        self.watch = Stopwatch(clock)
        self.foresight = Foresight(clock)
        self._guessing = False
        self.ids = list(request.prompt)
        self._prompt_tokens = len(self.ids)
        self.text = TextStream(target.tokenizer.token_bytes, request.limits.stop)
        self.index = 0
        self.finish_reason: FinishReason | None = None
        self._ready: str | None = None
        self._draft_ms = self._other_ms = self._prefill_ms = 0.0

    def begin(self) -> Begun:
        if len(self.ids) >= self.target.context_tokens:
            raise BadRequestError(
                f"The prompt has {len(self.ids)} tokens and the context holds {self.target.context_tokens}.",
                "Shorten the prompt, or start with a larger --context-tokens.",
            )
        self.watch.resume()
        exactness = self.target.begin(self.request)
        self._prefill_ms = self.watch.lap()
        return Begun(exactness)

    def apply(self, changes: Sequence[Change]) -> Changed | None:
        """Bring changes into force between two rounds."""
        if not changes:
            return None
        self.watch.resume()
        for change in changes:
            self.policy.change(depth=change.depth, drafter=change.drafter, nodes=change.nodes)
            if change.temperature is not None:
                sampling = replace(self.request.sampling, temperature=change.temperature)
                self.request = replace(self.request, sampling=sampling)
            if change.drafter is not None and change.drafter in self.drafters:
                needs = self.request.needs | self.drafters[change.drafter].needs
                self.request = replace(self.request, needs=needs)
        self.request = replace(self.request, prompt=tuple(self.ids))
        exactness = self.target.begin(self.request)
        self._ready = None
        self._prefill_ms += self.watch.lap()
        return Changed(self.index, self._plan(), self.request.sampling, exactness)

    def draft(self) -> Drafted:
        self.watch.resume()
        plan = self._plan()
        self._other_ms = self.watch.lap()
        if plan.depth > 0:
            drafter = self._ready_drafter(plan.drafter)
            self._prefill_ms += self.watch.lap()
            draft = drafter.draft(self.ids, self.index, plan, self.chance("draft", self.index))
        else:
            draft = Draft.empty(self.index)
        self._draft_ms = self.watch.lap() - draft.evidence_ms
        if self._guessing:
            self.foresight.guessed(draft.ahead > 0)
        return Drafted(self.index, plan, draft)

    def verify(self, drafted: Drafted) -> Round:
        self.watch.resume()
        draft = drafted.draft
        pending = self.target.submit(draft)
        self.foresight.begin()
        submit_ms = self.watch.lap()
        try:
            self._draft_ahead(drafted, pending)
        except BaseException:
            pending.cancel()
            raise
        looked_ms = self.watch.lap()
        ahead_ms = looked_ms if self._guessing else 0.0
        drafted_ms = submit_ms + looked_ms  # since the submission
        verdict = pending.result()
        waited_ms = drafted_ms + self.watch.lap()
        flight_ms = waited_ms if verdict.flight_ms is None else verdict.flight_ms
        self.foresight.landed(flight_ms)
        late_ms = min(ahead_ms, max(0.0, drafted_ms - flight_ms))  # drafting ahead that outlasted the flight
        emitted, statuses, texts = self._commit(draft, verdict)
        times = Times(
            draft_ms=self._draft_ms + late_ms,
            verify_ms=flight_ms - verdict.network_ms - verdict.evidence_ms,
            network_ms=verdict.network_ms,
            evidence_ms=draft.evidence_ms + verdict.evidence_ms,
            other_ms=self._other_ms + max(0.0, waited_ms - flight_ms - late_ms) + self.watch.lap(),
            hidden_draft_ms=ahead_ms - late_ms,
            prefill_ms=self._prefill_ms,
        )
        result = Round(self.index, drafted.plan, draft, verdict, emitted, statuses, texts, times)
        self.index, self._prefill_ms = self.index + 1, 0.0
        self.policy.observe(result)
        if drafted.plan.depth > 0:
            self.drafters[drafted.plan.drafter].observe(result)
        return result

    def _draft_ahead(self, drafted: Drafted, pending: Pending) -> None:
        """Let the drafter begin the next round while this one is verified elsewhere.

        It assumes that the whole draft is accepted. What it draws does not depend on the verdict, and `Chance` gives
        it what it would have drawn later: the text is the same with and without.
        """
        draft, name = drafted.draft, drafted.plan.drafter
        self._guessing = False
        if not self.request.overlap or not len(draft) or not draft.is_chain or pending.done():
            return
        expected = [*self.ids, *draft.tokens.tolist()]
        plan = self._plan(1, len(expected) + 1)
        if plan.depth == 0 or plan.drafter != name or expected[-1] in self.request.limits.end_ids:
            return
        self._guessing = self.drafters[name].prepare(
            expected,
            self.index + 1,
            plan,
            self.chance("draft", self.index + 1),
            lambda pass_ms: not pending.done() and self.foresight.pays(pass_ms),
        )

    def _plan(self, ahead: int = 0, committed: int | None = None) -> Plan:
        """The policy's plan, capped by the tokens, the context and the target's pass.

        ahead: how many rounds from now. committed: the ids there will be then.
        """
        committed = len(self.ids) if committed is None else committed
        plan = self.policy.plan(State(self.index + ahead, committed))
        if plan.depth > 0 and plan.drafter not in self.drafters:
            raise BadRequestError(
                f"There is no drafter named {plan.drafter!r} here.",
                f"Choose one of: {', '.join(self.drafters)}.",
            )
        done = committed - self._prompt_tokens
        left = self.target.context_tokens - committed  # the last committed token is not fed yet
        room = min(left, self.target.drafting.tokens or left)
        depth = max(0, min(plan.depth, self.request.limits.max_tokens - done - 1, left - 1, room))
        return replace(plan, depth=depth, nodes=min(plan.nodes, room), room=room)

    def _ready_drafter(self, name: str) -> Drafter:
        """The named drafter, begun where it was not the one in use."""
        drafter = self.drafters[name]
        if self._ready != name:
            drafter.begin(replace(self.request, prompt=tuple(self.ids), drafting=self.target.drafting))
            self._ready = name
        return drafter

    def _commit(self, draft: Draft, verdict: Verdict) -> tuple[tuple[int, ...], tuple[Status, ...], tuple[str, ...]]:
        """Add what the verdict yields to the output, up to an end token, a stop string or a limit."""
        candidates: list[tuple[int, Status]] = [(int(draft.tokens[node]), "accepted") for node in verdict.path]
        candidates.append((verdict.extra.token, verdict.extra.status))
        kept: list[tuple[int, Status, str]] = []
        for token, status in candidates:
            piece = self.text.push(token)
            kept.append((token, status, piece.text))
            self.ids.append(token)
            self.finish_reason = self._finished(token, piece.stopped)
            if self.finish_reason:
                break
        emitted, statuses, texts = zip(*kept, strict=True)
        return emitted, statuses, texts

    def _finished(self, token: int, stopped: bool) -> FinishReason | None:
        if stopped or token in self.request.limits.end_ids:
            return "stop"
        if len(self.ids) - self._prompt_tokens >= self.request.limits.max_tokens:
            return "length"
        return "context" if len(self.ids) >= self.target.context_tokens else None


class Stopwatch:
    """Milliseconds of the engine's own work: what passes between a yield and the resume is not counted."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._mark = clock()

    def resume(self) -> None:
        self._mark = self._clock()

    def lap(self) -> float:
        now = self._clock()
        elapsed_ms = (now - self._mark) * 1000
        self._mark = now
        return elapsed_ms
