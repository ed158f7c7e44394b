"""The loop of speculative decoding: plan, draft, verify, commit.

One synchronous generator; everything else is a consumer of what it yields. It never sleeps, prints or opens sockets,
and its clock stops while it is suspended at a yield.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from speculatoviz.core.chance import ChanceSource
from speculatoviz.core.planning import Outlook, Plan
from speculatoviz.core.rounds import Round, Times, Verdict
from speculatoviz.core.rules import RULES
from speculatoviz.core.steps import Begun, Changed, Drafted, Ended
from speculatoviz.core.text import TextStream
from speculatoviz.core.types import Draft, FinishReason, Request, Status
from speculatoviz.drafters.base import Drafter
from speculatoviz.errors import BadRequestError, CancelledError, SpeculatoVizError
from speculatoviz.policies.base import Policy, State
from speculatoviz.policies.draft_ahead import DraftAhead
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

    clock: seconds. changes: returns what users changed since the last round. Yields Begun; for every round Drafted
    before the verification and Round after it, with Changed in between when settings change; Ended last. Raises
    BadRequestError if the prompt does not fit, and what the target raises. A drafter that fails is not asked again in
    this run; its round is decoded plainly (see `Drafted.warning`).
    """
    run = _DecodingRun(request, target, drafters, policy, chance, clock)
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


def decode(
    request: Request,
    target: Target,
    drafters: Mapping[str, Drafter],
    policy: Policy,
    chance: ChanceSource,
    clock: Callable[[], float],
) -> list[Round]:
    """Decode `request` to its end and return the rounds. Arguments and errors as for `speculate`."""
    steps = speculate(request, target, drafters, policy, chance, clock)
    return [step for step in steps if isinstance(step, Round)]


class _DecodingRun:
    """The state of one run: the committed ids, the visible text, the drafter in use, and the stopwatch."""

    def __init__(
        self,
        request: Request,
        target: Target,
        drafters: Mapping[str, Drafter],
        policy: Policy,
        chance: ChanceSource,
        clock: Callable[[], float],
    ) -> None:
        self.request = replace(request, output_from=request.output_start)  # the prompt will grow by output
        self.target, self.drafters = target, drafters
        self.policy, self.chance = policy, chance
        self.watch = Stopwatch(clock)
        self.draft_ahead = DraftAhead(clock)
        self._guesses = 0  # guesses on which this round drafted the next one ahead: the first one, or both
        self._all_accepted = False  # whether the last draft was
        self.ids = list(request.prompt)
        self._prompt_tokens = len(self.ids)
        self.text = TextStream(target.tokenizer.token_bytes, request.limits.stop)
        self.index = 0
        self.finish_reason: FinishReason | None = None
        self._begun: set[str] = set()  # drafters that have begun this run
        self._fresh = True  # whether the time of a drafter's prefill belongs to the prompt's
        self._failed: set[str] = set()  # drafters that are not asked again
        self._reduced: set[str] = set()  # what drafters and target have made of plans, as far as it was reported
        self._draft_ms = self._other_ms = self._prefill_ms = self._draft_prefill_ms = 0.0
        self._asked = Plan("", 0)  # the policy's last plan

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
        """Adopt changes between two rounds."""
        if not changes:
            return None
        self.watch.resume()
        for change in changes:
            self.policy.change(depth=change.depth, drafter=change.drafter, nodes=change.nodes)
            if change.temperature is not None:
                sampling = replace(self.request.sampling, temperature=change.temperature)
                self.request = replace(self.request, sampling=sampling)
            if change.drafter is not None and change.drafter in self.drafters:
                self._failed.discard(change.drafter)
                needs = self.request.needs | self.drafters[change.drafter].needs
                self.request = replace(self.request, needs=needs)
        self.request = replace(self.request, prompt=tuple(self.ids))
        exactness = self.target.begin(self.request)
        self._begun, self._fresh = set(), True
        self._prefill_ms += self.watch.lap()
        return Changed(self.index, self._plan(), self.request.sampling, exactness)

    def draft(self) -> Drafted:
        self.watch.resume()
        plan = self._plan()
        warning = self._reduction()
        self._other_ms = self.watch.lap()
        draft = Draft.empty(self.index)
        if plan.depth > 0:
            try:
                draft = self._draft(plan)
            except SpeculatoVizError as error:
                warning = self._drop(plan.drafter, error)
        self._draft_ms = self.watch.lap() - draft.evidence_ms
        for guess in range(self._guesses):
            self.draft_ahead.guessed(draft.ahead > 0 and self._all_accepted == (guess == 0), guess)
        return Drafted(self.index, plan, draft, warning)

    def verify(self, drafted: Drafted) -> Round:
        self.watch.resume()
        draft = drafted.draft
        pending = self.target.submit(draft)
        self.draft_ahead.submitted()
        submit_ms = self.watch.lap()
        try:
            self._prepare_next(drafted, pending)
        except BaseException:
            pending.cancel()
            raise
        prepared_ms = self.watch.lap()
        ahead_ms = prepared_ms if self._guesses else 0.0
        busy_ms = submit_ms + prepared_ms  # since the submission, before waiting
        verdict = pending.result()
        waited_ms = busy_ms + self.watch.lap()
        flight_ms = waited_ms if verdict.flight_ms is None else verdict.flight_ms
        self.draft_ahead.answered(flight_ms)
        late_ms = min(ahead_ms, max(0.0, busy_ms - flight_ms))  # drafting ahead that took longer than the flight
        self._all_accepted = len(verdict.path) == len(draft)
        emitted, statuses, texts = self._commit(draft, verdict)
        times = Times(
            draft_ms=self._draft_ms + late_ms,
            verify_ms=flight_ms - verdict.network_ms - verdict.evidence_ms,
            network_ms=verdict.network_ms,
            evidence_ms=draft.evidence_ms + verdict.evidence_ms,
            other_ms=self._other_ms + max(0.0, waited_ms - flight_ms - late_ms) + self.watch.lap(),
            hidden_draft_ms=ahead_ms - late_ms,
            prefill_ms=self._prefill_ms + self._draft_prefill_ms,
            draft_prefill_ms=self._draft_prefill_ms,
            sampling_ms=verdict.sampling_ms,
            cache_ms=verdict.cache_ms,
        )
        result = Round(self.index, drafted.plan, draft, verdict, emitted, statuses, texts, times)
        self.index, self._fresh = self.index + 1, False
        self._prefill_ms = self._draft_prefill_ms = 0.0
        self.policy.observe(result)
        if drafted.plan.depth > 0:
            self.drafters[drafted.plan.drafter].observe(result)
        return result

    def _draft(self, plan: Plan) -> Draft:
        """The draft of the planned drafter, which begins first if it has not yet.

        Beginning counts as prefill in the first round, and as drafting later, when a policy has chosen the drafter.
        """
        if plan.drafter not in self._begun:
            self._begin(plan.drafter)
            if self._fresh:
                self._draft_prefill_ms += self.watch.lap()
        return self.drafters[plan.drafter].draft(self.ids, self.index, plan, self.chance("draft", self.index))

    def _begin(self, drafter: str) -> None:
        self.drafters[drafter].begin(replace(self.request, prompt=tuple(self.ids), drafting=self.target.drafting))
        self._begun.add(drafter)

    def _drop(self, drafter: str, error: SpeculatoVizError) -> tuple[str, str]:
        """Stop asking a drafter that failed: the target can decode without it, so its failure must not end the run."""
        self._failed.add(drafter)
        self._begun.discard(drafter)
        return f"The drafter {drafter} failed, and the run goes on without it. {error.message}", error.hint

    def _prepare_next(self, drafted: Drafted, pending: Pending) -> None:
        """Let the drafter draft the next round while a remote target verifies this one.

        The first guess is that the whole draft is accepted, the second one is its likeliest rejection. What is drawn
        does not depend on the verdict, and `Chance` gives the same random numbers as later: the text is the same with
        and without.
        """
        draft, name = drafted.draft, drafted.plan.drafter
        self._guesses = 0
        if not self.request.overlap or not len(draft) or not draft.is_chain or pending.done():
            return
        expected = [*self.ids, *draft.tokens.tolist()]
        plan = self._plan(1, expected)
        if plan.depth == 0 or plan.drafter != name or expected[-1] in self.request.limits.end_ids:
            return
        drafter, later, chance = self.drafters[name], self.index + 1, self.chance("draft", self.index + 1)

        def pays(pass_ms: float) -> bool:
            return not pending.done() and self.draft_ahead.pays(pass_ms, self._guesses)

        try:
            self._guesses += drafter.prepare(expected, later, plan, chance, pays)
            if self._guesses:
                self._guesses += drafter.prepare_other(later, plan, chance, pays)
        except SpeculatoVizError:
            self._begun.discard(name)  # it begins again in the next round, where a failure is reported

    def _plan(self, ahead: int = 0, expected: list[int] | None = None) -> Plan:
        """The policy's plan, limited by max_tokens, the context and the target's pass.

        ahead: rounds from now. expected: the ids that are expected then, without the last one, which is not known yet.
        """
        ids = self.ids if expected is None else expected
        committed = len(ids) + ahead
        done = committed - self._prompt_tokens
        left_tokens = self.request.limits.max_tokens - done
        plan = self.policy.plan(
            State(self.index + ahead, committed, left_tokens, lambda name: self._outlook(name, ids))
        )
        if plan.depth > 0 and plan.drafter not in self.drafters:
            raise BadRequestError(
                f"There is no drafter named {plan.drafter!r} here.",
                f"Choose one of: {', '.join(self.drafters)}.",
            )
        self._asked = plan
        if plan.drafter in self._failed:
            return replace(plan, depth=0, nodes=0)
        left = self.target.context_tokens - committed  # the last committed token is not fed yet
        room = min(left, self.target.drafting.tokens or left)
        deepest = self.drafters[plan.drafter].block if plan.depth > 0 else None
        depth = max(0, min(plan.depth, left_tokens - 1, left - 1, room, deepest or room))
        return replace(plan, depth=depth, nodes=min(plan.nodes, room), room=room)

    def _reduction(self) -> tuple[str, str] | None:
        """What drafter and target make of the asked plan, in words, once in a run; None if they take it as it is."""
        if self._asked.reason is not None:  # of a policy that weighs what they take
            return None
        asked, takes, name = self._asked, self.target.drafting, self.target.description.name
        block = self.drafters[asked.drafter].block if asked.drafter in self.drafters else None
        if block is not None and asked.depth > block and asked.drafter not in self._reduced:
            self._reduced.add(asked.drafter)
            return (
                f"The drafter {asked.drafter} drafts at most {block} tokens, all in one pass of its head, and "
                f"{asked.depth} are asked for.",
                f"Ask for a depth of at most {block}.",
            )
        if takes.tokens is not None and asked.depth > takes.tokens and "depth" not in self._reduced:
            self._reduced.add("depth")
            return (
                f"{name} takes drafts of at most {takes.tokens} tokens, and {asked.depth} are asked for.",
                f"Ask for a depth of at most {takes.tokens}.",
            )
        branches = asked.nodes > asked.depth > 0 and RULES[self.request.rule].trees
        if branches and not takes.trees and "trees" not in self._reduced:
            self._reduced.add("trees")
            return (
                f"{name} verifies chains of tokens only, so the drafts of this run do not branch.",
                "Leave out the nodes, or choose another runtime for the target.",
            )
        return None

    def _outlook(self, name: str, ids: list[int]) -> Outlook:
        """What a drafter knows of its next draft after `ids`, which is no longer than the target takes.

        A drafter that reads text only begins for it.
        """
        drafter = self.drafters.get(name)
        if drafter is None or name in self._failed:
            return Outlook(longest=0)
        if name not in self._begun and drafter.begins_at_no_cost:
            self._begin(name)
        outlook = drafter.outlook(ids) if name in self._begun else Outlook(missing=drafter.unread(ids))
        limits = (outlook.longest, drafter.block, self.target.drafting.tokens)
        longest = min((most for most in limits if most is not None), default=None)
        return replace(outlook, longest=longest, block=drafter.block or 1)

    def _commit(self, draft: Draft, verdict: Verdict) -> tuple[tuple[int, ...], tuple[Status, ...], tuple[str, ...]]:
        """Add the verdict's tokens to the output, up to an end token, a stop string or a limit."""
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
    """Measures the engine's own work in milliseconds. Time between a yield and the next step is not counted."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._mark_s = clock()

    def resume(self) -> None:
        """Start a lap now."""
        self._mark_s = self._clock()

    def lap(self) -> float:
        """Milliseconds since the last lap or `resume`; starts the next lap."""
        now_s = self._clock()
        elapsed_ms = (now_s - self._mark_s) * 1000
        self._mark_s = now_s
        return elapsed_ms
