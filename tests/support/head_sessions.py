"""What holds for a session with any published head: it drafts, and greedy text stays as it is."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from speculatoviz.config import Settings
from speculatoviz.heads.gguf_head import HeadTarget
from speculatoviz.session.session import Session
from speculatoviz.telemetry.events import Done
from speculatoviz.telemetry.messages import Start
from support import toy_session

TOY = HeadTarget("toy-0", 8, 29, 29)
TOY_IDS = [0, 1, 2, 4, 7, 9, 26]  # which a head of the toy target can draft
SMOL = HeadTarget("smollm2-135m-instruct", 30, 576, 49152)


def done_of(session: Session, **start: Any) -> Done:
    done = toy_session.run(session, max_tokens=32, ignore_eos=True, **start)[-1]
    assert isinstance(done, Done)
    return done


def check_drafting(cache: Path, head: Path, kind: str, drafter: str, nodes: int) -> None:
    """A head of the toy target drafts, alone or in `drafter`, and greedy text stays as it is. kind: of the head."""
    session = toy_session.load(cache, draft="none", head=str(head))
    assert session.drafter == kind, "the head that was given drafts"
    plain = done_of(session, k=0)
    drafted = done_of(session, drafter=drafter, nodes=nodes)
    assert drafted.token_ids == plain.token_ids
    assert drafted.metrics.drafted > 0
    assert done_of(session, drafter=drafter, nodes=nodes, temperature=1.0).metrics.drafted > 0
    session.close()


def check_smol(cache_dir: Path, head: Path, kind: str, nodes: int, **how: Any) -> None:
    """An untrained head of SmolLM2, whose drafts are nonsense, leaves its greedy text as it is."""
    own = {"profile": "smol", "head": str(head), "cache_dir": str(cache_dir), "max_tokens": 24} | how
    settings = Settings(_env_file=None, **own)
    session = Session.load(settings, time.perf_counter, lambda stage, share: None)
    assert session.drafter == kind
    texts = []
    for k in (0, 3):
        prepared = session.prepare(Start(prompt="Name three colours.", k=k, nodes=nodes if k else 0))
        done = list(session.run("r", prepared, lambda: False))[-1]
        assert isinstance(done, Done)
        texts.append(done.generated_text)
    assert done.metrics.drafted > 0
    assert texts[0] == texts[1]
    session.close()
