"""Two engines of one model: near ties are excused, a broken verifier is caught, and what cannot be told is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from speculatoviz.errors import TargetError
from speculatoviz.lab.endpoints.compare import GreedyText, Plan
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel
from support.stand_in import Json
from support.two_engines import Engine, Fault, Tied, compared, none, second_best, too_often

PROMPTS = ["once upon", "a time"]
SEED = 30  # its greedy texts after these prompts do not end, and have clear and unclear places
LENGTH = 9 + 4  # tokens of the first prompt and of the text before the tie


def toy(seed: int = SEED) -> ToyModel:
    return ToyModel(seed, ALPHABET)


def only(plain: Engine, speculating: Engine) -> GreedyText:
    (text,) = compared(plain, speculating, PROMPTS[:1]).texts
    return text


def kind(text: GreedyText) -> str:
    return text.verdict.kind if text.verdict else "equal"


def test_equal_texts_are_equal() -> None:
    found = compared(Engine(toy()), Engine(toy()), PROMPTS)

    assert [kind(text) for text in found.texts] == ["equal", "equal"]
    assert found.notes == ()
    assert not found.wrong


@pytest.mark.parametrize("switches", [{}, {"ids": None}, {"token_prompts": False}])
def test_a_broken_verifier_is_caught(switches: dict[str, Any]) -> None:
    plain, broken = Engine(toy()), Engine(toy(), fault=second_best)
    for engine in (plain, broken):
        for name, value in switches.items():
            setattr(engine.can, name, value)
    text = only(plain, broken)

    assert kind(text) == "verifier wrong", text
    assert text.position is not None
    assert text.position >= 3
    assert text.scores is not None
    assert text.scores.choice == "A"
    assert compared(plain, broken, PROMPTS[:1]).wrong


def test_a_near_tie_is_no_bug() -> None:
    """The engines order two tokens differently that are 0.004 nats apart, as kernels do."""
    text = only(Engine(Tied(SEED, LENGTH, 0.004)), Engine(Tied(SEED, LENGTH, -0.004)))

    assert (kind(text), text.position) == ("near tie", LENGTH - 9)
    assert not compared(Engine(Tied(SEED, LENGTH, 0.004)), Engine(Tied(SEED, LENGTH, -0.004)), PROMPTS[:1]).wrong


def test_a_near_tie_is_as_wide_as_the_engines_own_noise() -> None:
    """The same departure at 0.1 nats: excused by an engine whose scores move by that much, and not by a quiet one."""
    quiet = only(Engine(Tied(SEED, LENGTH, 0.1)), Engine(Tied(SEED, LENGTH, -0.1)))
    noisy = only(Engine(Tied(SEED, LENGTH, 0.1), row_noise=0.4), Engine(Tied(SEED, LENGTH, -0.1)))

    assert kind(quiet) == "cannot tell"
    assert kind(noisy) == "near tie"


def test_another_model_is_not_called_a_bug() -> None:
    text = only(Engine(toy(SEED)), Engine(toy(20)))

    assert kind(text) == "cannot tell"
    assert text.verdict is not None
    assert "do not compute the same scores" in text.verdict.reason


def test_without_scores_nothing_is_told() -> None:
    plain, broken = Engine(toy()), Engine(toy(), fault=second_best)
    plain.can.logprobs = broken.can.logprobs = False
    text = only(plain, broken)

    assert kind(text) == "cannot tell"
    assert text.position is not None
    plain.can.ids = broken.can.ids = None
    assert kind(only(plain, broken)) == "cannot tell"


def accepted_report_zero(answer: Json) -> Json:
    """As llama.cpp's server with speculation: accepted tokens report log p = 0 and no alternatives."""
    for choice in answer.get("choices", []):
        if choice.get("logprobs") and len(choice["logprobs"]["tokens"]) > 1:
            for place in range(1, 6):
                choice["logprobs"]["token_logprobs"][place] = 0.0
                choice["logprobs"]["top_logprobs"][place] = {}
    return answer


def one_token_more(answer: Json) -> Json:
    if "usage" in answer:
        answer["usage"]["completion_tokens"] += 3
    return answer


def longer_prompts(answer: Json) -> Json:
    if "usage" in answer:
        answer["usage"]["prompt_tokens"] += 1
    return answer


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (accepted_report_zero, "exactly 0 for runs of tokens, 5 in one text"),
        (one_token_more, "counts 19 tokens in its usage, and names 16"),
        (longer_prompts, "different tokenizers"),
    ],
)
def test_what_an_engine_reports_wrongly_is_named(change: Any, words: str) -> None:
    found = compared(Engine(toy()), Engine(toy(), change=change), PROMPTS[:1])

    assert any(words in note for note in found.notes), found.notes
    assert compared(Engine(toy()), Engine(toy()), PROMPTS[:1]).notes == ()


@pytest.mark.parametrize(("fault", "differs"), [(none, False), (too_often(0.6), True)])
def test_samples_of_a_verifier_that_accepts_too_often_differ(fault: Fault, differs: bool) -> None:
    found = compared(
        Engine(toy(), seed=1), Engine(toy(), seed=2, fault=fault), PROMPTS, Plan(tokens=1, samples=48)
    ).sampled

    assert found is not None
    assert found.draws == 96
    assert found.differs == differs, found
    assert found.caught is not None
    assert found.caught <= 0.6


def test_an_endpoint_that_completes_no_text_is_refused_in_words() -> None:
    chats = Engine(toy())
    chats.can.completions = False
    with pytest.raises(TargetError, match="does not complete a text"):
        compared(Engine(toy()), chats, PROMPTS[:1])


def test_a_key_that_is_refused_is_named() -> None:
    locked = Engine(toy())
    locked.can.key = "right"
    with pytest.raises(TargetError, match="refuses the key"):
        compared(Engine(toy()), locked, PROMPTS[:1])


def test_the_toy_has_room_for_the_faults() -> None:
    """So that no test above passes because its fault never happens."""
    row = np.sort(Tied(SEED, LENGTH, 0.004).logits([0] * LENGTH))[::-1]
    assert row[0] - row[1] == pytest.approx(0.004)
