"""Checks of llama-server's `--spec-…` flags."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from speculatoviz.lab.engines.command import Command
from speculatoviz.lab.engines.flags import LLAMACPP_TYPES
from speculatoviz.lab.engines.lint import (
    Finding,
    Known,
    check_context,
    check_depth,
    check_value,
    integer,
    number,
)

_TYPE, _MODEL, _HUB = "--spec-type", "--spec-draft-model", "--spec-draft-hf"
_MOST, _SAMPLING = "--spec-draft-n-max", "--spec-draft-sampling"
_SYNTHETIC = ("--spec-synth-len", "--spec-synth-rates")
_DEFAULT_TEMPERATURE = 0.8  # of requests that state none
_DEFAULT_DEPTH = 3
_WITH_WEIGHTS = {"draft-simple", "draft-eagle3", "draft-dflash", "draft-dspark"}
_KINDS = {"eagle3": "draft-eagle3", "dflash": "draft-dflash", "dspark": "draft-dspark", "mtp": "draft-mtp"}


def check(command: Command, known: Known) -> Iterator[Finding]:
    """All findings about the speculation of a llama-server command."""
    types = [name.strip() for name in (command.value(_TYPE) or "").split(",") if name.strip()]
    for name in types:
        yield from check_value(_TYPE, name, LLAMACPP_TYPES, {"draft": "write draft-simple"})
    weights = command.value(_MODEL) or command.value(_HUB)
    yield from _head(types, weights, known)
    yield from _sampling(command, types, known)
    for flag in _SYNTHETIC:
        if command.has(flag):
            yield Finding(
                "error",
                flag,
                "With synthetic acceptance the text is not the model's.",
                "leave it out, except to measure speed",
            )
    drafting = [name for name in types if name.startswith("draft-")]
    if drafting:
        depth = integer(command.value(_MOST)) if command.has(_MOST) else _DEFAULT_DEPTH
        yield from _rates(command, depth)
        yield from check_depth(_MOST, depth, known)
    yield from check_context(_MODEL, command.value(_MODEL), None, integer(command.value("--ctx-size")), known)


def _head(types: list[str], weights: str | None, known: Known) -> Iterator[Finding]:
    needing = [name for name in types if name in _WITH_WEIGHTS]
    if weights is None and needing:
        yield Finding("error", _MODEL, f"{needing[0]} needs weights.", f"write {_MODEL} FILE, or {_HUB} OWNER/NAME")
    if weights is None:
        return
    fitting = _KINDS.get(known.kind_of(weights) or "")
    if not [name for name in types if name != "none"]:
        instead = f"write {_TYPE} {fitting or 'draft-simple'}"
        yield Finding("error", _TYPE, "Without it nothing is drafted: its default is none.", instead)
    elif needing and fitting is not None and fitting not in types:
        yield Finding(
            "error", _TYPE, f"{weights} is made for {fitting}, not for {needing[0]}.", f"write {_TYPE} {fitting}"
        )


def _sampling(command: Command, types: list[str], known: Known) -> Iterator[Finding]:
    sampling = command.value(_SAMPLING) or "greedy"
    yield from check_value(_SAMPLING, sampling, ("greedy", "probabilistic"))
    stated = number(command.value("--temp"))
    temperature = known.temperature if known.temperature is not None else stated
    temperature = _DEFAULT_TEMPERATURE if temperature is None else temperature
    if sampling == "greedy" and temperature > 0 and any(name.startswith("draft-") for name in types):
        usual = ", llama-server's default" if known.temperature is None and stated is None else ""
        yield Finding(
            "warning",
            _SAMPLING,
            f"Drafts are greedy and requests are sampled at temperature {temperature:g}{usual}: a drafted token is "
            "accepted with probability p(argmax q), not with the usually larger sum of min(p, q).",
            f"write {_SAMPLING} probabilistic, or --temperature 0 here if the requests are greedy",
        )


def _rates(command: Command, depth: int | None) -> Iterator[Finding]:
    text = command.value("--spec-synth-rates")
    if text is None:
        return
    rates = [number(part) for part in text.split(",")]
    values = [rate for rate in rates if rate is not None and 0 <= rate <= 1]
    falling = all(later <= earlier for earlier, later in pairwise(values))
    if len(values) < len(rates) or not falling or (depth is not None and len(values) != depth):
        yield Finding(
            "error",
            "--spec-synth-rates",
            f"They have to be as many as {_MOST}, between 0 and 1, and must not rise: each is the share of the drafts "
            "that accepted this position and all before it.",
            "write what export-config prints",
        )
