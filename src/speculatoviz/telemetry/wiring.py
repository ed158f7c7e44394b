"""Whether a draft head is wired to its target as its card assumes: the acceptance at position 0 against the card's."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from speculatoviz.telemetry.events import DraftToken, Event, Metrics, Started, VerifyResult
from speculatoviz.telemetry.mapping import Stamp, warning_event
from speculatoviz.telemetry.parts import HeadInfo

OTHER_TEXT = 0.5  # of the card's acceptance, which other text and other sampling than the card's may leave
LEVEL = 1e-4  # the most probable false warning of one look
_FIRST_LOOK = 16  # rounds; later looks come after twice as many each, so that few looks are taken


def at_most(successes: int, trials: int, prob: float) -> float:
    """P(X <= successes) for X binomial over `trials` of probability `prob`."""
    if successes >= trials or prob <= 0.0:
        return 1.0
    if prob >= 1.0:
        return 0.0
    logs = (
        math.lgamma(trials + 1)
        - math.lgamma(k + 1)
        - math.lgamma(trials - k + 1)
        + k * math.log(prob)
        + (trials - k) * math.log1p(-prob)
        for k in range(successes + 1)
    )
    return min(1.0, math.fsum(math.exp(log) for log in logs))


@dataclass(slots=True)
class HeadWatch:
    """A fold over the events of a run: rounds that a head drafted, and those that accepted a token at position 0."""

    _cards: dict[str, HeadInfo] = field(default_factory=dict)
    _drafter: str | None = None  # of this round's first token
    _accepted: bool = False
    _rounds: Counter[str] = field(default_factory=Counter)
    _kept: Counter[str] = field(default_factory=Counter)
    _warned: set[str] = field(default_factory=set)

    def add(self, event: Event) -> tuple[str, str] | None:
        """Take in an event. Returns (what happened, what to do) once per head that accepts far too little."""
        match event:
            case Started():
                self._cards = {head.drafter: head for head in event.heads if head.acceptance}
            case DraftToken() if event.position == 0:
                self._drafter = event.source
            case VerifyResult() if event.position == 0 and event.status == "accepted":
                self._accepted = True
            case Metrics():
                drafter, accepted = self._drafter, self._accepted
                self._drafter, self._accepted = None, False
                return None if drafter not in self._cards else self._round(drafter, accepted)
        return None

    def _round(self, drafter: str, accepted: bool) -> tuple[str, str] | None:
        self._rounds[drafter] += 1
        self._kept[drafter] += accepted
        rounds, kept, card = self._rounds[drafter], self._kept[drafter], self._cards[drafter]
        looks = rounds >= _FIRST_LOOK and rounds & (rounds - 1) == 0
        if not looks or drafter in self._warned or at_most(kept, rounds, OTHER_TEXT * card.acceptance[0]) > LEVEL:
            return None
        self._warned.add(drafter)
        message = (
            f"The head {card.file} may be wired wrong: of its first tokens {kept} of {rounds} were accepted, and its "
            f"card states {100 * card.acceptance[0]:.0f} %."
        )
        hint = (
            "Check that it was trained for exactly this target (same checkpoint and chat template), that it reads the "
            "layers it was trained on in that order, and that its vocabulary maps to the right tokens."
        )
        return message, hint


def watched(events: Iterable[Event], stamp: Callable[[], Stamp]) -> Iterator[Event]:
    """The events of a run, with a warning after the round that shows a head to accept far less than its card states.

    stamp: of the next event.
    """
    watch = HeadWatch()
    for event in events:
        found = watch.add(event)
        yield event
        if found is not None:
            assert isinstance(event, Metrics)
            yield warning_event(stamp(), event.round, found)
