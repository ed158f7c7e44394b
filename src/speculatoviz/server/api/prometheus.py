"""`/metrics`: the counts of all runs in Prometheus' text format, under vLLM's names."""

from __future__ import annotations

from collections.abc import Iterable

from speculatoviz.server.counters import Counters

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(counters: Counters, model: str, running: int, waiting: int) -> str:
    """The metrics as text. model: of the labels. running, waiting: runs that hold the models, and that wait."""
    labels = f'model_name="{_escaped(model)}",engine="0"'
    positions = [(f'{labels},position="{i}"', count) for i, count in enumerate(counters.accepted_at)]
    families: list[tuple[str, str, str, Iterable[tuple[str, int]]]] = [
        ("spec_decode_num_drafts", "counter", "Rounds with a draft.", [(labels, counters.drafts)]),
        ("spec_decode_num_draft_tokens", "counter", "Drafted tokens.", [(labels, counters.draft_tokens)]),
        (
            "spec_decode_num_accepted_tokens",
            "counter",
            "Drafted tokens that were emitted.",
            [(labels, counters.accepted_tokens)],
        ),
        (
            "spec_decode_num_accepted_tokens_per_pos",
            "counter",
            "Drafts whose token at a position was emitted.",
            positions,
        ),
        ("prompt_tokens", "counter", "Tokens of the prompts of runs.", [(labels, counters.prompt_tokens)]),
        ("generation_tokens", "counter", "Emitted tokens.", [(labels, counters.generation_tokens)]),
        ("num_requests_running", "gauge", "Runs that use the models.", [(labels, running)]),
        ("num_requests_waiting", "gauge", "Runs that wait for the models.", [(labels, waiting)]),
    ]
    return "".join(_family(name, kind, text, samples) for name, kind, text, samples in families)


def _family(name: str, kind: str, text: str, samples: Iterable[tuple[str, int]]) -> str:
    full = f"vllm:{name}_total" if kind == "counter" else f"vllm:{name}"
    lines = [f"# HELP {full} {text}", f"# TYPE {full} {kind}"]
    return "\n".join([*lines, *(f"{full}{{{labels}}} {value}" for labels, value in samples)]) + "\n"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
