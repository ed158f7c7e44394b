"""From the engine's steps to the events of the wire: tokens become text, rounds become messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from speculatoviz.core.steps import Changed, Drafted, Ended
from speculatoviz.core.text import printable
from speculatoviz.core.types import ROOT, Check, Draft, Exactness, Extra, Round, Sampling, Status
from speculatoviz.engine import Step
from speculatoviz.models.base import Tokenizer
from speculatoviz.telemetry.events import (
    Done,
    DraftToken,
    Event,
    ExactnessInfo,
    Metrics,
    SamplingInfo,
    Shadow,
    TopToken,
    Updated,
    VerifyResult,
)
from speculatoviz.telemetry.metrics import MetricsFold, usage_info
from speculatoviz.telemetry.shadow import Shadowed, ShadowFold, closest


class Narrator:
    """Numbers and stamps the events of one run. clock: seconds; the run begins now."""

    def __init__(
        self,
        run: str,
        tokenizer: Tokenizer,
        baseline_tps: float | None,
        clock: Callable[[], float],
        per_call_tps: float | None = None,
    ) -> None:
        self.run, self._tokenizer, self._clock = run, tokenizer, clock
        self._begun = clock()
        self._seq = 0
        self.metrics = MetricsFold(baseline_tps, per_call_tps=per_call_tps)
        self.token_ids: list[int] = []
        self._texts: list[str] = []
        self._shadows = ShadowFold()

    def stamp(self) -> dict[str, object]:
        """run, seq and t_ms of the next event."""
        self._seq += 1
        return {"run": self.run, "seq": self._seq, "t_ms": self.elapsed_ms()}

    def elapsed_ms(self) -> float:
        return (self._clock() - self._begun) * 1000

    def tell(self, steps: Iterable[Step | Shadowed]) -> Iterator[Event]:
        for step in steps:
            match step:
                case Drafted():
                    yield from self._drafted(step)
                case Round():
                    yield from self._round(step)
                case Changed():
                    yield self._changed(step)
                case Shadowed():
                    yield self._shadowed(step)
                case Ended():
                    yield self._ended(step)

    def _drafted(self, step: Drafted) -> Iterator[Event]:
        draft = step.draft
        for node, token in enumerate(draft.tokens.tolist()):
            q, shown, parent = draft.q[node], draft.scores[node], int(draft.parents[node])
            yield DraftToken.model_validate(
                self.stamp()
                | {
                    "round": step.round,
                    "node": node,
                    "parent": None if parent == ROOT else parent,
                    "position": draft.position(node),
                    "token": self._name(token),
                    "token_id": token,
                    "logprob": shown.logprob if shown else None,
                    "entropy": shown.entropy if shown else None,
                    "draft_prob": q.prob(token) if q else 1.0,
                    "top_tokens": self._top(shown.top if shown else ()),
                    "draft_time_ms": draft.times_ms[node],
                    "source": draft.source[node],
                    "covered_mass": draft.covered_mass[node],
                }
            )

    def _round(self, round: Round) -> Iterator[Event]:
        if self.metrics.ttft_ms is None:
            self.metrics.ttft_ms = self.elapsed_ms()
        self.metrics.add(round)
        self.token_ids += round.emitted
        self._texts += round.texts
        for event in self._verdicts(round):
            yield VerifyResult.model_validate(
                self.stamp() | {"round": round.index, "verify_latency_ms": round.times.verify_ms} | event
            )
        times = round.times
        yield Metrics.model_validate(
            self.stamp()
            | {
                "round": round.index,
                "k": round.plan.depth,
                "drafter": round.plan.drafter,
                "round_drafted": round.drafted,
                "round_accepted": round.accepted,
                "round_emitted": len(round.emitted),
                "draft_ms": times.draft_ms,
                "verify_ms": times.verify_ms,
                "network_ms": times.network_ms,
                "evidence_ms": times.evidence_ms,
                "other_ms": times.other_ms,
                "round_ms": times.round_ms,
                "hidden_draft_ms": times.hidden_draft_ms,
                "prefill_ms": times.prefill_ms,
                "exactness": round.verdict.exactness,
                "total_variation_bound": round.verdict.total_variation_bound,
                "usage": usage_info(round.verdict.usage),
                "metrics": self.metrics.values(),
            }
        )

    def _verdicts(self, round: Round) -> Iterator[dict[str, object]]:
        """Accepted path, what was rejected, what was discarded, then the token behind the path: each node once."""
        draft, verdict = round.draft, round.verdict
        texts = list(round.texts)
        emitted_nodes = verdict.path[: round.accepted]
        checks = {check.node: check for check in verdict.checks}
        for node in emitted_nodes:
            yield self._node(draft, node, checks[node], "accepted", texts.pop(0))
        for check in verdict.checks:
            if check.status == "rejected":
                yield self._node(draft, check.node, check, "rejected", "")
        for node in range(len(draft)):
            tested = checks.get(node)
            beside = tested is None or tested.status == "discarded"
            if beside or (node in verdict.path and node not in emitted_nodes):
                yield self._node(draft, node, tested, "discarded", "")
        if texts:
            position = len(verdict.path)
            yield self._extra(verdict.extra, position, texts.pop(0))

    def _node(self, draft: Draft, node: int, check: Check | None, status: Status, text: str) -> dict[str, object]:
        token, shown, own = int(draft.tokens[node]), draft.scores[node], check.target if check else None
        return {
            "node": node,
            "position": draft.position(node),
            "status": status,
            "draft_token": self._name(token),
            "final_token": self._name(token) if status == "accepted" else None,
            "token_id": token,
            "text": text,
            "draft_logprob": shown.logprob if shown else None,
            "target_logprob": own.logprob if own else None,
            "draft_prob": check.draft_prob if check else None,
            "target_prob": check.target_prob if check else None,
            "acceptance_prob": check.acceptance_prob if check else None,
            "uniform": check.uniform if check else None,
            "entropy": own.entropy if own else None,
            "target_top_tokens": self._top(own.top if own else ()),
            "residual_top_tokens": [],
        }

    def _extra(self, extra: Extra, position: int, text: str) -> dict[str, object]:
        return {
            "node": None,
            "position": position,
            "status": extra.status,
            "draft_token": None,
            "final_token": self._name(extra.token),
            "token_id": extra.token,
            "text": text,
            "draft_logprob": None,
            "target_logprob": extra.target.logprob if extra.target else None,
            "draft_prob": None,
            "target_prob": extra.target_prob,
            "acceptance_prob": None,
            "uniform": None,
            "entropy": extra.target.entropy if extra.target else None,
            "target_top_tokens": self._top(extra.target.top if extra.target else ()),
            "residual_top_tokens": self._top(extra.residual),
        }

    def _changed(self, step: Changed) -> Updated:
        return Updated.model_validate(
            self.stamp()
            | {
                "round": step.round,
                "k": step.plan.depth,
                "nodes": step.plan.nodes,
                "drafter": step.plan.drafter,
                "sampling": sampling_info(step.sampling),
                "exactness": exactness_info(step.exactness),
            }
        )

    def _shadowed(self, step: Shadowed) -> Shadow:
        self._shadows.add(step)
        guesses = [
            {
                "drafter": guess.drafter,
                "tokens": [self._name(int(guess.draft.tokens[node])) for node in closest(guess)],
                "drafted": len(guess.draft),
                "matched": len(guess.path),
            }
            for guess in step.guesses
        ]
        scores = self._shadows.scores()
        return Shadow.model_validate(self.stamp() | {"round": step.round, "guesses": guesses, "scores": scores})

    def _ended(self, step: Ended) -> Done:
        values = self.metrics.values(whole=True)
        return Done.model_validate(
            self.stamp()
            | {
                "total_tokens": values.tokens,
                "total_accepted": values.accepted,
                "total_drafted": values.drafted,
                "total_rounds": values.rounds,
                "generated_text": "".join(self._texts) + step.tail,
                "text_tail": step.tail,
                "token_ids": self.token_ids,
                "finish_reason": step.finish_reason,
                "metrics": values,
            }
        )

    def _top(self, top: Iterable[tuple[int, float]]) -> list[TopToken]:
        return [TopToken(token=self._name(t), token_id=t, logprob=logprob) for t, logprob in top]

    def _name(self, token: int) -> str:
        raw = self._tokenizer.token_bytes(token)
        return printable(raw) if raw else self._tokenizer.token_name(token)


def sampling_info(sampling: Sampling) -> SamplingInfo:
    return SamplingInfo(
        temperature=sampling.temperature, top_k=sampling.top_k, top_p=sampling.top_p, min_p=sampling.min_p
    )


def exactness_info(exactness: Exactness) -> ExactnessInfo:
    return ExactnessInfo(label=exactness.label, reason=exactness.reason)
