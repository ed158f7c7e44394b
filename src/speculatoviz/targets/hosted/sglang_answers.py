"""What SGLang's `/generate` answers, read as in `answers`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, model_validator

from speculatoviz.core.rounds import Usage
from speculatoviz.targets.hosted.answers import Body, Count, Duration, Id, Logprob, Maybe, Part


def _two(value: object) -> object:
    return value[:2] if isinstance(value, list) else value


Scored = Annotated[tuple[Logprob | None, Id], BeforeValidator(_two)]  # [log-probability, id, text]


class FinishReason(Part):
    """matched: the end token, where one ended the answer."""

    matched: Id | None = None


class MetaInfo(Part):
    """What SGLang reports of one answer. e2e_latency: in seconds."""

    finish_reason: FinishReason = FinishReason()
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    cached_tokens: Count | None = None
    e2e_latency: Duration | None = None
    input_token_logprobs: tuple[Maybe[Scored], ...] = ()
    input_top_logprobs: tuple[Maybe[tuple[Scored, ...]], ...] = ()
    output_token_logprobs: tuple[Maybe[Scored], ...] = ()
    output_top_logprobs: tuple[Maybe[tuple[Scored, ...]], ...] = ()


class Generated(Body):
    """One answer of SGLang's /generate, or a chunk of its stream."""

    output_ids: tuple[Id, ...] = ()
    meta_info: MetaInfo = MetaInfo()


class GeneratedList(Body):
    """The answers of /generate: an object for one prompt, a list for several."""

    items: tuple[Generated, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _in_a_list(cls, value: object) -> object:
        return {"items": value if isinstance(value, list) else [value]}

    def usage(self, calls: int, sent_bytes: int, received_bytes: int) -> Usage:
        """The sums over the answers; None where one of them does not report it."""
        metas = [item.meta_info for item in self.items]
        return Usage(
            calls=calls,
            prompt_tokens=_total([meta.prompt_tokens for meta in metas]),
            completion_tokens=_total([meta.completion_tokens for meta in metas]),
            cached_tokens=_total([meta.cached_tokens for meta in metas]),
            sent_bytes=sent_bytes,
            received_bytes=received_bytes,
        )

    def server_ms(self) -> float | None:
        """The time of the slowest answer."""
        times_s = [item.meta_info.e2e_latency for item in self.items]
        known_s = [time_s for time_s in times_s if time_s is not None]
        return max(known_s) * 1000 if known_s and len(known_s) == len(times_s) else None


def _total(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None
