"""Every drafter of a profile on the same prompts, by category.

Each prompt is decoded plainly and then with every drafter: as a chain, and as a tree if the drafter can branch. The
acceptance does not depend on the machine. Speeds are ratios to the plain run of the same prompt just before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from speculatoviz.bench.questions import Prompt
from speculatoviz.drafters.about import DRAFTERS, DrafterName
from speculatoviz.errors import BadRequestError
from speculatoviz.lab.decode import Decoded, decode_prompt
from speculatoviz.machine import describe
from speculatoviz.session.session import Session
from speculatoviz.telemetry.messages import Start

PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class DrafterRun:
    """The figures of one run. draft_ms, round_ms: sums over rounds. speedup: relative to the plain run before it."""

    profile: str
    temperature: float
    category: str
    prompt: int
    drafter: str
    nodes: int
    rounds: int
    tokens: int
    drafted: int
    accepted: int
    draft_ms: float
    round_ms: float
    speedup: float


@dataclass(frozen=True, slots=True)
class Setting:
    """How all runs decode. drafters: an empty sequence stands for all drafters of the pair."""

    profile: str
    k: int
    nodes: int
    temperature: float
    max_tokens: int
    drafters: Sequence[str] = ()

    def variants(self, session: Session) -> Iterator[tuple[str, int]]:
        """(drafter, nodes): chains first, nodes 0."""
        for name in self.drafters or session.drafters:
            yield name, 0
            if self.nodes > self.k and DRAFTERS[cast(DrafterName, name)].trees:
                yield name, self.nodes


def _decode(session: Session, setting: Setting, prompt: Prompt, drafter: str, nodes: int) -> Decoded:
    plain = drafter == PLAIN
    return decode_prompt(
        session,
        Start(
            prompt=prompt.text,
            k=0 if plain else setting.k,
            policy="fixed",
            nodes=nodes,
            max_tokens=setting.max_tokens,
            temperature=setting.temperature,
            drafter=session.drafter if plain else drafter,
            seed=prompt.number,
        ),
    )


def measure(session: Session, setting: Setting, prompt: Prompt, done: set[tuple[str, int]]) -> Iterator[DrafterRun]:
    """The runs of one prompt that are not `done`, each after a plain run of its own."""
    todo = [variant for variant in setting.variants(session) if variant not in done]
    for drafter, nodes in todo:
        plain = _decode(session, setting, prompt, PLAIN, 0)
        decoded = _decode(session, setting, prompt, drafter, nodes)
        yield DrafterRun(
            profile=setting.profile,
            temperature=setting.temperature,
            category=prompt.category,
            prompt=prompt.number,
            drafter=drafter,
            nodes=nodes,
            rounds=len(decoded.rounds),
            tokens=decoded.tokens,
            drafted=decoded.drafted,
            accepted=decoded.accepted,
            draft_ms=decoded.draft_ms,
            round_ms=decoded.round_ms + decoded.draft_prefill_ms,
            speedup=decoded.tps / plain.tps,
        )


def read_runs(file: Path) -> list[DrafterRun]:
    """The runs in a file that an earlier measurement wrote; none if there is no such file."""
    if not file.exists():
        return []
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [DrafterRun(**line) for line in lines if "drafter" in line]


def _done(known: Sequence[DrafterRun], setting: Setting, prompt: Prompt) -> set[tuple[str, int]]:
    return {
        (run.drafter, run.nodes)
        for run in known
        if (run.profile, run.temperature, run.category, run.prompt)
        == (setting.profile, setting.temperature, prompt.category, prompt.number)
    }


def measure_all(
    session: Session, setting: Setting, prompts: Sequence[Prompt], out: Path, progress: Callable[[str], None]
) -> None:
    """Append a JSON line for each run to `out`; runs that are in it already are not repeated.

    progress: called after each prompt, and with the reason for a prompt that is left out (longer than the context).
    """
    known = read_runs(out)
    with out.open("a", encoding="utf-8") as file:
        if not known:
            about = {"machine": describe(), "target": session.target.description.name}
            print(json.dumps(about | {"k": setting.k, "max_tokens": setting.max_tokens}), file=file)
        for prompt in prompts:
            try:
                for run in measure(session, setting, prompt, _done(known, setting, prompt)):
                    print(json.dumps(asdict(run)), file=file, flush=True)
            except BadRequestError as error:
                progress(f"{prompt.category} {prompt.number}: {error}")
            progress(f"{prompt.category} {prompt.number}")
