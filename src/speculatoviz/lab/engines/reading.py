"""Statistics of engines in any text: an answer, a file of answers, a recorded stream, or /metrics."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from speculatoviz.errors import BadRequestError, reason_of
from speculatoviz.lab.engines import answers, exposition
from speculatoviz.lab.engines.statistics import Speculation, combined

_HINT = (
    "vLLM reports them with --per-request-spec-decode-metrics summary, every engine at /metrics (llama-server with "
    "--metrics, SGLang with --enable-metrics), all only while they speculate."
)


def read(text: str, name: str) -> list[Speculation]:
    """One record for each source in a text; answers of one source are added up.

    name: of the text, for errors. Raises BadRequestError for a text of another kind, and if it holds no statistics.
    """
    stripped = text.lstrip("\ufeff \t\r\n")
    if not stripped:
        raise BadRequestError(f"{name} is empty.", "Name an answer of an engine, or its /metrics.")
    if stripped[0] in "{[":
        found = list(answers.records(_values(stripped, name)))
    elif stripped.startswith(("data:", "event:", ":")):
        found = _last_of_each(answers.records(list(_chunks(stripped))))
    elif stripped[0] == "<":
        raise BadRequestError(
            f"{name} is a web page, and no statistics.", "Name an answer of an engine, or its /metrics."
        )
    else:
        found = list(exposition.records(stripped))
    if not found:
        raise BadRequestError(f"{name} holds no statistics of speculation.", _HINT)
    by_source: dict[tuple[str, str], list[Speculation]] = {}
    for record in found:
        by_source.setdefault((record.source, record.scope), []).append(record)
    return [combined(records) for records in by_source.values()]


def _values(text: str, name: str) -> Any:
    """One JSON value, or a list of those of JSON Lines."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    values = list[Any]()
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            if line.strip():
                values.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise BadRequestError(
                f"Line {number} of {name} is no JSON ({reason_of(error)}).",
                "Give an answer as the engine sent it, or one answer a line.",
            ) from error
    return values


def _chunks(text: str) -> Iterator[Any]:
    """The JSON values of server-sent events; what is none, such as [DONE], is left out."""
    for line in text.splitlines():
        if line.startswith("data:"):
            try:
                yield json.loads(line.removeprefix("data:"))
            except (ValueError, RecursionError):
                continue


def _last_of_each(records: Iterable[Speculation]) -> list[Speculation]:
    """Of a stream whose chunks report what they have so far, the last record of each source."""
    return list({record.source: record for record in records}.values())
