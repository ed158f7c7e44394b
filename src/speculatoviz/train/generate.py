"""The target writes the dialogues that its heads are trained on (self-distillation), many at once in one pass.

No other text is needed: the questions are the target's own too, sampled from the user turn of its chat template.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from speculatoviz.errors import TrainError
from speculatoviz.models.base import PREFILL_TOKENS, Context, Feed, LanguageModel
from speculatoviz.train.dialogue import DialogueInProgress, Recipe, TemplateParts
from speculatoviz.train.store import Corpus, Dialogue, ShardWriter

SHARD_TOKENS = 16_384
RECIPE = Recipe()


@dataclass(slots=True)
class _Slot:
    context: Context
    dialogue: DialogueInProgress


def write_dialogues(
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
    """Add dialogues to a corpus until it holds `tokens` tokens, those of other processes included.

    The passes that write the text also give what is recorded: hidden states, and inputs of the corpus's inner layers.
    slots: dialogues that are written at once, each in a context of recipe.dialogue_tokens. pass_tokens: the most tokens
    of a pass. shard_tokens: the least of a shard. report: called after every pass with the tokens in the corpus and in
    this process. Raises TrainError for a target without a chat template or without inputs of inner layers, or a folder
    that cannot be written, ContextFullError if the contexts do not fit.
    """
    if corpus.layers and "layers" not in model.provides:
        raise TrainError(
            f"{model.description.runtime} gives no inputs of inner layers of {model.description.name}, which the head "
            "reads.",
            "Train a head that reads hidden states: eagle or medusa.",
        )
    writer = corpus.writer()
    try:
        template = TemplateParts.of(model.tokenizer)
        batch = _DialogueBatch(model, writer, template, recipe, seed, slots, pass_tokens, corpus.layers)
        while (held := corpus.counts().tokens) < tokens:
            batch.write_shard(min(shard_tokens, tokens - held), held, report)
    finally:
        writer.close()


class _DialogueBatch:
    """The dialogues that are written at once; a finished one is replaced by a new one."""

    def __init__(
        self,
        model: LanguageModel,
        writer: ShardWriter,
        template: TemplateParts,
        recipe: Recipe,
        seed: int,
        slots: int,
        pass_tokens: int,
        layers: tuple[int, ...],
    ) -> None:
        self._model, self._writer, self._template, self._recipe = model, writer, template, recipe
        self._seed = seed * 1000 + writer.number
        self._pass_tokens, self._layers = pass_tokens, layers
        self._next = writer.next_dialogue
        self._slots = [_Slot(model.open(recipe.dialogue_tokens), self._begin()) for _ in range(slots)]

    def write_shard(self, tokens: int, held: int, report: Callable[[int], None]) -> None:
        """Write one shard of at least `tokens` tokens. held: tokens of the corpus before."""
        finished: list[Dialogue] = []
        while (done := sum(map(len, finished))) < tokens:
            finished += self._pass()
            report(held + done)
        self._writer.write(finished, self._next, asdict(self._recipe))

    def _begin(self) -> DialogueInProgress:
        self._next += 1
        return DialogueInProgress(self._template, self._recipe, self._seed, self._next - 1)

    def _pass(self) -> list[Dialogue]:
        """One pass over all dialogues. Returns the finished ones that are kept."""
        counts = shares([len(slot.dialogue.todo) for slot in self._slots], self._pass_tokens)
        fed = [(slot, count) for slot, count in zip(self._slots, counts, strict=True) if count]
        layers = self._layers
        rows = self._model.forward(
            [Feed(slot.context, slot.dialogue.todo[:count], hidden=True, layers=layers) for slot, count in fed]
        )
        ended: list[Dialogue] = []
        for (slot, count), row in zip(fed, rows, strict=True):
            assert row.hidden is not None
            slot.dialogue.fed(count, row.hidden, row.logits[-1], row.layers)
            if slot.dialogue.length < slot.context.length:
                slot.context.keep(slot.dialogue.length)
            if slot.dialogue.done:
                ended += [] if slot.dialogue.dropped else [slot.dialogue.dialogue()]
                slot.context.keep(0)
                slot.dialogue = self._begin()
        return ended


def shares(wanted: Sequence[int], most: int) -> list[int]:
    """How many tokens of a pass each dialogue gets: one each, then the rest to the first ones that want more."""
    counts = [min(1, count) for count in wanted]
    left = most - sum(counts)
    for place, count in enumerate(wanted):
        more = min(left, count - counts[place])
        counts[place] += more
        left -= more
    return counts
