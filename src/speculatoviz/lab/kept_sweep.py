"""A sweep as an entry of the store of runs: what it compared, where it is, and its answer."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from datetime import datetime

from speculatoviz.lab.report.words import plural
from speculatoviz.lab.store.runs import SWEEP, RunStore
from speculatoviz.lab.store.summary import RunSummary, SweepSummary
from speculatoviz.lab.sweep.records import About, Folder, SweepRun
from speculatoviz.lab.sweep.summary import Choice
from speculatoviz.lab.swept import Sweep
from speculatoviz.telemetry.trace import VERSION, Header


def keep_sweep(store: RunStore, folder: Folder) -> str:
    """Add a sweep to a store, or bring its entry up to date; returns the entry's id, which belongs to the folder.

    The traces stay in the folder. Raises BadRequestError if the folder holds no runs, and StoreError.
    """
    swept, first = Sweep(folder), folder.abouts[0]
    place = folder.path.resolve()
    identity = f"{SWEEP}{hashlib.sha256(f'{place} {first.created}'.encode()).hexdigest()[:10]}"
    summary = _summary(swept, folder.abouts[-1])
    assert summary.sweep is not None
    header = Header(version=VERSION, created=first.created, speculatoviz=first.version, machine=first.machine)
    created_ms = round(1000 * datetime.fromisoformat(first.created).timestamp())
    title = f"Sweep of {plural(summary.sweep.prompts, 'prompt')} ({first.prompts}) in {place}"
    store.keep(identity, created_ms, title, header, summary)
    return identity


def _summary(swept: Sweep, about: About) -> RunSummary:
    """The settings and sums of the best choice at the lowest temperature."""
    best, temperature = swept.best(), swept.summary.temperatures[0]
    runs = swept.summary.select(best.cell, temperature)
    figures = swept.summary.of(best.cell, temperature)
    return RunSummary(
        target=about.target.name,
        draft=about.draft.name if about.draft else None,
        drafter="none" if best.cell.plain else best.cell.drafter or best.cell.policy,
        policy=best.cell.policy,
        k=best.cell.k or 0,
        nodes=best.cell.nodes,
        rule=about.rule,
        sampling=about.sampling.model_copy(update={"temperature": temperature}),
        max_tokens=about.max_tokens,
        seed=about.seed,
        exactness=figures.exactness[0] if figures.exactness else "unverified",
        prompt_tokens=sum(run.prompt_tokens for run in runs),
        tokens=sum(run.tokens for run in runs),
        rounds=sum(len(run.emitted) for run in runs),
        accepted=_total(runs, lambda run: run.accepted),
        drafted=_total(runs, lambda run: run.drafted),
        acceptance_rate=_known(figures.acceptance.value),
        tokens_per_round=_known(figures.tokens_per_round.value),
        speedup=_known(best.speedup.value),
        sweep=_sweep(swept, best),
    )


def _total(runs: Sequence[SweepRun], of: Callable[[SweepRun], Sequence[int]]) -> int:
    return sum(sum(of(run)) for run in runs)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _sweep(swept: Sweep, best: Choice) -> SweepSummary:
    return SweepSummary(
        folder=str(swept.path.resolve()),
        prompts=len({run.key[:2] for run in swept.runs}),
        choices=len(swept.summary.cells),
        runs=len(swept.runs),
        temperatures=swept.summary.temperatures,
        best=best.cell.label,
        low=_known(best.speedup.low),
        high=_known(best.speedup.high),
        answer=swept.answer[0],
    )
