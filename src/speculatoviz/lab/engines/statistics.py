"""The statistics that engines report of their speculation, as one record with one definition of every figure.

Counts are read; rates are computed from counts here, as `telemetry.metrics` defines them. Where an engine reports rates
alone, they are marked as reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

_APART = 0.01  # between a reported rate and the one that its counts give


@dataclass(frozen=True, slots=True)
class Speculation:
    """What one source shows.

    source: the engine and the part of its answer. scope: what the counts cover. answers: how many answers were added
    up. drafts: rounds with a draft. generated: all tokens of the answers. accepted_at[i]: drafts whose positions 0 to i
    were accepted. reached_at[i]: drafts that had position i and whose earlier positions were accepted. A count is None
    where the source does not show it.
    reported_rate, reported_length: the source's own acceptance rate and mean acceptance length. cannot: what the source
    cannot show. disagreements: where its figures contradict each other.
    """

    source: str
    scope: str
    answers: int = 1
    drafts: int | None = None
    draft_tokens: int | None = None
    accepted_tokens: int | None = None
    generated: int | None = None
    accepted_at: tuple[int, ...] | None = None
    reached_at: tuple[int, ...] | None = None
    reported_rate: float | None = None
    reported_length: float | None = None
    cannot: tuple[str, ...] = ()
    disagreements: tuple[str, ...] = ()

    @property
    def acceptance_rate(self) -> float | None:
        """accepted / drafted tokens."""
        return _ratio(self.accepted_tokens, self.draft_tokens)

    @property
    def mean_acceptance_length(self) -> float | None:
        """1 + accepted tokens / drafts."""
        share = _ratio(self.accepted_tokens, self.drafts)
        return None if share is None else 1.0 + share

    @property
    def tokens_per_pass(self) -> float | None:
        """generated / (generated - accepted) tokens: every pass of the target has one token that was not drafted.

        Unlike the mean acceptance length it counts passes without a draft, too.
        """
        if self.generated is None or self.accepted_tokens is None:
            return None
        return _ratio(self.generated, self.generated - self.accepted_tokens)

    @property
    def unconditional(self) -> list[float] | None:
        """Of all drafts, the share that accepted each position."""
        if self.accepted_at is None or not self.drafts:
            return None
        return [count / self.drafts for count in self.accepted_at]

    @property
    def conditional(self) -> list[float | None] | None:
        """Of the drafts that reached a position, the share that accepted it."""
        if self.accepted_at is None or self.reached_at is None:
            return None
        return [_ratio(accepted, reached) for accepted, reached in zip(self.accepted_at, self.reached_at, strict=True)]

    def checked(self) -> Speculation:
        """The same with everything that its figures contradict."""
        return replace(self, disagreements=(*self.disagreements, *self._contradictions()))

    def _contradictions(self) -> Iterable[str]:
        drafted, accepted, drafts = self.draft_tokens, self.accepted_tokens, self.drafts
        if drafted is not None and accepted is not None and accepted > drafted:
            yield f"More tokens were accepted ({accepted}) than drafted ({drafted})."
        if accepted is not None and self.generated is not None and accepted > self.generated:
            yield f"More drafted tokens were accepted ({accepted}) than tokens were generated ({self.generated})."
        if self.accepted_at is not None and accepted is not None and sum(self.accepted_at) != accepted:
            yield f"The positions add up to {sum(self.accepted_at)} accepted tokens, and {accepted} are reported."
        if self.accepted_at and drafts is not None and max(self.accepted_at) > drafts:
            yield f"A position was accepted {max(self.accepted_at)} times in {drafts} drafts."
        for name, reported, own in (
            ("acceptance rate", self.reported_rate, self.acceptance_rate),
            ("mean acceptance length", self.reported_length, self.mean_acceptance_length),
        ):
            if reported is not None and own is not None and abs(reported - own) > _APART * max(1.0, own):
                yield f"It reports a {name} of {reported:.3f}; its counts give {own:.3f}."


def combined(records: Sequence[Speculation]) -> Speculation:
    """The sum of records of one source. A count that one of them lacks is None in the sum."""
    first = records[0]
    return Speculation(
        source=first.source,
        scope=first.scope if len(records) == 1 else f"{len(records)} answers",
        answers=sum(record.answers for record in records),
        drafts=_sum([record.drafts for record in records]),
        draft_tokens=_sum([record.draft_tokens for record in records]),
        accepted_tokens=_sum([record.accepted_tokens for record in records]),
        generated=_sum([record.generated for record in records]),
        accepted_at=_sums([record.accepted_at for record in records]),
        reached_at=_sums([record.reached_at for record in records]),
        reported_rate=first.reported_rate if len(records) == 1 else None,
        reported_length=first.reported_length if len(records) == 1 else None,
        cannot=tuple(dict.fromkeys(text for record in records for text in record.cannot)),
        disagreements=tuple(dict.fromkeys(text for record in records for text in record.disagreements)),
    )


def as_document(record: Speculation) -> dict[str, Any]:
    """One JSON object: the counts and the figures that they give."""
    return {
        "source": record.source,
        "scope": record.scope,
        "answers": record.answers,
        "num_drafts": record.drafts,
        "num_draft_tokens": record.draft_tokens,
        "num_accepted_tokens": record.accepted_tokens,
        "generated_tokens": record.generated,
        "num_accepted_tokens_per_pos": None if record.accepted_at is None else list(record.accepted_at),
        "acceptance_rate": record.acceptance_rate,
        "mean_acceptance_length": record.mean_acceptance_length,
        "tokens_per_pass": record.tokens_per_pass,
        "per_position_acceptance_rate": record.unconditional,
        "conditional_acceptance_rate": record.conditional,
        "reported": {"acceptance_rate": record.reported_rate, "mean_acceptance_length": record.reported_length},
        "cannot_show": list(record.cannot),
        "disagreements": list(record.disagreements),
    }


def _ratio(part: int | None, whole: int | None) -> float | None:
    return part / whole if part is not None and whole else None


def _sum(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _sums(rows: Sequence[tuple[int, ...] | None]) -> tuple[int, ...] | None:
    known = [row for row in rows if row is not None]
    if len(known) < len(rows):
        return None
    longest = max((len(row) for row in known), default=0)
    return tuple(sum(row[i] for row in known if i < len(row)) for i in range(longest))
