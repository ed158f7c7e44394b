"""Texts as token ids: user turns in the chat template, and texts for measuring."""

from __future__ import annotations

from speculatoviz.errors import BadRequestError, SpeculatoVizError
from speculatoviz.models.base import Tokenizer

NO_TEMPLATE = (
    "This model has no chat template: it continues text and does not answer messages.",
    "Send the prompt raw (--raw), or choose an instruct model.",
)


def encode_turn(tokenizer: Tokenizer, prompt: str) -> list[int]:
    """One user turn in the model's chat template; the bare text for a model without one."""
    if not tokenizer.has_chat_template:
        return tokenizer.encode(prompt, special=False)
    return tokenizer.encode(tokenizer.render_chat([{"role": "user", "content": prompt}]), special=True)


def encode_for_measuring(tokenizer: Tokenizer, text: str) -> list[int]:
    """One user turn as in `encode_turn`; the bare text if the template cannot be used. Measuring needs no template."""
    try:
        return encode_turn(tokenizer, text)
    except SpeculatoVizError as error:
        if error.code != BadRequestError.code:  # a verifier's refusals have the code alone
            raise
        return tokenizer.encode(text, special=False)
