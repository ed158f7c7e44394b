"""Tokens as the API names them, and their scores in the two shapes of `logprobs`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from speculatoviz.models.base import Tokenizer
from speculatoviz.server.api.answers import ChatLogprobs, CompletionLogprobs, TokenLogprob, TopLogprob


@dataclass(frozen=True, slots=True)
class ScoredToken:
    """A token with the target's raw scores (T=1, no filters), in nats; None where they are not known.

    text: what it adds to the visible text; empty inside a character. top: (id, log-probability) of the most probable
    tokens, most probable first.
    """

    id: int
    text: str
    logprob: float | None
    top: tuple[tuple[int, float], ...] = ()


class TokenNames:
    """Names tokens by their text, and control tokens by their name. by_id: as `token_id:ID`, as vLLM does."""

    def __init__(self, tokenizer: Tokenizer, by_id: bool = False) -> None:
        self._tokenizer, self._by_id = tokenizer, by_id

    def of(self, token: int) -> str:
        """The name of a token. Bytes that are no whole character become replacement characters."""
        return f"token_id:{token}" if self._by_id else self._text(token)

    def completion(self, tokens: Sequence[ScoredToken], count: int, offset: int) -> CompletionLogprobs:
        """The lists of `/v1/completions`. count: alternatives. offset: characters of the choice before these."""
        offsets = list[int]()
        for token in tokens:
            offsets.append(offset)
            offset += len(token.text)
        return CompletionLogprobs(
            tokens=[self.of(token.id) for token in tokens],
            token_logprobs=[_finite(token.logprob) for token in tokens],
            top_logprobs=[self._top(token, count) for token in tokens],
            text_offset=offsets,
        )

    def chat(self, tokens: Sequence[ScoredToken], count: int) -> ChatLogprobs:
        """The list of `/v1/chat/completions`. count: alternatives."""
        content = []
        for token in tokens:
            top = [self._entry(other, logprob) for other, logprob in token.top[:count]]
            own = self._entry(token.id, _finite(token.logprob))
            content.append(TokenLogprob(token=own.token, logprob=own.logprob, bytes=own.bytes, top_logprobs=top))
        return ChatLogprobs(content=content)

    def _top(self, token: ScoredToken, count: int) -> dict[str, float] | None:
        """The alternatives and the token itself; of tokens with one name, the most probable one."""
        if token.logprob is None:
            return None
        result: dict[str, float] = {}
        for other, logprob in (*token.top[:count], (token.id, token.logprob)):
            if math.isfinite(logprob):
                result.setdefault(self.of(other), logprob)
        return result

    def _entry(self, token: int, logprob: float | None) -> TopLogprob:
        raw = self._tokenizer.token_bytes(token)
        return TopLogprob(token=self.of(token), logprob=logprob, bytes=list(raw) or None)

    def _text(self, token: int) -> str:
        raw = self._tokenizer.token_bytes(token)
        return raw.decode(errors="replace") if raw else self._tokenizer.token_name(token)


def _finite(logprob: float | None) -> float | None:
    return logprob if logprob is None or math.isfinite(logprob) else None
