"""Peers that follow a script, and runs with given figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from speculatoviz.bench.peers.runs import OWN, PLAIN, About, PeerRun, Question, Timing, Way
from speculatoviz.errors import BadRequestError, TargetError
from speculatoviz.lab.questions import Prompt

LLAMA_CPP = "llama.cpp"
REFERENCE = Way(OWN, PLAIN, "llamacpp")


@dataclass
class Scripted:
    """A way that takes the next time of its script for ten tokens, and fails where the script has None."""

    way: Way
    times_ms: list[float | None]
    log: list[str] = field(default_factory=list)
    pid: int | None = None

    def decode(self, question: Question) -> Timing:
        self.log.append(self.way.name)
        if question.prompt.text == "too long":
            raise BadRequestError("The prompt has too many tokens.", "Shorten it.")
        ms = self.times_ms.pop(0)
        if ms is None:
            raise TargetError("The process has ended.", "Start it again.")
        return Timing(10, ms)


def scripted(name: str, times_ms: Sequence[float | None], log: list[str]) -> Scripted:
    """A way of this engine on llama.cpp."""
    return Scripted(Way(OWN, name, "llamacpp"), list(times_ms), log)


def question(prompt: Prompt, temperature: float = 0.0) -> Question:
    return Question(prompt, (1, 2), 10, temperature)


def about(**pass_ms: dict[int, float]) -> About:
    """A measurement whose pass times, by runtime, are given."""
    return About("a machine", "a target", "", 10, REFERENCE, pass_ms, {})


def runs(way: Way, ratios: Sequence[float], timings: Sequence[Timing] = (), temperature: float = 0.0) -> list[PeerRun]:
    """The runs of one way on as many prompts: those with an even number are of coding, the others of writing."""
    given = [*timings, *[Timing(10, 10.0)] * (len(ratios) - len(timings))]
    return [
        PeerRun(way, ("coding", "writing")[number % 2], number, temperature, timing, ratio, 0.0)
        for number, (ratio, timing) in enumerate(zip(ratios, given, strict=True))
    ]
