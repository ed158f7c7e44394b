"""A run as one JSON document, for `generate --json`."""

from __future__ import annotations

import json
import sys
from typing import Any

import typer

from speculatoviz.errors import BadRequestError
from speculatoviz.telemetry.events import Done, Event, Metrics, MetricValues, Record, RunWarning, Shadow, Started
from speculatoviz.telemetry.parts import PromptCacheInfo
from speculatoviz.telemetry.unlike import BaselineCheck

_NOT_OF_A_ROUND = {"run", "seq", "type", "prompt_cache"}


class Document:
    """Gathers a document from the events of a run."""

    def __init__(self) -> None:
        self._started: Started | None = None
        self._done: Done | None = None
        self._rounds: list[dict[str, Any]] = []
        self._shadow: Shadow | None = None
        self._prompt_cache: PromptCacheInfo | None = None
        self._warnings: list[dict[str, Any]] = []
        self._recorded, self._recorded_ms = 0, 0.0
        self._check = BaselineCheck()

    def show(self, event: Event) -> None:
        """Keep what the document needs of an event."""
        self._check.add(event)
        match event:
            case Started():
                self._started = event
            case Metrics():
                self._prompt_cache = self._prompt_cache or event.prompt_cache
                self._rounds.append(event.model_dump(exclude={*MetricValues.model_fields, *_NOT_OF_A_ROUND}))
            case Shadow():
                self._shadow = event
            case Record():
                self._recorded, self._recorded_ms = self._recorded + 1, self._recorded_ms + event.draft_ms
            case RunWarning():
                self._warnings.append(event.model_dump(include={"round", "message", "hint"}))
            case Done():
                self._done = event

    def print(self) -> None:
        """Print the document in one piece. Raises OutputError if that fails, BadRequestError without a whole run."""
        typer.echo(dump(self.values(), sys.stdout.encoding or "utf-8"))

    def values(self) -> dict[str, Any]:
        """The document. Raises BadRequestError without a whole run."""
        started, done = self._started, self._done
        if started is None or done is None:
            raise BadRequestError("The run ended without a result.", "Look at the error above.")
        values, unlike = done.metrics, self._check.unlike()
        return {
            "text": done.generated_text,
            "token_ids": done.token_ids,
            "total_tokens": done.total_tokens,
            "total_accepted": done.total_accepted,
            "total_drafted": done.total_drafted,
            "total_rounds": done.total_rounds,
            "finish_reason": done.finish_reason,
            "mean_acceptance_length": values.mean_acceptance_length,
            "acceptance_rate": values.acceptance_rate,
            "effective_tps": values.effective_tps,
            "baseline_tps": values.baseline_tps,
            "speedup": values.speedup if unlike is None else None,
            "unlike": None if unlike is None else str(unlike),
            "ttft_ms": values.ttft_ms,
            "prompt_cache": self._prompt_cache.model_dump() if self._prompt_cache else None,
            "exactness": started.exactness.label,
            "drafter": started.drafter,
            "k": started.k,
            "nodes": started.nodes,
            "rule": started.rule,
            "seed": started.seed,
            "draft_model": started.draft_model.name if started.draft_model else None,
            "target_model": started.target_model.name,
            "models": started.model_dump(include={"draft_model", "target_model"}),
            "batch_invariant": started.batch_invariant,
            "noise_floor": started.noise_floor.model_dump() if started.noise_floor else None,
            "shadow": [score.model_dump() for score in self._shadow.scores] if self._shadow else [],
            "record": {"tokens": self._recorded, "draft_ms": self._recorded_ms} if self._recorded else None,
            "warnings": self._warnings,
            "rounds": self._rounds,
        }


def dump(values: dict[str, Any], encoding: str) -> str:
    """JSON in characters of `encoding`. Control characters are always escaped, those above 0x7e included."""
    text = json.dumps(values, ensure_ascii=False, indent=1)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:  # escapes of the encoding would not be JSON
        return json.dumps(values, indent=1)
    return text.translate({code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)})
