"""Branches beside a chain that cost no further pass of the draft model: second choices at places it has seen."""

from __future__ import annotations

from dataclasses import dataclass

from speculatoviz.core.chance import Chance
from speculatoviz.core.sampling import quantised, without
from speculatoviz.core.types import Node, Scores, Support


@dataclass(slots=True)
class Place:
    """Where siblings may grow: below `parent`, from what is left of the draft's distribution there.

    reach: the draft's own probability that verification gets there. left: share of its distribution that `rest` is.
    """

    parent: int
    reach: float
    rest: Support | None
    left: float
    scores: Scores | None = None

    @property
    def hope(self) -> float:
        """The draft's probability that its best token there is the one."""
        return self.reach * self.left * float(self.rest.probs.max()) if self.rest is not None else 0.0


def widen(
    nodes: list[Node], places: list[Place], count: int, source: str, chance: Chance | None, quantise: bool
) -> None:
    """Append up to `count` leaves, each where there is most hope.

    chance: draws them without replacement (Chen et al. 2024, "Sequoia", section 3.2); None chooses the best. Where
    the next leaf grows, and from which q, is settled before it is drawn.
    """
    for _ in range(count):
        place = max(places, key=lambda place: place.hope, default=None)
        if place is None or place.rest is None or place.hope <= 0.0:
            return
        q = quantised(place.rest) if quantise else place.rest
        index = int(q.probs.argmax()) if chance is None else chance.draw(q.probs, len(nodes))
        token, prob = int(q.ids[index]), float(q.probs[index])
        nodes.append(Node(token, place.parent, None if chance is None else q, source, _seen(place.scores, token)))
        place.rest, place.left = without(q, token), place.left * (1.0 - prob)


def _seen(scores: Scores | None, token: int) -> Scores | None:
    """The draft's raw opinion of another token at the same place, as far as it was noted."""
    if scores is None:
        return None
    return Scores(dict(scores.top).get(token), scores.entropy, scores.top)
