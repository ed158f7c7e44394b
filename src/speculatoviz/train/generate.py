"""The target writes dialogues with itself, many at once in one pass (self-distillation).

Its text is what a head has to learn, and nothing else is needed: no corpus of others, no prompts. The questions are
its own too, sampled from its own chat template's empty user turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from speculatoviz.models.base import PREFILL_TOKENS, Context, Feed, LanguageModel
from speculatoviz.train.dialogue import Recipe, Script, Writing
from speculatoviz.train.store import Corpus, Dialogue, Writer

SHARD_TOKENS = 16_384
RECIPE = Recipe()


@dataclass(slots=True)
class _Slot:
    context: Context
    writing: Writing


def write(
    model: LanguageModel,
    corpus: Corpus,
    tokens: int,
    *,
    seed: int,
    slots: int = 16,
    recipe: Recipe = RECIPE,
    pass_tokens: int = PREFILL_TOKENS,
    shard_tokens: int = SHARD_TOKENS,
    report: Callable[[int], None] = lambda _tokens: None,
) -> None:
    """Add dialogues until the folder holds `tokens` of them, whoever else writes into it.

    slots: dialogues under way at once, each with a context of recipe.dialogue_tokens. pass_tokens: the most a pass of
    this model takes. report: told the tokens in the folder, and of those written since, after every pass.
    Raises TrainError for a target without a chat template, ContextFullError where the contexts do not fit.
    """
    writer = corpus.writer()
    try:
        pen = _Pen(model, writer, Script.of(model.tokenizer), recipe, seed, slots, pass_tokens)
        while (held := corpus.counts().tokens) < tokens:
            pen.fill(min(shard_tokens, tokens - held), held, report)
    finally:
        writer.close()


class _Pen:
    """Keeps `slots` dialogues going, across shards."""

    def __init__(
        self,
        model: LanguageModel,
        writer: Writer,
        script: Script,
        recipe: Recipe,
        seed: int,
        slots: int,
        pass_tokens: int,
    ) -> None:
        self._model, self._writer, self._script, self._recipe = model, writer, script, recipe
        self._seed = seed * 1000 + writer.number
        self._pass_tokens = pass_tokens
        self._next = writer.next_dialogue
        self._slots = [_Slot(model.open(recipe.dialogue_tokens), self._begin()) for _ in range(slots)]

    def fill(self, tokens: int, held: int, report: Callable[[int], None]) -> None:
        """Write one shard, of at least so many tokens beside those `held`."""
        finished: list[Dialogue] = []
        while (done := sum(map(len, finished))) < tokens:
            finished += self._pass()
            report(held + done)
        self._writer.write(finished, self._next)

    def _begin(self) -> Writing:
        self._next += 1
        return Writing(self._script, self._recipe, self._seed, self._next - 1)

    def _pass(self) -> list[Dialogue]:
        """One pass over all dialogues; those it ended."""
        counts = _shares([len(slot.writing.todo) for slot in self._slots], self._pass_tokens)
        fed = [(slot, count) for slot, count in zip(self._slots, counts, strict=True) if count]
        rows = self._model.forward([Feed(s.context, s.writing.todo[:count], hidden=True) for s, count in fed])
        ended: list[Dialogue] = []
        for (slot, count), row in zip(fed, rows, strict=True):
            assert row.hidden is not None
            slot.writing.fed(count, row.hidden, row.logits[-1])
            if slot.writing.length < slot.context.length:
                slot.context.keep(slot.writing.length)
            if slot.writing.done:
                ended += [] if slot.writing.dropped else [slot.writing.dialogue()]
                slot.context.keep(0)
                slot.writing = self._begin()
        return ended


def _shares(wanted: Sequence[int], most: int) -> list[int]:
    """How many tokens each gets of a pass: one each first, and what is left to the first that want more."""
    shares = [min(1, count) for count in wanted]
    left = most - sum(shares)
    for place, count in enumerate(wanted):
        more = min(left, count - shares[place])
        shares[place] += more
        left -= more
    return shares
