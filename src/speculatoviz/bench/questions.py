"""The prompts of benchmarks: from a file in Spec-Bench's format, or the project's own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from speculatoviz.errors import BadRequestError
from speculatoviz.measure.text import PASSAGE

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


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt of a benchmark. number: its index within its category."""

    category: str
    number: int
    text: str


def read_prompts(file: Path | None, per_category: int) -> list[Prompt]:
    """The first turns in a file of Spec-Bench's format: one JSON object a line with `category` and `turns`.

    Without a file, the project's own prompts, at most two of a category. Raises BadRequestError for any other file.
    """
    if file is None:
        return [
            Prompt(of, number, text) for of, texts in _OWN.items() for number, text in enumerate(texts[:per_category])
        ]
    prompts: list[Prompt] = []
    try:
        for line in file.read_text(encoding="utf-8").splitlines():
            asked = json.loads(line)
            seen = sum(prompt.category == asked["category"] for prompt in prompts)
            if seen < per_category:
                prompts.append(Prompt(asked["category"], seen, asked["turns"][0]))
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise BadRequestError(
            f"{file} cannot be read as prompts ({error}).",
            "Give a JSON Lines file whose objects have `category` and `turns`.",
        ) from error
    if not prompts:
        raise BadRequestError(
            f"{file} holds no prompts.", "Give a JSON Lines file whose objects have `category` and `turns`."
        )
    return prompts
