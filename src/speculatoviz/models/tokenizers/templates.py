"""A model's own chat template, rendered in a sandbox."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NoReturn

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from speculatoviz.errors import BadRequestError
from speculatoviz.models.base import Message


class ChatTemplate:
    """A chat template that came with a model file: untrusted, and it sees only the messages and the special tokens.

    source: Jinja. special_tokens: text by name ("bos_token", "eos_token"), "" for one that the model lacks.
    """

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
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
        self._special_tokens = dict(special_tokens)

    def render(self, messages: Sequence[Message]) -> str:
        """The conversation as text, up to the beginning of the answer. Raises BadRequestError where it is refused."""
        try:
            return self._template.render(messages=messages, add_generation_prompt=True, **self._special_tokens)
        except TemplateError as error:
            raise BadRequestError(
                f"The model's chat template refuses these messages ({error}).",
                "Let user and assistant turns alternate, and end with a user turn.",
            ) from error

    def close(self) -> None:
        """Free what the template holds."""


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _tojson(value: object, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)
