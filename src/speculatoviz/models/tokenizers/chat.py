"""How prompts become token ids: conversations in the model's chat template, and raw texts.

A text that a user typed never becomes a control token, unless a raw text is sent with the switch for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from speculatoviz.errors import BadRequestError, SpeculatoVizError
from speculatoviz.models.base import Message, Tokenizer
from speculatoviz.models.tokenizers.control import after_beginning
from speculatoviz.models.tokenizers.limits import check_text

NO_TEMPLATE = (
    "This model has no chat template: it continues text and does not answer messages.",
    "Send the prompt raw (--raw), or choose an instruct model.",
)
ROLES = ("system", "developer", "user", "assistant", "tool")


def encode_chat(tokenizer: Tokenizer, messages: Sequence[Message]) -> list[int]:
    """The ids of a conversation up to the beginning of the answer. Contents never become control tokens.

    Raises BadRequestError if the model has no chat template, the template cannot render the messages, or a text
    cannot be tokenized.
    """
    for message in messages:
        if message["role"] not in ROLES:  # templates write roles into names of control tokens: "<|user|>"
            raise BadRequestError(f"There is no role {message['role']!r}.", f"Use one of: {', '.join(ROLES)}.")
        check_text(message["content"])
    if not tokenizer.has_chat_template:
        raise BadRequestError(*NO_TEMPLATE)
    return tokenizer.encode_chat(messages)


def encode_raw(tokenizer: Tokenizer, text: str, control_tokens: bool = False) -> list[int]:
    """The ids of a text as it is, after the model's beginning; never two BOS.

    control_tokens: names of control tokens in the text become these tokens. Raises BadRequestError if the text cannot
    be tokenized.
    """
    return after_beginning(tokenizer.beginning, tokenizer.encode(text, special=control_tokens))


def encode_turn(tokenizer: Tokenizer, prompt: str) -> list[int]:
    """One user turn in the model's chat template; the raw text for a model without one."""
    if not tokenizer.has_chat_template:
        return encode_raw(tokenizer, prompt)
    return encode_chat(tokenizer, [{"role": "user", "content": prompt}])


def encode_for_measuring(tokenizer: Tokenizer, text: str) -> list[int]:
    """One user turn as in `encode_turn`; the raw text if the template cannot be used. Measuring needs no template."""
    try:
        return encode_turn(tokenizer, text)
    except SpeculatoVizError as error:
        if error.code != BadRequestError.code:  # a verifier's refusals have the code alone
            raise
        return encode_raw(tokenizer, text)
