"""Events from the values of `core`: the one place that maps between the two.

Each function fills one kind of event through its constructor, so that a type checker sees every field. `Narrator`
decides which events a run sends and in which order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from speculatoviz.core.constraint import Constraint
from speculatoviz.core.planning import Forecast, Reason
from speculatoviz.core.rounds import Check, Compared, Extra, Overlap, Round, Usage
from speculatoviz.core.steps import Changed, Drafted, Ended
from speculatoviz.core.text import printable
from speculatoviz.core.types import ROOT, Exactness, Penalties, Sampling, Scores, Status
from speculatoviz.models.base import LanguageModel, RuntimeChoice, Tokenizer
from speculatoviz.targets.base import Remote, Target
from speculatoviz.telemetry.events import Done, DraftToken, Metrics, MetricValues, RunWarning, Updated, VerifyResult
from speculatoviz.telemetry.parts import (
    ChoiceInfo,
    ComparedToken,
    ExactnessInfo,
    Finding,
    GrammarInfo,
    ModelInfo,
    OverlapInfo,
    PassTime,
    PenaltiesInfo,
    PlanInfo,
    RemoteInfo,
    RowTime,
    RuntimeChoiceInfo,
    SamplingInfo,
    TopToken,
    UsageInfo,
)


class Stamp(NamedTuple):
    """What every event of a run carries: the run's id, the event's number from 1, milliseconds since the run began."""

    run: str
    seq: int
    t_ms: float


class TokenNames:
    """Token ids as a user reads them."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def of(self, token: int) -> str:
        """The token's text with invisible characters made visible; the name of a control token."""
        raw = self._tokenizer.token_bytes(token)
        return printable(raw) if raw else self._tokenizer.token_name(token)

    def top(self, top: Iterable[tuple[int, float]]) -> list[TopToken]:
        """Alternatives (id, log-probability), in the order given, without those of probability 0."""
        return [TopToken(token=self.of(t), token_id=t, logprob=logprob) for t, logprob in top if logprob > -math.inf]

    def compared(self, rows: Iterable[Compared]) -> list[ComparedToken]:
        """p and q of one decision, in the order given."""
        return [
            ComparedToken(token=self.of(t), token_id=t, target_prob=target_prob, draft_prob=draft_prob)
            for t, target_prob, draft_prob in rows
        ]


# --- a round ------------------------------------------------------------------------------------------


def draft_tokens(stamp: Callable[[], Stamp], step: Drafted, names: TokenNames) -> Iterator[DraftToken]:
    """One event for each node of a draft, in topological order."""
    draft = step.draft
    for node, token in enumerate(draft.tokens.tolist()):
        q, shown, parent = draft.q[node], draft.scores[node], int(draft.parents[node])
        run, seq, t_ms = stamp()
        yield DraftToken(
            run=run,
            seq=seq,
            t_ms=t_ms,
            round=step.round,
            node=node,
            parent=None if parent == ROOT else parent,
            position=draft.position(node),
            token=names.of(token),
            token_id=token,
            logprob=shown.logprob if shown else None,
            entropy=shown.entropy if shown else None,
            draft_prob=q.prob(token) if q else 1.0,
            top_tokens=names.top(shown.top if shown else ()),
            draft_time_ms=draft.times_ms[node],
            source=draft.source[node],
            covered_mass=draft.covered_mass[node],
        )


def warning_event(stamp: Stamp, round: int, warning: tuple[str, str]) -> RunWarning:
    """warning: (what happened, what to do)."""
    message, hint = warning
    return RunWarning(run=stamp.run, seq=stamp.seq, t_ms=stamp.t_ms, round=round, message=message, hint=hint)


class _Tested(NamedTuple):
    """A node of the draft with what became of it, and the visible text that it adds."""

    node: int
    check: Check | None
    status: Status
    text: str = ""


def verify_results(stamp: Callable[[], Stamp], round: Round, names: TokenNames) -> Iterator[VerifyResult]:
    """The accepted path, the rejected nodes, the discarded nodes, then the extra token. Each node comes once."""
    texts = list(round.texts)
    for tested in _tested(round, texts):
        yield _node_result(stamp(), round, tested, names)
    if texts:
        yield _extra_result(stamp(), round, texts.pop(0), names)


def _tested(round: Round, texts: list[str]) -> Iterator[_Tested]:
    """Takes the texts of the accepted nodes from `texts`; the extra token's text stays."""
    draft, verdict = round.draft, round.verdict
    emitted = verdict.path[: round.accepted]  # an accepted node after the end of the text is not emitted
    checks = {check.node: check for check in verdict.checks}
    for node in emitted:
        yield _Tested(node, checks[node], "accepted", texts.pop(0))
    for check in verdict.checks:
        if check.status == "rejected":
            yield _Tested(check.node, check, "rejected")
    for node in range(len(draft)):
        found = checks.get(node)
        untested = found is None or found.status == "discarded"
        if untested or (node in verdict.path and node not in emitted):
            yield _Tested(node, found, "discarded")


def _node_result(stamp: Stamp, round: Round, tested: _Tested, names: TokenNames) -> VerifyResult:
    draft, node, check = round.draft, tested.node, tested.check
    token, drafted = int(draft.tokens[node]), draft.scores[node]
    scored: Scores | None = check.target if check else None
    return VerifyResult(
        run=stamp.run,
        seq=stamp.seq,
        t_ms=stamp.t_ms,
        round=round.index,
        node=node,
        position=draft.position(node),
        status=tested.status,
        draft_token=names.of(token),
        final_token=names.of(token) if tested.status == "accepted" else None,
        token_id=token,
        text=tested.text,
        draft_logprob=drafted.logprob if drafted else None,
        target_logprob=scored.logprob if scored else None,
        draft_prob=check.draft_prob if check else None,
        target_prob=check.target_prob if check else None,
        acceptance_prob=check.acceptance_prob if check else None,
        uniform=check.uniform if check else None,
        entropy=scored.entropy if scored else None,
        target_top_tokens=names.top(scored.top if scored else ()),
        residual_top_tokens=[],
        compared=names.compared(check.compared if check else ()),
        verify_latency_ms=round.times.verify_ms,
        overlap=_overlap_info(check.overlap if check else None),
    )


def _overlap_info(overlap: Overlap | None) -> OverlapInfo | None:
    if overlap is None:
        return None
    return OverlapInfo(
        reach=overlap.reach,
        accepted=overlap.accepted,
        shared=overlap.shared,
        uncovered=overlap.uncovered,
        filtered=overlap.filtered,
    )


def _extra_result(stamp: Stamp, round: Round, text: str, names: TokenNames) -> VerifyResult:
    extra: Extra = round.verdict.extra
    scored = extra.target
    return VerifyResult(
        run=stamp.run,
        seq=stamp.seq,
        t_ms=stamp.t_ms,
        round=round.index,
        node=None,
        position=len(round.verdict.path),
        status=extra.status,
        draft_token=None,
        final_token=names.of(extra.token),
        token_id=extra.token,
        text=text,
        draft_logprob=None,
        target_logprob=scored.logprob if scored else None,
        draft_prob=None,
        target_prob=extra.target_prob,
        acceptance_prob=None,
        uniform=None,
        entropy=scored.entropy if scored else None,
        target_top_tokens=names.top(scored.top if scored else ()),
        residual_top_tokens=names.top(extra.residual),
        compared=names.compared(extra.compared),
        verify_latency_ms=round.times.verify_ms,
    )


def plan_info(reason: Reason | None) -> PlanInfo | None:
    """Why a round was planned so; None for a policy that does not weigh choices."""
    if reason is None:
        return None
    return PlanInfo(
        chosen=_forecast_info(reason.chosen),
        others=[_forecast_info(forecast) for forecast in reason.others],
        plain_ms=reason.plain_ms,
        explored=reason.explored,
    )


def _forecast_info(forecast: Forecast) -> ChoiceInfo:
    return ChoiceInfo(
        drafter=forecast.drafter,
        depth=forecast.depth,
        expected_tokens=forecast.tokens,
        expected_ms=forecast.round_ms,
        siblings=forecast.siblings,
    )


def metrics_event(stamp: Stamp, round: Round, values: MetricValues) -> Metrics:
    """The round's times and counts, and the metrics of the run up to it."""
    times = round.times
    return Metrics(
        run=stamp.run,
        seq=stamp.seq,
        t_ms=stamp.t_ms,
        round=round.index,
        k=round.plan.depth,
        drafter=round.plan.drafter,
        round_drafted=round.drafted,
        round_accepted=round.accepted,
        round_emitted=len(round.emitted),
        draft_ms=times.draft_ms,
        verify_ms=times.verify_ms,
        network_ms=times.network_ms,
        evidence_ms=times.evidence_ms,
        other_ms=times.other_ms,
        round_ms=times.round_ms,
        hidden_draft_ms=times.hidden_draft_ms,
        prefill_ms=times.prefill_ms,
        draft_prefill_ms=times.draft_prefill_ms,
        sampling_ms=times.sampling_ms,
        cache_ms=times.cache_ms,
        exactness=round.verdict.exactness,
        round_total_variation_bound=round.verdict.total_variation_bound,
        round_usage=usage_info(round.verdict.usage),
        plan=plan_info(round.plan.reason),
        runs=1 if (shared := round.verdict.shared) is None else shared.runs,
        pass_rows=None if shared is None else shared.rows,
        **dict(values),
    )


# --- a run --------------------------------------------------------------------------------------------


def updated_event(stamp: Stamp, step: Changed) -> Updated:
    """The settings from the next round on."""
    return Updated(
        run=stamp.run,
        seq=stamp.seq,
        t_ms=stamp.t_ms,
        round=step.round,
        k=step.plan.depth,
        nodes=step.plan.nodes,
        drafter=step.plan.drafter,
        sampling=sampling_info(step.sampling),
        exactness=exactness_info(step.exactness),
    )


def done_event(stamp: Stamp, step: Ended, text: str, token_ids: list[int], values: MetricValues) -> Done:
    """The end of a run. text: everything visible, without the tail that `step` holds."""
    return Done(
        run=stamp.run,
        seq=stamp.seq,
        t_ms=stamp.t_ms,
        total_tokens=values.tokens,
        total_accepted=values.accepted,
        total_drafted=values.drafted,
        total_rounds=values.rounds,
        generated_text=text + step.tail,
        text_tail=step.tail,
        token_ids=token_ids,
        finish_reason=step.finish_reason,
        metrics=values,
    )


# --- facts --------------------------------------------------------------------------------------------


def sampling_info(sampling: Sampling) -> SamplingInfo:
    own = sampling.penalties
    penalties = PenaltiesInfo(
        presence=own.presence,
        frequency=own.frequency,
        repetition=own.repetition,
        last_n=own.last_n,
        bias=own.bias,
    )
    return SamplingInfo(
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        min_p=sampling.min_p,
        penalties=penalties if own.active else None,
    )


def sampling_of(info: SamplingInfo) -> Sampling:
    """The sampling that an event states."""
    own = info.penalties
    penalties = Penalties() if own is None else Penalties(**own.model_dump())
    return Sampling(info.temperature, info.top_k, info.top_p, info.min_p, penalties)


def grammar_info(constraint: Constraint | None) -> GrammarInfo | None:
    """The grammar of a run; None for any output."""
    return None if constraint is None else GrammarInfo(kind=constraint.source.kind, text=constraint.source.text)


def exactness_info(exactness: Exactness) -> ExactnessInfo:
    return ExactnessInfo(label=exactness.label, reason=exactness.reason)


def pass_times(ms: Mapping[int, float]) -> list[PassTime]:
    """ms[tokens]: the median time of a pass over so many tokens; infinite where a pass failed."""
    return [PassTime(tokens=tokens, ms=time_ms) for tokens, time_ms in ms.items() if math.isfinite(time_ms)]


def usage_info(usage: Usage | None) -> UsageInfo | None:
    """What verification used of a remote target; None for a target in this process."""
    if usage is None:
        return None
    return UsageInfo(
        calls=usage.calls,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=usage.cached_tokens,
        sent_bytes=usage.sent_bytes,
        received_bytes=usage.received_bytes,
    )


def model_info(model: LanguageModel | Target) -> ModelInfo:
    about = model.description
    return ModelInfo(
        name=about.name,
        runtime=about.runtime,
        quantisation=about.quantisation,
        parameters=about.parameters,
        size_bytes=about.size_bytes,
        context_tokens=about.context_tokens,
        vocabulary=model.tokenizer.n_vocab,
        fingerprint=model.tokenizer.fingerprint,
        computes_on=about.computes_on,
        choice=_choice_info(about.choice),
    )


def _choice_info(choice: RuntimeChoice | None) -> RuntimeChoiceInfo | None:
    if choice is None:
        return None
    tables = choice.pass_ms.items()
    times = [RowTime(runtime=title, rows=rows, ms=ms) for title, table in tables for rows, ms in table.items()]
    return RuntimeChoiceInfo(reason=choice.reason, times=times)


def remote_info(remote: Remote) -> RemoteInfo:
    return RemoteInfo(
        url=remote.url,
        mode=remote.mode,
        rtt_ms=remote.rtt_ms,
        calls_per_round=remote.calls_per_round,
        findings=[Finding(question=question, answer=answer) for question, answer in remote.findings],
        rate_limit=remote.rate_limit,
        warning=remote.warning,
    )
