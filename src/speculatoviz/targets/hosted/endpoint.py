"""One HTTP endpoint of a third party, over the official OpenAI SDK: calls, retries, costs, limits, errors in words."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import openai

from speculatoviz.core.rounds import Usage
from speculatoviz.errors import TargetError

Json = dict[str, Any]

_TOLD = 400  # characters of an endpoint's own words that are repeated
_NO_KEY = "none"  # the SDK wants a key; servers without one ignore it
_LIMIT = re.compile(r"x-ratelimit-(limit|remaining)-(\w+?)(?:-(\w+))?$")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for what. longest_wait_s: a Retry-After beyond it is not waited for, but said."""

    connect_s: float = 10.0
    read_s: float = 120.0
    retries: int = 4
    longest_wait_s: float = 20.0
    connections: int = 64


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back of one call: the JSON body, what it took, and the endpoint's own time where it tells it."""

    body: Json
    usage: Usage
    server_ms: float | None


@dataclass(slots=True)
class Bill:
    """What the calls of one verification took together."""

    usage: Usage = field(default_factory=lambda: Usage(0, 0, 0, 0, 0, 0))
    server_ms: float | None = 0.0

    def add(self, answers: Iterable[Answer]) -> None:
        """Add calls that were made side by side: the endpoint's time is that of the slowest."""
        told: list[float | None] = []
        for answer in answers:
            self.usage += answer.usage
            told.append(answer.server_ms)
        slowest = None if None in told else max((ms for ms in told if ms is not None), default=0.0)
        self.server_ms = None if self.server_ms is None or slowest is None else self.server_ms + slowest


class Endpoint:
    """A base URL with a key. The SDK retries what may be tried again, after the time a Retry-After header asks for.

    transport: what requests go through, for tests. Every call raises TargetError in words that never hold the key;
    cancelling the task that calls ends the call, its waiting and its retries.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        patience: Patience = Patience(),
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.url, self._key, self._patience = url.rstrip("/"), api_key, patience
        self.limits: dict[str, str] = {}
        self.waits = 0
        self.probing = False  # then a failure is an answer: it is not tried again
        timeout = httpx2.Timeout(patience.read_s, connect=patience.connect_s)
        self._http = httpx2.AsyncClient(
            base_url=self.url,
            timeout=timeout,
            transport=transport,
            limits=httpx2.Limits(max_connections=patience.connections, max_keepalive_connections=patience.connections),
            event_hooks={"response": [self._look_at]},
        )
        self._client = openai.AsyncOpenAI(
            api_key=api_key or _NO_KEY,
            base_url=self.url,
            timeout=timeout,
            max_retries=patience.retries,
            http_client=self._http,
        )

    async def complete(self, model: str, fields: Mapping[str, object]) -> Answer:
        """POST /completions; fields beyond the SDK's own go along as they are."""
        return await self.post("/completions", {"model": model, **fields})

    async def post(self, path: str, body: Mapping[str, object]) -> Answer:
        """path: below the base URL, or a whole URL."""
        try:
            response = await self._client.post(path, cast_to=httpx2.Response, body=dict(body))
            return self._answer(response)
        except openai.APIError as error:
            raise self._in_words(error) from None

    async def get(self, path: str) -> Answer:
        try:
            return self._answer(await self._client.get(path, cast_to=httpx2.Response))
        except openai.APIError as error:
            raise self._in_words(error) from None

    async def stream(self, model: str, fields: Mapping[str, Any]) -> AsyncIterator[Json]:
        """The chunks of a streaming /completions, or of /chat/completions where there are `messages`."""
        extra = {key: value for key, value in fields.items() if key not in {"prompt", "messages"}}
        try:
            if "messages" in fields:
                chat = await self._client.chat.completions.create(
                    model=model, messages=fields["messages"], stream=True, extra_body=extra
                )
                async with chat:
                    async for chunk in chat:
                        yield chunk.to_dict()
                return
            text = await self._client.completions.create(
                model=model, prompt=fields["prompt"], stream=True, extra_body=extra
            )
            async with text:
                async for piece in text:
                    yield piece.to_dict()
        except openai.APIError as error:
            raise self._in_words(error) from None
        except httpx2.HTTPError as error:
            raise TargetError(
                f"The stream from {self.url} was cut off ({type(error).__name__}).", "Try again."
            ) from None

    async def events(self, path: str, body: Mapping[str, object]) -> AsyncIterator[Json]:
        """The events of a stream that is not one of the SDK's own."""
        try:
            stream = await self._client.post(
                path, cast_to=object, body=dict(body), stream=True, stream_cls=openai.AsyncStream[object]
            )
            async with stream:
                async for event in stream:
                    if isinstance(event, dict):
                        yield event
        except openai.APIError as error:
            raise self._in_words(error) from None

    async def close(self) -> None:
        await self._client.close()

    def rate_limit(self) -> str | None:
        """The headroom that the last answers declared, in words; None where they declare none."""
        words = []
        for key, limit in sorted(self.limits.items()):
            action, of = key.split(" ", 1)
            if action == "limit":
                left = self.limits.get(f"remaining {of}")
                words.append(f"{limit} {of}" + (f" ({left} left)" if left is not None else ""))
        return ", ".join(words) or None

    def requests_per_minute(self) -> float | None:
        """What the declared limits on requests allow on average; None where none is declared."""
        minutes = {"": 1.0, " per minute": 1.0, " per hour": 60.0, " per day": 1440.0}
        rates = [
            float(limit) / minutes[key.removeprefix("limit requests")]
            for key, limit in self.limits.items()
            if key.startswith("limit requests") and limit.isdigit() and key.removeprefix("limit requests") in minutes
        ]
        return min(rates, default=None)

    async def _look_at(self, response: httpx2.Response) -> None:
        """Note declared limits, and keep the SDK from waiting longer than we are willing to."""
        for name, value in response.headers.items():
            if match := _LIMIT.match(name.lower()):
                action, of, period = match.groups()
                self.limits[f"{action} {of}" + (f" per {period}" if period else "")] = value
        wait_s = asked_to_wait_s(response.headers)
        if self.probing and wait_s is None and response.status_code >= 500:
            response.headers["x-should-retry"] = "false"
        if wait_s is None or response.status_code < 400:
            return
        if wait_s > self._patience.longest_wait_s:
            response.headers["x-should-retry"] = "false"
        else:
            self.waits += 1

    def _answer(self, response: httpx2.Response) -> Answer:
        try:
            body = response.json()
        except ValueError:
            raise TargetError(
                f"{self.url} answered something that is not JSON.", "Check that the address is that of the API."
            ) from None
        if not isinstance(body, dict):
            body = {"items": body}
        retries = int(response.request.headers.get("x-stainless-retry-count", "0"))
        usage = usage_of(body, retries + 1, len(response.request.content), response.num_bytes_downloaded)
        return Answer(body, usage, server_ms_of(body))

    def _in_words(self, error: openai.APIError) -> TargetError:
        if isinstance(error, openai.APITimeoutError):
            return TargetError(f"{self.url} did not answer in time.", "Try again, or choose a nearer endpoint.")
        if isinstance(error, openai.APIConnectionError):
            reason = type(error.__cause__).__name__ if error.__cause__ else "no connection"
            return TargetError(f"{self.url} cannot be reached ({reason}).", "Check the address and start the server.")
        if not isinstance(error, openai.APIStatusError):
            return TargetError(f"{self.url} answered what cannot be read: {self._told(error)}.", "Try again.")
        status = error.status_code
        if status in {401, 403}:
            return TargetError(f"{self.url} refuses the key (HTTP {status}).", "Set the endpoint's API key.")
        if status == 429:
            wait_s = asked_to_wait_s(error.response.headers)
            asked = "" if wait_s is None else f" and asks to wait {wait_s:.0f} s"
            return TargetError(
                f"{self.url} allows no more requests for now{asked}: {self._told(error)}.",
                "Wait, or choose an endpoint that allows a request per round.",
            )
        hint = "Check the model's name and the settings." if status < 500 else "Try again later."
        return TargetError(f"{self.url} answered HTTP {status}: {self._told(error)}.", hint)

    def _told(self, error: openai.APIError) -> str:
        """The endpoint's own words, without the key."""
        body = error.body
        inner = body.get("error", body) if isinstance(body, dict) else body
        words = inner.get("message", "") if isinstance(inner, dict) else inner
        text = str(words or error.message)
        if self._key:
            text = text.replace(self._key, "(key)")
        return text.strip().rstrip(".")[:_TOLD]


def usage_of(body: Json, calls: int, sent_bytes: int, received_bytes: int) -> Usage:
    """What an answer says it took. One that counts fewer completions than it holds counts one prompt of several."""
    told = body.get("usage") or {}
    partial = (told.get("completion_tokens") or 0) < len(body.get("choices") or ())
    return Usage(
        calls=calls,
        prompt_tokens=None if partial else told.get("prompt_tokens"),
        completion_tokens=None if partial else told.get("completion_tokens"),
        cached_tokens=None if partial else (told.get("prompt_tokens_details") or {}).get("cached_tokens"),
        sent_bytes=sent_bytes,
        received_bytes=received_bytes,
    )


def server_ms_of(body: Json) -> float | None:
    """The endpoint's own time: Cerebras' `time_info` (seconds), llama.cpp's `timings`; None where it is not told."""
    if total_s := (body.get("time_info") or {}).get("total_time"):
        return float(total_s) * 1000
    timings = body.get("timings")
    if timings and len(body.get("choices") or ()) == 1:  # of several prompts it tells one
        return float(timings["prompt_ms"]) + float(timings["predicted_ms"])
    return None


def asked_to_wait_s(headers: httpx2.Headers) -> float | None:
    """Seconds of `retry-after-ms` or `retry-after`; a date is read against the answer's own."""
    for name, per_second in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            return float(headers[name]) / per_second
        except (KeyError, ValueError):
            continue
    try:
        until, now = (parsedate_to_datetime(headers[name]) for name in ("retry-after", "date"))
        return (until - now).total_seconds()
    except (KeyError, ValueError, TypeError):
        return None
