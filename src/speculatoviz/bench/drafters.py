"""`python -m speculatoviz.bench.drafters`: every drafter of a profile on the same prompts, by category.

Each prompt is decoded plainly and then with every drafter, as a chain and, where it can, as a tree. What is accepted
does not depend on the machine; the speeds are ratios to the plain run of the same prompt just before.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.console import Console

from speculatoviz.bench.pair import tps
from speculatoviz.cli.flags import errors, settings_of
from speculatoviz.core.chance import seeded
from speculatoviz.core.types import Round
from speculatoviz.drafters.about import DRAFTERS, DrafterName
from speculatoviz.engine import speculate
from speculatoviz.errors import BadRequestError
from speculatoviz.machine import describe
from speculatoviz.policies.fixed import FixedPolicy
from speculatoviz.session.session import Session
from speculatoviz.telemetry.events import Start

PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Run:
    """What one run came to. draft_ms: all of it; speedup: against the plain run of the same prompt."""

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
class Prompt:
    category: str
    number: int
    text: str


def read_prompts(file: Path, per_category: int) -> list[Prompt]:
    """The first turns of a file in Spec-Bench's format, one JSON object a line with `category` and `turns`.

    Raises BadRequestError for a file that is none.
    """
    prompts: list[Prompt] = []
    try:
        for line in file.read_text(encoding="utf-8").splitlines():
            asked = json.loads(line)
            seen = sum(prompt.category == asked["category"] for prompt in prompts)
            if seen < per_category:
                prompts.append(Prompt(asked["category"], seen, asked["turns"][0]))
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise BadRequestError(
            f"{file} cannot be read as prompts ({error}).",
            "Give a JSON Lines file whose objects have `category` and `turns`.",
        ) from error
    return prompts


@dataclass(frozen=True, slots=True)
class Setting:
    """How all runs decode. drafters: none for all that the pair has."""

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


def decode(session: Session, setting: Setting, prompt: Prompt, drafter: str, nodes: int) -> list[Round]:
    """One run with evidence off. k is 0 for PLAIN."""
    k, name = (0, session.drafter) if drafter == PLAIN else (setting.k, drafter)
    start = Start(
        prompt=prompt.text,
        k=k,
        nodes=nodes,
        max_tokens=setting.max_tokens,
        temperature=setting.temperature,
        drafter=cast(DrafterName, name),
        seed=prompt.number,
    )
    prepared = session.prepare(start)
    request = replace(prepared.request, evidence=False)
    policy = FixedPolicy(prepared.drafter, prepared.k, prepared.nodes)
    steps = speculate(request, session.target, session.drafters, policy, seeded(request.seed), session.clock)
    return [step for step in steps if isinstance(step, Round)]


def measure(session: Session, setting: Setting, prompt: Prompt, done: set[tuple[str, int]]) -> Iterator[Run]:
    """Runs of one prompt that are not `done`, each behind a plain one."""
    todo = [variant for variant in setting.variants(session) if variant not in done]
    for drafter, nodes in todo:
        plain = decode(session, setting, prompt, PLAIN, 0)
        rounds = decode(session, setting, prompt, drafter, nodes)
        yield Run(
            profile=setting.profile,
            temperature=setting.temperature,
            category=prompt.category,
            prompt=prompt.number,
            drafter=drafter,
            nodes=nodes,
            rounds=len(rounds),
            tokens=sum(len(r.emitted) for r in rounds),
            drafted=sum(r.drafted for r in rounds),
            accepted=sum(r.accepted for r in rounds),
            draft_ms=sum(r.times.draft_ms for r in rounds),
            round_ms=sum(r.times.round_ms for r in rounds),
            speedup=tps(rounds) / tps(plain),
        )


def read_runs(file: Path) -> list[Run]:
    """The runs of a file that an earlier measurement wrote; none where it is not there."""
    if not file.exists():
        return []
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [Run(**line) for line in lines if "drafter" in line]


def main(
    prompts: Annotated[Path, typer.Argument(help="prompts in Spec-Bench's format, JSON Lines")],
    out: Annotated[Path, typer.Option(help="file of the runs, JSON Lines; what is in it is not run again")],
    profile: Annotated[str, typer.Option(help="qwen or smol")] = "qwen",
    selfspec: Annotated[str | None, typer.Option(help="how the target is made cheaper for selfspec")] = None,
    k: Annotated[int, typer.Option("-k", help="draft depth")] = 4,
    nodes: Annotated[int, typer.Option(help="nodes of the trees; 0: chains only")] = 12,
    per_category: Annotated[int, typer.Option(help="prompts of each category")] = 1,
    max_tokens: Annotated[int, typer.Option(help="tokens per run")] = 64,
    temperature: Annotated[float, typer.Option(help="sampling temperature")] = 0.0,
    drafter: Annotated[
        list[str] | None, typer.Option(help="one to measure, may be repeated; default: all of the profile")
    ] = None,
) -> None:
    """Measure, one JSON line a run. Interrupted, it goes on where it was."""
    console = Console(stderr=True)
    asked = read_prompts(prompts, per_category)
    settings = settings_of({"profile": profile, "selfspec": selfspec, "evidence": False})
    session = Session.load(settings, time.perf_counter, lambda stage, _: console.print(stage, style="dim"))
    for name in drafter or ():
        session.check_drafter(name)
    setting = Setting(profile, k, nodes, temperature, max_tokens, drafter or ())
    known = read_runs(out)
    with out.open("a", encoding="utf-8") as file:
        if not known:
            about = {"machine": describe(), "target": session.target.description.name, "k": k, "max_tokens": max_tokens}
            print(json.dumps(about), file=file)
        for prompt in asked:
            done = _done(known, setting, prompt)
            try:
                for run in measure(session, setting, prompt, done):
                    print(json.dumps(asdict(run)), file=file, flush=True)
            except BadRequestError as error:  # a prompt longer than the context
                console.print(f"{prompt.category} {prompt.number}: {error}")
            console.print(f"{prompt.category} {prompt.number}", style="dim")
    session.close()


def _done(known: Sequence[Run], setting: Setting, prompt: Prompt) -> set[tuple[str, int]]:
    return {
        (run.drafter, run.nodes)
        for run in known
        if (run.profile, run.temperature, run.category, run.prompt)
        == (setting.profile, setting.temperature, prompt.category, prompt.number)
    }


if __name__ == "__main__":
    typer.run(errors()(main))
