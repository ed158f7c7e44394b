"""What a drafter writes alone after a part of a run's output: the draft model's own text, and refusals in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from speculatoviz.config import Settings
from speculatoviz.core.digest import prompt_digest
from speculatoviz.core.sampling import best_id
from speculatoviz.errors import BadRequestError, CancelledError
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel
from speculatoviz.models.window import Window
from speculatoviz.session.alone import prepare_alone, write_alone
from speculatoviz.session.session import Session
from speculatoviz.session.targets import open_local
from speculatoviz.telemetry.messages import ChatMessage, Start
from speculatoviz.telemetry.parts import GrammarInfo
from support.toy_pair import no_clock

MOST = 12
RUN = Start(prompt="once upon", temperature=0.0, ignore_eos=True)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    target, draft = ToyModel(0, ALPHABET), ToyModel(0, ALPHABET, mix=(7, 0.5))
    settings = Settings(_env_file=None, target="toy:0", draft="toy:0~7", cache_dir=str(tmp_path))
    session = Session(settings, open_local(target, draft, no_clock), draft, no_clock)
    yield session
    session.close()


def written(session: Session, output: list[int], run: Start = RUN, digest: str | None = None) -> list[int]:
    whole = prompt_digest(session.prepare(run).request.prompt) if digest is None else digest
    prepared = prepare_alone(session, run, whole, output)
    tokens: list[int] = write_alone(prepared, output, MOST, lambda: False, session.places[0]).tokens.tolist()
    return tokens


def greedy(model: ToyModel, ids: list[int]) -> list[int]:
    """The model's own greedy text, one pass over the whole text for each token."""
    text = list(ids)
    for _ in range(MOST):
        window = Window(model, len(text))
        text.append(best_id(window.catch_up(text, lambda: False)[-1]))
        window.close()
    return text[len(ids) :]


def refused(session: Session, output: list[int], run: Start = RUN, digest: str | None = None) -> BadRequestError:
    with pytest.raises(BadRequestError) as caught:
        written(session, output, run, digest)
    assert caught.value.hint
    return caught.value


def test_it_is_the_draft_models_own_greedy_text(session: Session) -> None:
    draft = ToyModel(0, ALPHABET, mix=(7, 0.5))
    prompt = list(session.prepare(RUN).request.prompt)
    for output in ([3], [7, 3], [1, 2, 3, 4, 5]):
        assert written(session, output) == greedy(draft, [*prompt, *output])


def test_the_text_depends_on_the_token_to_continue_from(session: Session) -> None:
    """A request that dropped its last token would give one text for all of them."""
    assert len({tuple(written(session, [1, token])) for token in range(2, 8)}) > 1


def test_at_a_temperature_the_seed_of_the_run_decides(session: Session) -> None:
    texts = [written(session, [3], RUN.model_copy(update={"temperature": 1.0, "seed": seed})) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_penalties_count_the_output_that_was_given(session: Session) -> None:
    plain = written(session, [3, 4])
    banned = RUN.model_copy(update={"logit_bias": {plain[0]: -100.0}})
    assert plain[0] not in written(session, [3, 4], banned)


def test_a_raw_prompt_is_known_by_its_digest(session: Session) -> None:
    raw = session.prepare(RUN.model_copy(update={"raw": True})).request.prompt
    assert written(session, [3], digest=prompt_digest(raw))


def test_the_next_run_is_not_touched(session: Session) -> None:
    def text() -> list[int]:
        return [e.token_id for e in session.run("r", session.prepare(RUN), lambda: False) if e.type == "verify_result"]

    before = text()
    written(session, [3, 3, 3])
    assert text() == before


def test_what_cannot_be_continued_is_refused_in_words(session: Session) -> None:
    other = [ChatMessage(role="user", content="once"), ChatMessage(role="assistant", content="a")]
    assert "cannot be built again" in refused(session, [3], digest="0" * 64).message
    turns = RUN.model_copy(update={"prompt": None, "messages": [*other, other[0]]})
    assert "cannot be built again" in refused(session, [3], turns, digest="0" * 64).message
    copying = refused(session, [3], RUN.model_copy(update={"drafter": "ngram"}))
    assert "ngram writes nothing alone" in copying.message
    assert copying.hint == "Continue with model."
    assert "no drafter named 'x'" in refused(session, [3], RUN.model_copy(update={"drafter": "x"})).message
    assert "outside the vocabulary" in refused(session, [99999]).message
    assert "ends the text" in refused(session, []).message
    end = min(session.target.tokenizer.eos_ids)
    assert "ends the text" in refused(session, [3, end], RUN.model_copy(update={"ignore_eos": False})).message
    grammar = RUN.model_copy(update={"grammar": GrammarInfo(kind="regex", text="a+"), "ignore_eos": False})
    assert "grammar" in refused(session, [3], grammar, digest="0" * 64).message
    context = session.target.context_tokens
    assert "proposes nothing" in refused(session, [3] * (context + 8)).message


def test_it_ends_once_it_is_cancelled(session: Session) -> None:
    prepared = prepare_alone(session, RUN, prompt_digest(session.prepare(RUN).request.prompt), [3])
    with pytest.raises(CancelledError):
        write_alone(prepared, [3], MOST, lambda: True, session.places[0])
