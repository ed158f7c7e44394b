"""The ranges of the numbers that a run is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from pydantic import Field
from pydantic.fields import FieldInfo


@dataclass(frozen=True)
class Range:
    """An inclusive range with the step that a form offers.

    enforced: if False, the range is only what a form offers, and every value of the type is allowed.
    """

    minimum: float
    maximum: float
    step: float
    help: str
    enforced: bool = True

    def field(self) -> FieldInfo:
        """A pydantic field that refuses values outside the range, if it is enforced."""
        if not self.enforced:
            return cast("FieldInfo", Field(description=self.help))
        description = f"{self.help} ({self.minimum:g} to {self.maximum:g})"
        return cast("FieldInfo", Field(ge=self.minimum, le=self.maximum, description=description))


RANGES: dict[str, Range] = {
    "k": Range(0, 16, 1, "draft depth: tokens drafted per round; 0 decodes with the target alone"),
    "nodes": Range(0, 63, 1, "maximum number of tokens in a draft tree; up to the depth, the draft is a chain"),
    "temperature": Range(0, 2, 0.05, "sampling temperature; 0 is greedy"),
    "top_p": Range(0.05, 1, 0.05, "nucleus sampling: smallest set of tokens with this mass"),
    "top_k": Range(0, 1000, 1, "sample from the k most probable tokens; 0 is off"),
    "min_p": Range(0, 1, 0.01, "drop tokens below this share of the most probable one"),
    "presence_penalty": Range(-2, 2, 0.1, "subtracted from the logit of every token that is in the output"),
    "frequency_penalty": Range(-2, 2, 0.1, "subtracted from a token's logit for each time that it is in the output"),
    "repetition_penalty": Range(
        0.1,
        10,
        0.05,
        "divides positive logits of the tokens of prompt and output and multiplies negative ones; 1 is off",
    ),
    "max_tokens": Range(1, 4096, 1, "maximum number of generated tokens"),
    # JavaScript, and with it the page's form, has whole numbers up to 2^53 only.
    "seed": Range(0, 2**53 - 1, 1, "seed of every random choice of the run; any integer", enforced=False),
}
