"""Answers of endpoints with something missing, null, or of another type than expected."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

Json = dict[str, Any]
Change = Callable[[Any], Any]

# No one of these is a valid value anywhere in an answer: not an id, a log-probability, an index or a token's text.
WRONG: tuple[Any, ...] = (None, [], {}, True, 1.5, 10**30, "\x00", [None], [[]], {"a": None}, float("nan"))


def _choices(change: Callable[[Json], None]) -> Change:
    """Change each choice of a completion."""

    def changed(answer: Any) -> Any:
        for choice in answer.get("choices") or ():
            change(choice)
        return answer

    return changed


def _logprobs(change: Callable[[Json], None]) -> Change:
    """Change the log-probabilities of each choice that has some."""

    def changed(choice: Json) -> None:
        if choice.get("logprobs"):
            change(choice["logprobs"])

    return _choices(changed)


def _null_in_tops(logprobs: Json) -> None:
    for top in logprobs["top_logprobs"]:
        if top:
            top["another"] = None


def _integers(logprobs: Json) -> None:
    """Tokens as plain numbers, as some servers name them."""
    number = lambda name: int(name.removeprefix("token_id:"))  # noqa: E731
    logprobs["tokens"] = [number(name) for name in logprobs["tokens"]]
    logprobs["top_logprobs"] = [
        top and {str(number(name)): logprob for name, logprob in top.items()} for top in logprobs["top_logprobs"]
    ]


def _without(*names: str) -> Callable[[Json], None]:
    def changed(part: Json) -> None:
        for name in names:
            part.pop(name, None)

    return changed


def _with(**values: Any) -> Callable[[Json], None]:
    def changed(part: Json) -> None:
        part.update({name: value for name, value in values.items() if name in part})

    return changed


def _answer(**values: Any) -> Change:
    """Change fields of a whole completion."""

    def changed(answer: Any) -> Any:
        return answer | values if "choices" in answer else answer

    return changed


QUIRKS: dict[str, Change] = {
    "null_index": _choices(_with(index=None)),
    "no_index": _choices(_without("index")),
    "null_text": _choices(_with(text=None)),
    "null_logprobs": _choices(_with(logprobs=None)),
    "list_logprobs": _choices(_with(logprobs=[])),
    "null_in_tops": _logprobs(_null_in_tops),
    "empty_tops": _logprobs(lambda logprobs: logprobs.update(top_logprobs=[{} for _ in logprobs["top_logprobs"]])),
    "no_tops": _logprobs(_with(top_logprobs=[])),
    "null_tops": _logprobs(_with(top_logprobs=None)),
    "short_tops": _logprobs(lambda logprobs: logprobs["top_logprobs"].pop()),
    "short_values": _logprobs(lambda logprobs: logprobs["token_logprobs"].pop()),
    "integer_tokens": _logprobs(_integers),
    "null_usage": _answer(usage=None),
    "list_usage": _answer(usage=[]),
    "partial_usage": _answer(usage={"prompt_tokens": None, "prompt_tokens_details": None}),
    "null_timings": _answer(timings=None),
    "partial_timings": _answer(timings={"predicted_ms": 3.2, "predicted_n": 1}),
    "list_time_info": _answer(time_info=[3]),
    "no_id": lambda answer: {name: value for name, value in answer.items() if name != "id"},
}


def replacements(answer: Any) -> Iterator[tuple[str, Any, Any]]:
    """(path, wrong value, answer): the answer with one of its parts, at every depth, replaced or left out."""
    for path in _paths(answer):
        for wrong in WRONG:
            yield ".".join(map(str, path)), wrong, _replaced(answer, path, wrong)
        if path and isinstance(path[-1], str) and "top_logprobs" not in path[:-1]:  # fewer alternatives are valid
            yield ".".join(map(str, path)), "left out", _replaced(answer, path, None, leave_out=True)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from _paths(part, (*path, key))


def _replaced(answer: Any, path: tuple[Any, ...], value: Any, *, leave_out: bool = False) -> Any:
    if not path:
        return value
    changed = copy.deepcopy(answer)
    part = changed
    for key in path[:-1]:
        part = part[key]
    if leave_out:
        del part[path[-1]]
    else:
        part[path[-1]] = value
    return changed
