"""Acceptance of drafted tokens over many recorded runs: by position, entropy of the target, token class and prompt.

A drafted token counts if the rule tested it: as accepted or rejected. Siblings of a tree count one by one. Tokens of
the draft after the first rejection were never tested and do not count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from pydantic_core import from_json

from speculatoviz.core.token_classes import TOKEN_CLASSES, token_class
from speculatoviz.telemetry.parts import Strict

Aspect = Literal["position", "entropy", "token_class", "prompt"]

DEEPEST = 8  # positions from here on share a cell
ENTROPY_ENDS = (0.1, 0.5, 1.0, 2.0, math.inf)  # nats; the upper ends of the cells
MOST_PROMPTS = 8  # those with the most tested tokens; the others share a cell
PROMPT_CHARACTERS = 60
OTHER_PROMPTS = "other prompts"

_BEFORE, _AFTER = 60, 30  # characters of the text around an example
_EXAMPLES = 4  # of accepted and of rejected tokens in each cell
_EXAMPLES_OF_A_RUN = 2
_Z = 1.959964  # of a 95 % interval
_VERDICT = b'"verify_result"'


class TokenExample(Strict):
    """A tested token in its text. `instead`: what the text has in its place; null for an accepted token."""

    run: str
    round: int
    node: int
    before: str
    token: str
    after: str
    accepted: bool
    instead: str | None


class AcceptanceCell(Strict):
    """Tested tokens with one property. `low`, `high`: Wilson's 95 % interval of accepted / tested."""

    label: str
    tested: int
    accepted: int
    low: float
    high: float
    examples: list[TokenExample]


class AcceptanceGroup(Strict):
    """All tested tokens whose `by` is known, by it."""

    by: Aspect
    cells: list[AcceptanceCell]


class AcceptanceAnatomy(Strict):
    """`GET /api/runs/acceptance`: acceptance over the newest runs.

    `kept`: false if the server keeps no runs. `runs`: those that were read. `left_out`: runs that were not read:
    reading has a limit, and runs can be removed meanwhile.
    """

    kept: bool
    runs: int
    left_out: int
    tested: int
    accepted: int
    groups: list[AcceptanceGroup]


class TestedToken(NamedTuple):
    """One tested token of a run. entropy: of the target's distribution, in nats; None if it is not known."""

    example: TokenExample
    position: int
    entropy: float | None
    token_class: str | None


def tokens_tested(run: str, lines: Iterable[bytes]) -> list[TestedToken]:
    """The tested tokens of the trace of one run. lines: as they are stored; other events than verdicts are skipped."""
    reading = _Reading(run)
    for line in lines:
        if _VERDICT in line and (event := from_json(line)).get("type") == "verify_result":
            reading.add(event)
    return reading.tokens()


@dataclass(slots=True)
class _Reading:
    """The verdicts of a run as they come. text: what was emitted so far, token by token."""

    run: str
    text: str = ""
    starts: list[tuple[int, dict[str, Any], str | None, str]] = field(default_factory=list)
    round: int = -1
    verdicts: list[dict[str, Any]] = field(default_factory=list)

    def add(self, event: dict[str, Any]) -> None:
        if event["round"] != self.round:
            self._close()
            self.round = event["round"]
        self.verdicts.append(event)

    def _close(self) -> None:
        """Place the tested tokens of a round that is over in the text, then append what the round emitted."""
        emitted = {event["position"]: event for event in self.verdicts if event["final_token"] is not None}
        places, end = dict[int, int](), len(self.text)
        for position in sorted(emitted):
            places[position] = end
            end += len(emitted[position]["final_token"])
        self.text += "".join(emitted[position]["final_token"] for position in sorted(emitted))
        for event in self.verdicts:
            place = places.get(event["position"])
            if event["node"] is None or event["status"] not in ("accepted", "rejected") or place is None:
                continue
            chosen = emitted[event["position"]]["final_token"]
            self.starts.append((place, event, None if event["status"] == "accepted" else chosen, chosen))
        self.verdicts = []

    def tokens(self) -> list[TestedToken]:
        self._close()
        return [self._token(*start) for start in self.starts]

    def _token(self, place: int, event: dict[str, Any], instead: str | None, chosen: str) -> TestedToken:
        end = place + len(chosen)
        example = TokenExample(
            run=self.run,
            round=event["round"],
            node=event["node"],
            before=self.text[max(0, place - _BEFORE) : place],
            token=event["draft_token"] or "",
            after=self.text[end : end + _AFTER],
            accepted=instead is None,
            instead=instead,
        )
        return TestedToken(example, event["position"], event["entropy"], token_class(chosen, example.before))


def anatomy(runs: Sequence[tuple[str, Sequence[TestedToken]]], left_out: int = 0) -> AcceptanceAnatomy:
    """The breakdown. runs: (prompt, tested tokens) of each, the newest first. left_out: runs that were not read."""
    tokens = [token for _, own in runs for token in own]
    named = _prompt_labels(runs)
    by_prompt: dict[str, list[TestedToken]] = {label: [] for label in dict.fromkeys(named.values())}
    for prompt, own in runs:
        by_prompt[named[_short(prompt)]].extend(own)
    groups: dict[Aspect, Mapping[str, list[TestedToken]]] = {
        "position": _grouped(tokens, _POSITIONS, lambda token: position_label(token.position)),
        "entropy": _grouped(tokens, _ENTROPIES, lambda token: entropy_label(token.entropy)),
        "token_class": _grouped(tokens, TOKEN_CLASSES, lambda token: token.token_class),
        "prompt": by_prompt,
    }
    return AcceptanceAnatomy(
        kept=True,
        runs=len(runs),
        left_out=left_out,
        tested=len(tokens),
        accepted=sum(token.example.accepted for token in tokens),
        groups=[
            AcceptanceGroup(by=by, cells=[_cell(label, own) for label, own in cells.items() if own])
            for by, cells in groups.items()
        ],
    )


def position_label(position: int) -> str:
    """Of a position from 0; the labels count from 1."""
    return f"{position + 1}" if position + 1 < DEEPEST else f"{DEEPEST} and more"


def entropy_label(entropy: float | None) -> str | None:
    """None if the entropy is not known."""
    if entropy is None or math.isnan(entropy):
        return None
    at = next(index for index, end in enumerate(ENTROPY_ENDS) if entropy < end or end == math.inf)
    if ENTROPY_ENDS[at] == math.inf:
        return f"{ENTROPY_ENDS[at - 1]:g} and more"
    return f"{ENTROPY_ENDS[at - 1]:g} to {ENTROPY_ENDS[at]:g}" if at else f"below {ENTROPY_ENDS[0]:g}"


_POSITIONS = tuple(position_label(position) for position in range(DEEPEST))
_ENTROPIES = tuple(entropy_label(end - 0.01 if end < math.inf else end) or "" for end in ENTROPY_ENDS)


def wilson(accepted: int, tested: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of independent tests; (0, 1) without a test."""
    if tested == 0:
        return 0.0, 1.0
    share, square = accepted / tested, _Z * _Z
    middle = share + square / (2 * tested)
    half = _Z * math.sqrt(share * (1 - share) / tested + square / (4 * tested * tested))
    return max(0.0, (middle - half) / (1 + square / tested)), min(1.0, (middle + half) / (1 + square / tested))


def _grouped(
    tokens: Sequence[TestedToken], labels: Sequence[str], label: Callable[[TestedToken], str | None]
) -> dict[str, list[TestedToken]]:
    found: dict[str, list[TestedToken]] = {one: [] for one in labels}
    for token in tokens:
        if (own := label(token)) is not None:
            found[own].append(token)
    return found


def _short(prompt: str) -> str:
    line = " ".join(prompt.split())
    return line if len(line) <= PROMPT_CHARACTERS else f"{line[: PROMPT_CHARACTERS - 1]}…"


def _prompt_labels(runs: Sequence[tuple[str, Sequence[TestedToken]]]) -> dict[str, str]:
    """The label of each short prompt: itself for those with the most tested tokens, or OTHER_PROMPTS."""
    tested: dict[str, int] = {}
    for prompt, own in runs:
        tested[_short(prompt)] = tested.get(_short(prompt), 0) + len(own)
    most = sorted(tested, key=lambda prompt: -tested[prompt])
    kept = most if len(most) <= MOST_PROMPTS else most[: MOST_PROMPTS - 1]
    return {prompt: prompt if prompt in kept else OTHER_PROMPTS for prompt in most}


def _cell(label: str, tokens: Sequence[TestedToken]) -> AcceptanceCell:
    accepted = sum(token.example.accepted for token in tokens)
    low, high = wilson(accepted, len(tokens))
    examples = [*_examples(tokens, accepted=True), *_examples(tokens, accepted=False)]
    return AcceptanceCell(label=label, tested=len(tokens), accepted=accepted, low=low, high=high, examples=examples)


def _examples(tokens: Sequence[TestedToken], *, accepted: bool) -> list[TokenExample]:
    """The first tokens of this outcome, at most a few of each run."""
    found, of_run = list[TokenExample](), dict[str, int]()
    for token in tokens:
        run = token.example.run
        if token.example.accepted != accepted or of_run.get(run, 0) >= _EXAMPLES_OF_A_RUN:
            continue
        of_run[run] = of_run.get(run, 0) + 1
        found.append(token.example)
        if len(found) == _EXAMPLES:
            break
    return found
