"""Measures ways of decoding on the same prompts, in turn.

The reference, plain decoding with this engine, is measured before and after every few ways. A way's ratio is its rate
divided by the mean rate of these two runs, so that a machine whose speed drifts affects both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from speculatoviz.bench.peers.runs import (
    About,
    Peer,
    PeerRun,
    Question,
    Shares,
    Way,
    as_line,
    latest,
    read_entries,
)
from speculatoviz.errors import BadRequestError, SpeculatoVizError
from speculatoviz.lab.interleaving import in_turn
from speculatoviz.lab.journal import drop_broken_line
from speculatoviz.lab.processor import usage_so_far
from speculatoviz.lab.questions import Prompt


@dataclass(frozen=True, slots=True)
class Measurement:
    """What is measured. reference: plain decoding with this engine. ways: of a temperature, each with its peer.

    encode: a prompt's ids. clock: seconds. progress: called with a line for each prompt.
    """

    reference: Peer
    ways: Callable[[float], Sequence[Peer]]
    encode: Callable[[str], Sequence[int]]
    prompts: Sequence[Prompt]
    temperatures: Sequence[float]
    max_tokens: int
    clock: Callable[[], float]
    progress: Callable[[str], None]


def measure_all(measurement: Measurement, facts: About, outside_passes: Callable[[], Shares], out: Path) -> None:
    """Append the runs to `out`, a line each, after a line of facts; runs that it holds are not repeated.

    outside_passes: measures this part of the facts, if there is anything to measure. A way that fails is not tried
    again, and its line holds the reason; the next measurement tries it again. A prompt that the reference cannot decode
    is left out. Raises what the reference raises otherwise, and BadRequestError if `out` holds runs that cannot be
    compared with these.
    """
    entries = read_entries(out)
    for entry in entries:
        if isinstance(entry, About) and entry.subject != facts.subject:
            raise BadRequestError(
                f"{out} holds runs of {', '.join(entry.subject)}, and these would be of {', '.join(facts.subject)}.",
                "Name another file with --out.",
            )
    drop_broken_line(out)
    todo = _todo(measurement, latest(entries))
    whole = len(measurement.temperatures) * len(measurement.prompts)
    if len(todo) < whole:
        measurement.progress(f"{out} holds {whole - len(todo)} of {whole} prompts already")
    if not todo:
        return
    with out.open("ab") as file:
        file.write(as_line(replace(facts, outside_passes=outside_passes())))
        file.flush()
        for run in _run_all(measurement, todo):
            file.write(as_line(run))
            file.flush()


_Task = tuple[float, Prompt, Sequence[Peer]]


def _todo(measurement: Measurement, runs: Iterable[PeerRun]) -> list[_Task]:
    """The ways of each prompt and temperature that have not been measured yet."""
    known = {run.key for run in runs if run.error is None}
    tasks = [
        (
            temperature,
            prompt,
            [
                peer
                for peer in measurement.ways(temperature)
                if (peer.way, prompt.category, prompt.number, temperature) not in known
            ],
        )
        for temperature in measurement.temperatures
        for prompt in measurement.prompts
    ]
    return [task for task in tasks if task[2]]


def _run_all(measurement: Measurement, todo: Sequence[_Task]) -> Iterator[PeerRun]:
    """The runs of all tasks."""
    failed: set[Way] = set()
    begun_s = measurement.clock()
    for done, (temperature, prompt, ways) in enumerate(todo, 1):
        news = f"{prompt.category} {prompt.number} at T={temperature:g}"
        question = Question(prompt, tuple(measurement.encode(prompt.text)), measurement.max_tokens, temperature)
        try:
            if done == 1:
                measurement.reference.decode(question)  # to warm up
            for run in measure_prompt(measurement.reference, ways, question, failed):
                yield run
                if run.error is not None:
                    measurement.progress(f"{run.way.label} failed: {run.error}")
        except BadRequestError as error:
            news += f" is left out: {error}"
        left = len(todo) - done
        minutes = (measurement.clock() - begun_s) / done * left / 60
        measurement.progress(f"{news}; {left} prompts left, about {minutes:.0f} minutes")


def measure_prompt(
    reference: Peer, ways: Sequence[Peer], question: Question, failed: set[Way] | None = None
) -> Iterator[PeerRun]:
    """The runs of all ways on one prompt, in an order that differs from prompt to prompt.

    failed: ways that are left out; those that fail now are added. Raises what the reference raises.
    """
    failed = set() if failed is None else failed
    left = [peer for peer in ways if peer.way not in failed]
    turns = in_turn(
        left,
        lambda peer: _attempt(peer, question, [reference, *ways]),
        lambda: reference.decode(question),
        question.prompt.category,
        question.prompt.number,
    )
    for run, before, after in turns:
        if run.timing is None:
            failed.add(run.way)
            yield run
        else:
            ratio = run.timing.tps / ((before.tps + after.tps) / 2)
            yield replace(run, ratio=ratio if math.isfinite(ratio) else None)


def _attempt(peer: Peer, question: Question, peers: Sequence[Peer]) -> PeerRun:
    """One run without its ratio. peers: all that wait meanwhile, and itself."""
    prompt = question.prompt
    run = PeerRun(peer.way, prompt.category, prompt.number, question.temperature)
    pids = [other.pid for other in peers]
    before = usage_so_far(peer.pid, pids)
    try:
        timing = peer.decode(question)
    except SpeculatoVizError as error:
        return replace(run, error=str(error))
    after = usage_so_far(peer.pid, pids)
    if before is None or after is None:
        return replace(run, timing=timing)
    used = after.since(before)
    return replace(run, timing=timing, waiting_ms=used.waiting, foreign_share=used.foreign_share)
