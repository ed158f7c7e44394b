"""What is encoded for one user turn."""

from __future__ import annotations

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
