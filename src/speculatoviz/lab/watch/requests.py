"""What a request to another server asks for, as far as a run shows it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from speculatoviz.telemetry.parts import SamplingInfo

# The routes that generate text, by the end of their path: vLLM's, SGLang's and llama-server's.
_ROUTES = ("/chat/completions", "/completions", "/completion", "/generate")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request that generates text. A setting is None where the request leaves it to the server.

    prompt: its text; of ids their number. choices: answers that it asks for.
    """

    route: str
    model: str | None
    prompt: str
    temperature: float | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    max_tokens: int | None
    seed: int | None
    choices: int

    @property
    def sampling(self) -> SamplingInfo:
        """The sampling as events have it; what the request leaves open is what changes nothing."""
        return SamplingInfo(
            temperature=1.0 if self.temperature is None else self.temperature,
            top_k=max(0, self.top_k or 0),
            top_p=1.0 if self.top_p is None else self.top_p,
            min_p=self.min_p or 0.0,
        )


def wanted(method: str, target: str, body: bytes) -> Wanted | None:
    """The request, or None if it generates no text."""
    route = target.partition("?")[0]
    if method != "POST" or not route.endswith(_ROUTES):
        return None
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(asked, dict):
        return None
    inner = asked.get("sampling_params")
    options = {**inner, **asked} if isinstance(inner, dict) else asked
    number = _reader(options)
    return Wanted(
        route=route[:200],
        model=_text(asked.get("model")),
        prompt=_prompt(asked),
        temperature=number("temperature"),
        top_p=number("top_p"),
        top_k=_whole(number("top_k")),
        min_p=number("min_p"),
        max_tokens=_whole(number("max_completion_tokens", "max_tokens", "max_new_tokens", "n_predict")),
        seed=_whole(number("seed")),
        choices=_whole(number("n")) or 1,
    )


def _reader(options: Mapping[str, Any]) -> Callable[..., float | None]:
    def number(*names: str) -> float | None:
        found = (options.get(name) for name in names)
        return next((value for value in found if _is_number(value)), None)

    return number


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e18


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _text(value: object) -> str | None:
    return value[:200] if isinstance(value, str) and value else None


def _prompt(asked: Mapping[str, Any]) -> str:
    messages = asked.get("messages")
    if isinstance(messages, list):
        return "\n".join(_turn(message) for message in messages if isinstance(message, dict))
    for name in ("prompt", "text", "inputs", "input_ids"):
        if name in asked:
            return _given(asked[name])
    return ""


def _turn(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        content = "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return f"{message.get('role', '?')}: {content if isinstance(content, str) else ''}"


def _given(prompt: object) -> str:
    if isinstance(prompt, str):
        return prompt
    if isinstance(prompt, list) and prompt and all(isinstance(one, str) for one in prompt):
        return "\n".join(prompt)
    if isinstance(prompt, list) and prompt and all(isinstance(one, int) for one in prompt):
        return f"({len(prompt)} token ids)"
    return ""
