"""The figures of single runs, and the file that keeps them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import TypeAdapter, ValidationError

from speculatoviz.errors import BadRequestError
from speculatoviz.lab.journal import whole_lines
from speculatoviz.lab.questions import Prompt

OWN = "speculatoviz"
PLAIN = "plain"
ADAPTIVE = "adaptive"
AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Way:
    """How an engine decodes. name: in a few words, unique for the engine and its runtime.

    runtime: of this engine; empty for other engines. drafter, depth: of this engine's drafts of a fixed depth; empty
    and 0 for everything else.
    """

    engine: str
    name: str
    runtime: str = ""
    drafter: str = ""
    depth: int = 0

    @property
    def label(self) -> str:
        """For a reader, such as `speculatoviz on ik: auto`."""
        return f"{self.engine} on {self.runtime}: {self.name}" if self.runtime else f"{self.engine}: {self.name}"


@dataclass(frozen=True, slots=True)
class Timing:
    """What one run took. ms: of `tokens` tokens, with the drafter's prefill of the prompt and without the target's.

    drafts[n]: the rounds that drafted n tokens. paths[n]: the rounds that accepted n. draft_ms: the part of `ms` that
    was drafting. draft_prefill_ms: the drafter's prefill in `ms`, before the first round. one_pass: whether the drafter
    computes a whole draft in one pass. Other engines do not report these five: they are empty, 0 and false there.
    """

    tokens: int
    ms: float
    drafted: int = 0
    accepted: int = 0
    draft_ms: float = 0.0
    drafts: tuple[int, ...] = ()
    paths: tuple[int, ...] = ()
    draft_prefill_ms: float = 0.0
    one_pass: bool = False

    @property
    def tps(self) -> float:
        """Tokens per second; NaN for a run without tokens."""
        return 1000.0 * self.tokens / self.ms if self.tokens and self.ms > 0.0 else math.nan


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt with the limits of its runs. ids: of the prompt, in the target's chat template."""

    prompt: Prompt
    ids: tuple[int, ...]
    max_tokens: int
    temperature: float


class Peer(Protocol):
    """Decodes in one way. pid: of the process that computes, None if there is none of its own."""

    @property
    def way(self) -> Way: ...
    @property
    def pid(self) -> int | None: ...
    def decode(self, question: Question) -> Timing:
        """Decode a prompt. Raises a SpeculatoVizError if that is not possible."""


@dataclass(frozen=True, slots=True)
class PeerRun:
    """One run, or a way that failed.

    ratio: the rate of the run divided by that of the reference around it; None if there is none. waiting_ms: the
    processor time that the other engines used meanwhile, foreign_share: the share that other programs had of all used
    processor time; None if it is not known. error: why the way failed.
    """

    way: Way
    category: str
    prompt: int
    temperature: float
    timing: Timing | None = None
    ratio: float | None = None
    waiting_ms: float | None = None
    foreign_share: float | None = None
    error: str | None = None

    @property
    def key(self) -> tuple[Way, str, int, float]:
        """What was measured."""
        return self.way, self.category, self.prompt, self.temperature


Shares = dict[str, dict[float, float | None]]  # by runtime, then by temperature; None if not known


@dataclass(frozen=True, slots=True)
class About:
    """How the runs of a file were measured; the last one of the file counts.

    draft: the draft model, empty without one. reference: the way that ratios are relative to. pass_ms: of each runtime,
    the milliseconds of a pass by its tokens. outside_passes: of each runtime, the share of a round at depth 8 that is
    not a forward pass, by temperature.
    """

    machine: str
    target: str
    draft: str
    max_tokens: int
    reference: Way
    pass_ms: dict[str, dict[int, float]]
    outside_passes: Shares

    @property
    def subject(self) -> tuple[str, ...]:
        """What the runs of one file have in common, in words."""
        models = f"{self.target} with {self.draft}" if self.draft else self.target
        return models, f"{self.max_tokens} tokens", f"relative to {self.reference.label}", f"on {self.machine}"


_LINE: TypeAdapter[PeerRun | About] = TypeAdapter(PeerRun | About)


def as_line(entry: PeerRun | About) -> bytes:
    """One line of the file."""
    return _LINE.dump_json(entry) + b"\n"


def read_entries(file: Path) -> list[PeerRun | About]:
    """What an earlier measurement wrote, in order; nothing if there is no such file.

    A last line that was not written to its end is left out. Raises BadRequestError for any other file.
    """
    entries: list[PeerRun | About] = []
    for number, line in enumerate(whole_lines(file), 1):
        try:
            entries.append(_LINE.validate_json(line))
        except ValidationError as error:
            raise BadRequestError(
                f"Line {number} of {file} is not a run of `bench peers`.", "Name another file with --out."
            ) from error
    return entries


def latest(entries: Sequence[PeerRun | About]) -> list[PeerRun]:
    """The runs, in the order in which they were first measured. Of several of the same key, the last one counts."""
    return list({entry.key: entry for entry in entries if isinstance(entry, PeerRun)}.values())
