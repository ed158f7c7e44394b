"""The runs of one temperature, compared: with plain decoding, with llama.cpp's best, with hindsight and the bound.

In hindsight means: of several ways, the one with the highest geometric mean in a category. All ratios are relative to
the reference of the measurement if nothing else is stated.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from speculatoviz.bench.peers.bound import Bound, bounds
from speculatoviz.bench.peers.llamacpp_server import ENGINE as LLAMA_CPP
from speculatoviz.bench.peers.runs import AUTO, OWN, PLAIN, PeerRun, Way
from speculatoviz.lab.statistics import geometric_mean, interval

ALL = "all"
_BEST = "the best of each category"


@dataclass(frozen=True, slots=True)
class Standing:
    """`auto` on one runtime in one category. A ratio is NaN if it was not measured.

    plain: plain decoding on that runtime. fixed: the best of its fixed choices in hindsight, plain included; fixed_way:
    its name. bound_fixed, bound: of `bound.Bound`, relative to `plain`; bound_way: its best fixed choice.
    llamacpp_plain: llama.cpp's own plain decoding. llamacpp: the fastest of all its ways in hindsight; llamacpp_way:
    its name.
    """

    auto: float
    plain: float
    fixed: float
    fixed_way: str
    bound_fixed: float
    bound_way: str
    bound: float
    llamacpp_plain: float
    llamacpp: float
    llamacpp_way: str

    @property
    def against_plain(self) -> float:
        return self.auto / self.plain

    @property
    def against_fixed(self) -> float:
        return self.auto / self.fixed

    @property
    def share_of_bound(self) -> float:
        return self.against_plain / self.bound

    @property
    def against_llamacpp(self) -> float:
        return self.auto / self.llamacpp


class Comparison:
    """The runs of one temperature. reference: the way that their ratios are relative to."""

    def __init__(self, runs: Iterable[PeerRun], reference: Way) -> None:
        runs = list(runs)
        self.reference = reference
        self.failures = {run.way: run.error for run in runs if run.error is not None}
        self._runs = [run for run in runs if run.ratio is not None]
        self.categories = sorted({run.category for run in self._runs})
        self.ways = sorted({run.way for run in runs}, key=self._place)

    @property
    def runtimes(self) -> list[str]:
        """Those of this engine."""
        return list(dict.fromkeys(way.runtime for way in self.ways if way.engine == OWN))

    def own(self, runtime: str) -> list[Way]:
        return [way for way in self.ways if way.engine == OWN and way.runtime == runtime]

    def of(self, engine: str) -> list[Way]:
        return [way for way in self.ways if way.engine == engine]

    def ratios(self, way: Way, category: str = ALL) -> dict[tuple[str, int], float]:
        """By category and prompt."""
        return {
            (run.category, run.prompt): run.ratio
            for run in self._runs
            if run.way == way and category in (ALL, run.category) and run.ratio is not None
        }

    def mean(self, way: Way, category: str = ALL) -> float:
        """The geometric mean of a way's ratios."""
        return geometric_mean(list(self.ratios(way, category).values()))

    def best(self, ways: Sequence[Way], category: str) -> Way | None:
        """The fastest of some ways in a category, in hindsight; None if none was measured there."""
        means = {way: mean for way in ways if not math.isnan(mean := self.mean(way, category))}
        return max(means, key=means.__getitem__, default=None)

    def standings(self, runtime: str, pass_ms: Mapping[int, float]) -> dict[str, Standing]:
        """By category, then of all: geometric means over the categories. pass_ms: of the runtime."""
        own = set(self.own(runtime))
        limits = bounds([run for run in self._runs if run.way in own], pass_ms) if pass_ms else {}
        by_category = {
            category: self._standing(runtime, category, limits.get(category)) for category in self.categories
        }
        return by_category | {ALL: _over_all(list(by_category.values()))}

    def headline(self, runtime: str) -> tuple[float, float, float]:
        """`auto` relative to llama.cpp's fastest way of each category: the geometric mean, and its interval."""
        auto, ratios = self._named(runtime, AUTO), []
        for category in self.categories:
            best = self.best(self.of(LLAMA_CPP), category)
            if best is None or auto is None:
                continue
            theirs = self.ratios(best, category)
            ratios += [own / theirs[key] for key, own in self.ratios(auto, category).items() if key in theirs]
        return geometric_mean(ratios), *interval(ratios)

    def _place(self, way: Way) -> tuple[object, ...]:
        """The order of the ways: this engine, the reference's runtime first; plain, fixed depths, policies."""
        other = way.runtime != self.reference.runtime
        kind = 0 if way.name == PLAIN else 1 if way.depth or way.engine != OWN else 2
        numbers = [int(number) for number in re.findall(r"\d+", way.name)]
        return (
            way.engine != OWN,
            way.engine,
            other,
            way.runtime,
            kind,
            way.drafter,
            re.sub(r"\d+", "", way.name),
            numbers,
        )

    def _standing(self, runtime: str, category: str, bound: Bound | None) -> Standing:
        fixed = self.best([way for way in self.own(runtime) if way.depth or way.name == PLAIN], category)
        theirs = self.best(self.of(LLAMA_CPP), category)
        their_plain = next((way for way in self.of(LLAMA_CPP) if way.name == PLAIN), None)
        return Standing(
            auto=self._mean(self._named(runtime, AUTO), category),
            plain=self._plain(runtime, category),
            fixed=self._mean(fixed, category),
            fixed_way=fixed.name if fixed else "",
            bound_fixed=bound.fixed if bound else math.nan,
            bound_way=_named_choice(bound) if bound else "",
            bound=bound.hindsight if bound else math.nan,
            llamacpp_plain=self._mean(their_plain, category),
            llamacpp=self._mean(theirs, category),
            llamacpp_way=theirs.name if theirs else "",
        )

    def _plain(self, runtime: str, category: str) -> float:
        """Plain decoding on a runtime: 1 for the reference's own, by definition."""
        if runtime == self.reference.runtime:
            return 1.0
        return self._mean(self._named(runtime, PLAIN), category)

    def _named(self, runtime: str, name: str) -> Way | None:
        return next((way for way in self.own(runtime) if way.name == name), None)

    def _mean(self, way: Way | None, category: str) -> float:
        return math.nan if way is None else self.mean(way, category)


def _named_choice(bound: Bound) -> str:
    drafter, depth = bound.choice
    return f"{drafter}, depth {depth}" if depth else PLAIN


def _over_all(standings: Sequence[Standing]) -> Standing:
    def mean(name: str) -> float:
        return geometric_mean([getattr(standing, name) for standing in standings])

    return Standing(
        auto=mean("auto"),
        plain=mean("plain"),
        fixed=mean("fixed"),
        fixed_way=_BEST,
        bound_fixed=mean("bound_fixed"),
        bound_way=_BEST,
        bound=mean("bound"),
        llamacpp_plain=mean("llamacpp_plain"),
        llamacpp=mean("llamacpp"),
        llamacpp_way=_BEST,
    )
