"""The cells of a sweep: which there are, what they are called, and what a session needs for them."""

from __future__ import annotations

import pytest

from speculatoviz.config import Settings
from speculatoviz.errors import BadRequestError
from speculatoviz.lab.sweep.cells import PLAIN, Candidate, Cell, Grid, session_settings, usual_candidates
from speculatoviz.telemetry.messages import Start


def test_a_grid_has_every_depth_of_every_drafter_and_a_policy_once() -> None:
    drafters = (Candidate("suffix"), Candidate("ngram"))
    grid = Grid(drafters, (1, 4), ("auto", "adaptive", "fixed"), nodes=(0, 4))

    assert [cell.label for cell in grid.cells] == [
        *("adaptive on suffix", "suffix, k 1", "suffix, k 1, tree of 4", "suffix, k 4"),
        *("adaptive on ngram", "ngram, k 1", "ngram, k 4"),
        "auto",
    ]
    assert Grid(drafters[:1], policies=("auto",)).cells == [Cell("suffix", policy="auto")]
    assert Grid(drafters, policies=("auto",), auto="model").cells == [Cell("model", policy="auto")]


def test_each_set_of_weights_has_its_own_auto() -> None:
    grid = Grid((Candidate.parse("model=a"), Candidate.parse("suffix"), Candidate.parse("model=b")), (2,))

    assert [cell.label for cell in grid.cells] == [
        *("model (a), k 2", "suffix, k 2", "model (b), k 2"),
        *("auto on model (a)", "auto on suffix", "auto on model (b)"),
    ]


@pytest.mark.parametrize("text", ["nobody", "ngram=x", "mtp=x", "model=", "=x", ""])
def test_what_is_no_drafter_is_refused(text: str) -> None:
    with pytest.raises(BadRequestError, match="is no drafter to measure"):
        Candidate.parse(text)


def test_every_cell_is_a_valid_start() -> None:
    grid = Grid((Candidate("model"), Candidate("suffix")), policies=("auto", "adaptive", "fixed"), nodes=(0, 12))
    for cell in (PLAIN, *grid.cells):
        start = Start.model_validate({"prompt": "once", **cell.start})
        assert (start.k == 0) == cell.plain
    assert Start.model_validate({"prompt": "once", **PLAIN.start}).policy == "fixed"


def test_a_session_keeps_nothing_from_run_to_run_and_loads_what_its_cells_need() -> None:
    settings = Settings(_env_file=None, corpus_tokens=100, prompt_cache="prompts", evidence=True, k=3, nodes=12)
    alone = session_settings(settings, [Cell("suffix", k=1), Cell("ngram", policy="auto")])
    free = session_settings(settings, [Cell("suffix", k=1), Cell(policy="auto")])
    other = session_settings(settings, [Cell("model", "a-draft", k=1), Cell("model", "a-draft", "auto")])
    head = session_settings(settings, [Cell("eagle", "a-head", k=1)])
    part = session_settings(settings, [Cell("selfspec", "Q2_K", k=1)])

    for own in (alone, free, other, head, part):
        assert (own.corpus_tokens, own.prompt_cache_tokens, own.prompt_cache) == (0, 0, None)
        assert (own.evidence, own.k, own.nodes, own.policy) == (False, None, 0, None)
    assert (alone.draft, alone.drafter) == ("none", "suffix")
    assert (free.draft, free.drafter) == (None, None)
    assert (other.draft, other.drafter) == ("a-draft", "model")
    assert (head.head, part.selfspec) == ("a-head", "Q2_K")


def test_without_a_drafter_the_pairs_own_and_matches_are_measured() -> None:
    smol, toys = Settings(_env_file=None, profile="smol"), Settings(_env_file=None, target="toy:0")

    assert [candidate.drafter for candidate in usual_candidates(smol)] == ["eagle", "suffix"]
    assert [candidate.drafter for candidate in usual_candidates(toys)] == ["ngram", "suffix"]
