"""A command that starts a server, taken apart: which engine, which flags with which values."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from speculatoviz.errors import BadRequestError, reason_of
from speculatoviz.lab.engines.flags import TABLES, Flag, Server

# What starts each server: a program or a module at the end of a path, or the name of a container image.
_PROGRAMS: tuple[tuple[Server, re.Pattern[str]], ...] = (
    ("vllm", re.compile(r"(.*/)?vllm|vllm\.entrypoints\.(openai\.)?api_server|(.*/)?vllm-openai(:.*)?")),
    ("sglang", re.compile(r"(.*/)?sglang|sglang\.launch_server|(.*/)?sglang:.*")),
    ("llama.cpp", re.compile(r"(.*[/\\])?llama-server(\.exe)?|(.*/)?llama\.cpp:.*server.*")),
)
_SUBCOMMANDS = {"serve"}
_ENDS = {"&&", "||", ";", "|", "&", ">", ">>", "2>&1"}  # words of a shell that end a command
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


class Argument(NamedTuple):
    """A flag as it was written, its usual name if it is known, and its value; None without one."""

    written: str
    name: str | None
    value: str | None


@dataclass(frozen=True, slots=True)
class Command:
    """A server's command. words: what is no flag, the model for vLLM."""

    server: Server
    arguments: tuple[Argument, ...]
    words: tuple[str, ...]

    def value(self, name: str) -> str | None:
        """The value of a flag by its usual name; of several the last one, as the engines take it."""
        found = [argument.value for argument in self.arguments if argument.name == name]
        return found[-1] if found else None

    def has(self, name: str) -> bool:
        return any(argument.name == name for argument in self.arguments)


def parse(text: str) -> Command:
    """The command in a text as a shell would read it. Raises BadRequestError if it starts none of the servers."""
    try:
        words = shlex.split(text.replace("\\\n", " ").replace("\\\r\n", " "), comments=True)
    except ValueError as error:
        raise BadRequestError(
            f"The command cannot be taken apart ({reason_of(error)}).",
            "Write it between single quotes, as a shell would read it.",
        ) from error
    for place, word in enumerate(words):
        for server, program in _PROGRAMS:
            if program.fullmatch(word):
                return _command(server, words[place + 1 :])
    raise BadRequestError(
        "The command starts none of the servers that are known here.",
        "Begin with `vllm serve`, `python -m sglang.launch_server`, `sglang serve` or `llama-server`.",
    )


def _command(server: Server, words: Sequence[str]) -> Command:
    if words and words[0] in _SUBCOMMANDS:
        words = words[1:]
    words = words[: next((place for place, word in enumerate(words) if word in _ENDS), len(words))]
    arguments, rest = list[Argument](), list[str]()
    left = iter(enumerate(words))
    for place, word in left:
        if not _is_flag(word):
            rest.append(word)
            continue
        written, equals, value = word.partition("=")
        flag = lookup(server, written)
        following = words[place + 1] if place + 1 < len(words) else None
        given: str | None = value if equals else None
        if not equals and following is not None and _takes(flag, following):
            given = following
            next(left)
        arguments.append(Argument(written, flag.names[0] if flag else None, given))
    return Command(server, tuple(arguments), tuple(rest))


def _is_flag(word: str) -> bool:
    return len(word) > 1 and word.startswith("-") and not _NUMBER.fullmatch(word)


def _takes(flag: Flag | None, following: str) -> bool:
    """Whether the next word is the flag's value; of an unknown flag, whether it looks like one."""
    return flag.takes > 0 if flag is not None else not _is_flag(following)


def lookup(server: Server, written: str) -> Flag | None:
    """The flag of a name; None if the engine has none.

    vLLM takes underscores for hyphens. vLLM and SGLang take the beginning of a name, if no other begins so.
    """
    name = written.replace("_", "-") if server == "vllm" and written.startswith("--") else written
    table = TABLES[server]
    flags = (*table.flags, *table.others)
    for flag in flags:
        if name in flag.names:
            return flag
    if server == "llama.cpp" or not name.startswith("--") or name in table.removed or name in table.renamed:
        return None
    begun = [flag for flag in flags if any(known.startswith(name) for known in flag.names)]
    return begun[0] if len(begun) == 1 and len(name) > len("--spec") else None


def dotted(command: Command, name: str) -> Iterator[tuple[str, str | None]]:
    """The (key, value) of arguments such as `--speculative-config.method ngram`, which vLLM takes as parts of JSON."""
    for argument in command.arguments:
        flag, dot, _ = argument.written.replace("_", "-").partition(".")
        if dot and flag == name:
            yield argument.written.partition(".")[2], argument.value
