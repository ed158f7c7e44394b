"""The tested tokens of a run by the class of the text's token there."""

from __future__ import annotations

from pathlib import Path

import pytest

from speculatoviz.core.token_classes import token_classes
from speculatoviz.telemetry.autopsy import autopsy
from speculatoviz.telemetry.events import Done, VerifyResult
from speculatoviz.telemetry.mapping import TokenNames
from support import toy_session


@pytest.mark.parametrize("start", [{"k": 3}, {"k": 2, "nodes": 6}, {"k": 3, "rule": "block"}], ids=str)
def test_classes_add_up_and_are_those_of_the_text(start: dict[str, object], tmp_path: Path) -> None:
    session = toy_session.load(tmp_path)
    events = toy_session.run(session, temperature=0.9, max_tokens=48, ignore_eos=True, **start)
    names = TokenNames(session.target.tokenizer)
    text = token_classes([names.of(token) for token in next(e for e in events if isinstance(e, Done)).token_ids])
    session.close()
    found = autopsy(events)
    assert found is not None

    classes = {one.token_class: one for one in found.classes}
    assert len(classes) == len(found.classes) > 2
    assert classes.keys() <= set(text)
    assert [one.tested for one in found.classes] == sorted((one.tested for one in found.classes), reverse=True)
    tested, rejected = (sum(getattr(one, name) for one in found.classes) for name in ("tested", "rejected"))
    assert tested <= found.tested
    assert rejected <= found.rejected
    if start.get("rule") != "block":  # which tests places that the text does not go through
        assert (tested, rejected) == (found.tested, found.rejected)
        assert sum(one.expected for one in found.classes) == pytest.approx(found.expected)
    accepted = [e for e in events if isinstance(e, VerifyResult) and e.status == "accepted"]
    assert sum(one.tested - one.rejected for one in found.classes) >= len(accepted)
