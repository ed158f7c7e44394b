"""Sessions with a DFlash head: it drafts, the text stays as it is, and a head that does not fit is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from speculatoviz.errors import BadRequestError, HeadError
from speculatoviz.heads.dflash_published import converted
from speculatoviz.heads.gguf_head import HeadTarget
from speculatoviz.telemetry.events import Done, DraftToken, RunWarning
from speculatoviz.telemetry.messages import Start
from support import tiny_eagle3, toy_session
from support.head_sessions import SMOL, TOY, TOY_IDS, check_drafting, check_smol, done_of
from support.tiny_dflash import BLOCK, LAYERS, weights, write


def published(folder: Path, target: HeadTarget = TOY, ids: list[int] = TOY_IDS, **changes: Any) -> Path:
    return write(folder, tensors=weights(0, target, ids), target=target, changes=changes)


@pytest.mark.parametrize("drafter", ["dflash", "multi", "hybrid", "mixture"])
@pytest.mark.parametrize("nodes", [0, 7])
def test_a_published_head_drafts_and_leaves_greedy_text_as_it_is(tmp_path: Path, drafter: str, nodes: int) -> None:
    check_drafting(tmp_path, published(tmp_path / "head"), "dflash", drafter, nodes)


def test_under_auto_the_text_stays_and_no_draft_is_deeper_than_a_block(tmp_path: Path) -> None:
    session = toy_session.load(tmp_path, draft="none", head=str(published(tmp_path / "head")))
    plain = done_of(session, k=0)
    events = toy_session.run(
        session, max_tokens=64, ignore_eos=True, k=None, policy="auto", drafter="dflash", temperature=0.0
    )
    done = events[-1]
    assert isinstance(done, Done)
    assert done.token_ids[:32] == plain.token_ids
    drafted = [event for event in events if isinstance(event, DraftToken)]
    assert drafted
    assert max(event.position for event in drafted) < BLOCK - 1
    session.close()


def test_a_depth_beyond_the_block_is_cut_and_said_once(tmp_path: Path) -> None:
    session = toy_session.load(tmp_path, draft="none", head=str(published(tmp_path / "head")))
    events = toy_session.run(session, max_tokens=32, ignore_eos=True, k=9)
    said = [(event.message, event.hint) for event in events if isinstance(event, RunWarning)]
    assert said == [
        (
            "The drafter dflash drafts at most 4 tokens, all in one pass of its head, and 9 are asked for.",
            "Ask for a depth of at most 4.",
        )
    ]
    deepest = toy_session.run(session, max_tokens=32, k=BLOCK - 1)
    assert not any(isinstance(event, RunWarning) for event in deepest)
    session.close()


def test_without_a_head_the_reason_states_how_to_name_one(tmp_path: Path) -> None:
    session = toy_session.load(tmp_path)
    assert str(session.missing["dflash"]) == (
        "No DFlash head is named. Start with `--head hf:OWNER/NAME`, or with the head's folder or GGUF file."
    )
    with pytest.raises(BadRequestError, match="no drafter named 'dflash' here: no DFlash head is named"):
        session.prepare(Start(prompt="a", drafter="dflash"))
    session.close()


def test_a_head_of_the_other_kind_drafts_as_what_it_is(tmp_path: Path) -> None:
    folder = published(tmp_path / "blocks")
    session = toy_session.load(tmp_path, draft="none", head=str(folder))
    assert "eagle3" not in session.drafters
    assert session.missing["eagle3"].why == "the head that is named is no EAGLE-3 head"
    session.close()
    sizes = {"target_hidden_size": TOY.hidden_size, "vocab_size": TOY.n_vocab}
    own = tiny_eagle3.write(tmp_path / "pairs", tensors=tiny_eagle3.weights(0, TOY, TOY_IDS), changes=sizes)
    session = toy_session.load(tmp_path, draft="none", head=str(own))
    assert session.drafter == "eagle3"
    assert session.missing["dflash"].why == "the head that is named is no DFlash head"
    session.close()


def test_a_gguf_file_is_read_by_its_architecture(tmp_path: Path) -> None:
    file = converted(published(tmp_path / "head"), TOY, tmp_path, "F32")
    session = toy_session.load(tmp_path, draft="none", head=str(file))
    assert session.drafter == "dflash"
    assert session.target.window is not None
    assert session.target.window.layers == LAYERS
    session.close()


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (HeadTarget("a", 8, 12, 29), "have 12 numbers"),
        (HeadTarget("b", 8, 29, 900), "vocabulary of 900 ids"),
    ],
)
def test_a_head_of_another_target_is_refused(tmp_path: Path, target: HeadTarget, words: str) -> None:
    with pytest.raises(HeadError, match=words):
        toy_session.load(tmp_path, head=str(published(tmp_path / "head", target)))


def test_a_head_as_published_needs_the_file_of_its_target(tmp_path: Path) -> None:
    """It has no embeddings and no output matrix, and uses the target's."""
    own = weights(0, TOY, TOY_IDS)
    for name in ("embed_tokens.weight", "lm_head.weight", "d2t", "t2d"):
        del own[name]
    with pytest.raises(HeadError, match="shares those of a GGUF file only"):
        toy_session.load(tmp_path, draft="none", head=str(write(tmp_path / "head", tensors=own, target=TOY)))


@pytest.mark.smol
@pytest.mark.parametrize("nodes", [0, 6])
def test_a_real_target_keeps_its_text(tmp_path: Path, cache_dir: Path, nodes: int) -> None:
    """An untrained head, whose drafts are nonsense; it uses the target's embeddings and output matrix."""
    own = weights(0, SMOL, [])
    for name in ("embed_tokens.weight", "lm_head.weight", "d2t", "t2d"):
        del own[name]
    file = converted(write(tmp_path / "head", tensors=own, target=SMOL), SMOL, tmp_path)
    check_smol(cache_dir, file, "dflash", nodes)
