"""Greedy texts of speculative and of plain runs, compared: at T=0 both should be the same text."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field

from speculatoviz.telemetry.events import Departure, Event, VerifyResult

_MOST_PROMPTS = 32


@dataclass(slots=True)
class GreedyText:
    """The tokens of one greedy run, with the margin between the two highest log-probabilities at each of them."""

    token_ids: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    margins: list[float | None] = field(default_factory=list)

    def follow(self, events: Iterable[Event]) -> Iterator[Event]:
        """Pass the events on and note the emitted tokens."""
        for event in events:
            if isinstance(event, VerifyResult) and event.final_token is not None:
                self.token_ids.append(event.token_id)
                self.names.append(event.final_token)
                self.margins.append(_margin(event))
            yield event


def _margin(event: VerifyResult) -> float | None:
    top = event.target_top_tokens
    return top[0].logprob - top[1].logprob if len(top) > 1 else None


class GreedyTexts:
    """The latest plain and the latest speculative greedy text of each of the last 32 prompts."""

    def __init__(self) -> None:
        self._texts: OrderedDict[Hashable, dict[bool, GreedyText]] = OrderedDict()

    def add(self, asked: Hashable, text: GreedyText, *, plain: bool) -> Departure | None:
        """Keep a text. Returns where it parts from that of the other kind; None if it does not, or there is none.

        asked: the prompt, and whatever else the target's greedy text depends on.
        """
        kinds = self._texts.setdefault(asked, {})
        kinds[plain] = text
        self._texts.move_to_end(asked)
        if len(self._texts) > _MOST_PROMPTS:
            self._texts.popitem(last=False)
        return departure(kinds[True], kinds[False]) if len(kinds) == 2 else None


def departure(plain: GreedyText, speculative: GreedyText) -> Departure | None:
    """The first position where the texts differ; None if one is a beginning of the other."""
    pairs = zip(plain.token_ids, speculative.token_ids, strict=False)
    position = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
    if position is None:
        return None
    margin = plain.margins[position]
    return Departure(
        position=position,
        plain_token=plain.names[position],
        speculative_token=speculative.names[position],
        margin=speculative.margins[position] if margin is None else margin,
    )
