"""From a request that passed to the events of a run, so that it is kept, listed and shown as other runs are.

Each piece of text is a round of the trace with one token of the status `received`. What was drafted for it is not
known; accepted and drafted tokens are sums that the server reports at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from speculatoviz.core.types import FinishReason
from speculatoviz.lab.watch.answers import AnswerReader, TextPiece, Totals
from speculatoviz.lab.watch.requests import Wanted
from speculatoviz.models.base import UNKNOWN
from speculatoviz.telemetry.events import Done, Event, Failure, Metrics, MetricValues, RunWarning, Started, VerifyResult
from speculatoviz.telemetry.parts import ExactnessInfo, ModelInfo, UsageInfo, WatchedInfo

NO_TOKEN = -1  # in place of an id that is not known
_CLAIM = "Another server computed this run. What it drafted, and whether its output is exact, cannot be seen here."
_COUNTED = "The server did not report the number of tokens, so pieces of text are counted."
_ENDS: dict[str, FinishReason] = {"length": "length", "limit": "length", "max_tokens": "length"}


@dataclass(slots=True)
class WatchedRun:
    """The events of one exchange. Times are milliseconds since the request had passed.

    run: its id. server: the address, without credentials. begun_s: when the request had passed, in seconds. emit:
    takes the events. engine: what the server is, if that is known.
    """

    run: str
    server: str
    wanted: Wanted
    begun_s: float
    emit: Callable[[Event], None]
    engine: str | None = None
    reader: AnswerReader | None = None
    over: bool = False
    _seq: int = 0
    _texts: list[str] = field(default_factory=list)
    _counted: int = 0  # tokens of pieces, a piece of unknown length counting as one
    _all_counted: bool = True
    _rounds: int = 0
    _first_ms: float | None = None
    _last_ms: float = 0.0

    @property
    def state(self) -> str:
        """In a word."""
        if self.over:
            return "over"
        return "waiting" if self.reader is None or self._rounds == 0 else "answering"

    @property
    def figures(self) -> MetricValues:
        """As far as they are known."""
        return self._values(self._rounds, self.reader if self.over else None)

    def head(self, status: int, headers: dict[str, str], at_s: float) -> None:
        """The head of the answer has passed."""
        self.reader = AnswerReader(status, headers)
        self.engine = self.reader.totals.engine or self.engine
        self.emit(self._started(self.reader))
        if self.wanted.choices > 1:
            self._warn(at_s, f"The request asks for {self.wanted.choices} answers, and the first one is shown.", "")

    def data(self, data: bytes, at_s: float) -> None:
        """A part of the answer has passed."""
        if self.reader is not None:
            for piece in self.reader.push(data):
                self._piece(piece, at_s)

    def end(self, at_s: float, *, whole: bool) -> None:
        """The answer has ended, or its connection has."""
        if self.over:
            return
        self.over = True
        reader = self.reader
        if reader is None:  # the client left, or the server did, before an answer
            return
        for piece in reader.finish():
            self._piece(piece, at_s)
        if not whole:
            self._fail(at_s, "cancelled", "The connection ended before the answer did.", "")
        elif reader.status >= 400 or reader.totals.error is not None:
            words = reader.totals.error or f"The server answered with status {reader.status}."
            self._fail(at_s, "target", words, "See the server's own log.")
        else:
            if reader.totals.completion_tokens is None and not self._all_counted:
                self._warn(at_s, _COUNTED, "Ask for stream_options.include_usage.")
            self.emit(self._done(reader, at_s))

    # --- events ----------------------------------------------------------------------------------------

    def _stamp(self, at_s: float) -> dict[str, object]:
        self._seq += 1
        return {"run": self.run, "seq": self._seq, "t_ms": max(0.0, 1000 * (at_s - self.begun_s))}

    def _started(self, reader: AnswerReader) -> Started:
        wanted = self.wanted
        model = ModelInfo(
            name=wanted.model or "unknown",
            runtime=self.engine or "unknown",
            quantisation=UNKNOWN,
            parameters=None,
            size_bytes=None,
            context_tokens=0,
            vocabulary=0,
            fingerprint="",
            computes_on=self.server,
        )
        return Started(
            **self._stamp(self.begun_s),
            prompt=wanted.prompt,
            prompt_tokens=0,
            target_model=model,
            draft_model=None,
            drafter="none",
            k=0,
            policy="fixed",
            rule="token",
            sampling=wanted.sampling,
            max_tokens=wanted.max_tokens or 0,
            seed=wanted.seed or 0,
            exactness=ExactnessInfo(label="unverified", reason=_CLAIM),
            noise_floor=None,
            baseline=None,
            remote=None,
            watched=WatchedInfo(
                server=self.server,
                route=wanted.route,
                engine=self.engine,
                status=reader.status,
                streamed=reader.streamed,
            ),
        )

    def _piece(self, piece: TextPiece, at_s: float) -> None:
        before_ms, count = self._last_ms, piece.tokens or 1
        self._all_counted &= piece.tokens is not None
        self._last_ms = max(0.0, 1000 * (at_s - self.begun_s))
        first = self._first_ms is None
        if self._first_ms is None:
            self._first_ms = self._last_ms
        self._texts.append(piece.text)
        self._counted += count
        for event in self._round(piece, count, at_s, 0.0 if first else self._last_ms - before_ms):
            self.emit(event)
        self._rounds += 1

    def _round(self, piece: TextPiece, count: int, at_s: float, round_ms: float) -> Iterator[Event]:
        yield VerifyResult(
            **self._stamp(at_s),
            round=self._rounds,
            node=None,
            position=0,
            status="received",
            draft_token=None,
            final_token=piece.text,
            token_id=NO_TOKEN,
            text=piece.text,
            draft_logprob=None,
            target_logprob=None,
            draft_prob=None,
            target_prob=None,
            acceptance_prob=None,
            uniform=None,
            entropy=None,
            target_top_tokens=[],
            residual_top_tokens=[],
            verify_latency_ms=round_ms,
        )
        yield Metrics(
            **self._stamp(at_s),
            **self._values(rounds=self._rounds + 1, reader=None).model_dump(),
            round=self._rounds,
            k=0,
            drafter="none",
            round_drafted=0,
            round_accepted=0,
            round_emitted=count,
            draft_ms=0.0,
            verify_ms=0.0,
            network_ms=0.0,
            evidence_ms=0.0,
            other_ms=round_ms,
            round_ms=round_ms,
            hidden_draft_ms=0.0,
            prefill_ms=(self._first_ms or 0.0) if self._rounds == 0 else 0.0,
            exactness="unverified",
        )

    def _done(self, reader: AnswerReader, at_s: float) -> Done:
        values = self._values(rounds=self._rounds, reader=reader)
        return Done(
            **self._stamp(at_s),
            total_tokens=values.tokens,
            total_accepted=values.accepted,
            total_drafted=values.drafted,
            total_rounds=self._rounds,
            generated_text="".join(self._texts),
            text_tail="",
            token_ids=[],
            finish_reason=_ENDS.get(reader.totals.finish_reason or "", "stop"),
            metrics=values,
        )

    def _values(self, rounds: int, reader: AnswerReader | None) -> MetricValues:
        """The figures. reader: at the end, with what the server reports; None before."""
        told = None if reader is None else reader.totals
        record = None if told is None else told.speculation
        reported = None if told is None else told.completion_tokens
        tokens = self._counted if reported is None else reported
        drafted = (record.draft_tokens if record else None) or 0
        accepted = (record.accepted_tokens if record else None) or 0
        span_ms = self._last_ms - (self._first_ms or 0.0)
        # The first piece ends the prefill: its tokens are not part of the rate.
        tps = 1000 * (tokens - tokens / rounds) / span_ms if rounds > 1 and span_ms > 0 else None
        rate = record.acceptance_rate if record else None
        length = record.mean_acceptance_length if record else None
        return MetricValues(
            window_rounds=rounds,
            acceptance_rate=rate,
            mean_acceptance_length=length,
            tokens_per_round=None,
            per_position_acceptance_rate=(record.unconditional if record else None) or [],
            conditional_acceptance_rate=(record.conditional if record else None) or [],
            effective_tps=tps,
            baseline_tps=None,
            speedup=None,
            ttft_ms=self._first_ms,
            avg_draft_latency_ms=None,
            avg_verify_latency_ms=None,
            avg_network_ms=None,
            tokens=tokens,
            rounds=rounds,
            accepted=accepted,
            drafted=drafted,
            bonus=0,
            resampled=0,
            plain=0,
            overall_acceptance_rate=rate,
            overall_mean_acceptance_length=length,
            overall_tps=tps,
            overall_speedup=None,
            usage=None if told is None or told.prompt_tokens is None else _usage(told, tokens),
        )

    def _warn(self, at_s: float, message: str, hint: str) -> None:
        self.emit(RunWarning(**self._stamp(at_s), round=self._rounds, message=message, hint=hint))

    def _fail(self, at_s: float, code: str, message: str, hint: str) -> None:
        self.emit(Failure(**self._stamp(at_s), code=code, message=message, hint=hint))


def _usage(told: Totals, tokens: int) -> UsageInfo:
    return UsageInfo(
        calls=1,
        prompt_tokens=told.prompt_tokens,
        completion_tokens=tokens,
        cached_tokens=told.cached_tokens,
        sent_bytes=None,
        received_bytes=None,
    )
