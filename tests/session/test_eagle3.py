"""Sessions with an EAGLE-3 head: it drafts, the text stays as it is, and a head that does not fit is refused."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from speculatoviz.errors import BadRequestError, HeadError
from speculatoviz.heads.eagle3_published import converted
from speculatoviz.heads.gguf_head import HeadTarget
from speculatoviz.models.runtimes.toy import ToyModel
from speculatoviz.session.heads import is_published
from speculatoviz.telemetry.messages import Start
from support import toy_session
from support.head_sessions import SMOL, TOY, TOY_IDS, check_drafting, check_smol
from support.runtimes import of_gguf
from support.tiny_eagle3 import TARGET, weights, write


def published(folder: Path, target: HeadTarget = TOY, ids: list[int] = TOY_IDS, **changes: Any) -> Path:
    sizes = {"target_hidden_size": target.hidden_size, "vocab_size": target.n_vocab}
    return write(folder, tensors=weights(0, target, ids), changes=sizes | changes)


@pytest.mark.parametrize("drafter", ["eagle3", "multi", "hybrid", "mixture"])
@pytest.mark.parametrize("nodes", [0, 7])
def test_a_published_head_drafts_and_leaves_greedy_text_as_it_is(tmp_path: Path, drafter: str, nodes: int) -> None:
    check_drafting(tmp_path, published(tmp_path / "head"), "eagle3", drafter, nodes)


def test_without_a_head_the_reason_states_how_to_name_one(tmp_path: Path) -> None:
    session = toy_session.load(tmp_path)
    assert str(session.missing["eagle3"]) == (
        "No EAGLE-3 head is named. Start with `--head hf:OWNER/NAME`, or with the head's folder or GGUF file. "
        "`speculatoviz train eagle3` trains one."
    )
    with pytest.raises(BadRequestError, match="no drafter named 'eagle3' here: no EAGLE-3 head is named"):
        session.prepare(Start(prompt="a", drafter="eagle3"))
    session.close()


@pytest.mark.parametrize(
    ("target", "words"),
    [(HeadTarget("a", 8, 12, 29), "have 12 numbers"), (HeadTarget("b", 8, 29, 900), "vocabulary of 900 ids")],
)
def test_a_head_of_another_target_is_refused(tmp_path: Path, target: HeadTarget, words: str) -> None:
    with pytest.raises(HeadError, match=words):
        toy_session.load(tmp_path, head=str(published(tmp_path / "head", target)))


@pytest.mark.parametrize("head", ["hf:no-such/head", "hf:/no/such/folder"])
def test_a_head_that_is_not_there_is_reported(tmp_path: Path, head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HeadError, match=r"There is no model|cannot be read"):
        toy_session.load(tmp_path, head=head)


def test_another_name_of_the_target_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = published(tmp_path / "head", speculators_config={"verifier": {"name_or_path": "maker/Other-7B"}})
    with caplog.at_level(logging.WARNING):
        toy_session.load(tmp_path, draft="none", head=str(folder)).close()
    assert "trained for maker/Other-7B, and the target is toy-0" in caplog.text


def test_names_of_heads(tmp_path: Path) -> None:
    assert [is_published(name) for name in (None, "hf:a/b", "b.gguf", str(tmp_path), "own.safetensors")] == [
        False,
        True,
        True,
        True,
        False,
    ]
    assert TARGET.name == "tiny"


@pytest.mark.smol
@of_gguf
@pytest.mark.parametrize("nodes", [0, 6])
def test_a_real_target_keeps_its_text(tmp_path: Path, cache_dir: Path, nodes: int, runtime: str) -> None:
    """An untrained head, whose drafts are nonsense."""
    file = converted(published(tmp_path / "head", SMOL, list(range(400))), SMOL, tmp_path)
    check_smol(cache_dir, file, "eagle3", nodes, runtime=runtime)


def test_a_runtime_without_inner_layers_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ToyModel, "provides", frozenset({"trees", "hidden"}))
    with pytest.raises(HeadError, match="toy gives no inputs of inner layers"):
        toy_session.load(tmp_path, draft="none", head=str(published(tmp_path / "head")))
