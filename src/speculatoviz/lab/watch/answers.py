"""The answer of another server, piece by piece: text, ends, counts, and statistics of its own speculation."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from speculatoviz.errors import BadRequestError
from speculatoviz.lab.engines import answers
from speculatoviz.lab.engines.statistics import Speculation

_MOST_BYTES = 32 << 20  # of an answer that is no stream, and of an event that does not end
_SERVERS = {"llama.cpp": "llama.cpp"}  # by the header `Server`


@dataclass(frozen=True, slots=True)
class TextPiece:
    """A piece of text. tokens: how many, if the answer shows it."""

    text: str
    tokens: int | None = None


@dataclass(slots=True)
class Totals:
    """What an answer reported by its end; None where it did not."""

    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    finish_reason: str | None = None
    speculation: Speculation | None = None
    engine: str | None = None
    error: str | None = None


@dataclass(slots=True)
class AnswerReader:
    """Reads the body of one answer. headers: names in lower case."""

    status: int
    headers: Mapping[str, str]
    totals: Totals = field(default_factory=Totals)
    readable: bool = True
    _waiting: bytearray = field(default_factory=bytearray)
    _length: int = 0  # of a text that comes whole every time, as SGLang's own route sends it
    _unpack: Any = None

    def __post_init__(self) -> None:
        self.totals.engine = _SERVERS.get(self.headers.get("server", ""))
        encoding = self.headers.get("content-encoding", "identity").lower()
        if encoding in {"gzip", "deflate"}:
            self._unpack = zlib.decompressobj(zlib.MAX_WBITS | 32)
        self.readable = encoding in {"gzip", "deflate", "identity", ""}

    @property
    def streamed(self) -> bool:
        """Whether the text comes in pieces."""
        return self.headers.get("content-type", "").startswith("text/event-stream")

    def push(self, data: bytes) -> list[TextPiece]:
        """The pieces of text that a part of the body completes."""
        if not self.readable:
            return []
        try:
            self._waiting += self._unpack.decompress(data, _MOST_BYTES) if self._unpack is not None else data
        except zlib.error:
            self.readable = False
            return []
        if len(self._waiting) > _MOST_BYTES:
            self.readable = False
            self._waiting.clear()
            return []
        return [piece for value in self._events() for piece in self._pieces(value)] if self.streamed else []

    def finish(self) -> list[TextPiece]:
        """The pieces of an answer that is no stream."""
        if self.streamed or not self.readable or not self._waiting:
            return []
        try:
            value = json.loads(self._waiting)
        except (ValueError, RecursionError):
            return []
        return list(self._pieces(value))

    def _events(self) -> Iterator[Any]:
        """The JSON values of the events that have ended. [DONE] and comments are none."""
        while (found := _event_end(self._waiting)) is not None:
            event, end = bytes(self._waiting[: found[0]]), found[1]
            del self._waiting[:end]
            lines = [line[5:].strip() for line in event.splitlines() if line.startswith(b"data:")]
            try:
                yield json.loads(b"\n".join(lines))
            except (ValueError, RecursionError):
                continue

    def _pieces(self, value: Any) -> Iterator[TextPiece]:
        if not isinstance(value, dict):
            if isinstance(value, list):
                for one in value:
                    yield from self._pieces(one)
            return
        self._count(value)
        text, tokens = self._text(value)
        if text:
            yield TextPiece(text, tokens)

    def _text(self, value: Mapping[str, Any]) -> tuple[str, int | None]:
        choices = value.get("choices")
        if isinstance(choices, list):
            first = next((one for one in choices if isinstance(one, dict) and one.get("index", 0) == 0), {})
            self._end(first.get("finish_reason"))
            return _of_choice(first), _tokens_of(first)
        if isinstance(value.get("content"), str):  # llama-server's own route
            if value.get("stop"):
                self._end(value.get("stop_type") or "stop")
            ids = value.get("tokens")
            return value["content"], len(ids) if isinstance(ids, list) and ids else None
        if isinstance(value.get("text"), str):  # SGLang's own route: the whole text every time
            meta = _part(value, "meta_info")
            reason = meta.get("finish_reason")
            self._end(reason.get("type") if isinstance(reason, dict) else reason)
            new = value["text"][self._length :]
            self._length = len(value["text"])
            return new, None
        return "", None

    def _end(self, reason: object) -> None:
        if isinstance(reason, str):
            self.totals.finish_reason = reason

    def _count(self, value: Mapping[str, Any]) -> None:
        totals = self.totals
        usage, timings, meta = _part(value, "usage"), _part(value, "timings"), _part(value, "meta_info")
        cached = _part(usage, "prompt_tokens_details").get("cached_tokens")
        totals.cached_tokens = _known(cached, timings.get("cache_n"), meta.get("cached_tokens"), totals.cached_tokens)
        prompt = timings.get("prompt_n")
        whole = prompt + (_known(timings.get("cache_n")) or 0) if isinstance(prompt, int) else None
        totals.prompt_tokens = _known(
            usage.get("prompt_tokens"), whole, meta.get("prompt_tokens"), totals.prompt_tokens
        )
        totals.completion_tokens = _known(
            usage.get("completion_tokens"),
            timings.get("predicted_n"),
            meta.get("completion_tokens"),
            totals.completion_tokens,
        )
        error = value.get("error")
        if error:
            totals.error = str(error.get("message") if isinstance(error, dict) else error)[:300]
        try:
            for record in answers.records(value):
                totals.speculation = record
                totals.engine = totals.engine or record.source.partition(",")[0]
        except BadRequestError:  # figures that cannot be: the text is still one
            return


def _event_end(data: bytearray) -> tuple[int, int] | None:
    """Where the first event ends, and where the next one begins: after an empty line."""
    found = [(at, at + len(mark)) for mark in (b"\n\n", b"\r\n\r\n", b"\r\r") if (at := data.find(mark)) >= 0]
    return min(found) if found else None


def _of_choice(choice: Mapping[str, Any]) -> str:
    parts = _part(choice, "delta") or _part(choice, "message")
    found = [choice.get("text"), parts.get("reasoning_content"), parts.get("reasoning"), parts.get("content")]
    calls = parts.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        function = _part(call, "function") if isinstance(call, dict) else {}
        found += [function.get("name"), function.get("arguments")]
    return "".join(text for text in found if isinstance(text, str))


def _tokens_of(choice: Mapping[str, Any]) -> int | None:
    """How many tokens a piece has, where ids or log-probabilities show it."""
    ids = choice.get("token_ids")
    if isinstance(ids, list) and ids:
        return len(ids)
    logprobs = _part(choice, "logprobs")
    listed = logprobs.get("content") or logprobs.get("tokens")
    return len(listed) if isinstance(listed, list) and listed else None


def _part(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _known(*values: object) -> int | None:
    """The first that is a count."""
    counts = (v for v in values if isinstance(v, int) and not isinstance(v, bool) and 0 <= v <= 1 << 53)
    return next(counts, None)
