"""Pass times of other machines: typed in, or as `llama-batched-bench` and `vllm bench serve` give them.

A step that generates one token for each of B sequences counts as a pass over B tokens.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from speculatoviz.errors import BadRequestError

LARGEST_PASS = 65_536  # tokens
_LONGEST_SHOWN = 60  # characters of a text in an error
_HOW = (
    "Write tokens and milliseconds, such as 1:25,2:36,4:51, or give the output of llama-batched-bench or of vllm bench "
    "serve."
)


def read_pass_times(text: str) -> dict[int, float]:
    """Milliseconds of a pass by its tokens: from `1:25,2:36,4:51`, or from a file with the output of a benchmark.

    Raises BadRequestError for anything else.
    """
    if _is_typed(text):
        return pass_times(text)
    try:
        printed = Path(text).read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError) as error:
        what = f"{_shown(text)} is neither a table of pass times nor a file that can be read."
        raise BadRequestError(what, _HOW) from error
    return pass_times(printed, repr(text))


def pass_times(text: str, name: str | None = None) -> dict[int, float]:
    """Milliseconds of a pass by its tokens, from a text: `1:25,2:36,4:51`, or the output of a benchmark.

    The output is what llama-batched-bench printed, or what `vllm bench serve` printed or saved, several runs after each
    other. name: of the text in errors. Raises BadRequestError for anything else.
    """
    name = name or _shown(text)
    if _is_typed(text):
        return _checked(_typed(text, name), name)
    return _checked(batched_bench(text) or vllm_bench(text, name), name)


def _is_typed(text: str) -> bool:
    return ":" in text and re.fullmatch(r"[\d\s.:,;eE+-]+", text) is not None


def _typed(text: str, name: str) -> dict[int, float]:
    try:
        pairs = [part.split(":") for part in re.split("[,;\n]", text) if part.strip()]
        return {int(rows): float(ms) for rows, ms in pairs}
    except ValueError as error:
        raise BadRequestError(f"{name} is no table of pass times.", _HOW) from error


def _shown(text: str) -> str:
    line = " ".join(text[: 2 * _LONGEST_SHOWN].split())
    return repr(line if len(line) <= _LONGEST_SHOWN else f"{line[:_LONGEST_SHOWN]}…")


def batched_bench(printed: str) -> dict[int, float]:
    """The time of a step of text generation by the sequences in it: 1000 T_TG / TG ms for B rows.

    Of several contexts or lengths, the shortest time is taken for each B. Reads the table, and JSON lines
    (`--output-format jsonl`). Empty if the text holds neither.
    """
    found: dict[int, float] = {}
    for line in printed.splitlines():
        row = _json_row(line) if "{" in line else _table_row(line)
        if row is None:
            continue
        rows, steps, seconds = row
        if rows > 0 and steps > 0 and seconds > 0.0:
            ms = 1000.0 * seconds / steps
            found[rows] = min(ms, found.get(rows, ms))
    return found


def _json_row(line: str) -> tuple[int, int, float] | None:
    try:
        values = json.loads(line[line.index("{") :])
        return int(values["pl"]), int(values["tg"]), float(values["t_tg"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def _table_row(line: str) -> tuple[int, int, float] | None:
    """B, TG and T_TG of a row `| PP | TG | B | N_KV | T_PP s | S_PP t/s | T_TG s | …`."""
    cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
    try:
        return int(cells[2]), int(cells[1]), float(cells[6])
    except (IndexError, ValueError):
        return None


def vllm_bench(text: str, name: str = "The file") -> dict[int, float]:
    """The median time between two tokens by concurrent requests, of runs of `vllm bench serve`.

    text: saved results (JSON objects, one after another or in a list), or what was printed. Only runs whose requests
    filled the concurrency count: an unlimited request rate, and at least as many requests. Of several runs with one
    concurrency the shortest time is taken. Empty if the text holds none. Raises BadRequestError for a server that
    speculated: its tokens come several at a time.
    """
    found: dict[int, float] = {}
    for values in (*_json_objects(text), *_printed_runs(text)):
        if any("spec_decode" in key or "speculative" in key for key in values):
            raise BadRequestError(
                f"{name} has a run of a server that speculated, so it holds no times of plain passes.",
                "Measure the server without its speculation.",
            )
        row = _vllm_row(values)
        if row is not None:
            rows, ms = row
            found[rows] = min(ms, found.get(rows, ms))
    return found


def _vllm_row(values: Mapping[str, Any]) -> tuple[int, float] | None:
    """Concurrent requests and milliseconds; None for a run that is none, or that did not fill its concurrency."""
    try:
        rows = int(values["max_concurrency"])
        ms = float(values["median_itl_ms"] if "median_itl_ms" in values else values["median_tpot_ms"])
        rate, done = float(values.get("request_rate", "inf")), int(values["completed"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return (rows, ms) if rows > 0 and ms > 0.0 and math.isinf(rate) and done >= rows else None


def _json_objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects of a text, those of a list too; nothing from the first part that is no JSON on."""
    decoder, at = json.JSONDecoder(), 0
    while begun := re.compile(r"[\s,]*(?=[{\[])").match(text, at):
        try:
            value, at = decoder.raw_decode(text, begun.end())
        except (ValueError, RecursionError):
            return
        yield from (one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict))


_PRINTED = {
    "Successful requests": "completed",
    "Maximum request concurrency": "max_concurrency",
    "Request rate configured (RPS)": "request_rate",
    "Median TPOT (ms)": "median_tpot_ms",
    "Median ITL (ms)": "median_itl_ms",
}


def _printed_runs(text: str) -> Iterator[dict[str, str]]:
    """The figures of every printed run, by the names that saved results have."""
    for part in re.split(r"=+ Serving Benchmark Result =+", text)[1:]:
        pairs = (line.partition(":") for line in part.split("======", 1)[0].splitlines())
        lines = [(name.strip(), value.strip()) for name, _, value in pairs]
        values = {_PRINTED[name]: value for name, value in lines if name in _PRINTED}
        if re.search(r"speculative decoding", part, re.IGNORECASE):
            values["spec_decode"] = ""
        yield values


def _checked(found: dict[int, float], name: str) -> dict[int, float]:
    if not found:
        raise BadRequestError(f"{name} holds no pass times.", _HOW)
    wrong = [rows for rows, ms in found.items() if not (1 <= rows <= LARGEST_PASS and 0.0 < ms < float("inf"))]
    if wrong:
        raise BadRequestError(f"The time of a pass over {wrong[0]} tokens in {name} cannot be used.", _HOW)
    if 1 not in found:
        raise BadRequestError(
            f"{name} has no time of a pass over one token, which plain decoding takes.", "Add it, such as 1:25."
        )
    return dict(sorted(found.items()))
