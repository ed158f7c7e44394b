"""What a server did between two looks at its /metrics: sums over all its requests, from its own counters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from speculatoviz.errors import BadRequestError
from speculatoviz.lab.engines import exposition
from speculatoviz.lab.engines.statistics import Speculation

_ENGINES = (("vllm:", "vLLM"), ("sglang:", "SGLang"), ("llamacpp:", "llama.cpp"))
# Requests that compute, and that wait, by the engines' names.
_RUNNING = ("vllm:num_requests_running", "sglang:num_running_reqs", "llamacpp:requests_processing")
_WAITING = ("vllm:num_requests_waiting", "sglang:num_queue_reqs", "llamacpp:requests_deferred")
_GENERATED = ("vllm:generation_tokens_total", "sglang:generation_tokens_total", "llamacpp:tokens_predicted_total")
_HINT = "vLLM has it always, llama-server with --metrics, SGLang with --enable-metrics."


@dataclass(frozen=True, slots=True)
class Look:
    """The counters at one time. engine: whose they are. speculation: by model, empty while it does not speculate.

    generated: tokens since the server's start. A figure is None where the server does not have it.
    """

    at_s: float
    engine: str
    generated: int | None
    running: int | None
    waiting: int | None
    speculation: Mapping[str, Speculation]


@dataclass(frozen=True, slots=True)
class Interval:
    """The time between two looks. speculation: what was drafted in it, by model; of gauges, as they were at its end.

    generated: tokens in it. tps: the same by the second. restarted: the counters were smaller at its end, so the server
    began anew, and the figures are those since then.
    """

    seconds: float
    generated: int | None
    running: int | None
    waiting: int | None
    speculation: tuple[Speculation, ...]
    restarted: bool = False

    @property
    def tps(self) -> float | None:
        return None if self.generated is None or self.seconds <= 0 else self.generated / self.seconds


def look(text: str, at_s: float) -> Look:
    """The counters in the text of /metrics. Raises BadRequestError if it has none of an engine that is known."""
    found = exposition.samples(text)
    values: dict[str, float] = {}
    for sample in found:
        values[sample.name] = values.get(sample.name, 0.0) + sample.value
    engine = next((title for prefix, title in _ENGINES if any(name.startswith(prefix) for name in values)), None)
    if engine is None:
        raise BadRequestError("The text has no counters of vLLM, SGLang or llama-server.", _HINT)
    records = {f"{record.source} {record.scope}": record for record in exposition.records(text)}
    return Look(at_s, engine, _of(values, _GENERATED), _of(values, _RUNNING), _of(values, _WAITING), records)


def _of(values: Mapping[str, float], names: tuple[str, ...]) -> int | None:
    known = [int(values[name]) for name in names if name in values]
    return known[0] if known else None


def between(first: Look, last: Look) -> Interval:
    """What happened from one look to the next."""
    restarted = _smaller(first, last)
    before = Look(first.at_s, last.engine, 0, None, None, {}) if restarted else first
    generated = last.generated
    if generated is not None and before.generated is not None:
        generated -= before.generated
    found = [_since(before.speculation.get(name), record) for name, record in last.speculation.items()]
    return Interval(last.at_s - first.at_s, generated, last.running, last.waiting, tuple(found), restarted)


def _smaller(first: Look, last: Look) -> bool:
    pairs = [(first.generated, last.generated)]
    pairs += [
        (before.drafts, last.speculation[name].drafts)
        for name, before in first.speculation.items()
        if name in last.speculation
    ]
    return any(before is not None and after is not None and after < before for before, after in pairs)


def _since(before: Speculation | None, record: Speculation) -> Speculation:
    """The counts of a record without those of an earlier one of the same source."""
    if before is None:
        return record
    earlier = (*(before.accepted_at or ()), *(0,) * len(record.accepted_at or ()))
    at = None if record.accepted_at is None else tuple(a - b for a, b in zip(record.accepted_at, earlier, strict=False))
    return replace(
        record,
        drafts=_less(record.drafts, before.drafts),
        draft_tokens=_less(record.draft_tokens, before.draft_tokens),
        accepted_tokens=_less(record.accepted_tokens, before.accepted_tokens),
        generated=_less(record.generated, before.generated),
        accepted_at=at,
        reached_at=None,
        disagreements=(),
    )


def _less(after: int | None, before: int | None) -> int | None:
    return None if after is None else after - (before or 0)
