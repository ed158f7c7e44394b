"""What a session asks of the runtime of its models, and a session on a runtime that gives too little."""

from __future__ import annotations

import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from speculatoviz.config import Settings
from speculatoviz.errors import BadRequestError, ModelError
from speculatoviz.models import libraries
from speculatoviz.models.base import LanguageModel, RuntimeChoice
from speculatoviz.models.load import Loading
from speculatoviz.models.runtime_choice import Use
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel
from speculatoviz.session.session import Session
from speculatoviz.session.targets import load_draft, loading_options, open_target
from speculatoviz.telemetry.events import Done
from speculatoviz.telemetry.messages import Start
from support.runtimes import needs_ik


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Loading]:
    """How each model was to be loaded; none is."""
    seen: list[Loading] = []

    def refuse(_name: str, how: Loading, *_: object) -> LanguageModel:
        seen.append(how)
        raise ModelError("It is not loaded.", "This is a test.")

    monkeypatch.setattr("speculatoviz.session.targets.load_model", refuse)
    return seen


def quiet(_stage: str, _share: float | None) -> None: ...


def use_of_target(asked: list[Loading], draft: LanguageModel | None = None, **given: Any) -> Use:
    drafters = given.pop("drafters", ())
    with pytest.raises(ModelError, match="not loaded"):
        open_target(Settings(_env_file=None, **given), draft, time.perf_counter, quiet, drafters)
    return asked[-1].use


@pytest.mark.parametrize(
    ("given", "hidden_for"),
    [
        ({"profile": "smol"}, "the drafter eagle"),
        ({"profile": "smol", "drafter": "medusa"}, "the drafter medusa"),
        ({"profile": "smol", "drafter": "ngram"}, None),
        ({"profile": "smol", "drafter": "ngram", "drafters": ("suffix", "eagle")}, "the drafter eagle"),
        ({"profile": "smol", "drafter": "hybrid"}, "the EAGLE head of hybrid"),
        ({"profile": "qwen"}, None),
        ({"profile": "qwen", "drafter": "hybrid"}, None),
        ({"profile": "qwen", "head": "head.safetensors"}, "the head"),
    ],
)
def test_what_reads_hidden_states_is_named(given: dict[str, Any], hidden_for: str | None, asked: list[Loading]) -> None:
    assert use_of_target(asked, **given) == Use(hidden_for=hidden_for)


def test_the_cost_of_the_draft_model_counts(asked: list[Loading]) -> None:
    draft = ToyModel(0, ALPHABET)
    assert use_of_target(asked, draft).draft_ms == 0.0
    choice = RuntimeChoice("it is faster", {"toy": {1: 7.0, 2: 9.0}, "other": {1: 8.0}})
    draft.description = replace(draft.description, choice=choice)  # type: ignore[misc]
    assert use_of_target(asked, draft).draft_ms == 7.0


def test_a_draft_model_is_loaded_to_draft(asked: list[Loading]) -> None:
    with pytest.raises(ModelError, match="not loaded"):
        load_draft(Settings(_env_file=None), quiet)
    assert asked[-1].use == Use(drafts=True)


@pytest.mark.parametrize(("runtime", "fixed"), [("auto", None), ("ik", "ik"), ("hf", "hf")])
def test_the_setting_fixes_the_runtime(runtime: Any, fixed: str | None) -> None:
    assert loading_options(Settings(_env_file=None, runtime=runtime)).runtime == fixed


# --- a runtime without hidden states ------------------------------------------------------------------


@pytest.fixture
def _only_ik(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(module: str) -> object:
        return None if module == "llama_cpp" else find_spec(module)

    monkeypatch.setattr(libraries, "find_spec", found)
    monkeypatch.setattr("speculatoviz.models.runtimes.ik.find_spec", found)


@needs_ik
@pytest.mark.smol
@pytest.mark.usefixtures("_only_ik")
def test_the_profile_with_a_head_starts_without_one(cache_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(_env_file=None, profile="smol", cache_dir=str(cache_dir), max_tokens=8)
    session = Session.load(settings, time.perf_counter, quiet)

    assert session.target.description.runtime == "ik_llama.cpp"
    assert session.drafter == "ngram"
    assert "ngram drafts in place of eagle: the target runs on ik_llama.cpp" in caplog.text
    for name in ("eagle", "medusa"):
        assert "gives no hidden states. Run `pip install 'speculatoviz[llamacpp]'`" in str(session.missing[name])
        with pytest.raises(BadRequestError, match="gives no hidden states"):
            session.prepare(Start(prompt="a", drafter=name))
    done = list(session.run("r", session.prepare(Start(prompt="Count: 1, 2, 3, 1, 2,")), lambda: False))[-1]
    assert isinstance(done, Done)
    assert done.total_tokens == 8
    session.close()


@needs_ik
@pytest.mark.smol
@pytest.mark.usefixtures("_only_ik")
def test_a_drafter_that_was_asked_for_is_not_replaced(cache_dir: Path) -> None:
    settings = Settings(_env_file=None, profile="smol", drafter="eagle", cache_dir=str(cache_dir))
    with pytest.raises(BadRequestError, match=r"no drafter named 'eagle' here: .* gives no hidden states"):
        Session.load(settings, time.perf_counter, quiet)
