"""Tokens in what OpenAI-compatible endpoints take and answer: ids where they are offered, else checked text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from speculatoviz.core.text import printable
from speculatoviz.errors import TargetError
from speculatoviz.models.base import Tokenizer
from speculatoviz.targets.hosted.endpoint import Json
from speculatoviz.targets.hosted.modes import UNKNOWN, Said

_ID = "token_id:"  # vLLM writes ids as text like this
_HELD = 4  # tokens at the end of a growing text that more text may still change


class Reader:
    """Reads one endpoint's answers with the tokenizer at hand.

    as_text: the endpoint takes no ids. It is sent text then, and only text that reads back as the very same ids.
    """

    def __init__(self, tokenizer: Tokenizer, as_text: bool = False) -> None:
        self.tokenizer, self.as_text = tokenizer, as_text

    def prompt(self, ids: Sequence[int]) -> list[int] | str:
        """What to send for these ids. Raises TargetError where no text reads back as them."""
        if not self.as_text:
            return list(ids)
        text = self.text(ids)
        if text is None or self.tokenizer.encode(text, special=True) != list(ids):
            raise TargetError(
                "The tokens so far do not read back as themselves from text, and this endpoint takes text only.",
                "Choose the mode generate, or an endpoint that takes token ids.",
            )
        return text

    def readable(self, ids: Sequence[int], draft: Sequence[int]) -> int:
        """How many drafted tokens can follow `ids` in a prompt. Raises TargetError where `ids` cannot be one."""
        self.prompt(ids)
        for count in range(1, len(draft) + 1 if self.as_text else 1):
            try:
                self.prompt([*ids, *draft[:count]])
            except TargetError:
                return count - 1
        return len(draft)

    def text(self, ids: Sequence[int]) -> str | None:
        """The text that these tokens write, control tokens by name; None where it is not whole characters."""
        raw = b"".join(self.tokenizer.token_bytes(t) or self._name(t) for t in ids)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return None

    def drawn(self, choice: Json) -> Said:
        """The one token of a choice with max_tokens=1."""
        told = _logprobs(choice, self.named)
        ids = choice.get("token_ids") or choice.get("tokens")  # vLLM's name, Cerebras' name
        if ids:
            token = int(ids[-1])
            return told[-1]._replace(token=token) if told else Said(token)
        if told and told[-1].token != UNKNOWN:
            return told[-1]
        return Said(self._from_text(choice.get("text") or "", choice.get("finish_reason")))

    def streamed(self, chunk: Json) -> list[int] | None:
        """Ids that a chunk of a stream brings; None where it tells text alone."""
        for choice in chunk.get("choices") or ():
            ids = choice.get("token_ids") or choice.get("tokens")
            if ids:
                return [int(token) for token in ids]
            told = [said.token for said in _logprobs(choice, self.named)]
            if told and UNKNOWN not in told:
                return told
        return None

    def named(self, name: str) -> int:
        """The token of this text, UNKNOWN where several tokens write it or none does."""
        if name.startswith(_ID):
            return int(name.removeprefix(_ID))
        return self._by_text.get(name, UNKNOWN)

    def ended(self) -> int:
        """The end token for an endpoint that ends without saying with which. Of several it may be any: all end."""
        return min(self.tokenizer.eos_ids)

    def _from_text(self, text: str, finish_reason: object) -> int:
        if not text and finish_reason == "stop" and self.tokenizer.eos_ids:
            return self.ended()
        token = self.named(text)
        if token == UNKNOWN:
            raise TargetError(
                f"The endpoint answered {text[:40]!r}, and does not say which token that is.",
                "Choose an endpoint that returns token ids, or the mode generate.",
            )
        return token

    def _name(self, token: int) -> bytes:
        return self.tokenizer.token_name(token).encode()

    @cached_property
    def _by_text(self) -> dict[str, int]:
        """Tokens by their text. Endpoints show bytes outside UTF-8 as replacement characters, which many share."""
        found: dict[str, int] = {}
        for token, piece, control in self.tokenizer.entries():
            text = "" if control else piece.decode("utf-8", errors="replace")
            found[text] = UNKNOWN if text in found or "\ufffd" in text else token
        found.pop("", None)
        return found


class TextStream:
    """Ids from a growing text: those at its end wait until more text cannot change them."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer, self._text, self._given = tokenizer, "", 0

    def push(self, text: str) -> Iterator[int]:
        self._text += text
        return self._give(_HELD)

    def finish(self) -> Iterator[int]:
        return self._give(0)

    def _give(self, held: int) -> Iterator[int]:
        if self._text:
            ids = self._tokenizer.encode(self._text, special=True)
            ready = ids[self._given : max(self._given, len(ids) - held)]
            self._given += len(ready)
            yield from ready


def places(choice: Json, reader: Reader) -> list[Said]:
    """What is told of every token of a choice, the echoed prompt's included."""
    return _logprobs(choice, reader.named)


def _logprobs(choice: Json, named: Any) -> list[Said]:
    logprobs = choice.get("logprobs") or {}
    if content := logprobs.get("content"):  # llama.cpp's: by id
        return [_by_id(entry, named) for entry in content]
    names = logprobs.get("tokens") or ()
    values = logprobs.get("token_logprobs") or (None,) * len(names)
    tops = logprobs.get("top_logprobs") or (None,) * len(names)
    result = []
    for name, value, top in zip(names, values, tops, strict=True):
        ranked = sorted((top or {}).items(), key=lambda item: -item[1])
        result.append(Said(named(str(name)), value, tuple((named(str(n)), lp) for n, lp in ranked)))
    return result


def _by_id(entry: Json, named: Any) -> Said:
    def token(of: Json) -> int:
        return int(of["id"]) if "id" in of else int(named(str(of["token"])))

    tops = entry.get("top_logprobs") or ()
    return Said(token(entry), entry["logprob"], tuple((token(of), of["logprob"]) for of in tops))


def shown(ids: Sequence[int], tokenizer: Tokenizer) -> str:
    """Tokens as an error shows them."""
    return printable(b"".join(tokenizer.token_bytes(token) for token in ids))
