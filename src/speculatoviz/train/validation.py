"""Prompts that the user names: the target answers them greedily, and a head is scored on the answers by category.

The answers are kept in the folder of the corpus. No head is trained on them, and they choose no step of a training.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from speculatoviz.core.progress import Progress
from speculatoviz.errors import TrainError
from speculatoviz.models.base import Context, Feed, LanguageModel, Message, Rows, Tokenizer
from speculatoviz.models.tokenizers.chat import encode_chat
from speculatoviz.train.fill import writing_model
from speculatoviz.train.generate import shares
from speculatoviz.train.job import Questions, TrainJob
from speculatoviz.train.score import CategoryScores, ChainPredictor, HeldOutAnswers, Rounds, Score
from speculatoviz.train.store import AUTHORS, Corpus, Dialogue, Halves, alone, half
from speculatoviz.train.target import TargetMatrices

_LONGEST = 4096  # tokens of a prompt with its answer
_SLOTS = 16  # answers that are written at once
_LOCK = ".validation.lock"


class _Prompt(NamedTuple):
    """A prompt as the target reads it."""

    category: str
    ids: list[int]


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """Answered prompts. asked: the file that they are of. dialogues: each a prompt and its answer. categories: of each.
    left_out: prompts that are too long for the target. digest: of the prompts and the length of answers."""

    asked: Questions
    dialogues: Sequence[Dialogue]
    categories: Sequence[str]
    left_out: int
    digest: str


@dataclass(frozen=True, slots=True, eq=False)
class Validation:
    """Scores heads on answered prompts. answers: of answered.dialogues."""

    answered: Answered
    answers: HeldOutAnswers

    @classmethod
    def of(cls, answered: Answered, target: TargetMatrices) -> Validation:
        """target: with embeddings of the tokens of these dialogues."""
        return cls(answered, HeldOutAnswers.every(answered.dialogues, target))

    @property
    def digest(self) -> str:
        """Of what the scores are of."""
        return self.answered.digest

    def score(self, head: ChainPredictor, depth: int) -> CategoryScores:
        """Decode every answer with chains of `depth` tokens."""
        rounds, grouped = self.answers.rounds(head, depth), dict[str, list[Rounds]]()
        for (index, _, _), own in zip(self.answers.answers, rounds, strict=True):
            grouped.setdefault(self.answered.categories[index], []).append(own)
        by_category = {category: Score.of(grouped[category], depth) for category in sorted(grouped)}
        return CategoryScores(Score.of(rounds, depth), by_category)


def answered(
    job: TrainJob, corpus: Corpus, tokenizer: Tokenizer, context_tokens: int, report: Progress
) -> Answered | None:
    """The prompts of job.validate with the target's answers, which are written if they are not there.

    context_tokens: the most that the target reads. Raises TrainError if no prompt can be answered, or the folder of the
    corpus cannot be used, BadRequestError for a conversation that the target's template refuses.
    """
    asked = job.validate
    if asked is None:
        return None
    longest = min(_LONGEST, context_tokens) - asked.tokens
    prompts = _prompts(asked, tokenizer)
    fitting = [prompt for prompt in prompts if len(prompt.ids) <= longest]
    if not fitting:
        raise TrainError(
            f"No prompt of {asked.name} has at most {longest} tokens.", "Name a file of shorter ones with --validate."
        )
    digest = hashlib.sha256(json.dumps([asked.tokens, fitting]).encode()).hexdigest()[:16]
    path = corpus.folder / f"validation-{digest}.safetensors"
    with alone(corpus.folder / _LOCK, lambda: report("waiting: another process answers the prompts", None)):
        if not path.is_file():
            _write(job, corpus, path, fitting, asked.tokens, report)
    dialogues = list(corpus.read(path))
    categories = [prompt.category for prompt in fitting]
    return Answered(asked, dialogues, categories, len(prompts) - len(fitting), digest)


def _prompts(asked: Questions, tokenizer: Tokenizer) -> list[_Prompt]:
    conversations = [
        (question.category, [Message(role=role, content=content) for role, content in question.messages])
        for question in asked.questions
    ]
    return [_Prompt(category, encode_chat(tokenizer, messages)) for category, messages in conversations]


def _write(
    job: TrainJob, corpus: Corpus, path: Path, prompts: Sequence[_Prompt], tokens: int, report: Progress
) -> None:
    report("loading the target", None)
    size, slots = max(len(prompt.ids) for prompt in prompts) + tokens, min(_SLOTS, len(prompts))
    model = writing_model(job, slots, size, bool(corpus.layers))
    try:
        dialogues = write_answers(
            model,
            [prompt.ids for prompt in prompts],
            tokens,
            corpus.layers,
            slots=slots,
            pass_tokens=512 if job.write_with == "pytorch" else 64,
            report=lambda done: report("answering the prompts", done / len(prompts)),
        )
    finally:
        model.close()
    corpus.save(path, dialogues, {})


def write_answers(
    model: LanguageModel,
    prompts: Sequence[list[int]],
    tokens: int,
    layers: tuple[int, ...],
    *,
    slots: int,
    pass_tokens: int,
    report: Callable[[int], None] = lambda _done: None,
) -> list[Dialogue]:
    """Of each prompt, in order, a dialogue with the greedy answer of at most `tokens` tokens.

    The passes that write the answers also give what is stored: hidden states, and inputs of `layers`. slots: answers
    that are written at once. pass_tokens: the most tokens of a pass. report: called with the number of finished
    answers. Raises ContextFullError if the contexts do not fit.
    """
    waiting, running = list(enumerate(prompts))[::-1], dict[int, _Answer]()
    finished = dict[int, Dialogue]()
    while waiting or running:
        while waiting and len(running) < slots:
            number, prompt = waiting.pop()
            running[number] = _Answer(model.open(len(prompt) + tokens), list(prompt), tokens, model.tokenizer.eos_ids)
        counts = shares([len(answer.todo) for answer in running.values()], max(slots, pass_tokens))
        fed = [(number, count) for number, count in zip(running, counts, strict=True) if count]
        rows = model.forward([running[number].feed(count, layers) for number, count in fed])
        for (number, count), row in zip(fed, rows, strict=True):
            running[number].fed(count, row)
            if running[number].done:
                finished[number] = running.pop(number).dialogue()
                report(len(finished))
    return [finished[number] for number in range(len(prompts))]


@dataclass(slots=True)
class _Answer:
    """An answer that is being written. todo: the tokens to feed next."""

    context: Context
    todo: list[int]
    most: int
    ends: frozenset[int]
    done: bool = False
    tokens: list[int] = field(default_factory=list)
    written: int = 0
    states: list[Halves] = field(default_factory=list)
    layers: list[Halves] = field(default_factory=list)

    def feed(self, count: int, layers: tuple[int, ...]) -> Feed:
        return Feed(self.context, self.todo[:count], hidden=True, layers=layers)

    def fed(self, count: int, row: Rows) -> None:
        """Take the results of feeding the first `count` tokens of `todo`."""
        assert row.hidden is not None
        self.tokens += self.todo[:count]
        self.states.append(half(row.hidden))
        if row.layers is not None:
            self.layers.append(half(row.layers))
        del self.todo[:count]
        if not self.todo:
            token = int(row.logits[-1].argmax())
            self.done = self.written == self.most or token in self.ends
            if self.done:
                self.context.close()
            else:
                self.todo, self.written = [token], self.written + 1

    def dialogue(self) -> Dialogue:
        authors = np.full(len(self.tokens), AUTHORS.index("answer"), np.uint8)
        authors[: len(self.tokens) - self.written] = AUTHORS.index("question")
        layers = np.concatenate(self.layers) if self.layers else None
        return Dialogue(np.array(self.tokens, np.int32), authors, np.concatenate(self.states), layers)
