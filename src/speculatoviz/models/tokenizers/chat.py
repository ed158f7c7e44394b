"""A model's own chat template, rendered in a sandbox."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import NoReturn

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from speculatoviz.errors import BadRequestError
from speculatoviz.models.base import Message, Tokenizer

NO_TEMPLATE = (
    "This model has no chat template: it continues text and does not answer messages.",
    "Send the prompt raw (--raw), or choose an instruct model.",
)


def encode_turn(tokenizer: Tokenizer, prompt: str) -> list[int]:
    """One user turn in the model's chat template; the bare text for a model without one."""
    if not tokenizer.has_chat_template:
        return tokenizer.encode(prompt, special=False)
    return tokenizer.encode(tokenizer.render_chat([{"role": "user", "content": prompt}]), special=True)


class ChatTemplate:
    """Templates come with model files: they are untrusted, and see only the messages."""

    def __init__(self, source: str, bos: str, eos: str) -> None:
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
        environment.filters["tojson"] = _tojson
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = lambda pattern: datetime.now().strftime(pattern)
        try:
            self._template = environment.from_string(source)
        except TemplateError as error:
            raise BadRequestError(
                f"The model's chat template cannot be read ({error}).", "Send the prompt raw instead."
            ) from error
        self._bos, self._eos = bos, eos

    def render(self, messages: Sequence[Message]) -> str:
        try:
            return self._template.render(
                messages=messages, add_generation_prompt=True, bos_token=self._bos, eos_token=self._eos
            )
        except TemplateError as error:
            raise BadRequestError(
                f"The model's chat template refuses these messages ({error}).",
                "Let user and assistant turns alternate, and end with a user turn.",
            ) from error


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _tojson(value: object, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)
