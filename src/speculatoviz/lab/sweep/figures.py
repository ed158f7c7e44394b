"""The figures of one run, from its events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from speculatoviz.core.token_classes import token_classes
from speculatoviz.lab.sweep.records import SweepRun
from speculatoviz.telemetry.events import Done, Event, Metrics, RunWarning, Started, VerifyResult

T = TypeVar("T")


@dataclass(slots=True)
class _Tested:
    """Positions that rounds tested: see `SweepRun`. text_position: the number of text tokens before each of them.

    on_text: whether the tokens before it are those of the text. Block verification tests tokens after others that it
    does not keep.
    """

    position: list[int] = field(default_factory=list)
    accepted: list[bool] = field(default_factory=list)
    text_position: list[int] = field(default_factory=list)
    on_text: list[bool] = field(default_factory=list)

    def add(self, events: Iterable[VerifyResult], kept: int, emitted_before: int, *, last: bool) -> None:
        """The positions of one round that accepted `kept` tokens.

        last: of the run, where accepted tokens after the end of the text are dropped.
        """
        found: dict[int, bool] = {}
        for event in events:
            if event.node is None or not _was_tested(event, last=last):
                continue
            found[event.position] = found.get(event.position, False) or event.status == "accepted"
        for position, accepted in sorted(found.items()):
            self.position.append(position)
            self.accepted.append(accepted)
            self.text_position.append(emitted_before + position)
            self.on_text.append(position <= kept)

    def at(self, by_token: Sequence[T]) -> tuple[T | None, ...]:
        """For each position the entry of the text's token there; None if the text does not go through it."""
        return tuple(
            by_token[place] if on_text and place < len(by_token) else None
            for place, on_text in zip(self.text_position, self.on_text, strict=True)
        )


def _emitted(events: Iterable[VerifyResult]) -> list[str]:
    """The tokens that a round adds to the text, in order."""
    kept = [event for event in events if event.final_token is not None]
    return [event.final_token or "" for event in sorted(kept, key=lambda event: event.position)]


def _was_tested(event: VerifyResult, *, last: bool) -> bool:
    if event.status == "discarded":  # block verification tests the tokens after the prefix that it keeps, too
        return event.acceptance_prob is not None and not last
    return event.status in {"accepted", "rejected"}


def run_of(run: SweepRun, events: Sequence[Event], entropies: Sequence[float | None] = ()) -> SweepRun:
    """The run with the figures of its events, from `started` to `done`.

    run: what was asked for. entropies: of the target at each token of the text, in nats; empty if they are not known.
    """
    started = next(event for event in events if isinstance(event, Started))
    done = next(event for event in events if isinstance(event, Done))
    rounds = [event for event in events if isinstance(event, Metrics)]
    verified: dict[int, list[VerifyResult]] = {}
    for event in events:
        if isinstance(event, VerifyResult):
            verified.setdefault(event.round, []).append(event)
    tested, texts, emitted = _Tested(), list[str](), 0
    for one in rounds:
        texts += _emitted(verified.get(one.round, ()))[: one.round_emitted]
        tested.add(verified.get(one.round, ()), one.round_accepted, emitted, last=one is rounds[-1])
        emitted += one.round_emitted
    return replace(
        run,
        prompt_tokens=started.prompt_tokens,
        finish_reason=done.finish_reason,
        exactness=started.exactness.label,
        ttft_ms=done.metrics.ttft_ms,
        tested_position=tuple(tested.position),
        tested_accepted=tuple(tested.accepted),
        tested_context_tokens=tuple(started.prompt_tokens + place for place in tested.text_position),
        tested_entropy=tested.at(entropies),
        tested_token_class=tested.at(token_classes(texts)),
        departure=done.departure.position if done.departure is not None else None,
        warning=next((event.message for event in events if isinstance(event, RunWarning)), None),
        **_rounds(rounds),
    )


def _rounds(rounds: Sequence[Metrics]) -> dict[str, Any]:
    return {
        "emitted": tuple(one.round_emitted for one in rounds),
        "drafted": tuple(one.round_drafted for one in rounds),
        "accepted": tuple(one.round_accepted for one in rounds),
        "round_ms": tuple(one.round_ms for one in rounds),
        "draft_prefill_ms": sum(one.draft_prefill_ms for one in rounds),
        "draft_ms": sum(one.draft_ms for one in rounds),
        "verify_ms": sum(one.verify_ms for one in rounds),
        "network_ms": sum(one.network_ms for one in rounds),
        "other_ms": sum(one.other_ms + one.evidence_ms for one in rounds),
    }
