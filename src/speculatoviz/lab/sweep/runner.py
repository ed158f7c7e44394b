"""One loaded session of a sweep: what it was loaded with, and the runs of its cells, in turn with plain runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import get_args

import numpy as np

from speculatoviz.config import Settings
from speculatoviz.core.progress import Progress
from speculatoviz.core.types import Request
from speculatoviz.errors import BadRequestError, SpeculatoVizError, TraceError
from speculatoviz.lab.contexts import empty_contexts
from speculatoviz.lab.interleaving import in_turn
from speculatoviz.lab.processor import usage_so_far
from speculatoviz.lab.questions import Prompt, Source
from speculatoviz.lab.sweep.cells import PLAIN, Cell, session_settings
from speculatoviz.lab.sweep.figures import run_of
from speculatoviz.lab.sweep.records import About, SweepRun
from speculatoviz.machine import describe, usable_cores
from speculatoviz.models.files.names import OF_GGUF, RUNTIMES, Runtime, parse
from speculatoviz.models.libraries import build_of
from speculatoviz.session.session import Session
from speculatoviz.session.targets import is_remote
from speculatoviz.telemetry import trace
from speculatoviz.telemetry.events import Done
from speculatoviz.telemetry.mapping import model_info, sampling_info
from speculatoviz.telemetry.messages import Start
from speculatoviz.telemetry.parts import ModelInfo


def load(settings: Settings, cells: Sequence[Cell], clock: Callable[[], float], progress: Progress) -> Session:
    """A session for all cells of a sweep with the same weights. Raises what `Session.load` raises."""
    names = {cell.drafter for cell in cells if cell.drafter}
    return Session.load(session_settings(settings, cells), clock, progress, names)


def on_runtime_of(settings: Settings, target: ModelInfo) -> Settings:
    """The settings with the target fixed to the runtime of an earlier session, if they leave it open.

    Which runtime is fastest depends on what else is loaded, and runs are compared on one.
    """
    pair, runtime = settings.resolved(), next((name for name in OF_GGUF if RUNTIMES[name] == target.runtime), None)
    if settings.runtime != "auto" or runtime is None:
        return settings
    if is_remote(pair.target) or parse(pair.target).runtime is not None:
        return settings
    fixed: dict[str, object] = {
        "target": f"{runtime}:{pair.target}",
        "draft": pair.draft or "none",
        "target_quantisation": pair.target_quantisation,
        "draft_quantisation": pair.draft_quantisation,
        "draft_vocabulary": pair.draft_vocabulary,
    }
    return settings.model_copy(update=fixed)


def check(session: Session, cells: Sequence[Cell]) -> None:
    """Raises BadRequestError if these cells cannot be compared with plain runs of this session."""
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


def measure_passes(session: Session, progress: Progress) -> None:
    """Complete the table of the target's pass times."""
    progress("measuring pass times", None)
    while session.calibration.measure_next():
        pass


@dataclass(slots=True)
class Runner:
    """Runs the cells of one session.

    entropy: whether to read the target's entropies. keep: keeps the trace of a run and returns its name; None if traces
    are not kept. notice: receives one sentence for a cell that fails.
    """

    session: Session
    entropy: bool
    keep: Callable[[bytes], str] | None
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
        name = "" if self.keep is None else self.keep(trace.as_bytes(events))
        run = SweepRun(prompt.category, prompt.number, temperature, cell, trace=name)
        found = run_of(run, events, () if cell.plain else self._entropy(prepared.request, done.token_ids))
        share = after.since(before).foreign_share if before is not None and after is not None else None
        return replace(found, foreign_share=share, departure=None if cell.plain else found.departure)

    def _entropy(self, request: Request, text: Sequence[int]) -> list[float | None]:
        """The target's entropy at T=1 before each token of the text, in nats; empty if it cannot be computed."""
        if not self.entropy or self.session.target.window is None:
            return []
        ids = (*request.prompt, *text)
        if ids not in self._entropies:
            scores = self.session.score_prompt(replace(request, prompt=ids, needs=frozenset(), alternatives=1))
            self._entropies[ids] = [score.entropy for score in scores[len(request.prompt) - 1 :]]
        return self._entropies[ids]


def _seed(prompt: Prompt, seed: int) -> int:
    """A seed of each prompt's own, so that prompts are independent of each other."""
    return int(np.random.SeedSequence([seed, prompt.number, *prompt.category.encode()]).generate_state(1)[0])


def about(session: Session, source: Source, weights: str) -> About:
    """What runs of this session are measured on, and how. source: all prompts of the sweep."""
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
        prompts=source.name,
        prompts_sha256=source.sha256,
        categories=dict(Counter(prompt.category for prompt in source.prompts)),
        pass_ms=dict(session.calibration.pass_ms),
        draft_ms=session.calibration.draft_ms,
        noise_floor=session.noise_info(),
    )
