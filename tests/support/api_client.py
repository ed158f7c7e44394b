"""A client of the OpenAI-compatible API without any checks of its own, and the truth about its answers."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai

from speculatoviz.session.session import Session
from speculatoviz.telemetry.events import Done, VerifyResult
from speculatoviz.telemetry.messages import Start
from support.live_server import PATIENCE_S, Server

Json = dict[str, Any]
MODEL = "toy-0"
TEXT = "once upon a time"
CHAT: list[Json] = [{"role": "user", "content": TEXT}]
FIXED: Json = {"drafter": "model", "k": 3, "policy": "fixed"}  # under it, seeded runs repeat
PLAIN = {"drafter": "model", "k": 0, "policy": "fixed"}


def post(server: Server, path: str, body: Any, **headers: str) -> httpx.Response:
    url = f"http://127.0.0.1:{server.port}/v1/{path}"
    sent, kind = json.dumps(body), {"Content-Type": "application/json"}  # half a surrogate pair can be sent, escaped
    return httpx.post(url, content=sent, headers=kind | headers, timeout=PATIENCE_S, trust_env=False)


def answer(server: Server, path: str, **body: Any) -> Json:
    """The answer to a request that is not streamed, which must succeed."""
    response = post(server, path, body)
    assert response.status_code == 200, response.text
    result: Json = response.json()
    return result


def complete(server: Server, **body: Any) -> Json:
    return answer(server, "completions", **{"prompt": TEXT} | body)


def chat(server: Server, **body: Any) -> Json:
    return answer(server, "chat/completions", **{"messages": CHAT} | body)


def documents(server: Server, path: str, **body: Any) -> list[Json]:
    """The documents of a stream, which must end with [DONE]."""
    response = post(server, path, body | {"stream": True})
    assert response.headers["content-type"].startswith("text/event-stream"), response.text
    events = response.text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    return [json.loads(event.removeprefix("data: ")) for event in events[:-2]]


def only(answer: Json) -> Json:
    """The one choice of an answer or of a chunk."""
    (choice,) = answer["choices"]
    result: Json = choice
    return result


def refusal(server: Server, path: str, body: Any, status: int = 400) -> Json:
    """The error in the answer to a request that must be refused with words."""
    response = post(server, path, body)
    assert response.status_code == status, response.text
    error: Json = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["message"].endswith(".")
    return error


def sdk(server: Server, key: str = "none") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key=key, max_retries=0, timeout=PATIENCE_S)


def outcome(session: Session, **start: Any) -> tuple[Done, list[VerifyResult]]:
    """The end of the same run in a session, without a server, and the results of its emitted tokens."""
    events = list(session.run("r", session.prepare(Start(**start)), lambda: False))
    done = events[-1]
    assert isinstance(done, Done)
    results = [e for e in events if isinstance(e, VerifyResult)]
    return done, [e for e in results if e.status in {"accepted", "resampled", "bonus", "plain"}]
