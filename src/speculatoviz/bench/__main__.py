"""`python -m speculatoviz.bench`: decision times, and the chosen pair against its own target alone."""

from __future__ import annotations

import json
import time
from typing import Annotated

import typer
from rich.console import Console

from speculatoviz.bench.decision import decision_ms
from speculatoviz.bench.pair import overhead_share, speedups
from speculatoviz.cli.flags import errors, settings_of
from speculatoviz.machine import describe
from speculatoviz.session.session import Session


def main(
    profile: Annotated[str, typer.Option(help="qwen or smol")] = "qwen",
    target: Annotated[str | None, typer.Option(help="another target than the profile's")] = None,
    draft: Annotated[str | None, typer.Option(help="another draft than the profile's")] = None,
    k: Annotated[int | None, typer.Option("-k", help="draft depth; default: the best for this machine")] = None,
    repeats: Annotated[int, typer.Option(help="pairs of a plain and a speculative run per prompt")] = 5,
    max_tokens: Annotated[int, typer.Option(help="tokens per run")] = 96,
    temperature: Annotated[float, typer.Option(help="sampling temperature")] = 0.0,
) -> None:
    """Measure, print one JSON line. Runs alternate, so that a drifting machine drifts for both."""
    console = Console(stderr=True)
    settings = settings_of({"profile": profile, "target": target, "draft": draft})
    session = Session.load(settings, time.perf_counter, lambda stage, _: console.print(stage, style="dim"))
    depth = session.default_k(session.drafter) if k is None else k
    result = {
        "machine": describe(),
        "target": session.target.description.name,
        "draft": session.draft_model.description.name if session.draft_model else None,
        "k": depth,
        "temperature": temperature,
        "decision_ms": decision_ms(),
        "pass_ms": dict(session.calibration.pass_ms),
        "draft_pass_ms": session.calibration.draft_ms,
        "overhead": overhead_share(session, depth, max_tokens, temperature),
        "speedup": speedups(session, depth, repeats, max_tokens, temperature),
    }
    session.close()
    print(json.dumps(result))


if __name__ == "__main__":
    typer.run(errors()(main))
