"""What a sweep keeps: one line for each run, and before them what they were measured on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from speculatoviz.core.token_classes import TokenClass
from speculatoviz.core.types import FinishReason, Label, Rule
from speculatoviz.errors import BadRequestError, TraceError
from speculatoviz.lab.journal import drop_broken_line, whole_lines
from speculatoviz.lab.sweep.cells import Cell
from speculatoviz.telemetry.parts import ModelInfo, NoiseFloor, SamplingInfo

RUNS, TABLE, TRACES = "runs.jsonl", "runs.parquet", "traces"
_NAME_ANOTHER = "Name another folder with --out."


@dataclass(frozen=True, slots=True)
class SweepRun:
    """One run of a cell on a prompt; `cell.plain` for a run of the target alone.

    prompt: the number within its category. error: why the run failed; then no figure is there. exactness: the label.
    ttft_ms: from the start of the run to its first token, prompt included. draft_prefill_ms: the drafter's part of the
    prompt's time, which plain decoding does not have. The lists of rounds have one entry a round: emitted, drafted and
    accepted tokens, and the round's milliseconds. draft_ms, verify_ms, network_ms, other_ms: sums over the rounds,
    which add up to those of `round_ms`.

    The lists of tested tokens have one entry for each position that a round tested, siblings together: its position
    in the draft from 0, whether a token there was accepted, the tokens before it (prompt and text), the target's
    entropy there at T=1 in nats, None if it was not computed, and the class of the text's token there, None if the text
    does not go through that place. The last list is empty in sweeps that were measured before it existed.

    plain_tps: the mean rate of the plain runs before and after; None for a plain run. departure: of a greedy run, the
    first token that differs from the latest plain text. foreign_share: of the used processor time, the part of other
    programs; None if the system does not give it. trace: the file of its events, relative to the folder.
    """

    category: str
    prompt: int
    temperature: float
    cell: Cell
    error: str | None = None
    prompt_tokens: int = 0
    finish_reason: FinishReason = "error"
    exactness: Label = "unverified"
    ttft_ms: float | None = None
    draft_prefill_ms: float = 0.0
    emitted: tuple[int, ...] = ()
    drafted: tuple[int, ...] = ()
    accepted: tuple[int, ...] = ()
    round_ms: tuple[float, ...] = ()
    draft_ms: float = 0.0
    verify_ms: float = 0.0
    network_ms: float = 0.0
    other_ms: float = 0.0
    tested_position: tuple[int, ...] = ()
    tested_accepted: tuple[bool, ...] = ()
    tested_context_tokens: tuple[int, ...] = ()
    tested_entropy: tuple[float | None, ...] = ()
    tested_token_class: tuple[TokenClass | None, ...] = ()
    plain_tps: float | None = None
    departure: int | None = None
    foreign_share: float | None = None
    warning: str | None = None
    trace: str = ""
    kind: Literal["run"] = "run"

    @property
    def key(self) -> tuple[str, int, float, Cell]:
        """What was measured."""
        return self.category, self.prompt, self.temperature, self.cell

    @property
    def tokens(self) -> int:
        return sum(self.emitted)

    @property
    def tps(self) -> float | None:
        """Tokens per second of the rounds and of the drafter's prefill; None for a run without a token.

        The target's prefill is left out: plain decoding has the same one.
        """
        spent_ms = sum(self.round_ms) + self.draft_prefill_ms
        return 1000.0 * self.tokens / spent_ms if self.tokens and spent_ms > 0.0 else None

    @property
    def speedup(self) -> float | None:
        """The rate divided by that of the plain runs around it."""
        return self.tps / self.plain_tps if self.tps and self.plain_tps else None

    @property
    def gaps_ms(self) -> list[float]:
        """The time between two tokens that follow each other, as a user sees them.

        The tokens of a round come together: the first one after the round's time, the others after 0 ms. The first
        round's first token has no gap: its time is `ttft_ms`.
        """
        gaps = list[float]()
        for count, ms in zip(self.emitted, self.round_ms, strict=True):
            gaps += [ms, *[0.0] * (count - 1)]
        return gaps[1:]


@dataclass(frozen=True, slots=True)
class About:
    """What the runs after it were measured on, and how; the last one of a folder counts for the report.

    created: ISO 8601 in UTC. weights, draft: the weights of the cells, and the draft model that these loaded, if any.
    prompts: the file, its SHA-256, and how many prompts of each category. pass_ms: milliseconds of a pass of the target
    over as many tokens; draft_ms: of one token of the draft model. library: the runtime's build.
    """

    created: str
    version: str
    machine: str
    target: ModelInfo
    draft: ModelInfo | None
    weights: str
    library: str
    max_tokens: int
    context_tokens: int
    sampling: SamplingInfo
    rule: Rule
    seed: int
    threads: int
    prompts: str
    prompts_sha256: str
    categories: dict[str, int]
    pass_ms: dict[int, float]
    draft_ms: float | None
    noise_floor: NoiseFloor | None
    kind: Literal["about"] = "about"

    @property
    def subject(self) -> dict[str, object]:
        """What all runs of one folder have in common, by what a reader calls it."""
        return {
            "target": f"{self.target.name} {self.target.quantisation} on {self.target.runtime}",
            "machine": self.machine,
            "tokens": self.max_tokens,
            "filters": (self.sampling.top_k, self.sampling.top_p, self.sampling.min_p),
            "rule": self.rule,
            "seed": self.seed,
            "threads": self.threads,
            "prompts": self.prompts_sha256,
        }


_LINE: TypeAdapter[SweepRun | About] = TypeAdapter(Annotated[SweepRun | About, Field(discriminator="kind")])


class Folder:
    """The folder of a sweep: `runs.jsonl`, `traces/`, and what is made of them. Raises BadRequestError if unreadable.

    A folder that does not exist is empty. entries: what it holds, in order.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[SweepRun | About] = []
        self._traces = 0  # the highest number of a trace
        try:
            for number, line in enumerate(whole_lines(path / RUNS), 1):
                self.entries.append(self._parsed(number, line))
        except OSError as error:
            raise BadRequestError(f"{path} cannot be read ({error.strerror or error}).", _NAME_ANOTHER) from error

    @property
    def runs(self) -> list[SweepRun]:
        """Of several runs of the same key the last one counts; all plain runs count."""
        runs = [entry for entry in self.entries if isinstance(entry, SweepRun)]
        latest = {run.key: run for run in runs if not run.cell.plain}
        return [run for run in runs if run.cell.plain or latest[run.key] is run]

    @property
    def abouts(self) -> list[About]:
        return [entry for entry in self.entries if isinstance(entry, About)]

    def missing(self, wanted: Iterable[tuple[str, int, float, Cell]]) -> list[tuple[str, int, float, Cell]]:
        """The keys without a run that succeeded."""
        known = {run.key for run in self.runs if run.error is None}
        return [key for key in wanted if key not in known]

    def check(self, about: About) -> None:
        """Raises BadRequestError if the folder holds runs that cannot be compared with these."""
        for held in self.abouts:
            for name, value in about.subject.items():
                if held.subject[name] != value:
                    raise BadRequestError(
                        f"{self.path} holds runs with another value of {name}: {_short(held.subject[name])}, "
                        f"and these have {_short(value)}.",
                        _NAME_ANOTHER,
                    )

    def open(self) -> None:
        """Make the folder ready to be appended to. Raises BadRequestError."""
        try:
            (self.path / TRACES).mkdir(parents=True, exist_ok=True)
            drop_broken_line(self.path / RUNS)
            numbers = [int(file.stem) for file in (self.path / TRACES).glob("*.jsonl") if file.stem.isdecimal()]
            self._traces = max(numbers, default=0)
        except OSError as error:
            raise BadRequestError(
                f"{self.path} cannot be written ({error.strerror or error}).", _NAME_ANOTHER
            ) from error

    def append(self, entry: SweepRun | About) -> None:
        """Write one line. Raises TraceError if that fails; what was written before stays."""
        try:
            with (self.path / RUNS).open("ab") as file:
                file.write(_LINE.dump_json(entry) + b"\n")
        except OSError as error:
            raise _unwritten(self.path / RUNS, error) from error
        self.entries.append(entry)

    def keep_trace(self, data: bytes) -> str:
        """Write the trace of a run; returns its file's name, relative to the folder. Raises TraceError."""
        self._traces += 1
        name = f"{TRACES}/{self._traces:06d}.jsonl"
        try:
            (self.path / name).write_bytes(data)
        except OSError as error:
            raise _unwritten(self.path / name, error) from error
        return name

    def _parsed(self, number: int, line: bytes) -> SweepRun | About:
        try:
            return _LINE.validate_json(line)
        except ValidationError as error:
            raise BadRequestError(
                f"Line {number} of {self.path / RUNS} is not a run of a sweep.",
                "The file is of another version or damaged: name another folder.",
            ) from error


def require_runs(folder: Folder) -> Sequence[SweepRun]:
    """The runs that succeeded. Raises BadRequestError without one that speculated, with the reason of failed ones."""
    runs = [run for run in folder.runs if run.error is None]
    if not any(run.speedup is not None for run in runs):
        failed = next((f" The first error: {run.error}" for run in folder.runs if run.error is not None), "")
        raise BadRequestError(
            f"{folder.path} holds no runs of a sweep.{failed}",
            f"Measure some: speculatoviz bench sweep PROMPTS.jsonl --out {folder.path}",
        )
    return runs


def _unwritten(file: Path, error: OSError) -> TraceError:
    return TraceError(
        f"{file} cannot be written ({error.strerror or error}).",
        "Make room there and start the same command again: it continues where it stopped.",
    )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
