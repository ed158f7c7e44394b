"""Checks of SGLang's `--speculative-…` flags."""

from __future__ import annotations

from collections.abc import Iterator

from speculatoviz.lab.engines.command import Command
from speculatoviz.lab.engines.flags import SGLANG_ALGORITHMS
from speculatoviz.lab.engines.lint import (
    Finding,
    Known,
    check_context,
    check_depth,
    check_value,
    integer,
    number,
)

_ALGORITHM, _PATH = "--speculative-algorithm", "--speculative-draft-model-path"
_STEPS, _TOPK, _TOKENS = "--speculative-num-steps", "--speculative-eagle-topk", "--speculative-num-draft-tokens"
_THRESHOLDS = ("--speculative-accept-threshold-single", "--speculative-accept-threshold-acc")
_REJECTION, _BLOCK = "--speculative-use-rejection-sampling", "--speculative-use-block-verification"
_WITH_WEIGHTS = {"EAGLE3", "STANDALONE", "DFLASH", "DSPARK"}
_STEPPING = {"EAGLE", "EAGLE3", "NEXTN", "STANDALONE"}
_BLOCKS = {"EAGLE", "EAGLE3", "NEXTN", "DFLASH", "DSPARK"}
_KINDS = {"eagle": "EAGLE", "eagle3": "EAGLE3", "dflash": "DFLASH", "dspark": "DSPARK"}


def check(command: Command, known: Known) -> Iterator[Finding]:
    """All findings about the speculation of an SGLang command."""
    algorithm = command.value(_ALGORITHM)
    if algorithm is None:
        if any((argument.name or "").startswith("--speculative-") for argument in command.arguments):
            yield Finding(
                "error", _ALGORITHM, "Without it nothing is drafted.", f"write one of {', '.join(SGLANG_ALGORITHMS)}"
            )
        return
    algorithm = algorithm.upper()
    yield from check_value(_ALGORITHM, algorithm, SGLANG_ALGORITHMS, {"MEDUSA": "use a published EAGLE-3 head: EAGLE3"})
    yield from _head(command, algorithm, known)
    yield from _shape(command, algorithm)
    yield from _rule(command, algorithm, known)
    steps = integer(command.value(_STEPS))
    tokens = integer(command.value(_TOKENS))
    depth = steps if algorithm in _STEPPING else tokens - 1 if tokens is not None else None
    yield from check_depth(_STEPS if algorithm in _STEPPING else _TOKENS, depth, known)
    yield from check_context(_PATH, command.value(_PATH), None, integer(command.value("--context-length")), known)


def _head(command: Command, algorithm: str, known: Known) -> Iterator[Finding]:
    path = command.value(_PATH)
    if algorithm in _WITH_WEIGHTS and path is None:
        yield Finding("error", _PATH, f"{algorithm} needs weights.", f"write {_PATH} OWNER/NAME")
    kind = known.kind_of(path) if path is not None else None
    fitting = _KINDS.get(kind or "")
    if fitting is not None and fitting != algorithm and algorithm in {*_WITH_WEIGHTS, "EAGLE"}:
        yield Finding("error", _ALGORITHM, f"{path} is made for {fitting}, not for {algorithm}.", f"write {fitting}")


def _shape(command: Command, algorithm: str) -> Iterator[Finding]:
    """Steps, branches and tokens of a draft; SGLang chooses all three, or none."""
    if algorithm not in _STEPPING:
        return
    given = {flag: integer(command.value(flag)) for flag in (_STEPS, _TOPK, _TOKENS) if command.has(flag)}
    if 0 < len(given) < 3:
        missing = [flag for flag in (_STEPS, _TOPK, _TOKENS) if flag not in given]
        yield Finding(
            "warning", missing[0], "SGLang chooses steps, branches and tokens together.", "give all three, or none"
        )
    steps, topk, tokens = given.get(_STEPS), given.get(_TOPK), given.get(_TOKENS)
    if steps is not None and topk == 1 and tokens not in {None, steps + 1}:
        yield Finding(
            "warning",
            _TOKENS,
            f"A chain of {steps} steps has {steps + 1} tokens, the last committed one included; SGLang sets it so.",
            f"write {_TOKENS} {steps + 1}",
        )


def _rule(command: Command, algorithm: str, known: Known) -> Iterator[Finding]:
    thresholds = {flag: number(command.value(flag)) for flag in _THRESHOLDS if command.has(flag)}
    for flag, value in thresholds.items():
        if value != 1.0:
            yield Finding(
                "error",
                flag,
                f"Below 1 it accepts tokens that the target would not have chosen: the output changes (it is {value}).",
                f"write {flag} 1.0, or leave it out",
            )
    lossy, topk = any(value != 1.0 for value in thresholds.values()), integer(command.value(_TOPK))
    for flag in (_REJECTION, _BLOCK):
        if command.has(flag) and (lossy or topk not in {None, 1}):
            yield Finding(
                "error", flag, "It needs chains and thresholds of 1.", f"write {_TOPK} 1, and leave the thresholds out"
            )
    if command.has(_BLOCK) and algorithm not in _BLOCKS:
        yield Finding("error", _BLOCK, f"{algorithm} has no block verification.", f"write {_REJECTION}")
    if known.temperature and algorithm in _STEPPING and not (command.has(_REJECTION) or command.has(_BLOCK)):
        yield Finding(
            "warning",
            _REJECTION,
            f"Drafts are greedy and requests are sampled at temperature {known.temperature:g}: a drafted token is "
            "accepted with probability p(argmax q), not with the usually larger sum of min(p, q).",
            f"write {_REJECTION}, with {_TOPK} 1",
        )
