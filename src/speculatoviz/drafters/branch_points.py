"""Second choices at positions that a draft model has already computed: branches that cost no further pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from speculatoviz.core.chance import Chance
from speculatoviz.core.sampling import without
from speculatoviz.core.types import DraftEvidence, Node, Scores, Support


@dataclass(slots=True)
class BranchPoint:
    """A position where siblings may be added below `parent`.

    reach: the draft's probability that verification gets there. rest: q of the next sibling, None if no mass is left.
    left: the share of the draft's distribution that `rest` represents. scores: the draft's raw scores there.
    evidence: of the siblings.
    """

    parent: int
    reach: float
    rest: Support | None
    left: float
    scores: Scores | None = None
    evidence: DraftEvidence | None = None

    @property
    def gain(self) -> float:
        """The draft's probability that its best remaining token here is accepted: reach * left * max(rest)."""
        return self.reach * self.left * float(self.rest.probs.max()) if self.rest is not None else 0.0


def add_siblings(
    nodes: list[Node],
    points: list[BranchPoint],
    count: int,
    source: str,
    chance: Chance | None,
    declared: Callable[[Support], Support],
) -> None:
    """Append up to `count` leaves to `nodes`, each at the point of the largest gain.

    chance: draws them without replacement (Chen et al. 2024, "Sequoia", section 3.2); None takes the most probable.
    declared: q in the form that the target requires. The position and q of a leaf are fixed before it is drawn.
    """
    for _ in range(count):
        point = max(points, key=lambda point: point.gain, default=None)
        if point is None or point.rest is None or point.gain <= 0.0:
            return
        q = declared(point.rest) if chance is not None else point.rest
        index = int(q.probs.argmax()) if chance is None else chance.draw(q.probs, len(nodes))
        token, prob = int(q.ids[index]), float(q.probs[index])
        shown = _scores_of(point.scores, token)
        nodes.append(Node(token, point.parent, None if chance is None else q, source, shown, evidence=point.evidence))
        point.rest, point.left = without(q, token), point.left * (1.0 - prob)


def _scores_of(scores: Scores | None, token: int) -> Scores | None:
    """The draft's raw scores of another token at the same position, if they are among the alternatives."""
    if scores is None:
        return None
    return Scores(dict(scores.top).get(token), scores.entropy, scores.top)
