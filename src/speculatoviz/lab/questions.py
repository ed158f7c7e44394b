"""The prompts of experiments: from a JSON Lines file, or the project's own."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from speculatoviz.config import reason_in_words
from speculatoviz.errors import BadRequestError
from speculatoviz.measure.text import PASSAGE
from speculatoviz.telemetry.messages import ChatMessage

_FIRST, _SECOND, *_, _LAST = (part for part in PASSAGE.split("\n\n") if not part.startswith("def "))

# Two for each category, in the categories that drafters differ most in.
_OWN = {
    "coding": (
        "Write a Python function that merges two sorted lists, with type annotations and a docstring.",
        "Write a Python class for a stack of integers that also returns its smallest element in constant time.",
    ),
    "summarization": (f"Summarise this text in three sentences.\n\n{_FIRST}", f"Summarise this text.\n\n{_LAST}"),
    "rag": (
        f"Answer from the text, and quote the sentence that you use.\n\n{_FIRST}\n\nWhere are the rarest volumes kept?",
        f"Answer from the text, and quote the sentence that you use.\n\n{_LAST}\n\nWho came from the other bank?",
    ),
    "translation": (
        "Translate to German: The train to the coast leaves at seven and arrives before noon.",
        f"Translate to French:\n\n{_SECOND}",
    ),
    "math_reasoning": (
        "A shop sells pens at 3 for 2 euros. Anna buys 12 pens and pays with a 20 euro note. What change does she get? "
        "Explain each step.",
        "A tank holds 240 litres. One pipe fills it in 6 hours, another in 4. How long do both together need?",
    ),
    "writing": (
        "Write a short letter to a neighbour who has watered the plants during your holiday.",
        "Describe a harbour at dawn for the first page of a novel.",
    ),
    "qa": (
        "What should I look at on a first visit to Lisbon?",
        "Why is the sky blue, and why is it red in the evening?",
    ),
}


NO_CATEGORY = "prompts"  # of prompts whose line names none
_FORMAT = "Give a JSON Lines file whose objects have `prompt`, `messages` or `turns`, and perhaps `category`."


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt of an experiment. number: its index within its category. text: of the user's turn, the last one.

    messages: the (role, content) of a whole conversation; empty if `text` is all of it. question_id: as in the file.
    """

    category: str
    number: int
    text: str
    messages: tuple[tuple[str, str], ...] = ()
    question_id: int | str | None = None

    @property
    def start(self) -> dict[str, object]:
        """The fields of a start message that ask for it."""
        if not self.messages:
            return {"prompt": self.text}
        return {"messages": [{"role": role, "content": content} for role, content in self.messages]}


class Source(NamedTuple):
    """Prompts with where they come from: a file's name and the SHA-256 of its content."""

    prompts: list[Prompt]
    name: str
    sha256: str


class _Line(BaseModel):
    """One line of a file. Of `turns`, as Spec-Bench has them, the first one is asked."""

    model_config = ConfigDict(extra="ignore")

    category: str = NO_CATEGORY
    question_id: object = None
    prompt: str | None = None
    messages: list[ChatMessage] | None = None
    turns: list[str] | None = None

    @property
    def conversation(self) -> tuple[tuple[str, str], ...]:
        """(role, content) of each turn; empty if nothing is asked."""
        if self.messages is not None:
            return tuple((message.role, message.content) for message in self.messages)
        text = self.prompt if self.prompt is not None else next(iter(self.turns or ()), None)
        return () if text is None else (("user", text),)


def read_prompts(file: Path | None, per_category: int | None, *, conversations: bool = False) -> list[Prompt]:
    """The prompts of a JSON Lines file, in its order: `prompt`, `messages`, or the first of `turns`, with `category`.

    per_category: how many of each category are taken, None for all. conversations: whether a prompt may have several
    messages. Without a file, the project's own prompts, at most two of a category. Raises BadRequestError for any
    other file.
    """
    if file is None:
        return [
            Prompt(of, number, text) for of, texts in _OWN.items() for number, text in enumerate(texts[:per_category])
        ]
    prompts, seen = list[Prompt](), Counter[str]()
    for number, line in _lines(file):
        asked = _parsed(file, number, line)
        turns = asked.conversation
        if not turns:
            raise _unreadable(file, f"line {number} asks nothing")
        if len(turns) > 1 and not conversations:
            raise _unreadable(file, f"line {number} is a conversation, and single prompts are measured here")
        if per_category is None or seen[asked.category] < per_category:
            whole = turns if len(turns) > 1 or turns[0][0] != "user" else ()
            place, known = seen[asked.category], asked.question_id
            question = known if isinstance(known, int | str) else None
            prompts.append(Prompt(asked.category, place, turns[-1][1], whole, question))
            seen[asked.category] += 1
    if not prompts:
        raise BadRequestError(f"{file} holds no prompts.", _FORMAT)
    return prompts


def read_source(file: Path | None, per_category: int | None) -> Source:
    """The prompts of a file, conversations included. Arguments and errors as for `read_prompts`."""
    prompts = read_prompts(file, per_category, conversations=True)
    if file is None:
        return Source(prompts, "the project's own", hashlib.sha256(repr(_OWN).encode()).hexdigest())
    return Source(prompts, file.name, hashlib.sha256(file.read_bytes()).hexdigest())


def given_texts(texts: Sequence[str]) -> Source:
    """Texts as prompts of one category. Raises BadRequestError for none."""
    if not texts:
        raise BadRequestError("There are no prompts.", "Give at least one.")
    prompts = [Prompt(NO_CATEGORY, number, text) for number, text in enumerate(texts)]
    return Source(prompts, "given as texts", hashlib.sha256(repr(list(texts)).encode()).hexdigest())


def _lines(file: Path) -> list[tuple[int, str]]:
    """The lines with content, by number from 1. Only line feeds end a line: a text may hold U+2028 or U+0085."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise _unreadable(file, error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise _unreadable(file, "it is no text in UTF-8") from error
    return [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def _parsed(file: Path, number: int, line: str) -> _Line:
    try:
        return _Line.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise _unreadable(file, f"line {number}: {f'{where}: ' if where else ''}{reason_in_words(first)}") from error


def _unreadable(file: Path, why: str) -> BadRequestError:
    return BadRequestError(f"{file} cannot be read as prompts ({why}).", _FORMAT)
