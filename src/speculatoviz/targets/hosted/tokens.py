"""Tokens in what OpenAI-compatible endpoints take and return: ids where they are offered, else checked text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

from speculatoviz.errors import TargetError
from speculatoviz.models.base import Tokenizer
from speculatoviz.models.tokenizers.control import ControlNames
from speculatoviz.targets.hosted.answers import Choice, Logprobs, TokenEntry
from speculatoviz.targets.hosted.api import UNKNOWN_TOKEN, ScoredToken

_ID = "token_id:"  # the prefix with which vLLM writes ids as text
_UNSETTLED = 4  # tokens at the end of a growing text that more text can still change
_SHOWN_CHARACTERS = 40


class Reader:
    """Reads the tokens in one endpoint's answers with a tokenizer of this machine.

    as_text: the endpoint takes no ids. Then it is sent text, and only text that is tokenized to the very same ids.
    """

    def __init__(self, tokenizer: Tokenizer, as_text: bool = False) -> None:
        self.tokenizer, self.as_text = tokenizer, as_text

    # What is sent.

    def prompt(self, ids: Sequence[int]) -> list[int] | str:
        """What to send for these ids. Raises TargetError if no text is tokenized to them."""
        if not self.as_text:
            return list(ids)
        text = self.text(ids)
        if text is None or self.tokenizer.encode(text, special=True) != list(ids):
            plain = b"".join(map(self.tokenizer.token_bytes, ids)).decode(errors="replace")
            if typed := self._control_names.find(plain):
                name = plain[typed[0].start : typed[0].end]
                raise TargetError(
                    f"The text so far contains {name!r} as plain text, and this endpoint takes text only, where it "
                    "would be a control token.",
                    "Leave it out, or choose an endpoint that takes token ids.",
                )
            raise TargetError(
                "The tokens so far are not what their text is tokenized to, and this endpoint takes text only.",
                "Choose the mode generate, or an endpoint that takes token ids.",
            )
        return text

    def readable(self, ids: Sequence[int], draft: Sequence[int]) -> int:
        """How many drafted tokens can follow `ids` in a prompt. Raises TargetError if `ids` cannot be one."""
        self.prompt(ids)
        for count in range(1, len(draft) + 1 if self.as_text else 1):
            try:
                self.prompt([*ids, *draft[:count]])
            except TargetError:
                return count - 1
        return len(draft)

    def text(self, ids: Sequence[int]) -> str | None:
        """The text of these tokens, control tokens by name; None if it ends inside a character."""
        raw = b"".join(self.tokenizer.token_bytes(t) or self.tokenizer.token_name(t).encode() for t in ids)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return None

    # What is returned.

    def drawn(self, choice: Choice) -> ScoredToken:
        """The one token of a choice with max_tokens=1. Raises TargetError if the choice does not identify it."""
        scored = self.scored(choice.logprobs)[-1:]
        if choice.ids:
            token = self.known_id(choice.ids[-1])
            if not scored:
                return ScoredToken(token)
            if scored[0].token not in {UNKNOWN_TOKEN, token}:
                raise TargetError(
                    f"The endpoint returned token {token}, and scores of token {scored[0].token} for it.",
                    "Choose another endpoint: this one contradicts itself.",
                )
            return scored[0]._replace(token=token)
        if scored and scored[0].token != UNKNOWN_TOKEN:
            self.known_id(scored[0].token)
            return scored[0]
        return ScoredToken(self._from_text(choice.text or "", choice.ended))

    def streamed(self, choices: Sequence[Choice]) -> list[int] | None:
        """The ids in a chunk of a stream; None if it has text alone."""
        for choice in choices:
            if choice.ids:
                return [self.known_id(token) for token in choice.ids]
            tokens = [scored.token for scored in self.scored(choice.logprobs)]
            if tokens and UNKNOWN_TOKEN not in tokens:
                return [self.known_id(token) for token in tokens]
        return None

    def scored(self, logprobs: Logprobs) -> list[ScoredToken]:
        """Every token that has scores, an echoed prompt's included.

        Lists of another length than that of the tokens are left out: it is unknown which token they belong to.
        """
        if logprobs.content:
            return [self._entry(entry) for entry in logprobs.content]
        count = len(logprobs.tokens)
        values = logprobs.token_logprobs if len(logprobs.token_logprobs) == count else (None,) * count
        tops = logprobs.top_logprobs if len(logprobs.top_logprobs) == count else (None,) * count
        by_id = any(isinstance(name, int) for name in logprobs.tokens)
        result = []
        for name, value, top in zip(logprobs.tokens, values, tops, strict=True):
            scores = [(self.named(other, by_id), logprob) for other, logprob in (top or {}).items()]
            result.append(_scored(self.named(name, by_id), value, scores))
        return result

    def known_id(self, token: int) -> int:
        """An id of the vocabulary. Raises TargetError for any other."""
        if not 0 <= token < self.tokenizer.n_vocab:
            raise TargetError(
                f"The endpoint returned token {token}, and the vocabulary here has {self.tokenizer.n_vocab} tokens.",
                "Name a local model of the same family as the endpoint's (--target-tokenizer).",
            )
        return token

    def named(self, name: str | int, by_id: bool = False) -> int:
        """The token of this name; UNKNOWN_TOKEN if no token or more than one has this text.

        by_id: the endpoint writes ids as plain numbers.
        """
        text = str(name)
        number = text.removeprefix(_ID)
        if (by_id or number != text) and number.isascii() and number.isdigit():
            return int(number)
        return self._by_text.get(text, UNKNOWN_TOKEN)

    def end_token(self) -> int:
        """The end token for an endpoint that ends without naming one. Of several it can be any: each ends the run.

        Raises TargetError if the tokenizer has none.
        """
        if not self.tokenizer.eos_ids:
            raise TargetError(
                "The endpoint ended its answer, and the tokenizer here has no end token.",
                "Name the end tokens with --stop-tokens.",
            )
        return min(self.tokenizer.eos_ids)

    def _entry(self, entry: TokenEntry) -> ScoredToken:
        """llama.cpp's form. While it drafts itself it reports 0 for accepted tokens, without alternatives."""
        missing = entry.logprob == 0.0 and not entry.top_logprobs
        scores = [(self._id_of(other), other.logprob) for other in entry.top_logprobs if other.logprob is not None]
        complete = len(scores) == len(entry.top_logprobs)
        return _scored(self._id_of(entry), None if missing else entry.logprob, scores if complete else [])

    def _id_of(self, entry: TokenEntry) -> int:
        return entry.id if entry.id is not None else self.named(entry.token or "")

    def _from_text(self, text: str, ended: bool) -> int:
        if not text and ended:
            return self.end_token()
        token = self.named(text)
        if token == UNKNOWN_TOKEN:
            raise TargetError(
                f"The endpoint returned the text {text[:_SHOWN_CHARACTERS]!r} and no token id, and no token or more "
                "than one has this text.",
                "Choose an endpoint that returns token ids, or the mode generate.",
            )
        return token

    @cached_property
    def _control_names(self) -> ControlNames:
        return ControlNames(
            {entry.piece.decode(errors="replace"): entry.id for entry in self.tokenizer.entries() if entry.control}
        )

    @cached_property
    def _by_text(self) -> Mapping[str, int]:
        """Tokens by their text. Endpoints show bytes outside UTF-8 as replacement characters, which many share."""
        found: dict[str, int] = {}
        for token, piece, control in self.tokenizer.entries():
            text = "" if control else piece.decode("utf-8", errors="replace")
            found[text] = UNKNOWN_TOKEN if text in found or "\ufffd" in text else token
        found.pop("", None)
        return found


def _scored(token: int, logprob: float | None, scores: Sequence[tuple[int, float]]) -> ScoredToken:
    """scores: (id, log p(id)) in any order; equal ones keep the endpoint's order.

    Of several unknown tokens the most probable one stays, so that it is seen to be the most probable of all.
    """
    best: dict[int, float] = {}
    for other, score in scores:
        best[other] = max(score, best.get(other, score))
    return ScoredToken(token, logprob, tuple(sorted(best.items(), key=lambda item: -item[1])))


class TextStream:
    """Turns text that arrives in pieces into tokens. The last tokens wait, as more text can change them."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer, self._text, self._given = tokenizer, "", 0

    def push(self, text: str) -> Iterator[int]:
        self._text += text
        return self._give(_UNSETTLED)

    def finish(self) -> Iterator[int]:
        """The tokens that waited."""
        return self._give(0)

    def _give(self, unsettled: int) -> Iterator[int]:
        if self._text:
            ids = self._tokenizer.encode(self._text, special=True)
            ready = ids[self._given : max(self._given, len(ids) - unsettled)]
            self._given += len(ready)
            yield from ready
