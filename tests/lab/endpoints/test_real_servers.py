"""llama.cpp's own server with and without its speculation, compared on a real model."""

from __future__ import annotations

from pathlib import Path

import pytest

from speculatoviz.lab.endpoints.compare import Plan, compare_urls
from speculatoviz.lab.engines import reading
from speculatoviz.lab.engines.fetching import fetch
from support.real_servers import lacking, llama_server

PROMPTS = ("Once upon a time",)

pytestmark = [
    pytest.mark.smol,
    pytest.mark.full,
    pytest.mark.skipif(bool(lacking("xllamacpp")), reason=lacking("xllamacpp") or ""),
]


def test_llama_server_speculates_rightly_and_reports_scores_that_are_none(smol_path: Path) -> None:
    """The model drafts for itself: every departure is a near tie, and accepted tokens report log p = 0."""
    with llama_server(smol_path) as plain, llama_server(smol_path, smol_path) as speculating:
        found = compare_urls(plain, speculating, PROMPTS, Plan(tokens=24, samples=0), lambda line: None)
        (record,) = reading.read(fetch(speculating, None), speculating)

    assert not found.wrong
    kinds = [text.verdict.kind if text.verdict else "equal" for text in found.texts]
    assert set(kinds) <= {"equal", "near tie"}, found.texts
    assert any(speculating in note and "exactly 0" in note for note in found.notes)
    assert not any(plain in note and "exactly 0" in note for note in found.notes)
    assert found.cache is not None
    assert all(hits.reported for hits in found.cache), found.cache
    assert not any("loses cache hits" in note for note in found.notes)
    assert record.disagreements == ()
    assert record.acceptance_rate is not None
    assert record.acceptance_rate > 0.8
