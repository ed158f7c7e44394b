"""Runs every cell of a sweep on every prompt, in turn with plain runs.

A run begins with empty contexts, so that the time to its first token contains the whole prompt, and without evidence,
so that nothing is computed for display while it is timed. The target's entropies are read afterwards, in passes of
their own over the finished text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import groupby
from typing import get_args

import numpy as np

from speculatoviz.config import Settings
from speculatoviz.core.progress import Progress
from speculatoviz.core.types import Request
from speculatoviz.errors import BadRequestError, SpeculatoVizError, TraceError
from speculatoviz.lab.contexts import empty_contexts, without_prompt_cache
from speculatoviz.lab.interleaving import in_turn
from speculatoviz.lab.processor import usage_so_far
from speculatoviz.lab.questions import Prompt, Source
from speculatoviz.lab.sweep.cells import PLAIN, Cell, Grid, session_settings
from speculatoviz.lab.sweep.figures import run_of
from speculatoviz.lab.sweep.records import About, Folder, SweepRun
from speculatoviz.machine import describe, usable_cores
from speculatoviz.models.files.names import Runtime
from speculatoviz.models.libraries import build_of
from speculatoviz.session.session import Session
from speculatoviz.telemetry import trace
from speculatoviz.telemetry.events import Done, Event
from speculatoviz.telemetry.mapping import model_info, sampling_info
from speculatoviz.telemetry.messages import Start

Key = tuple[str, int, float, Cell]


@dataclass(frozen=True, slots=True)
class Plan:
    """A sweep. entropy: whether to read the target's entropies. traces: whether to keep the events of every run."""

    grid: Grid
    source: Source
    entropy: bool = True
    traces: bool = True

    def keys(self, cells: Sequence[Cell] | None = None) -> list[Key]:
        """What has to be measured of some cells, of all without them; one prompt of every category comes first."""
        chosen = self.grid.cells if cells is None else cells
        return [
            (prompt.category, prompt.number, temperature, cell)
            for temperature in self.grid.temperatures
            for prompt in sorted(self.source.prompts, key=lambda prompt: prompt.number)
            for cell in chosen
        ]


@dataclass(slots=True)
class Watch:
    """Who is told of a sweep's state. clock: seconds. progress: receives the runs that are done, with the time left.

    notice: receives one sentence for what is left out. total, done: runs of the whole sweep.
    """

    clock: Callable[[], float]
    progress: Progress
    notice: Callable[[str], None]
    total: int = 0
    done: int = 0
    _begun_s: float | None = None
    _begun_done: int = 0

    def begin(self, total: int, left: int) -> None:
        """Note how many runs there are, and how many of them are still to do."""
        self.total, self.done = total, total - left

    def finished(self, runs: int) -> None:
        """Count runs that were made or left out."""
        self.done += runs

    def at(self, where: str) -> None:
        """Report what is measured next."""
        now_s = self.clock()
        if self._begun_s is None:
            self._begun_s, self._begun_done = now_s, self.done
        made, left = self.done - self._begun_done, self.total - self.done
        time_left = f", {_duration((now_s - self._begun_s) / made * left)} left" if made and left else ""
        share = self.done / self.total if self.total else 1.0
        self.progress(f"{where}: {self.done} of {self.total} runs{time_left}", share)


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    if minutes < 1:
        return "less than a minute"
    return f"about {minutes:.0f} min" if minutes < 100 else f"about {minutes / 60:.1f} h"


def measure_all(settings: Settings, plan: Plan, folder: Folder, watch: Watch) -> None:
    """Load what the cells need, in turn, and append a line for each run to the folder.

    Runs that the folder holds are not repeated; those that failed are tried again. A prompt that the target cannot
    decode alone is left out. Raises what `Session.load` raises, BadRequestError for a drafter that there is not, or if
    the folder holds runs that cannot be compared with these, and TraceError if the folder cannot be written any more.
    """
    todo = folder.missing(plan.keys())
    watch.begin(len(plan.keys()), len(todo))
    for weights in dict.fromkeys(cell.weights for cell in plan.grid.cells):
        own = [cell for cell in plan.grid.cells if cell.weights == weights]
        cells = [cell for cell in own if any(key[3] == cell for key in todo)]
        if not cells:
            continue
        names = {cell.drafter for cell in own if cell.drafter}
        loaded = Session.load(session_settings(settings, own), watch.clock, watch.progress, names)
        with closing(loaded) as session:
            measure(session, plan, cells, folder, watch)


def measure(session: Session, plan: Plan, cells: Sequence[Cell], folder: Folder, watch: Watch) -> None:
    """Measure cells on a loaded session. Arguments and errors as for `measure_all`."""
    if session.target.remote is not None:
        raise BadRequestError(
            "The target is remote, and a sweep compares with plain runs on this machine.",
            "Load the target on this machine, or measure with `speculatoviz bench remote`.",
        )
    if session.settings.corpus_tokens:
        raise BadRequestError(
            "This session keeps earlier outputs, in which a repeated prompt finds its answer.",
            "Load it with corpus_tokens=0.",
        )
    for cell in cells:
        if cell.drafter:
            session.check_drafter(cell.drafter)
    folder.check(_about(session, plan, cells[0].weights))
    watch.progress("measuring pass times", None)
    while session.calibration.measure_next():
        pass
    folder.open()
    folder.append(_about(session, plan, cells[0].weights))
    runner = _Runner(session, plan, folder, watch.notice)
    todo = folder.missing(plan.keys(cells))
    prompts = {(prompt.category, prompt.number): prompt for prompt in plan.source.prompts}
    with without_prompt_cache(session):
        for (category, number, temperature), group in groupby(todo, key=lambda key: key[:3]):
            wanted = [key[3] for key in group]
            prompt = prompts[category, number]
            watch.at(f"{category} {number}, T={temperature:g}")
            try:
                for run in runner.runs(prompt, temperature, wanted):
                    folder.append(run)
            except BadRequestError as error:
                watch.notice(f"{category} {number} is left out: {error}")
            watch.finished(len(wanted))
    watch.at("done")


@dataclass(slots=True)
class _Runner:
    """Runs the cells of one session."""

    session: Session
    plan: Plan
    folder: Folder
    notice: Callable[[str], None]
    _failed: set[Cell] = field(default_factory=set)  # not tried again
    _entropies: dict[tuple[int, ...], list[float | None]] = field(default_factory=dict)  # of the last prompt's texts

    def runs(self, prompt: Prompt, temperature: float, cells: Sequence[Cell]) -> Iterator[SweepRun]:
        """Runs of the cells, each after the plain runs before and after it.

        Raises BadRequestError if the target cannot decode the prompt alone.
        """
        self._entropies.clear()
        left = [cell for cell in cells if cell not in self._failed]
        if not left:
            return
        written = list[SweepRun]()
        turns = in_turn(
            left,
            lambda cell: self._attempt(prompt, temperature, cell),
            lambda: self._run(prompt, temperature, PLAIN),
            prompt.category,
            prompt.number,
        )
        for run, before, after in turns:
            for plain in (before, after):
                if not any(plain is one for one in written):
                    written.append(plain)
                    yield plain
            rates = [plain.tps for plain in (before, after) if plain.tps]
            yield replace(run, plain_tps=sum(rates) / len(rates) if rates else None)

    def _attempt(self, prompt: Prompt, temperature: float, cell: Cell) -> SweepRun:
        try:
            return self._run(prompt, temperature, cell)
        except TraceError:  # of the disk, not of the cell
            raise
        except SpeculatoVizError as error:
            self._failed.add(cell)
            self.notice(f"{cell.label} failed: {error}")
            return SweepRun(prompt.category, prompt.number, temperature, cell, error=str(error))

    def _run(self, prompt: Prompt, temperature: float, cell: Cell) -> SweepRun:
        session = self.session
        asked = {
            "temperature": temperature,
            "seed": _seed(prompt, session.settings.seed),
            "evidence": False,
            "record_depth": 0,
        }
        prepared = session.prepare(Start.model_validate({**prompt.start, **cell.start, **asked}))
        empty_contexts(session)
        before = usage_so_far()
        events = list(session.run("sweep", prepared, lambda: False))
        after = usage_so_far()
        done = next(event for event in events if isinstance(event, Done))
        run = SweepRun(prompt.category, prompt.number, temperature, cell, trace=self._trace(events))
        found = run_of(run, events, () if cell.plain else self._entropy(prepared.request, done.token_ids))
        share = after.since(before).foreign_share if before is not None and after is not None else None
        return replace(found, foreign_share=share, departure=None if cell.plain else found.departure)

    def _entropy(self, request: Request, text: Sequence[int]) -> list[float | None]:
        """The target's entropy at T=1 before each token of the text, in nats; empty if it cannot be computed."""
        if not self.plan.entropy or self.session.target.window is None:
            return []
        ids = (*request.prompt, *text)
        if ids not in self._entropies:
            scores = self.session.score_prompt(replace(request, prompt=ids, needs=frozenset(), alternatives=1))
            self._entropies[ids] = [score.entropy for score in scores[len(request.prompt) - 1 :]]
        return self._entropies[ids]

    def _trace(self, events: Sequence[Event]) -> str:
        """Write the events to a file of the folder; returns its name, empty if traces are not kept."""
        if not self.plan.traces:
            return ""
        name = self.folder.next_trace()
        with trace.create(self.folder.path / name, self.notice) as writer:
            for event in events:
                writer.write(event)
        return name


def _seed(prompt: Prompt, seed: int) -> int:
    """A seed of each prompt's own, so that prompts are independent of each other."""
    return int(np.random.SeedSequence([seed, prompt.number, *prompt.category.encode()]).generate_state(1)[0])


def _about(session: Session, plan: Plan, weights: str) -> About:
    settings, target = session.settings, model_info(session.target)
    return About(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        version=version("speculatoviz"),
        machine=describe(),
        target=target,
        draft=model_info(session.draft_model) if session.draft_model else None,
        weights=weights,
        library=next((build_of(runtime) for runtime in get_args(Runtime) if runtime == target.runtime), ""),
        max_tokens=settings.max_tokens,
        context_tokens=session.target.context_tokens,
        sampling=sampling_info(session.default_request.sampling),
        rule=settings.rule,
        seed=settings.seed,
        threads=settings.threads or usable_cores(),
        prompts=plan.source.name,
        prompts_sha256=plan.source.sha256,
        categories=dict(Counter(prompt.category for prompt in plan.source.prompts)),
        pass_ms=dict(session.calibration.pass_ms),
        draft_ms=session.calibration.draft_ms,
        noise_floor=session.noise_info(),
    )
