"""What is only for display is computed with evidence alone, and changes no token."""

from __future__ import annotations

from pathlib import Path

from speculatoviz.telemetry.events import Done, Event, VerifyResult
from support import toy_session


def test_a_run_without_evidence_computes_nothing_for_display(tmp_path: Path) -> None:
    session = toy_session.load(tmp_path)
    shown, bare = (toy_session.run(session, temperature=0.8, seed=1, evidence=evidence) for evidence in (True, False))
    session.close()

    assert displayed(shown) == {"overlap", "compared", "target_top_tokens", "autopsy"}
    assert displayed(bare) == set()
    assert ids(shown) == ids(bare)


def displayed(run: list[Event]) -> set[str]:
    """The fields that are only for display and have a value in a run."""
    found: set[str] = set()
    for event in run:
        match event:
            case VerifyResult():
                found |= {name for name in ("overlap", "compared", "target_top_tokens") if getattr(event, name)}
            case Done(autopsy=autopsy) if autopsy is not None:
                found.add("autopsy")
    return found


def ids(run: list[Event]) -> list[int]:
    done = run[-1]
    assert isinstance(done, Done)
    return done.token_ids
