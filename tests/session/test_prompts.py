"""From a start message to a prompt. A model whose template cannot be used loads, is measured and continues text."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from speculatoviz.config import Settings
from speculatoviz.errors import BadRequestError, SpeculatoVizError
from speculatoviz.models.base import Message
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel, ToyTokenizer
from speculatoviz.models.tokenizers.chat import encode_turn
from speculatoviz.models.tokenizers.renderer import TemplateLimits
from speculatoviz.models.tokenizers.templates import ChatTemplate
from speculatoviz.server.verifier import serve
from speculatoviz.session.session import Session
from speculatoviz.session.targets import open_local
from speculatoviz.telemetry.events import Done
from speculatoviz.telemetry.messages import ChatMessage, Start
from support import toy_session
from support.verifier import serving

CHATS = (
    Start(prompt="once"),
    Start(messages=[ChatMessage(role="user", content="once")]),
)
BROKEN = {
    "an error of syntax": ("{% for m in messages %}", "cannot be read"),
    "a refusal of lone user turns": ("{{ raise_exception('no') }}", r"refuses these messages \(no\)"),
    "another exception": ("{{ 1 / 0 }}", "fails"),
    "an endless loop": (
        "{% for i in range(99999) %}{% for i in range(99999) %}{% endfor %}{% endfor %}",
        "computes for",
    ),
    "a lost text": ("user", "leaves out"),
}
TYPED = "{% for m in messages %}{{ m.role }} {% for part in m.content %}{{ part.text }}{% endfor %}{% endfor %}"


@pytest.fixture
def with_template(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Gives a chat template to all toys."""
    made: list[ChatTemplate] = []

    def give(source: str) -> None:
        template = ChatTemplate(source, {}, TemplateLimits(cpu_s=0.2))
        made.append(template)
        monkeypatch.setattr(ToyTokenizer, "render_chat", lambda _self, messages: template.render(messages))

    yield give
    for template in made:
        template.close()


@pytest.fixture(params=["here", "verifier"])
def load(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Session]]:
    """Loads and measures a toy, in this process or behind a verifier."""
    sessions: list[Session] = []
    with serving(ToyModel(0, ALPHABET)) as verifier:

        def loaded() -> Session:
            target = "toy:0" if request.param == "here" else f"verifier:{verifier.url}"
            sessions.append(toy_session.load(tmp_path, target=target))
            return sessions[-1]

        yield loaded
        for session in sessions:
            session.close()


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_template_refuses_chats_alone(
    name: str, with_template: Callable[[str], None], load: Callable[[], Session]
) -> None:
    source, words = BROKEN[name]
    with_template(source)
    session = load()

    assert session.calibration.baseline is not None
    assert session.calibration.baseline.tps > 0
    for chat in CHATS:
        with pytest.raises(SpeculatoVizError, match=words) as caught:
            session.prepare(chat)
        assert caught.value.code == BadRequestError.code
        assert "raw" in caught.value.hint
    *_, done = toy_session.run(session, raw=True, ignore_eos=True)
    assert isinstance(done, Done)
    assert done.metrics.tokens == 24


def test_measuring_with_the_template_alone_is_caught(
    with_template: Callable[[str], None], load: Callable[[], Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broken twin."""
    with_template(BROKEN["another exception"][0])
    monkeypatch.setattr("speculatoviz.session.session.encode_for_measuring", encode_turn)
    with pytest.raises(SpeculatoVizError, match="fails"):
        load()


def test_a_verifier_measures_a_model_whose_template_is_broken(with_template: Callable[[str], None]) -> None:
    with_template(BROKEN["an error of syntax"][0])
    assert serve._noise(ToyModel(0, ALPHABET), time.perf_counter).tokens > 0


def test_a_template_for_parts_gets_the_text(with_template: Callable[[str], None], load: Callable[[], Session]) -> None:
    with_template(TYPED)
    session = load()
    for chat in CHATS:
        prompt = session.prepare(chat).request.prompt
        assert b"".join(map(session.target.tokenizer.token_bytes, prompt)) == b"user once"


# ---- control tokens ----

LETTERS = (*ALPHABET, b"<", b">")
END = len(LETTERS)


class Controls(ToyTokenizer):
    """Its end token has a name."""

    def __init__(self) -> None:
        super().__init__(LETTERS)
        self.control_names = {"<end>": END}

    def encode(self, text: str, *, special: bool) -> list[int]:
        first, *others = text.split("<end>") if special else [text]
        ids = super().encode(first, special=False)
        for other in others:
            ids += [END, *super().encode(other, special=False)]
        return ids


@pytest.fixture(params=["here", "verifier"])
def with_controls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Session]:
    """A session whose target has a control token with a name, in this process or behind a verifier."""
    model = ToyModel(0, LETTERS)
    model.tokenizer = Controls()
    with serving(model) as verifier:
        if request.param == "here":
            settings = Settings(_env_file=None, target="toy:0", draft="none", cache_dir=str(tmp_path))
            session = Session(settings, open_local(model, None, time.perf_counter), None, time.perf_counter)
        else:
            session = toy_session.load(tmp_path, target=f"verifier:{verifier.url}", draft="none")
        yield session
        session.close()


def prepared(session: Session, **start: Any) -> tuple[bool, str]:
    """Whether the prompt has the control token, and its text."""
    prompt = session.prepare(Start(**start)).request.prompt
    return END in prompt, b"".join(map(session.target.tokenizer.token_bytes, prompt)).decode()


def test_names_of_control_tokens_are_text_unless_a_raw_prompt_means_them(with_controls: Session) -> None:
    typed = "a<end>b"
    assert prepared(with_controls, prompt=typed) == (False, typed)
    assert prepared(with_controls, messages=[ChatMessage(role="user", content=typed)]) == (False, typed)
    assert prepared(with_controls, prompt=typed, raw=True) == (False, typed)
    assert prepared(with_controls, prompt=typed, raw=True, control_tokens=True) == (True, "ab")


def test_encoding_the_rendered_chat_as_a_whole_is_caught(
    with_controls: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broken twin."""

    def as_a_whole(tokenizer: Controls, messages: Sequence[Message]) -> list[int]:
        return tokenizer.encode(tokenizer.render_chat(messages), special=True)

    monkeypatch.setattr(ToyTokenizer, "encode_chat", as_a_whole)
    assert prepared(with_controls, messages=[ChatMessage(role="user", content="a<end>b")]) == (True, "ab")


def test_control_tokens_can_be_meant_in_raw_prompts_only(with_controls: Session) -> None:
    chat = [ChatMessage(role="user", content="a")]
    starts: list[dict[str, Any]] = [{"prompt": "a"}, {"messages": chat}, {"messages": chat, "raw": True}]
    for start in starts:
        with pytest.raises(BadRequestError, match="in a raw prompt only"):
            with_controls.prepare(Start(**start, control_tokens=True))
