"""Runs over a real socket: the order of their events, cancelling, updating, failing."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from speculatoviz.core.progress import Progress
from speculatoviz.errors import ModelError
from speculatoviz.session.session import Session
from speculatoviz.telemetry.events import Event as SentEvent
from support.live_server import PATIENCE_S, Client, Event, Server, Toys

LONG = {"ignore_eos": True, "max_tokens": 4096}


def rounds_of(events: list[Event]) -> dict[int, list[Event]]:
    """Events by round, each list in the order it came."""
    rounds: dict[int, list[Event]] = {}
    for event in events:
        if event["type"] in {"draft_token", "verify_result", "metrics"}:
            rounds.setdefault(event["round"], []).append(event)
    return rounds


def statuses(events: list[Event]) -> Counter[str]:
    return Counter(e["status"] for e in events if e["type"] == "verify_result")


@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize(("k", "drafter"), [(0, "model"), (3, "model"), (4, "ngram")])
def test_a_run_is_started_then_rounds_then_done(client: Client, temperature: float, k: int, drafter: str) -> None:
    events = client.run(temperature=temperature, k=k, drafter=drafter, seed=5)

    assert events[0]["type"] == "started"
    assert events[-1]["type"] == "done"
    assert len({event["run"] for event in events}) == 1
    numbers = [event["seq"] for event in events]
    assert numbers == sorted(set(numbers))
    times = [event["t_ms"] for event in events]
    assert times == sorted(times)
    rounds = rounds_of(events)
    assert list(rounds) == list(range(events[-1]["total_rounds"]))
    for round in rounds.values():
        kinds = [event["type"] for event in round]
        assert kinds == sorted(kinds, key=["draft_token", "verify_result", "metrics"].index)
        assert kinds.count("metrics") == 1
        assert 1 <= round[-1]["round_emitted"] <= k + 1


@pytest.mark.parametrize("k", [0, 2, 5])
def test_every_drafted_token_gets_one_verdict_and_counts_agree(client: Client, k: int) -> None:
    events = client.run(k=k, temperature=0.9, seed=2, max_tokens=40, ignore_eos=True)

    for round in rounds_of(events).values():
        drafted = [e["node"] for e in round if e["type"] == "draft_token"]
        judged = [e["node"] for e in round if e["type"] == "verify_result" and e["node"] is not None]
        assert sorted(judged) == drafted
        assert round[-1]["round_drafted"] == len(drafted)
    done, count = events[-1], statuses(events)
    emitted = count["accepted"] + count["resampled"] + count["bonus"] + count["plain"]
    assert done["total_tokens"] == len(done["token_ids"]) == emitted == 40
    assert done["total_accepted"] == count["accepted"]
    assert done["total_drafted"] == count["accepted"] + count["rejected"] + count["discarded"]
    assert done["metrics"]["bonus"] == count["bonus"]
    assert done["finish_reason"] == "length"


def test_the_texts_of_the_tokens_and_the_tail_are_the_generated_text(client: Client) -> None:
    plain = client.run(max_tokens=60, ignore_eos=True)[-1]["generated_text"]
    # A stop string that begins like the very end of the text keeps that end back until the run is over.
    events = client.run(max_tokens=60, ignore_eos=True, stop=[plain[-2:] + "#"])

    done = events[-1]
    shown = "".join(e["text"] for e in events if e["type"] == "verify_result")
    assert done["text_tail"] == plain[-2:]
    assert shown + done["text_tail"] == done["generated_text"] == plain


def test_a_stop_string_ends_the_text_before_it(client: Client) -> None:
    whole = client.run(max_tokens=60, ignore_eos=True)[-1]["generated_text"]
    stop = whole[20:23]
    done = client.run(max_tokens=60, ignore_eos=True, stop=[stop])[-1]

    assert done["finish_reason"] == "stop"
    assert done["generated_text"] == whole[: whole.index(stop)]


def test_a_rejection_and_its_replacement_are_two_results(client: Client) -> None:
    events = client.run(temperature=1.0, k=4, seed=1, max_tokens=60, ignore_eos=True)

    replaced = [r for r in rounds_of(events).values() if any(e.get("status") == "resampled" for e in r)]
    assert replaced
    for round in replaced:
        rejected = [e for e in round if e.get("status") == "rejected"]
        resampled = [e for e in round if e.get("status") == "resampled"]
        assert [e["final_token"] for e in rejected] == [None]
        assert [e["node"] for e in resampled] == [None]
        assert rejected[0]["position"] == resampled[0]["position"]


def test_the_same_seed_repeats_a_run_and_another_does_not(client: Client) -> None:
    first, again, other = (client.run(temperature=1.0, seed=s, ignore_eos=True)[-1]["token_ids"] for s in (4, 4, 5))

    assert first == again
    assert first != other


def test_greedy_speculation_gives_the_text_of_plain_decoding(client: Client) -> None:
    texts = {client.run(k=k, ignore_eos=True, max_tokens=80)[-1]["generated_text"] for k in (0, 1, 4, 8)}

    assert len(texts) == 1


def test_a_conversation_is_decoded_like_a_prompt(client: Client) -> None:
    turns = [{"role": "user", "content": "once upon"}, {"role": "assistant", "content": " a time"}]
    client.send(messages=turns, k=2, ignore_eos=True)
    events = client.until("done")

    assert events[-1]["token_ids"] == client.run(k=2, ignore_eos=True)[-1]["token_ids"]


def test_without_evidence_no_figures_for_display_are_computed(client: Client) -> None:
    verdicts = [e for e in client.run(evidence=False) if e["type"] == "verify_result"]

    assert {(e["entropy"], e["target_logprob"], len(e["target_top_tokens"])) for e in verdicts} == {(None, None, 0)}


def test_started_names_models_settings_baseline_and_exactness(client: Client) -> None:
    started = client.run(k=3, temperature=0.5, top_p=0.9, seed=7)[0]

    assert (started["target_model"]["name"], started["draft_model"]["name"]) == ("toy-0", "toy-0~7")
    assert (started["k"], started["drafter"], started["seed"], started["max_tokens"]) == (3, "model", 7, 24)
    assert started["sampling"] == {"temperature": 0.5, "top_k": 0, "top_p": 0.9, "min_p": 0.0, "penalties": None}
    assert started["exactness"]["label"] == "exact"
    assert started["baseline"]["tps"] > 0
    assert started["noise_floor"]["max_total_variation"] == 0.0


def test_a_start_right_after_done_waits_until_the_models_are_released(
    serve: Callable[..., Server], toys: Toys, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()

    def load(report: Progress) -> Session:
        session = toys.load(report)
        run = session.run

        def lingering(*arguments: Any) -> Iterator[SentEvent]:
            yield from run(*arguments)
            assert released.wait(PATIENCE_S)

        monkeypatch.setattr(session, "run", lingering)
        return session

    server = serve(load=load)
    server.wait_until("ready")
    with server.client() as client:
        assert client.run()[-1]["type"] == "done"
        client.send(prompt="once upon a time", k=3)
        server.health()  # time enough for the start to be read
        released.set()
        assert [e["type"] for e in client.until("done", "error")][:1] == ["started"]


def test_cancelling_ends_a_run_and_the_socket_can_run_again(client: Client, toys: Toys) -> None:
    expected = client.run(ignore_eos=True)[-1]["token_ids"]
    toys.gate.limit(5)
    client.send(prompt="another story", k=2, **LONG)
    toys.gate.wait_until_blocked()
    client.until("started")  # a cancel before it is answered as one of a run that waits
    client.send(type="cancel")
    client.send(type="update", k=17)  # answered in order: after this error the cancel has been read
    client.until("error")
    toys.gate.limit(1)
    done = client.last("done")

    assert done["finish_reason"] == "cancelled"
    assert 0 < done["total_tokens"] < 30
    toys.gate.open()
    assert client.run(ignore_eos=True)[-1]["token_ids"] == expected


def test_cancelling_during_the_prefill_ends_the_run_within_one_chunk(client: Client, toys: Toys) -> None:
    toys.gate.limit(0)
    client.send(prompt="a" * 300, k=2, **LONG)
    toys.gate.wait_until_blocked()
    client.until("started")  # a cancel before it is answered as one of a run that waits
    before = toys.gate.passes
    client.send(type="cancel")
    client.send_raw("?")
    client.until("error")
    toys.gate.open()
    done = client.last("done")

    assert (done["finish_reason"], done["total_tokens"]) == ("cancelled", 0)
    assert toys.gate.passes == before + 1
    assert client.run()[-1]["type"] == "done"


def test_an_update_takes_effect_between_rounds_and_names_the_round(client: Client, toys: Toys) -> None:
    toys.gate.limit(3)
    client.send(prompt="once upon a time", k=4, temperature=0.0, ignore_eos=True, max_tokens=120)
    toys.gate.wait_until_blocked()
    client.send(type="update", k=1, temperature=0.7)
    client.send_raw("?")
    events = client.until("error")
    toys.gate.open()
    events += client.until("done")

    [updated] = [e for e in events if e["type"] == "updated"]
    depths = {round: events[-1]["k"] for round, events in rounds_of(events).items()}
    assert updated["k"] == 1
    assert updated["sampling"]["temperature"] == 0.7
    assert {depth for round, depth in depths.items() if round < updated["round"]} == {4}
    assert {depth for round, depth in depths.items() if round >= updated["round"]} <= {1, 0}
    assert 0 < updated["round"] < len(depths)
    seen = events.index(updated)
    assert all(e["round"] < updated["round"] for e in events[:seen] if e["type"] == "metrics")


def test_the_drafter_can_be_changed_mid_run(client: Client, toys: Toys) -> None:
    expected = client.run(k=0, ignore_eos=True, max_tokens=100)[-1]["generated_text"]
    toys.gate.limit(3)
    client.send(prompt="once upon a time", k=3, ignore_eos=True, max_tokens=100)
    toys.gate.wait_until_blocked()
    client.send(type="update", drafter="ngram")
    client.send_raw("?")
    events = client.until("error")
    toys.gate.open()
    events += client.until("done")

    [updated] = [e for e in events if e["type"] == "updated"]
    sources = {(e["round"] >= updated["round"], e["source"]) for e in events if e["type"] == "draft_token"}
    assert updated["drafter"] == "ngram"
    assert (False, "model") in sources
    assert sources <= {(False, "model"), (True, "ngram")}
    assert events[-1]["generated_text"] == expected


def test_updating_to_an_unknown_drafter_is_refused_and_the_run_goes_on(client: Client, toys: Toys) -> None:
    toys.gate.limit(3)
    client.send(prompt="once upon a time", k=3)
    toys.gate.wait_until_blocked()
    client.send(type="update", drafter="oracle")
    error = client.last("error")
    toys.gate.open()

    assert "'oracle'" in error["message"]
    assert "model" in error["hint"]
    assert client.last("done")["finish_reason"] in {"stop", "length"}


def test_an_update_that_follows_its_start_at_once_is_checked_too(client: Client, toys: Toys) -> None:
    toys.gate.limit(0)
    client.send(prompt="once upon a time", k=3)
    client.send(type="update", drafter="oracle")
    assert "'oracle'" in client.last("error")["message"]
    toys.gate.open()

    assert client.last("done", "error")["type"] == "done"


@pytest.mark.parametrize(
    "failure",
    [RuntimeError("no room in the cache"), ValueError("odd"), OSError("gone"), ModelError("Torn.", "Mend it.")],
    ids=lambda e: type(e).__name__,
)
def test_a_pass_that_fails_ends_the_run_in_words_and_the_next_run_works(
    client: Client, toys: Toys, failure: Exception
) -> None:
    expected = client.run(ignore_eos=True)[-1]["token_ids"]
    toys.gate.limit(3)
    client.send(prompt="once upon a time", k=3, ignore_eos=True)
    toys.gate.wait_until_blocked()
    toys.target.failing = failure
    toys.gate.open()
    error = client.last("error", "done")

    assert error["type"] == "error"
    assert str(failure).split()[0] in error["message"]
    assert error["hint"]
    assert client.run(ignore_eos=True)[-1]["token_ids"] == expected


def test_a_full_context_ends_the_run_with_that_reason(client: Client) -> None:
    done = client.run(prompt="a" * 496, ignore_eos=True, max_tokens=100)[-1]

    assert (done["finish_reason"], done["total_tokens"]) == ("context", 16)


def test_a_plain_run_becomes_the_baseline(client: Client, server: Server) -> None:
    client.run(k=0, ignore_eos=True, max_tokens=32)

    baseline = server.health()["baseline"]
    assert (baseline["kind"], baseline["tokens"]) == ("plain_run", 32)
    assert client.run()[0]["baseline"]["tps"] == baseline["tps"]


def test_runs_of_two_sockets_have_different_ids(connected: Callable[[], Client]) -> None:
    names = {connected().run()[0]["run"] for _ in range(2)}

    assert len(names) == 2
