"""A toy target with a chat template and hidden states: what writes dialogues in tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from speculatoviz.core.types import Floats
from speculatoviz.models.base import Capability, Feed, Message, Rows
from speculatoviz.models.runtimes.toy import ALPHABET, ToyContext, ToyModel, ToyTokenizer
from support.tiny_heads import TinyRows, state


class TemplatedTokenizer(ToyTokenizer):
    """Every turn is a letter for who speaks, a space, the text and a line feed."""

    def render_chat(self, messages: Sequence[Message]) -> str:
        turns = [f"{message['role'][0]} {message['content']}\n" for message in messages]
        return "".join(turns) + "a "


class StatedToy(ToyModel):
    """Its states are those of `tiny_heads.state`, and its logits their products with the output rows of `rows`.

    passes: how many tokens each pass fed to each context.
    """

    provides: frozenset[Capability] = frozenset({"hidden"})

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed, ALPHABET)
        self.tokenizer = TemplatedTokenizer(ALPHABET)
        self.rows = TinyRows(self.tokenizer.n_vocab)
        self.passes: list[list[int]] = []

    def logits(self, prefix: Sequence[int]) -> Floats:
        every = np.arange(self.tokenizer.n_vocab, dtype=np.int32)
        return self.rows.output(every) @ state(prefix)

    def forward(self, feeds: Sequence[Feed]) -> list[Rows]:
        before = [feed.context.length for feed in feeds]
        rows = super().forward(feeds)
        self.passes.append([len(feed.tokens) for feed in feeds])
        return [
            Rows(row.logits, np.array([state(held(feed)[: start + n + 1]) for n in range(len(feed.tokens))]))
            for feed, row, start in zip(feeds, rows, before, strict=True)
        ]


def held(feed: Feed) -> list[int]:
    assert isinstance(feed.context, ToyContext)
    return feed.context.tokens
