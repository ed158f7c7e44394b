"""Shadows guess beside a run, change nothing in it, and are scored by what came."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from speculatoviz.core.types import Draft, Node
from speculatoviz.errors import BadRequestError
from speculatoviz.session.session import Session
from speculatoviz.telemetry.events import Done, Shadow, Started
from speculatoviz.telemetry.messages import Start
from speculatoviz.telemetry.shadow import ORACLE, Guess, Shadowed, ShadowFold, closest, matched
from support import toy_session


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    loaded = toy_session.load(tmp_path_factory.mktemp("toys"))
    yield loaded
    loaded.close()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("drafter", ["model", "hybrid", "multi"])
def test_a_run_is_the_same_with_shadows(session: Session, drafter: str, temperature: float) -> None:
    asked = {"drafter": drafter, "temperature": temperature, "nodes": 5}
    alone = toy_session.run(session, **asked)
    beside = toy_session.run(session, shadow=["ngram", "mixture", "model", "multi"], **asked)
    texts = [next(e.token_ids for e in events if isinstance(e, Done)) for events in (alone, beside)]
    assert texts[0] == texts[1]
    assert isinstance(beside[-1], Done), "nothing comes after the end"
    assert any(isinstance(e, Shadow) for e in beside)
    assert not any(isinstance(e, Shadow) for e in alone)


def test_guesses_are_scored_by_the_tokens_that_came(session: Session) -> None:
    events = toy_session.run(session, drafter="ngram", shadow=["model"], max_tokens=40, ignore_eos=True)
    started, done = events[0], events[-1]
    assert isinstance(started, Started)
    assert isinstance(done, Done)
    shadows = [e for e in events if isinstance(e, Shadow)]
    assert len(shadows) >= 10
    for event in shadows:
        assert [guess.drafter for guess in event.guesses] == ["ngram", "model"]
        assert all(guess.matched <= guess.drafted for guess in event.guesses)
        assert [score.drafter for score in event.scores] == ["ngram", "model", ORACLE]
    last = shadows[-1].scores
    assert last[0].mean_draft_ms is None
    assert last[1].mean_draft_ms is not None
    assert last[2].mean_matched >= max(score.mean_matched for score in last[:2])
    assert last[1].mean_matched > 0.0


def test_an_unknown_shadow_is_refused(session: Session) -> None:
    with pytest.raises(BadRequestError, match="no drafter named 'ghost'"):
        session.prepare(Start(prompt="a", shadow=["ghost"]))


TREE = Draft.tree(0, [Node(5, -1), Node(6, -1), Node(7, 1), Node(8, 1), Node(9, 2)])


@pytest.mark.parametrize(
    ("came", "path"), [([6, 7, 9], (1, 2, 4)), ([6, 8, 1], (1, 3)), ([5, 5, 5], (0,)), ([1, 2, 3], ())]
)
def test_the_longest_path_that_came_true(came: list[int], path: tuple[int, ...]) -> None:
    assert matched(TREE, came) == path


def test_what_a_drafter_would_have_said() -> None:
    assert closest(Guess("a", TREE, (1,), None)) == [1, 2, 4]
    assert closest(Guess("a", TREE, (), None)) == [0]


def test_the_oracle_takes_the_best_guess_of_every_round() -> None:
    fold = ShadowFold()
    for first, second in [((0,), ()), ((), (1, 2)), ((1,), (1,))]:
        fold.add(Shadowed(0, (Guess("a", TREE, first, None), Guess("b", TREE, second, 2.0))))
    scores = {score.drafter: score for score in fold.scores()}
    assert (scores["a"].mean_matched, scores["b"].mean_matched) == (pytest.approx(2 / 3), pytest.approx(1.0))
    assert scores[ORACLE].mean_matched == pytest.approx(4 / 3)
    assert (scores["a"].best_share, scores["b"].best_share) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert (scores["a"].mean_draft_ms, scores["b"].mean_draft_ms) == (None, 2.0)
