"""What an endpoint's tokenizer is compared with, and what a probe asks about: no chat template is needed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from speculatoviz.errors import BadRequestError
from speculatoviz.models.base import Message
from speculatoviz.models.runtimes.toy import ALPHABET, ToyTokenizer
from speculatoviz.targets.hosted.probe import TEXT, probe_ids
from speculatoviz.targets.hosted.vllm import PROBE_CHAT, PROBE_TEXT, probe_texts


class Bytes(ToyTokenizer):
    """Encodes any text, and renders chats whose roles are among `roles`."""

    def __init__(self, *roles: str) -> None:
        super().__init__(ALPHABET)
        self._roles = roles

    def encode(self, text: str, *, special: bool) -> list[int]:
        return list(text.encode())

    def render_chat(self, messages: Sequence[Message]) -> str:
        if not {message["role"] for message in messages} <= set(self._roles):
            raise BadRequestError("The model's chat template refuses these messages.", "Send the prompt raw.")
        return super().render_chat(messages)


@pytest.mark.parametrize(
    ("roles", "chats"),
    [(("system", "user"), [PROBE_CHAT]), (("user",), [PROBE_CHAT[1:]]), ((), [])],
    ids=["any", "no system message", "none"],
)
def test_a_chat_is_compared_if_the_template_renders_one(
    roles: Sequence[str], chats: Sequence[Sequence[Message]]
) -> None:
    tokenizer = Bytes(*roles)
    expected = [PROBE_TEXT, *("".join(message["content"] for message in chat) for chat in chats)]
    assert list(probe_texts(tokenizer)) == [(text, list(text.encode())) for text in expected]


@pytest.mark.parametrize("roles", [("user",), ()], ids=["any", "none"])
def test_a_probe_asks_about_a_text_without_a_template_too(roles: Sequence[str]) -> None:
    assert probe_ids(Bytes(*roles), 10) == list(TEXT.encode())[:10]
