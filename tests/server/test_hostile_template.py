"""A chat template that never ends delays no other client, and ends when the server stops."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from speculatoviz.models.tokenizers.renderer import TemplateLimits
from speculatoviz.models.tokenizers.templates import ChatTemplate
from speculatoviz.server.model_host import ModelHost
from speculatoviz.session.session import Session
from speculatoviz.targets.verifier import wire
from support.live_server import RUN_LIMITS, Client, Server, Toys, poll
from support.verifier import serving
from support.verifier_client import RawClient
from support.verifier_client import toys as verifier_toys

ENDLESS = "{% for i in range(99999) %}{% for i in range(99999) %}{% endfor %}{% endfor %}"
CHAT = {"messages": [{"role": "user", "content": "once"}]}


@pytest.fixture
def template() -> Iterator[ChatTemplate]:
    """Renders until it is ended."""
    endless = ChatTemplate(ENDLESS, {}, TemplateLimits(cpu_s=1e6, wall_s=1e6))
    yield endless
    endless.close()


def give(tokenizer: Any, template: ChatTemplate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer, "render_chat", template.render)
    monkeypatch.setattr(tokenizer, "close", template.close)


def renders(template: ChatTemplate) -> bool:
    return template._renderer.pid is not None


@pytest.fixture
def rendering(
    request: pytest.FixtureRequest,
    serve: Callable[..., Server],
    toys: Toys,
    template: ChatTemplate,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[Server, Client]]:
    """A server, and a client whose chat is being rendered. Its parameter: seconds for stopping."""
    server = serve(runs=replace(RUN_LIMITS, stop_s=getattr(request, "param", RUN_LIMITS.stop_s)))
    server.wait_until("ready")
    give(toys.target.tokenizer, template, monkeypatch)
    with server.client() as client:
        client.send(**CHAT)
        poll(lambda: renders(template), "the template renders")
        yield server, client


def test_others_are_served_while_it_renders(rendering: tuple[Server, Client], template: ChatTemplate) -> None:
    server, client = rendering
    assert server.health()["status"] == "ready"
    with server.client() as other:
        assert other.run(raw=True)[-1]["type"] == "done"
    client.send(type="cancel")
    assert client.refused()["code"] == "cancelled"
    assert client.run(raw=True)[-1]["type"] == "done"
    assert renders(template), "it still renders"


def test_stopping_ends_it(rendering: tuple[Server, Client], template: ChatTemplate) -> None:
    server, _ = rendering
    server.stop()
    assert not renders(template)
    assert not server.app.state.host.stuck


@pytest.mark.parametrize("rendering", [0.2], indirect=True)
def test_stopping_without_ending_it_is_caught(
    rendering: tuple[Server, Client], template: ChatTemplate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broken twin."""
    server, _ = rendering
    monkeypatch.setattr(Session, "end_renderings", lambda _self: None)
    server.stop()
    assert server.app.state.host.stuck


def test_rendering_on_the_loop_is_caught(
    serve: Callable[..., Server], toys: Toys, template: ChatTemplate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broken twin: prompts are prepared where sockets are served."""

    async def on_the_loop(_host: ModelHost, work: Callable[[], Any]) -> Any:
        return work()

    server = serve()
    server.wait_until("ready")
    give(toys.target.tokenizer, template, monkeypatch)
    monkeypatch.setattr(ModelHost, "prepare", on_the_loop)
    with server.client() as client:
        client.send(**CHAT)
        poll(lambda: renders(template), "the template renders")
        client.send(type="cancel")
        with pytest.raises(TimeoutError):
            client.receive(0.5)
        template.close()
        assert client.receive()["type"] == "error"


def test_a_verifier_serves_others_and_ends_it(template: ChatTemplate, monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = verifier_toys()
    give(model.tokenizer, template, monkeypatch)
    with serving(model) as verifier, RawClient(verifier.url) as client, RawClient(verifier.url) as other:
        client.send(lambda number: wire.EncodeChat(number, [("user", "once")]))
        poll(lambda: renders(template), "the template renders")
        assert isinstance(other.ask(lambda number: wire.Encode(number, "once", special=False)), wire.Ids)
        verifier.stop()
        poll(lambda: not renders(template), "the rendering ends")
