"""What a session reports of its prompt cache: hits, sizes and saved time, over the turns of several conversations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from speculatoviz.config import Settings
from speculatoviz.drafters.model import ModelDrafter
from speculatoviz.engine import Change
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel
from speculatoviz.session.prompt_cache import open_prompt_cache
from speculatoviz.session.session import Session
from speculatoviz.session.targets import open_target
from speculatoviz.telemetry.events import Done, Metrics, Updated
from speculatoviz.telemetry.messages import Start
from speculatoviz.telemetry.parts import PromptCacheInfo
from support.toy_session import run

STORY = "once upon a time there was a miller who had two cats and a mill by the river and no bread at all "
OTHER = "the quick brown fox jumps over the lazy dog because it can and the dog does not mind it in the least "


class Ticking:
    """A clock that moves by a millisecond at every look."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 0.001
        return self.now_s


def session_of(folder: Path, **settings: object) -> Session:
    chosen = Settings(_env_file=None, target="toy:0", draft="toy:0~7", cache_dir=str(folder), **settings)  # type: ignore[arg-type]
    clock = Ticking()
    draft = ToyModel(0, ALPHABET, mix=(7, 0.5))
    return Session(chosen, open_target(chosen, draft, clock, lambda stage, share: None), draft, clock)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    made = session_of(tmp_path)
    yield made
    made.close()


def reuse(session: Session, prompt: str) -> tuple[PromptCacheInfo, Metrics, Done]:
    """What the first round reports, that round, and the end of the run. Later rounds report nothing."""
    events = run(session, prompt, max_tokens=8, ignore_eos=True)
    rounds = [event for event in events if isinstance(event, Metrics)]
    assert rounds[0].prompt_cache is not None
    assert all(later.prompt_cache is None for later in rounds[1:])
    assert isinstance(events[-1], Done)
    return rounds[0].prompt_cache, rounds[0], events[-1]


def test_a_second_turn_does_not_pay_for_the_first(session: Session) -> None:
    info, first, done = reuse(session, STORY)
    assert (info.hit_tokens, info.prompt_tokens, info.held_tokens) == (0, len(STORY), 0)
    assert info.saved_ms == 0
    answer = bytes(session.target.tokenizer.token_bytes(t)[0] for t in done.token_ids[:-1]).decode()
    later, _, _ = reuse(session, STORY + answer + " and then")
    assert later.hit_tokens >= len(STORY) + len(answer) - 1
    assert later.saved_ms == pytest.approx(later.hit_tokens * first.prefill_ms / len(STORY))


def test_conversations_can_alternate(session: Session) -> None:
    plain_texts = {prompt: reuse(session, prompt)[2].generated_text for prompt in (STORY, OTHER)}
    for prompt in (STORY, OTHER, STORY):
        info, _, done = reuse(session, prompt)
        assert info.hit_tokens == len(prompt) - 1 or info.hit_tokens == len(prompt)
        assert info.held_tokens > 0
        assert done.generated_text == plain_texts[prompt]


def test_the_draft_model_returns_to_its_prefixes_too(session: Session) -> None:
    drafter = session.drafters["model"]
    assert isinstance(drafter, ModelDrafter)
    for prompt in (STORY, OTHER, STORY):
        reuse(session, prompt)
    assert drafter.window.reused >= len(STORY) - 1


def test_what_the_run_itself_has_computed_is_no_hit(session: Session) -> None:
    asked = iter([[Change(depth=1)]])
    prepared = session.prepare(Start(prompt=STORY, k=3, max_tokens=8, ignore_eos=True))
    events = list(session.run("r", prepared, lambda: False, lambda: next(asked, [])))
    assert any(isinstance(event, Updated) for event in events)
    [first] = [event for event in events if isinstance(event, Metrics) and event.round == 0]
    assert first.prompt_cache is not None
    assert first.prompt_cache.hit_tokens == 0


def test_nothing_but_the_last_prompt_is_kept_without_a_budget(tmp_path: Path) -> None:
    session = session_of(tmp_path, prompt_cache_tokens=0)
    for prompt in (STORY, OTHER, STORY):
        info, _, _ = reuse(session, prompt)
        assert (info.hit_tokens, info.held_tokens) == (0, 0)
    session.close()


def test_the_time_saved_is_unknown_before_a_prompt_was_computed(session: Session) -> None:
    assert reuse(session, "once upon a time")[0].saved_ms is None


def test_prompts_outlive_the_session_in_a_folder(tmp_path: Path) -> None:
    texts: list[str] = []
    for start in range(2):
        session = session_of(tmp_path, prompt_cache=str(tmp_path / "prompts"))
        info, _, done = reuse(session, STORY)
        drafter = session.drafters["model"]
        assert isinstance(drafter, ModelDrafter)
        for hit in (info.hit_tokens, drafter.window.reused):
            assert hit >= len(STORY) - 1 if start else hit == 0
        texts.append(done.generated_text)
        session.close()
    assert texts[0] == texts[1]


class Unstorable:
    """A model of a runtime that cannot copy contexts."""

    def __init__(self) -> None:
        self.description = ToyModel(0).description


def test_a_runtime_that_cannot_store_prompts_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(_env_file=None, prompt_cache=str(tmp_path))  # type: ignore[call-arg]
    with caplog.at_level("WARNING"):
        cache = open_prompt_cache(settings, Unstorable())  # type: ignore[arg-type]
    assert cache.files is None
    assert "Prompts of toy-0 are not stored" in caplog.text
