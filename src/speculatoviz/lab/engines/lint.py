"""Checks of a command that starts a server with speculation: what the engine refuses or ignores, and what costs."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from speculatoviz.lab.engines.command import Argument, Command
from speculatoviz.lab.engines.evidence import Evidence
from speculatoviz.lab.engines.flags import TABLES, Server
from speculatoviz.lab.engines.names import ENGINES

Level = Literal["error", "warning"]

_ALIKE = 0.88  # the ratio of difflib from which on an unknown flag is a misspelt one
_LISTED = 12  # the most names that are listed
_RARELY = 0.05  # a position that fewer drafts accept is not worth drafting


class Finding(NamedTuple):
    """One thing to change.

    level: an error is refused or ignored by the engine, or changes what the model writes; a warning costs speed.
    where: the flag or the key. message: what is wrong. instead: what to write.
    """

    level: Level
    where: str
    message: str
    instead: str


@dataclass(frozen=True, slots=True)
class Known:
    """What is known beside the command.

    temperature: of the requests; None if only the command decides. evidence: of recorded runs. context_of: the context
    of a model in a local file or folder, None if there is none. kind_of: what kind of drafter a name or a folder is.
    """

    temperature: float | None = None
    evidence: Evidence | None = None
    context_of: Callable[[str], int | None] = lambda _: None
    kind_of: Callable[[str], str | None] = lambda _: None


Check = Callable[[Command, Known], Iterable[Finding]]


def check_flags(command: Command) -> Iterator[Finding]:
    """Flags that were removed, renamed or misspelt."""
    table = TABLES[command.server]
    for argument in command.arguments:
        name = _canonical(command.server, argument.written)
        if name in table.removed:
            yield Finding(
                "error", argument.written, f"{_release(command.server)} does not have it.", table.removed[name]
            )
        elif name in table.renamed:
            yield Finding("warning", argument.written, "It has another name by now.", f"write {table.renamed[name]}")
        elif argument.name is None:
            yield from _unknown(command.server, argument, name)


def _unknown(server: Server, argument: Argument, name: str) -> Iterator[Finding]:
    """A flag that the table lacks is wrong if the table knows all that begin so, or if it is nearly one of them."""
    table = TABLES[server]
    if name.partition(".")[0] == "--speculative-config":
        return  # a part of the JSON, which the engine's own checks read
    names = [known for flag in table.flags for known in flag.names]
    others = [known for flag in table.others for known in flag.names]
    concerned = any(name.startswith(beginning) for beginning in table.beginnings)
    near = difflib.get_close_matches(name, names, 1, 0.6 if concerned else _ALIKE)
    if concerned or (near and name.startswith("--") and name not in others):
        instead = f"write {near[0]}" if near else "leave it out"
        yield Finding("error", argument.written, f"{_release(server)} has no such flag.", instead)


def _canonical(server: Server, written: str) -> str:
    return written.replace("_", "-") if server == "vllm" and written.startswith("--") else written


def _release(server: Server) -> str:
    about = ENGINES[server]
    return f"{about.title} {about.release}"


def check_value(
    where: str, value: str, known: Iterable[str], removed: Mapping[str, str] | None = None
) -> Iterator[Finding]:
    """One of several words, such as a method."""
    names = list(known)
    if value in names:
        return
    if removed and value in removed:
        yield Finding("error", where, f"{value!r} was removed.", removed[value])
        return
    near = difflib.get_close_matches(value, names, 1, 0.6) or ([] if len(names) > _LISTED else names)
    yield Finding("error", where, f"There is no {value!r}.", f"write {' or '.join(near)}" if near else "leave it out")


def check_depth(where: str, depth: int | None, known: Known) -> Iterator[Finding]:
    """A depth beyond what recorded runs reached, or whose last positions were rarely accepted there."""
    if depth is None or known.evidence is None:
        return
    rates = known.evidence.acceptance.unconditional
    if depth > len(rates):
        yield Finding(
            "warning",
            where,
            f"The traces have drafts of at most {len(rates)} tokens, so {depth} is a guess.",
            f"write {len(rates)}, or record a run with -k {depth}",
        )
        return
    worth = sum(rate >= _RARELY for rate in rates[:depth])
    if worth < depth:
        yield Finding(
            "warning",
            where,
            f"In the traces, position {depth} was accepted in {100 * rates[depth - 1]:.1f} % of the drafts.",
            f"write {max(1, worth)}",
        )


def check_context(
    where: str, draft: str | None, stated: int | None, target: int | None, known: Known
) -> Iterator[Finding]:
    """A drafter whose context is shorter than the target's. stated: the draft's context in the command."""
    own = stated or (known.context_of(draft) if draft else None)
    if own is not None and target is not None and own < target:
        yield Finding(
            "warning",
            where,
            f"The drafter has a context of {own} tokens and the target one of {target}: beyond {own}, nothing useful "
            "is drafted.",
            f"choose a drafter with a context of {target}, or a context of {own} for both",
        )


def integer(value: object) -> int | None:
    """A whole number in a flag's value; None for anything else."""
    try:
        return int(str(value))
    except ValueError:
        return None


def number(value: object) -> float | None:
    """A number in a flag's value; None for anything else."""
    try:
        return float(str(value))
    except ValueError:
        return None
