"""Shadow drafters: they draft after every prefix, unused and untimed, and are scored by the tokens that follow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from statistics import fmean
from typing import NamedTuple

from speculatoviz.core.chance import ChanceSource
from speculatoviz.core.rounds import Round
from speculatoviz.core.steps import Begun, Changed
from speculatoviz.core.types import ROOT, Draft, Drafting, Request
from speculatoviz.drafters.base import Drafter
from speculatoviz.engine import Step
from speculatoviz.telemetry.events import ShadowScore

ORACLE = "oracle"
_DEPTH = 4  # of a guess beside a round that drafts nothing itself


class Guess(NamedTuple):
    """A shadow draft.

    path: its longest path that equals the tokens that followed. draft_ms: None for the drafter in use, whose time the
    round contains.
    """

    drafter: str
    draft: Draft
    path: tuple[int, ...]
    draft_ms: float | None


@dataclass(frozen=True, slots=True)
class Shadowed:
    """The guesses after one round's prefix, the drafter in use first."""

    round: int
    guesses: tuple[Guess, ...]


class _Waiting(NamedTuple):
    round: int
    start: int  # ids before the guessed ones
    depth: int
    guesses: list[Guess]


class Shadows:
    """Lets `drafters` guess, and scores each guess once the tokens are known. clock: seconds."""

    def __init__(
        self,
        drafters: Mapping[str, Drafter],
        request: Request,
        drafting: Callable[[], Drafting],
        chance: ChanceSource,
        clock: Callable[[], float],
    ) -> None:
        self._drafters, self._request, self._drafting = drafters, request, drafting
        self._chance, self._clock = chance, clock
        self._ids = list(request.prompt)
        self._waiting: list[_Waiting] = []

    def follow(self, steps: Iterable[Step]) -> Iterator[Step | Shadowed]:
        """The steps, unchanged, and after a round the guesses whose following tokens are now known.

        The engine's clock stops meanwhile.
        """
        for step in steps:
            match step:
                case Begun():
                    self._begin()
                case Changed():
                    self._request = replace(self._request, sampling=step.sampling, prompt=tuple(self._ids))
                    self._begin()
                case Round():
                    yield step
                    self._guess(step)
                    self._ids += step.emitted
                    yield from self._known()
                    continue
            yield step

    def _begin(self) -> None:
        own = replace(self._request, drafting=self._drafting(), evidence=False, overlap=False)
        for drafter in self._drafters.values():
            drafter.begin(own)

    def _guess(self, round: Round) -> None:
        """Draft after the prefix that the round was drafted after."""
        plan = round.plan if round.plan.depth else replace(round.plan, depth=_DEPTH)
        guesses = [Guess(round.plan.drafter, round.draft, (), None)] if round.plan.depth else []
        for name, drafter in self._drafters.items():
            if name == round.plan.drafter and round.plan.depth:
                continue
            begun = self._clock()
            own = replace(plan, drafter=name, stop=None)
            draft = drafter.draft(self._ids, round.index, own, self._chance("draft", round.index))
            guesses.append(Guess(name, draft, (), (self._clock() - begun) * 1000))
        self._waiting.append(_Waiting(round.index, len(self._ids), plan.depth, guesses))

    def _known(self) -> Iterator[Shadowed]:
        """Guesses of which every place has come; those that the end of the run cuts short are never scored."""
        while self._waiting and len(self._ids) >= self._waiting[0].start + self._waiting[0].depth:
            waiting = self._waiting.pop(0)
            came = self._ids[waiting.start : waiting.start + waiting.depth]
            yield Shadowed(waiting.round, tuple(g._replace(path=matched(g.draft, came)) for g in waiting.guesses))


def matched(draft: Draft, came: list[int]) -> tuple[int, ...]:
    """The longest path of a draft, node by node, that says what came."""
    path: list[int] = []
    for token in came:
        below = draft.children(path[-1] if path else ROOT)
        found = next((node for node in below if int(draft.tokens[node]) == token), None)
        if found is None:
            break
        path.append(found)
    return tuple(path)


def closest(guess: Guess) -> list[int]:
    """The path that agreed, and on below it the first children: what the drafter would have said from there."""
    path = list(guess.path)
    while below := guess.draft.children(path[-1] if path else ROOT):
        path.append(below[0])
    return path


class ShadowFold:
    """Sums over the rounds whose guesses are known."""

    def __init__(self) -> None:
        self._rounds: dict[str, list[tuple[int, int, bool, float | None]]] = {}

    def add(self, step: Shadowed) -> None:
        best = max(len(guess.path) for guess in step.guesses)
        drafted = max(len(guess.draft) for guess in step.guesses)
        for guess in step.guesses:
            came = len(guess.path)
            self._rounds.setdefault(guess.drafter, []).append((len(guess.draft), came, came == best, guess.draft_ms))
        self._rounds.setdefault(ORACLE, []).append((drafted, best, True, None))

    def scores(self) -> list[ShadowScore]:
        """Every drafter's, and last the oracle's."""
        names = [name for name in self._rounds if name != ORACLE]
        return [self._score(name) for name in [*names, ORACLE]]

    def _score(self, name: str) -> ShadowScore:
        drafted, matched, best, times = zip(*self._rounds[name], strict=True)
        took = [time for time in times if time is not None]
        return ShadowScore(
            drafter=name,
            rounds=len(drafted),
            mean_drafted=fmean(drafted),
            mean_matched=fmean(matched),
            best_share=fmean(best),
            mean_draft_ms=fmean(took) if took else None,
        )
