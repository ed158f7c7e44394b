"""The protocol of drafters, and base classes for them.

The two laws of drafting are stated at `core.types.Draft`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple, Protocol

from speculatoviz.core.chance import Chance
from speculatoviz.core.planning import Outlook, Plan
from speculatoviz.core.rounds import Round
from speculatoviz.core.sampling import quantised
from speculatoviz.core.types import Draft, Need, Request, Support
from speculatoviz.errors import CancelledError

Pays = Callable[[float], bool]  # given about how many milliseconds a pass takes: whether to begin it


class Drafter(Protocol):
    """Proposes the tokens of a round."""

    @property
    def name(self) -> str: ...
    @property
    def needs(self) -> frozenset[Need]:
        """What it needs of the target beyond verdicts. A target that does not provide it refuses the request."""

    @property
    def begins_at_no_cost(self) -> bool:
        """Whether `begin` computes no forward pass."""

    @property
    def block(self) -> int | None:
        """The most tokens of a path, all of which one pass computes; None if each token needs a pass, of any number."""

    def unread(self, prefix: list[int]) -> int:
        """About how many tokens `begin` would read for this prompt now. It may be called before `begin`."""

    def begin(self, request: Request) -> None:
        """Prepare to continue `request.prompt`. Raises CancelledError between chunks of a prefill."""

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        """Propose tokens after `prefix`: paths of at most plan.depth tokens that do not go on after an end token.

        An empty draft is allowed. Raises CancelledError between forward passes once the request is cancelled, and
        NotFiniteError if its model computes no distribution.
        """

    def prepare(self, prefix: list[int], round: int, plan: Plan, chance: Chance, pays: Pays) -> bool:
        """Draft round `round` ahead, on the guess that `prefix` and one more token will be committed.

        Returns whether anything was drafted. The drafter guesses the one more token. pays: called before every pass.
        `draft` continues the work if the guess was right and drops it otherwise; the tokens are the same either way.
        A drafter that needs no time returns False.
        """

    def prepare_other(self, round: int, plan: Plan, chance: Chance, pays: Pays) -> bool:
        """After `prepare`, draft round `round` ahead on a second guess: the likeliest rejection of the draft in flight.

        The guess is that the path up to some drafted token is accepted, and the drafter's second choice takes the place
        of that token. Returns and arguments as `prepare`.
        """

    def outlook(self, prefix: list[int]) -> Outlook:
        """What it knows of its draft after `prefix`, without a forward pass. Called after `begin`."""

    def observe(self, round: Round) -> None:
        """Learn from a finished round."""

    def forget_prompts(self) -> None:
        """Drop what earlier runs have computed of their prompts, so that the next run has to compute all of its own."""

    def close(self) -> None:
        """Release the memory that the drafter holds itself."""


class HeadCard(NamedTuple):
    """What the card of a draft head states. file: its name.

    acceptance: by position, of the tokens that were tested on held-out text. depth: the positions it was trained for.
    """

    file: str
    acceptance: tuple[float, ...]
    depth: int


class BaseDrafter(ABC):
    """What drafters share: the request of the run, what follows from it, and optional methods that do nothing."""

    name: str
    begins_at_no_cost: ClassVar[bool] = False
    _needs: ClassVar[frozenset[Need]] = frozenset()
    _begun: Request | None = None
    card: HeadCard | None = None  # of a drafter that has a head

    @property
    def needs(self) -> frozenset[Need]:
        return self._needs

    @property
    def block(self) -> int | None:
        return None

    @property
    def request(self) -> Request:
        """The request of the run. Raises RuntimeError before `begin`."""
        if self._begun is None:
            raise RuntimeError(f"{self.name}: begin() must be called before draft()")
        return self._begun

    @property
    def deterministic(self) -> bool:
        """Whether tokens are chosen instead of drawn: at T=0, or because the target compares tokens."""
        return self.request.sampling.greedy or not self.request.drafting.sampled

    def unread(self, prefix: list[int]) -> int:
        return 0 if self.begins_at_no_cost else len(prefix)

    def begin(self, request: Request) -> None:
        self._begun = request

    @abstractmethod
    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft: ...

    def prepare(self, prefix: list[int], round: int, plan: Plan, chance: Chance, pays: Pays) -> bool:
        del prefix, round, plan, chance, pays
        return False

    def prepare_other(self, round: int, plan: Plan, chance: Chance, pays: Pays) -> bool:
        del round, plan, chance, pays
        return False

    def outlook(self, prefix: list[int]) -> Outlook:
        del prefix
        return Outlook()

    def observe(self, round: Round) -> None:
        del round

    def forget_prompts(self) -> None:
        """Forget the request of the last run. Most drafters keep nothing else of a prompt."""
        self._begun = None

    def close(self) -> None:
        """Release the drafter's own memory. The request of the last run is forgotten."""
        self._begun = None

    def declared(self, q: Support) -> Support:
        """q as the draft declares it. Tokens must be drawn from this form."""
        return quantised(q) if self.request.drafting.quantised else q

    def capped(self, support_size: int) -> int:
        """The support size of a q: `support_size`, or less if the target takes no more."""
        return min(support_size, self.request.drafting.support_size or support_size)

    def check_cancelled(self) -> None:
        """Raises CancelledError once the request is cancelled."""
        if self.request.cancelled():
            raise CancelledError


class CompositeDrafter(BaseDrafter):
    """A drafter made of others. The members are closed by whoever made them."""

    def __init__(self, members: Sequence[Drafter]) -> None:
        if not members:
            raise ValueError("expected at least one member")
        self.members = tuple(members)

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset[Need]().union(*(member.needs for member in self.members))

    def unread(self, prefix: list[int]) -> int:
        return sum(member.unread(prefix) for member in self.members)

    def begin(self, request: Request) -> None:
        super().begin(request)
        for member in self.members:
            member.begin(request)

    def observe(self, round: Round) -> None:
        for member in self.members:
            member.observe(round)
