"""The statistics in the text of /metrics: counters of vLLM (and of this program) and of llama.cpp, gauges of SGLang."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from speculatoviz.errors import BadRequestError, reason_of
from speculatoviz.lab.engines.answers import alike
from speculatoviz.lab.engines.statistics import Speculation

_SINCE_START = "the server since its start"
_HINT = "Give the text that the engine's /metrics answers."
_MOST_POSITIONS = 1024


class Sample(NamedTuple):
    """One line: a value under a name, with its labels."""

    name: str
    labels: Mapping[str, str]
    value: float


def samples(text: str) -> list[Sample]:
    """The samples of an exposition. Raises BadRequestError for a text that is none."""
    from prometheus_client.parser import text_string_to_metric_families  # its import registers collectors

    try:
        families = list(text_string_to_metric_families(text))
        return [Sample(one.name, one.labels, float(one.value)) for family in families for one in family.samples]
    except (ValueError, KeyError, IndexError, RecursionError) as error:
        raise BadRequestError(f"The text is no exposition of Prometheus ({reason_of(error)}).", _HINT) from error


def records(text: str) -> Iterator[Speculation]:
    """A record for each model of each engine. Raises BadRequestError for a text that is no exposition."""
    found = samples(text)
    for prefix, title, generated in (
        ("vllm:", "vLLM", "generation_tokens_total"),
        ("llamacpp:", "llama.cpp", "tokens_predicted_total"),
    ):
        for model, own in _by_model(found, prefix):
            record = _counters(f"{title}, /metrics", model, own, generated)
            if record is not None:
                yield record.checked()
    for model, own in _by_model(found, "sglang:"):
        if "spec_accept_length" in {sample.name for sample in own}:
            yield _gauges(model, own)


def _by_model(found: Iterable[Sample], prefix: str) -> Iterator[tuple[str, list[Sample]]]:
    """The samples of one engine, without its prefix, by model; those of a server's several engines belong together."""
    models: dict[str, list[Sample]] = defaultdict(list)
    for sample in found:
        if sample.name.startswith(prefix):
            models[sample.labels.get("model_name", "")].append(sample._replace(name=sample.name.removeprefix(prefix)))
    yield from models.items()


def _counters(source: str, model: str, own: list[Sample], generated: str) -> Speculation | None:
    drafts = _total(own, "spec_decode_num_drafts_total")
    if drafts is None:
        return None
    drafted = _total(own, "spec_decode_num_draft_tokens_total")
    positions: dict[int, int] = defaultdict(int)
    for sample in own:
        if sample.name == "spec_decode_num_accepted_tokens_per_pos_total":
            positions[_position(sample.labels.get("position", ""))] += _whole(sample)
    accepted_at = _used(positions, drafts, drafted)
    return Speculation(
        source=source,
        scope=f"{_SINCE_START}, {model}" if model else _SINCE_START,
        drafts=drafts,
        draft_tokens=drafted,
        accepted_tokens=_total(own, "spec_decode_num_accepted_tokens_total"),
        generated=_total(own, generated),
        accepted_at=accepted_at,
        reached_at=alike(accepted_at, drafts, drafted),
        cannot=("single requests",) if accepted_at is not None else ("single requests", "the acceptance by position"),
    )


def _used(positions: Mapping[int, int], drafts: int, drafted: int | None) -> tuple[int, ...] | None:
    """The positions that drafts had: those accepted at all, and as many as a mean draft has tokens."""
    if not positions:
        return None
    deepest = max((position + 1 for position, accepted in positions.items() if accepted), default=0)
    mean = math.ceil(drafted / drafts) if drafted and drafts else 0
    return tuple(positions.get(i, 0) for i in range(max(deepest, min(mean, max(positions) + 1))))


def _gauges(model: str, own: list[Sample]) -> Speculation:
    values = {sample.name: sample.value for sample in own}
    return Speculation(
        source="SGLang, /metrics",
        scope=f"the current batch, {model}" if model else "the current batch",
        drafts=_total(own, "spec_verify_calls_total"),
        reported_rate=_known(values.get("spec_accept_rate")),
        reported_length=_known(values.get("spec_accept_length")),
        cannot=(
            "counts of drafted and accepted tokens: its figures are means of the current batch",
            "the acceptance by position",
        ),
    )


def _known(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _total(own: Iterable[Sample], name: str) -> int | None:
    found = [_whole(sample) for sample in own if sample.name == name]
    return sum(found) if found else None


def _whole(sample: Sample) -> int:
    if not (math.isfinite(sample.value) and 0 <= sample.value <= 1 << 53 and sample.value == int(sample.value)):
        raise BadRequestError(f"{sample.name} is {sample.value}, and has to be a whole number from 0 on.", _HINT)
    return int(sample.value)


def _position(text: str) -> int:
    if not text.isdecimal() or int(text) > _MOST_POSITIONS:
        raise BadRequestError(f"A position is {text[:40]!r}, and has to be a number from 0 on.", _HINT)
    return int(text)
