"""One dialogue that a target writes with itself: questions and answers, in its own chat template."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from speculatoviz.core.chance import Chance, seeded
from speculatoviz.core.sampling import distribution
from speculatoviz.core.types import Floats, Sampling
from speculatoviz.errors import BadRequestError, TrainError
from speculatoviz.models.base import LocalTokenizer, Message
from speculatoviz.models.tokenizers.control import after_beginning
from speculatoviz.train.store import AUTHORS, Author, Dialogue, Halves, half

_LOOP_TOKENS, _LOOP_TIMES = 12, 3  # a text with a sequence of 12 tokens for the third time is a loop
_QUESTION, _ANSWER, _AGAIN = "QUESTION", "ANSWER", "AGAIN"


@dataclass(frozen=True, slots=True)
class TemplateParts:
    """The chat template around what is written, as token ids.

    opening: before the first question. to_answer: from a question to its answer. to_question: from an answer to the
    next question. ends: the tokens that end a text or a turn. unguided: the opening with an empty system message, for
    templates that put a system message of their own; empty for others. words: words that a question can be made to
    begin with.
    """

    opening: tuple[int, ...]
    to_answer: tuple[int, ...]
    to_question: tuple[int, ...]
    ends: frozenset[int]
    unguided: tuple[int, ...] = ()
    words: tuple[tuple[int, ...], ...] = ()

    @classmethod
    def of(cls, tokenizer: LocalTokenizer) -> TemplateParts:
        """The parts of a tokenizer's template. Raises TrainError for a model without a chat template."""
        asked: list[Message] = [{"role": "user", "content": _QUESTION}]
        again: list[Message] = [
            *asked,
            {"role": "assistant", "content": _ANSWER},
            {"role": "user", "content": _AGAIN},
        ]
        opening, _, to_answer = tokenizer.render_chat(asked).partition(_QUESTION)
        to_question = tokenizer.render_chat(again).partition(_ANSWER)[2].partition(_AGAIN)[0]
        first = _beginning(tokenizer, opening)
        second, third = (tuple(tokenizer.encode(text, special=True)) for text in (to_answer, to_question))
        parts = cls(first, second, third, tokenizer.eos_ids, _unguided(tokenizer, first), _words(tokenizer))
        if not (parts.opening and parts.to_answer and parts.to_question and parts.ends):
            raise TrainError(
                "The target has no chat template with turns, so it cannot write questions and answers.",
                "Choose an instruct model.",
            )
        return parts


@dataclass(frozen=True, slots=True)
class Recipe:
    """How dialogues are written. Pairs are bounds between which each dialogue draws uniformly.

    question_tokens: the most tokens of a question. unguided: the share of dialogues whose first question is written
    after an empty system message and then answered after the template's own. (After its usual system message a model
    asks much the same every time.) opening_word: the share of questions that begin with a word drawn from the whole
    vocabulary. answer_tokens: the most tokens of an answer. question_temperature, answer_temperature: T of sampling.
    greedy_share: the share of answers that are greedy instead. second_turn: the share of dialogues with two turns.
    dialogue_tokens: the most tokens of a dialogue.
    """

    question_tokens: tuple[int, int] = (32, 256)
    unguided: float = 0.8
    opening_word: float = 0.25
    answer_tokens: int = 256
    question_temperature: tuple[float, float] = (0.7, 1.0)
    answer_temperature: tuple[float, float] = (0.7, 1.0)
    greedy_share: float = 0.5
    second_turn: float = 0.3
    dialogue_tokens: int = 640


class DialogueInProgress:
    """A dialogue that is being written. Everything random depends on (seed, number) alone.

    todo: the tokens to feed next, after the first `length` ones; `fed` takes the results. done: it is finished; then
    dropped: it is not to be kept, because a part is empty, or a question loops or is too long.
    """

    def __init__(self, template: TemplateParts, recipe: Recipe, seed: int, number: int) -> None:
        self._template, self._recipe = template, recipe
        self._chance: Chance = seeded(seed)("draft", number)
        self._plan = np.random.default_rng((seed, number))
        self._tokens: list[int] = []
        self._authors: list[int] = []
        self._states: list[Halves] = []
        self._layers: list[Halves] = []
        self._seen: Counter[tuple[int, ...]] = Counter()
        self._turns = 1 + int(self._plan.random() < recipe.second_turn)
        self._author: Author = "question"
        self._most = 0
        self._part = self._drawn = 0
        self._sampling = Sampling()
        self._unguided = bool(template.unguided) and self._plan.random() < recipe.unguided
        self.todo = list(template.unguided if self._unguided else template.opening)
        self._from: list[Author] = ["template"] * len(self.todo)
        self.done = False
        self.dropped = False
        self._begin("question")
        self._open()

    @property
    def length(self) -> int:
        """Tokens that were fed."""
        return len(self._tokens)

    def fed(self, count: int, states: Floats, logits: Floats, layers: Floats | None = None) -> None:
        """Take the results of feeding the first `count` tokens of `todo`.

        states float[count, D]: after each of them. logits float[V]: after the last. layers float[count, L * D]: the
        inputs of inner layers, if they are recorded.
        """
        self._tokens += self.todo[:count]
        self._authors += [AUTHORS.index(author) for author in self._from[:count]]
        self._states.append(half(states))
        if layers is not None:
            self._layers.append(half(layers))
        del self.todo[:count], self._from[:count]
        if not self.todo:
            self._go_on(self._draw(logits))

    def dialogue(self) -> Dialogue:
        """The finished dialogue."""
        layers = np.concatenate(self._layers) if self._layers else None
        tokens, authors = np.array(self._tokens, np.int32), np.array(self._authors, np.uint8)
        return Dialogue(tokens, authors, np.concatenate(self._states), layers)

    def _go_on(self, token: int) -> None:
        self._part += 1
        bridge = max(len(self._template.to_answer), len(self._template.to_question))
        full = len(self._tokens) + 1 + bridge >= self._recipe.dialogue_tokens
        ended = token in self._template.ends
        if ended or self._part > self._most or full or self._loops(token):
            self._end_of_part(cut=not ended, full=full)
        else:
            self.todo, self._from = [token], [self._author]

    def _end_of_part(self, *, cut: bool, full: bool) -> None:
        looped = cut and not full and self._part <= self._most
        empty = self._part == 1
        if self._author == "question":
            self.done = self.dropped = looped or full or empty
            self._begin("answer")
            self._say(self._template.to_answer)
            if self._unguided:
                self._ask_again()
            return
        self._turns -= 1
        self.dropped = empty
        self.done = empty or cut or self._turns == 0
        self._begin("question")
        self._say(self._template.to_question)
        self._open()

    def _begin(self, author: Author) -> None:
        recipe, plan = self._recipe, self._plan
        self._author, self._part = author, 0
        if author == "question":
            self._most = int(plan.integers(*recipe.question_tokens, endpoint=True))
            self._sampling = Sampling(float(plan.uniform(*recipe.question_temperature)))
            return
        self._most = recipe.answer_tokens
        greedy = plan.random() < recipe.greedy_share
        self._sampling = Sampling(0.0 if greedy else float(plan.uniform(*recipe.answer_temperature)))

    def _say(self, piece: tuple[int, ...]) -> None:
        self.todo, self._from = list(piece), ["template"] * len(piece)

    def _ask_again(self) -> None:
        """Begin the dialogue anew with the same question, after the template's own opening."""
        self._unguided = False
        asked = self._tokens[len(self._template.unguided) :]
        self.todo = [*self._template.opening, *asked, *self.todo]
        opening: list[Author] = ["template"] * len(self._template.opening)
        question: list[Author] = ["question"] * len(asked)
        self._from = [*opening, *question, *self._from]
        self._tokens, self._authors, self._states, self._layers = [], [], [], []

    def _open(self) -> None:
        words = self._template.words
        if words and self._plan.random() < self._recipe.opening_word:
            word = words[self._plan.integers(len(words))]
            self._part = len(word)
            self.todo += word
            self._from += ["question"] * len(word)

    def _draw(self, logits: Floats) -> int:
        self._drawn += 1
        return distribution(logits, self._sampling).draw(self._chance, self._drawn)

    def _loops(self, token: int) -> bool:
        last = (*self._tokens[1 - _LOOP_TOKENS :], token)
        self._seen[last] += 1
        return self._seen[last] >= _LOOP_TIMES


def _unguided(tokenizer: LocalTokenizer, opening: tuple[int, ...]) -> tuple[int, ...]:
    """The opening with an empty system message; empty if it is the usual opening, or the template refuses it."""
    messages: list[Message] = [{"role": "system", "content": ""}, {"role": "user", "content": _QUESTION}]
    try:
        before = _beginning(tokenizer, tokenizer.render_chat(messages).partition(_QUESTION)[0])
    except BadRequestError:
        return ()
    return () if before == opening else before


def _beginning(tokenizer: LocalTokenizer, rendered: str) -> tuple[int, ...]:
    """The ids of the first part of a rendered chat."""
    return tuple(after_beginning(tokenizer.chat_beginning, tokenizer.encode(rendered, special=True)))


def _words(tokenizer: LocalTokenizer) -> tuple[tuple[int, ...], ...]:
    """The capitalised words that are a token's text, each as the ids that it has at the beginning of a text."""
    texts = {tokenizer.token_bytes(token).decode(errors="replace").strip() for token in range(tokenizer.n_vocab)}
    words = sorted(text for text in texts if len(text) > 1 and text.isalpha() and text.istitle())
    return tuple(tuple(tokenizer.encode(word, special=False)) for word in words)
