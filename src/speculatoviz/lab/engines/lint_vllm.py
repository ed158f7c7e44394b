"""Checks of `vllm serve … --speculative-config …`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from speculatoviz.lab.engines.command import Command, dotted
from speculatoviz.lab.engines.flags import VLLM_KEYS, VLLM_KEYS_REMOVED, VLLM_METHODS, VLLM_METHODS_REMOVED
from speculatoviz.lab.engines.lint import (
    Finding,
    Known,
    check_context,
    check_depth,
    check_value,
    integer,
    number,
)

_FLAG = "--speculative-config"
_PARTS = {"--spec-method": "method", "--spec-model": "model", "--spec-tokens": "num_speculative_tokens"}
_WITH_WEIGHTS = {"draft_model", "eagle", "eagle3", "dflash", "dspark"}
_DRAWING = {"draft_model", "eagle", "eagle3", "mtp"}  # methods that can draw their tokens from a q
_KEEPS_OUTPUT = {"standard", "block"}


def check(command: Command, known: Known) -> Iterator[Finding]:
    """All findings about the speculation of a vLLM command."""
    text = command.value(_FLAG)
    stated: Any = {}
    if text is not None:
        try:
            stated = json.loads(text)
        except (ValueError, RecursionError):
            stated = None
        if not isinstance(stated, dict):
            yield Finding(
                "error",
                _FLAG,
                "Its value is no JSON object.",
                """write '{"method": "ngram", "num_speculative_tokens": 4}', in single quotes""",
            )
            return
    config: dict[str, Any] = stated | {key: _read(value) for key, value in dotted(command, _FLAG)}
    config |= {key: _read(command.value(flag)) for flag, key in _PARTS.items() if command.has(flag)}
    if config:
        yield from _keys(config)
        yield from _method(config, known)
        yield from _sampling(command, config, known)
        yield from check_depth("num_speculative_tokens", integer(config.get("num_speculative_tokens")), known)
        yield from check_context(
            "model",
            _text(config.get("model")),
            integer(config.get("max_model_len")),
            integer(command.value("--max-model-len")),
            known,
        )


def _read(value: str | None) -> Any:
    """A value as vLLM reads a part of JSON: a number if it is one, else text."""
    try:
        return json.loads(value or "null")
    except ValueError:
        return value


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _keys(config: Mapping[str, Any]) -> Iterator[Finding]:
    for key in config:
        if key in VLLM_KEYS_REMOVED:
            yield Finding("error", key, "vLLM has no such key any more.", VLLM_KEYS_REMOVED[key])
        elif key not in VLLM_KEYS:
            yield from check_value(key, key, VLLM_KEYS)
    tokens = config.get("num_speculative_tokens")
    if tokens is not None and (not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 1):
        yield Finding(
            "error", "num_speculative_tokens", f"{tokens!r} is no number of tokens.", "write a number from 1 on"
        )
    if tokens is None and config.get("method") not in {"suffix", "dflash", "dspark", "mtp"}:
        yield Finding(
            "error",
            "num_speculative_tokens",
            "It is missing.",
            'write "num_speculative_tokens": 4, or the depth you measured',
        )


def _method(config: Mapping[str, Any], known: Known) -> Iterator[Finding]:
    method, model = _text(config.get("method")), _text(config.get("model"))
    if method is None and model is None:
        yield Finding(
            "error", "method", "Neither method nor model is given.", f"write one of {', '.join(VLLM_METHODS)}"
        )
        return
    if method is not None and not method.endswith("_mtp"):
        yield from check_value("method", method, VLLM_METHODS, VLLM_METHODS_REMOVED)
    if method in _WITH_WEIGHTS and model is None:
        yield Finding("error", "model", f"The method {method} needs weights.", 'write "model": "OWNER/NAME"')
    kind = known.kind_of(model) if model is not None else None
    if kind is not None and method is not None and method in _WITH_WEIGHTS and kind != method:
        instead = VLLM_METHODS_REMOVED.get(kind, f'write "method": "{kind}"')
        yield Finding("error", "method", f"{model} is made for {kind}, not for {method}.", instead)


def _sampling(command: Command, config: Mapping[str, Any], known: Known) -> Iterator[Finding]:
    rule = config.get("rejection_sample_method", "standard")
    if rule == "synthetic":
        yield Finding(
            "error",
            "rejection_sample_method",
            "With synthetic acceptance the text is not the model's.",
            "leave it out, except to measure speed",
        )
        yield from _synthetic(config)
    elif rule == "fly":
        yield Finding(
            "error",
            "rejection_sample_method",
            "fly accepts tokens that the target would not have chosen: the output changes.",
            "write standard or block",
        )
    elif rule not in _KEEPS_OUTPUT:
        yield from check_value("rejection_sample_method", str(rule), (*_KEEPS_OUTPUT, "synthetic", "fly"))
    drafting = config.get("draft_sample_method", "greedy")
    yield from check_value("draft_sample_method", str(drafting), ("greedy", "probabilistic"))
    temperature = _temperature(command, known)
    if drafting == "greedy" and temperature and config.get("method") in _DRAWING:
        yield Finding(
            "warning",
            "draft_sample_method",
            f"Drafts are greedy and requests are sampled at temperature {temperature:g}: a drafted token is accepted "
            "with probability p(argmax q), not with the usually larger sum of min(p, q).",
            'write "draft_sample_method": "probabilistic"',
        )


def _temperature(command: Command, known: Known) -> float | None:
    """Of the requests: as stated, else as the command sets it."""
    if known.temperature is not None:
        return known.temperature
    overridden = _read(command.value("--override-generation-config"))
    return number(overridden.get("temperature")) if isinstance(overridden, dict) else None


def _synthetic(config: Mapping[str, Any]) -> Iterator[Finding]:
    rates, length = config.get("synthetic_acceptance_rates"), config.get("synthetic_acceptance_length")
    if (rates is None) == (length is None):
        yield Finding(
            "error",
            "synthetic_acceptance_rates",
            "Either rates or a length has to be given, and not both.",
            "write what export-config prints",
        )
    if rates is None:
        return
    values = rates if isinstance(rates, list) and all(isinstance(rate, int | float) for rate in rates) else []
    tokens = integer(config.get("num_speculative_tokens"))
    rising = any(later > earlier for earlier, later in pairwise(values))
    if not values or rising or not all(0 <= rate <= 1 for rate in values) or (tokens and len(values) != tokens):
        yield Finding(
            "error",
            "synthetic_acceptance_rates",
            "They have to be as many as num_speculative_tokens, between 0 and 1, and must not rise: each is the share "
            "of the drafts that accepted this position and all before it.",
            "write what export-config prints",
        )
