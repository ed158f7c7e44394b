"""From a start message to a prompt. A model whose template cannot be used loads, is measured and continues text."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from speculatoviz.errors import BadRequestError, SpeculatoVizError
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel, ToyTokenizer
from speculatoviz.models.tokenizers.chat import encode_turn
from speculatoviz.models.tokenizers.renderer import TemplateLimits
from speculatoviz.models.tokenizers.templates import ChatTemplate
from speculatoviz.server.verifier import serve
from speculatoviz.session.session import Session
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
