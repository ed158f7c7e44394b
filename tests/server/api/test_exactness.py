"""The text through the API is that of the same run in a session, and greedy speculation does not change it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from speculatoviz.core.rejection import Decision
from speculatoviz.core.rounds import Extra
from speculatoviz.core.rules import RULES
from speculatoviz.server.api import planning
from speculatoviz.session.session import Session
from speculatoviz.telemetry.messages import Start
from support import toy_session
from support.api_client import CHAT, FIXED, TEXT, Json, chat, complete, documents, outcome
from support.live_server import Server

SAMPLED = {"temperature": 0.9, "seed": 11}
# Fields of a request, and of the same start message.
REQUESTS: dict[str, Json] = {
    "greedy": {"temperature": 0},
    "seeded": SAMPLED,
    "another seed": {"temperature": 0.9, "seed": -(2**70)},
    "top_p": SAMPLED | {"top_p": 0.6},
    "top_k": SAMPLED | {"top_k": 3},
    "min_p": SAMPLED | {"min_p": 0.3},
    "presence_penalty": SAMPLED | {"presence_penalty": 1.2},
    "frequency_penalty": SAMPLED | {"frequency_penalty": 0.8},
    "repetition_penalty": SAMPLED | {"repetition_penalty": 1.6},
    "logit_bias": {"temperature": 0, "logit_bias": {"5": 4.5, "7": -100}},
    "max_tokens": SAMPLED | {"max_tokens": 5},
    "stop": {"temperature": 0, "stop": ["m", "v"]},
    "ignore_eos": {"temperature": 0, "ignore_eos": True, "max_tokens": 60},
}
TURNS = [*CHAT, {"role": "assistant", "content": " there"}, {"role": "user", "content": " was"}]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    session = toy_session.load(tmp_path_factory.mktemp("alone"))
    yield session
    session.close()


def text(done: Json) -> str:
    choice = done["choices"][0]
    return str(choice["text"] if "text" in choice else choice["message"]["content"])


def departures(server: Server, session: Session, names: Iterable[str] = REQUESTS) -> list[str]:
    """The requests whose text through the API is not that of a session."""
    found = []
    for name in names:
        fields = REQUESTS[name]
        asked = fields | {"speculation": FIXED}
        alone, _ = outcome(session, prompt=TEXT, raw=True, **FIXED, **fields)
        through = complete(server, **asked)
        streamed = documents(server, "completions", prompt=TEXT, **asked)
        joined = "".join(text(document) for document in streamed)
        ids = complete(server, **asked | {"prompt": session.encode_turn(TEXT)})
        if {text(through), joined, text(ids)} != {alone.generated_text}:
            found.append(name)
        talked, _ = outcome(session, messages=TURNS, **FIXED, **fields)
        if text(chat(server, **asked | {"messages": TURNS})) != talked.generated_text:
            found.append(f"{name}, as a chat")
    return found


def test_the_text_is_that_of_the_same_run_in_a_session(shared_server: Server, session: Session) -> None:
    assert departures(shared_server, session) == []


def changed(**fields: Any) -> Callable[[Start], Start]:
    return lambda start: start.model_copy(update=fields)


def shorter(start: Start) -> Start:
    """Without the last character of the prompt."""
    return start.model_copy(update={"prompt": start.prompt and start.prompt[:-1]})


@pytest.mark.parametrize(
    ("twin", "caught"),
    [
        (lambda start: start.model_copy(update={"seed": (start.seed or 0) + 1}), "seeded"),
        (changed(temperature=None), "seeded"),
        (changed(top_p=None), "top_p"),
        (changed(top_k=None), "top_k"),
        (changed(min_p=None), "min_p"),
        (changed(presence_penalty=None), "presence_penalty"),
        (changed(frequency_penalty=None), "frequency_penalty"),
        (changed(repetition_penalty=None), "repetition_penalty"),
        (changed(logit_bias=None), "logit_bias"),
        (changed(max_tokens=None), "max_tokens"),
        (changed(stop=[]), "stop"),
        (changed(ignore_eos=False), "ignore_eos"),
        (shorter, "greedy"),
    ],
    ids=[
        *("seed", "temperature", "top_p", "top_k", "min_p", "presence", "frequency", "repetition", "bias"),
        *("max_tokens", "stop", "ignore_eos", "prompt"),
    ],
)
def test_a_field_that_is_lost_on_the_way_is_caught(
    twin: Callable[[Start], Start],
    caught: str,
    shared_server: Server,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    honest = planning.start_of
    monkeypatch.setattr(planning, "start_of", lambda *arguments: twin(honest(*arguments)))

    assert caught in departures(shared_server, session, [caught])


# ---- speculation on and off ----

SPECULATION: list[Any] = [
    None,
    True,
    {"k": 1},
    {"k": 5, "policy": "fixed"},
    {"drafter": "ngram", "k": 4},
    {"drafter": "mixture"},
    {"policy": "adaptive"},
]


def texts(server: Server) -> set[str]:
    """The greedy texts with every kind of speculation, and without."""
    fields = {"temperature": 0, "ignore_eos": True, "max_tokens": 80}
    return {text(complete(server, speculation=how, **fields)) for how in [False, *SPECULATION]}


def test_greedy_speculation_does_not_change_the_text(shared_server: Server) -> None:
    assert len(texts(shared_server)) == 1


def test_a_rule_that_accepts_every_draft_is_caught(shared_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = RULES["token"]

    def accept_all(draft: Any, target: Any, chance: Any) -> Decision:
        decision = honest.verify(draft, target, chance)
        if not len(draft):
            return decision
        last = int(draft.tokens[-1])
        return Decision((), Extra(last, "resampled", None), (), decision.final)

    monkeypatch.setitem(RULES, "token", honest._replace(verify=accept_all))

    assert len(texts(shared_server)) > 1


def test_speculation_drafts_and_false_does_not(shared_server: Server) -> None:
    fields = {"temperature": 0, "ignore_eos": True, "max_tokens": 40}
    with_drafts = complete(shared_server, speculation=FIXED, **fields)["usage"]["speculation"]
    without = complete(shared_server, speculation=False, **fields)["usage"]["speculation"]

    assert (with_drafts["k"], with_drafts["policy"], with_drafts["drafter"]) == (3, "fixed", "model")
    assert with_drafts["drafted"] > 0
    assert (without["drafted"], without["rounds"]) == (0, 40)
