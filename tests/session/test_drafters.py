"""Which drafters there are for which target, and that each of them, by name, leaves the text as it is."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from speculatoviz.config import Settings
from speculatoviz.core.types import Floats
from speculatoviz.drafters.about import DRAFTERS
from speculatoviz.errors import BadRequestError, HeadError
from speculatoviz.heads import eagle, medusa
from speculatoviz.heads.file import HeadFile, HeadKind, save
from speculatoviz.models.runtimes.llamacpp import LlamaCppModel
from speculatoviz.session import session as sessions
from speculatoviz.session.drafters import missing
from speculatoviz.session.session import Session
from speculatoviz.targets.local import LocalTarget
from speculatoviz.telemetry.events import Done, DraftToken, Started, VerifyResult
from speculatoviz.telemetry.messages import Start
from support import toy_session

ALONE = {"ngram", "suffix", "lookahead"}
COMBINED = {"model", "mixture", "multi", "hybrid"}
HIDDEN, IDS = 576, np.arange(512, dtype=np.int32)
PROMPT = "Name three colours, then repeat them: red, green, blue, red, green"


def test_every_drafter_has_words() -> None:
    assert all(about.title and about.help and about.paper for about in DRAFTERS.values())


def test_without_a_draft_model_there_are_those_that_need_none(tmp_path: Path) -> None:
    session = toy_session.load(tmp_path, draft="none")
    assert set(session.drafters) == ALONE
    with pytest.raises(
        BadRequestError,
        match="no drafter named 'hybrid' here: no draft model is loaded and there is no EAGLE or DFlash head",
    ) as raised:
        session.prepare(Start(prompt="a", drafter="hybrid"))
    assert raised.value.hint == "Start with `--draft NAME`. Or choose one of: ngram, suffix, lookahead."
    with pytest.raises(BadRequestError, match=r"no drafter named 'oracle'\. Choose"):
        session.check_drafter("oracle")
    session.close()


@pytest.mark.parametrize("draft", ["none", "toy:0~7"])
def test_every_drafter_is_there_or_it_is_said_why_not(tmp_path: Path, draft: str) -> None:
    session = toy_session.load(tmp_path, draft=draft)
    assert sorted([*session.drafters, *session.missing]) == sorted(DRAFTERS)
    assert {name for name in session.missing if "draft model" in session.missing[name].why} == (
        COMBINED if draft == "none" else set()
    )
    assert all("GGUF" in str(session.missing[name]) for name in ("medusa", "eagle", "selfspec"))
    for reason in session.missing.values():
        assert re.fullmatch(r"[A-Z].+[^.]\. [A-Z].+\.", str(reason))
    session.close()


def of_a_file(session: Session, tmp_path: Path) -> LocalTarget:
    """The session's target, as if it were a model of the catalogue, loaded from its file."""
    assert isinstance(session.target, LocalTarget)
    model = session.target.model
    model.description = replace(model.description, gguf=tmp_path / "model.gguf")  # type: ignore[misc]
    return session.target


def test_a_target_without_heads_is_told_how_to_train_them(tmp_path: Path) -> None:
    session = toy_session.load(tmp_path)
    target = of_a_file(session, tmp_path)
    reasons = missing(Settings(_env_file=None, profile="smol"), target, session.drafters)
    assert str(reasons["eagle"]) == (
        "There is no trained head for this target. Train one with `speculatoviz train eagle --target "
        "smollm2-135m-instruct --out eagle.safetensors`, and start with `--head eagle.safetensors`."
    )
    other = Settings(_env_file=None, target="/my models/a.gguf", head="medusa.safetensors")
    assert "holds no eagle head" in str(missing(other, target, {"medusa"})["eagle"])
    assert "--target '/my models/a.gguf' --out eagle.safetensors" in str(missing(other, target, {"medusa"})["eagle"])
    assert str(reasons["selfspec"]).endswith("Start with `--selfspec Q2_K`.")
    session.close()


def test_a_runtime_that_gives_too_little_is_named(tmp_path: Path) -> None:
    session = toy_session.load(tmp_path)
    target = of_a_file(session, tmp_path)
    target.model.provides = frozenset()  # type: ignore[misc]
    reasons = missing(session.settings, target, {"ngram", "suffix"})
    assert "No trees are computed for this target on toy" in str(reasons["lookahead"])
    assert "runs on toy, which gives no hidden states" in str(reasons["medusa"])
    session.close()


def test_with_one_there_are_those_made_of_it(tmp_path: Path) -> None:
    session = toy_session.load(tmp_path)
    assert set(session.drafters) == ALONE | COMBINED
    assert all(name == drafter.name for name, drafter in session.drafters.items())
    session.close()


def test_heads_for_a_target_without_matrices_are_refused(tmp_path: Path) -> None:
    (tmp_path / "anything.safetensors").touch()
    with pytest.raises(HeadError, match="GGUF"):
        toy_session.load(tmp_path, head=str(tmp_path / "anything.safetensors"))


@pytest.mark.parametrize("head", ["./nowhere", "no-such.safetensors", "missing.gguf", "~/no-such-head"])
def test_a_head_that_is_not_there_is_refused_before_models_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: str
) -> None:
    def loaded(*_: object) -> None:
        raise AssertionError("models were loaded")

    monkeypatch.setattr(sessions, "open_models", loaded)
    with pytest.raises(HeadError, match="There is no head"):
        toy_session.load(tmp_path, head=head)


@pytest.mark.parametrize("drafter", sorted(ALONE | COMBINED))
@pytest.mark.parametrize("nodes", [0, 6])
def test_every_drafter_by_name_leaves_greedy_text_as_it_is(tmp_path: Path, drafter: str, nodes: int) -> None:
    session = toy_session.repetitive(tmp_path, drafter=drafter)
    plain = toy_session.run(session, "abcabcabc", k=0, max_tokens=60)
    drafted = toy_session.run(session, "abcabcabc", nodes=nodes, max_tokens=60)
    assert isinstance(plain[-1], Done)
    assert isinstance(drafted[-1], Done)
    assert drafted[-1].token_ids == plain[-1].token_ids
    assert drafted[-1].total_tokens == 60
    assert drafted[-1].total_accepted > 0, "nothing was drafted, or nothing accepted"
    session.close()


@pytest.mark.parametrize("rule", ["token", "block", "match", "typical"])
@pytest.mark.parametrize("nodes", [0, 7])
def test_every_drafted_token_gets_one_verdict(tmp_path: Path, rule: str, nodes: int) -> None:
    session = toy_session.load(tmp_path)
    events = toy_session.run(session, drafter="multi", rule=rule, nodes=nodes, temperature=1.0, ignore_eos=True)
    drafted = Counter((e.round, e.node) for e in events if isinstance(e, DraftToken))
    judged = Counter((e.round, e.node) for e in events if isinstance(e, VerifyResult) and e.node is not None)
    assert len(drafted) > 20
    assert drafted == judged
    label = events[0].exactness.label if isinstance(events[0], Started) else None
    assert label == ("lossy" if rule == "typical" else "exact")
    session.close()


# --- heads on a real target --------------------------------------------------------------------------


def random_head(kind: HeadKind, fingerprint: str, hidden_size: int = HIDDEN) -> HeadFile:
    """Untrained: its drafts are nonsense, which must not show in the text."""
    rng = np.random.default_rng(0)
    if kind == "eagle":
        numbers = {"heads": 4, "width": 32, "inner": 64, "window": 64, "theta": 10_000.0}
        shapes = eagle.shapes(hidden_size, 4, 32, 64)
    else:
        numbers = {"heads": 3, "blocks": 1}
        shapes = medusa.shapes(hidden_size, 3, 1)
    tensors: dict[str, Floats] = {name: 0.05 * rng.standard_normal(s, np.float32) for name, s in shapes.items()}
    return HeadFile(kind, "smollm2-135m-instruct", fingerprint, hidden_size, IDS, tensors, numbers)


@pytest.fixture(scope="module")
def fingerprint(smol_path: Path) -> Iterator[str]:
    model = LlamaCppModel(smol_path, cells=64)
    yield model.tokenizer.fingerprint
    model.close()


def load(head: Path, cache_dir: Path) -> Session:
    settings = Settings(_env_file=None, profile="smol", head=str(head), cache_dir=str(cache_dir), max_tokens=24)
    return Session.load(settings, time.perf_counter, lambda stage, share: None)


@pytest.mark.smol
@pytest.mark.parametrize("kind", ["eagle", "medusa"])
def test_heads_from_a_file_draft_for_a_real_target(
    kind: HeadKind, fingerprint: str, tmp_path: Path, cache_dir: Path
) -> None:
    save(random_head(kind, fingerprint), tmp_path / "head.safetensors")
    session = load(tmp_path / "head.safetensors", cache_dir)
    assert session.drafter == kind, "the head that was given drafts"
    assert ("hybrid" in session.drafters) == (kind == "eagle"), "matches beside a head that writes"
    texts = []
    for k in (0, 3):
        prepared = session.prepare(Start(prompt=PROMPT, drafter=kind, k=k))
        events = list(session.run("r", prepared, lambda: False))
        assert isinstance(events[-1], Done)
        texts.append(events[-1].generated_text)
    assert events[-1].metrics.drafted > 0
    assert texts[0] == texts[1]
    session.close()


@pytest.mark.smol
@pytest.mark.parametrize(("hidden_size", "other", "words"), [(64, "", "64 numbers"), (HIDDEN, "f" * 16, "vocabulary")])
def test_heads_that_do_not_fit_are_refused_in_words(
    hidden_size: int, other: str, words: str, fingerprint: str, tmp_path: Path, cache_dir: Path
) -> None:
    save(random_head("medusa", other or fingerprint, hidden_size), tmp_path / "head.safetensors")
    with pytest.raises(HeadError, match=words):
        load(tmp_path / "head.safetensors", cache_dir)
