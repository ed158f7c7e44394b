"""With `--batch-invariant`, greedy speculative text is plain text: every id, and every bit of every logit."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from speculatoviz.config import Settings
from speculatoviz.core.progress import unreported
from speculatoviz.core.rounds import Verdict
from speculatoviz.core.types import ROOT, Draft, Floats
from speculatoviz.drafters.about import DRAFTERS
from speculatoviz.drafters.base import Drafter
from speculatoviz.measure.text import PASSAGE
from speculatoviz.models.base import LanguageModel
from speculatoviz.models.files.names import Runtime
from speculatoviz.models.gguf_runtimes import open_gguf
from speculatoviz.models.invariant import InvariantContext
from speculatoviz.models.prefix_cache import PrefixCache
from speculatoviz.models.requantise import requantise
from speculatoviz.models.tokenizers.chat import encode_raw, encode_turn
from speculatoviz.session.drafters import make_drafters
from speculatoviz.session.invariance import batch_invariant
from speculatoviz.targets.layout import layout
from speculatoviz.targets.local import LocalTarget
from support.departures import emitted, greedy_rounds
from support.questions import questions
from support.runtimes import needs_ik

CONTEXT = 1024
PROMPT_TOKENS = 236  # the text crosses 256 tokens, where llama.cpp's attention takes another kernel for a single row
pytestmark = pytest.mark.smol
both_runtimes = pytest.mark.parametrize("runtime", ["llamacpp", pytest.param("ik", marks=needs_ik)])


class Text(NamedTuple):
    """The ids of a run, a digest of the logits that each was chosen from, and how many tokens were drafted."""

    ids: list[int]
    digests: list[bytes]
    drafted: int


class RecordingTarget(LocalTarget):
    """Keeps a digest of the logits of every committed token."""

    digests: list[bytes]

    def judge(self, draft: Draft, logits: Floats) -> Verdict:
        rows = layout(self._ids[-1], draft)
        found = {node: digest(logits[rows.row(node)]) for node in range(ROOT, len(draft))}
        verdict = super().judge(draft, logits)
        self.digests += [found[node] for node in (ROOT, *verdict.path)]
        return verdict


def digest(row: Floats) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(row).data, digest_size=16).digest()


class Pair:
    """A target with every drafter that it has."""

    def __init__(self, model: LanguageModel, draft: LanguageModel) -> None:
        self.target = RecordingTarget(model, CONTEXT, lambda: 0.0)
        self.drafters = make_drafters(Settings(_env_file=None), self.target, draft, None, lambda: 0.0)

    def text(
        self, ids: list[int], drafter: Drafter | None, depth: int, tokens: int, nodes: int = 0, *, fresh: bool = True
    ) -> Text:
        self.target.digests = []
        rounds = greedy_rounds(self.target, drafter, ids, depth, tokens, nodes, fresh=fresh)
        found = emitted(rounds)
        return Text(found, self.target.digests[: len(found)], sum(round.drafted for round in rounds))

    def prompt(self) -> list[int]:
        return encode_raw(self.target.model.tokenizer, PASSAGE)[:PROMPT_TOKENS]

    def question(self, text: str) -> list[int]:
        return encode_turn(self.target.model.tokenizer, text)


def compare(pair: Pair, prompts: Sequence[list[int]], shapes: Iterable[tuple[int, int]], tokens: int) -> None:
    """Every prompt with every drafter, at the (depth, nodes) whose turn it is: all are those of plain decoding."""
    drafted, turns = Counter[str](), itertools.cycle(shapes)
    for ids in prompts:
        plain = pair.text(ids, None, 0, tokens)
        assert len(plain.digests) == len(plain.ids) > 0
        for drafter in pair.drafters.values():
            depth, nodes = next(turns)
            if nodes and not DRAFTERS[drafter.name].trees:  # type: ignore[index]
                nodes = 0
            found = pair.text(ids, drafter, depth, tokens, nodes)
            drafted[drafter.name] += found.drafted
            assert_equal(found, plain, f"{drafter.name}, depth {depth}, {nodes} nodes")
    assert all(drafted.values()), f"nothing was drafted: {drafted}"


def assert_equal(found: Text, plain: Text, where: str) -> None:
    assert found.ids == plain.ids, where
    differing = [i for i, (a, b) in enumerate(zip(found.digests, plain.digests, strict=True)) if a != b]
    assert not differing, f"{where}: the logits of {len(differing)} tokens differ, first of token {differing[0]}"


@contextmanager
def loaded(runtime: Runtime, path: Path, cache_dir: Path, *, invariant: bool = True) -> Iterator[Pair]:
    """With the heads that ship for the target where it gives hidden states, and a draft model on the same runtime."""
    raw = open_gguf(runtime, path, CONTEXT, None, "smollm2-135m-instruct")
    model: LanguageModel = batch_invariant(raw, cache_dir, unreported)[0] if invariant else raw
    draft = open_gguf(runtime, requantise(path, "Q4_0", cache_dir, 2), CONTEXT, None)
    try:
        yield Pair(model, draft)
    finally:
        model.close()
        draft.close()


@pytest.mark.parametrize(
    "runtime", [pytest.param("llamacpp", marks=pytest.mark.full), pytest.param("ik", marks=needs_ik)]
)
def test_text_and_logits_are_those_of_plain_decoding(smol_path: Path, cache_dir: Path, runtime: Runtime) -> None:
    with loaded(runtime, smol_path, cache_dir) as pair:
        compare(pair, [pair.prompt()], [(3, 0), (5, 9), (1, 0), (4, 12)], 40)


@pytest.mark.full
@both_runtimes
def test_a_padded_row_makes_another_quantisation_equal(smol_path: Path, cache_dir: Path, runtime: Runtime) -> None:
    path = requantise(smol_path, "Q4_0", cache_dir, 2)
    with loaded(runtime, path, cache_dir) as pair:
        compare(pair, [pair.prompt()], [(3, 0)], 32)


@both_runtimes
def test_a_continued_context_gives_the_logits_of_a_new_one(smol_path: Path, cache_dir: Path, runtime: Runtime) -> None:
    """A prompt of which a part was decoded in drafts, and then kept by the prompt cache during another run."""
    with loaded(runtime, smol_path, cache_dir) as pair:
        ids, drafter = pair.prompt(), pair.drafters["ngram"]
        answer = pair.text(ids, drafter, 5, 40).ids
        longer = [*ids, *answer, *ids[:20]]
        fresh = pair.text(longer, None, 0, 12)
        pair.target.window.prefixes = PrefixCache(4096)
        for prompt, tokens in ((ids, 40), (longer, 12), (ids[::-1], 4), (longer, 12)):
            found = pair.text(prompt, drafter, 5, tokens, fresh=False)
            if prompt == longer:
                assert pair.target.window.reused > len(ids)
                assert_equal(found, fresh, "continued")


# --- broken twins ---------------------------------------------------------------------------------------


def test_the_default_cache_is_caught(smol_path: Path, cache_dir: Path) -> None:
    """llama.cpp's attention has another kernel for single rows beyond 256 tokens."""
    with (
        loaded("llamacpp", smol_path, cache_dir, invariant=False) as pair,
        pytest.raises(AssertionError, match=r"ngram|depth"),
    ):
        compare(pair, [pair.prompt()], [(3, 0)], 40)


@needs_ik
def test_a_lone_row_is_caught(smol_path: Path, cache_dir: Path) -> None:
    """ik_llama.cpp has another kernel for single rows of Q4_0."""
    path = requantise(smol_path, "Q4_0", cache_dir, 2)
    with loaded("ik", path, cache_dir, invariant=False) as pair, pytest.raises(AssertionError, match="depth"):
        compare(pair, [pair.prompt()], [(3, 0)], 32)


def test_cells_out_of_order_are_caught(smol_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a tree, the cells of the accepted path stay where they are."""

    def settle(self: InvariantContext, path: Sequence[int]) -> None:
        before = len(self.owed)
        self.inner.keep(self.inner.length, [*range(before), *(before + node for node in path)])
        self.owed, self.tree, self._nodes = [], None, ()

    monkeypatch.setattr(InvariantContext, "_settle", settle)
    with loaded("llamacpp", smol_path, cache_dir) as pair, pytest.raises(AssertionError, match="nodes"):
        compare(pair, [pair.prompt()], [(4, 12)], 40)


# --- long ------------------------------------------------------------------------------------------------


@pytest.mark.full
@both_runtimes
@pytest.mark.parametrize("part", range(4))
def test_many_long_texts_are_those_of_plain_decoding(
    smol_path: Path, cache_dir: Path, runtime: Runtime, part: int
) -> None:
    """Texts of up to 320 tokens after questions, and after a prompt that is longer than 256 tokens."""
    with loaded(runtime, smol_path, cache_dir) as pair:
        prompts = [pair.question(text) for text in questions(12)[part::4]]
        prompts[0] = [*pair.prompt(), *prompts[0]]
        compare(pair, prompts, [(1, 0), (4, 12), (7, 0), (3, 8), (15, 0)], 320)


@pytest.mark.full
@both_runtimes
def test_long_texts_of_a_padded_quantisation_too(smol_path: Path, cache_dir: Path, runtime: Runtime) -> None:
    with loaded(runtime, requantise(smol_path, "Q4_0", cache_dir, 2), cache_dir) as pair:
        compare(pair, [pair.question(text) for text in questions(3)], [(2, 0), (4, 12), (7, 0)], 320)
