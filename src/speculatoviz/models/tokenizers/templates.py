"""A model's own chat template, for conversations of plain texts."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from speculatoviz.errors import BadRequestError
from speculatoviz.models.base import Message
from speculatoviz.models.tokenizers.renderer import Renderer, RenderingError, TemplateLimits

_DEFINED: Mapping[str, Any] = {
    "tools": None,
    "documents": None,
    "add_generation_prompt": True,
    "bos_token": "",
    "eos_token": "",
}
_MOST_SEQUENCES = 256  # of roles, whose forms are remembered
_CLOSING = re.compile(r"</[^<>]+>|\[/[^\[\]]+\]|<[^<>]*\|>")  # the end of a passage that reasoning stands in

Content = str | list[dict[str, str]]
Form = Mapping[str, Callable[[str], Content]]  # by role: how the template expects a message's content


class ChatTemplate:
    """A chat template that came with a model file, rendered in a process of its own (`Renderer`).

    source: Jinja. special_tokens: text by name ("bos_token", "eos_token", …). Templates see the messages, these tokens
    and the variables that transformers defines. A template that cannot be used fails in `render`, not here.
    """

    def __init__(self, source: str, special_tokens: Mapping[str, str], limits: TemplateLimits | None = None) -> None:
        self._renderer = Renderer(source, limits)
        self._variables = {**_DEFINED, **special_tokens}
        self._forms: dict[tuple[str, ...], Form | RenderingError] = {}

    def render(self, messages: Sequence[Message]) -> str:
        """The conversation as text, up to the beginning of the answer.

        Raises BadRequestError if the template cannot be used, refuses the conversation, or leaves out a text of it.
        """
        if not messages:
            raise BadRequestError("The conversation has no message.", "Send at least one user turn.")
        form = self._form(tuple(message["role"] for message in messages))
        text = self._rendered(messages, form)
        if (lost := _lost(messages, text)) is not None:
            raise _left_out(lost, messages[lost]["role"])
        return text

    def close(self) -> None:
        """End its process, and all renderings that have begun. A later rendering starts a new process."""
        self._renderer.close()

    def _form(self, roles: tuple[str, ...]) -> Form:
        """How the template expects contents, found with marker texts once for each sequence of roles."""
        found = self._forms.get(roles)
        if found is None:
            try:
                found = self._probed(roles)
            except RenderingError as error:
                if error.cause == "process":
                    raise
                found = error.with_traceback(None)
            if len(self._forms) >= _MOST_SEQUENCES:
                self._forms.clear()
            self._forms[roles] = found
        if isinstance(found, RenderingError):
            raise RenderingError(found.message, found.hint, found.cause)
        return found

    def _probed(self, roles: Sequence[str]) -> Form:
        """The first form in which every marker is rendered. Raises the error of the first form if there is none."""
        markers: list[Message] = [{"role": role, "content": f"Text{i}of{role}"} for i, role in enumerate(roles)]
        first: RenderingError | None = None
        for form in _forms(roles):
            try:
                text = self._rendered(markers, form)
            except RenderingError as error:
                if error.cause != "messages":
                    raise
                failed = error
            else:
                lost = _lost(markers, text)
                if lost is None and not _written_out(markers, text):
                    return form
                failed = _left_out(lost or 0, roles[lost or 0])
            first = first or failed
        assert first is not None
        raise first

    def _rendered(self, messages: Sequence[Message], form: Form) -> str:
        contents = [{"role": m["role"], "content": form[m["role"]](m["content"])} for m in messages]
        return self._renderer.render({**self._variables, "messages": contents})


def _forms(roles: Sequence[str]) -> Iterator[Form]:
    """All contents as strings, then all as lists of parts, then mixtures by role."""
    names = sorted(set(roles))
    if len(names) > 3:
        choices = [(form,) * len(names) for form in (_string, _parts)]
    else:
        choices = sorted(product((_string, _parts), repeat=len(names)), key=lambda choice: len(set(choice)))
    return (dict(zip(names, choice, strict=True)) for choice in choices)


def _string(text: str) -> Content:
    return text


def _parts(text: str) -> Content:
    return [{"type": "text", "text": text}]


def _lost(messages: Sequence[Message], rendered: str) -> int | None:
    """The index of the first message whose text is not in the rendering; None if every text is.

    Templates may trim texts. Of the assistant's they may leave out the reasoning: the rest after the end of a passage
    is enough. Equal texts have to occur as often as they were sent.
    """
    sent = Counter(message["content"].strip() for message in messages)
    for index, message in enumerate(messages):
        text = message["content"].strip()
        if rendered.count(text) < sent[text] and not (
            message["role"] == "assistant" and any(answer in rendered for answer in _answers(text))
        ):
            return index
    return None


def _written_out(messages: Sequence[Message], rendered: str) -> bool:
    """Whether a template that expects strings has written lists of parts as Python or JSON."""
    parts = (part for message in messages for part in _parts(message["content"]))
    return any(str(part) in rendered or json.dumps(part) in rendered for part in parts)


def _answers(text: str) -> Iterator[str]:
    return (text[match.end() :].strip() for match in _CLOSING.finditer(text))


def _left_out(index: int, role: str) -> RenderingError:
    return RenderingError(
        f"The model's chat template leaves out the text of message {index + 1} ({role}).",
        "Leave this message out, or send the prompt raw (--raw).",
        "messages",
    )
