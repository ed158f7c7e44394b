"""Frames are decoded as they were encoded, and are small."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speculatoviz.core.chance import seeded
from speculatoviz.core.rounds import Extra, Verdict
from speculatoviz.core.sampling import QUANTA, quantised, support
from speculatoviz.core.types import Draft, DraftEvidence, Limits, Node, Penalties, Request, Sampling, Support
from speculatoviz.models.base import VocabularyEntry
from speculatoviz.models.runtimes.toy import ToyModel
from speculatoviz.targets.layout import layout
from speculatoviz.targets.local import decide
from speculatoviz.targets.verifier import frames as framing
from speculatoviz.targets.verifier import wire
from speculatoviz.targets.verifier.arrays import pack
from speculatoviz.targets.verifier.evidence import known_vocabulary
from support.toy_pair import no_clock
from support.trimmed_toy import TrimmedToy
from support.verifier import connected, drafter_for, ids, rounds
from support.verifier_client import RawClient, here, judged, request, toys, verdict_bits
from support.verifier_servers import Servers
from support.wire_samples import ASKED, SAMPLES, SENT

N_VOCAB = 1000
quantisable = (
    st.lists(st.floats(1e-9, 1.0), min_size=1, max_size=64)
    .map(np.array)
    .map(lambda w: Support(np.arange(len(w), dtype=np.int32) * 3, w / w.sum()))
)


def test_there_is_a_sample_of_every_frame() -> None:
    assert {type(frame) for frame in SAMPLES} == {*get_args(wire.ClientFrame), *get_args(wire.ServerFrame)}


def test_frames_survive_encoding_and_decoding() -> None:
    assert [wire.client_frame(wire.encode(frame)) for frame in ASKED] == ASKED
    assert [wire.server_frame(wire.encode(frame)) for frame in SENT] == SENT


penalties = st.builds(
    Penalties,
    presence=st.floats(-2, 2),
    frequency=st.floats(-2, 2),
    repetition=st.floats(0.1, 10),
    last_n=st.one_of(st.none(), st.integers(1, 99)),
    bias=st.dictionaries(st.integers(0, N_VOCAB - 1), st.floats(-100, 100), max_size=3).map(lambda d: tuple(d.items())),
).map(lambda made: made if made.active else Penalties())


def test_the_place_where_the_output_begins_comes_back() -> None:
    """A session is opened again with the output so far; a request that was never continued begins after its prompt."""
    for output_from, place in [(2, 2), (None, 3)]:
        asked = Request((1, 2, 3), Sampling(1.0), Limits(0), output_from=output_from)
        got = framing.request_of(framing.open_frame(1, bytes(16), asked, [1, 2, 3, 4, 5]), N_VOCAB)
        assert (got.prompt, got.output_start) == ((1, 2, 3, 4, 5), place)


@given(
    prompt=st.lists(st.integers(0, N_VOCAB - 1), min_size=1),
    sampling=st.builds(
        Sampling, st.floats(0, 100), st.integers(0, N_VOCAB), st.floats(0.01, 1), st.floats(0, 1), penalties
    ),
    seed=st.integers(0, (1 << 63) - 1),
    evidence=st.booleans(),
)
def test_requests_come_back(prompt: list[int], sampling: Sampling, seed: int, evidence: bool) -> None:
    asked = Request(tuple(prompt), sampling, Limits(0), seed=seed, evidence=evidence, certainty=not evidence)
    frame = wire.client_frame(wire.encode(framing.open_frame(1, bytes(16), asked, prompt)))
    assert isinstance(frame, wire.Open)
    got = framing.request_of(frame, N_VOCAB)
    assert (got.prompt, got.sampling, got.seed, got.evidence) == (tuple(prompt), sampling, seed, evidence)
    assert got.output_start == len(prompt)
    assert got.certainty is not evidence


@given(st.lists(st.tuples(st.one_of(st.none(), quantisable), st.integers(0, 63)), max_size=9), st.integers(0, 1 << 60))
def test_drafts_come_back(nodes: list[tuple[Support | None, int]], round: int) -> None:
    qs = tuple(None if q is None else quantised(q) for q, _ in nodes)
    tokens = [place if q is None else int(q.ids[place % len(q.ids)]) for q, (_, place) in zip(qs, nodes, strict=True)]
    frame = wire.client_frame(wire.encode(framing.submit_frame(1, Draft.chain(round, tokens, qs, "t"), 5)))
    assert isinstance(frame, wire.Submit)
    got = framing.draft_of(frame, N_VOCAB)
    assert (got.round, got.tokens.tolist(), got.is_chain) == (round, tokens, True)
    for mine, theirs in zip(qs, got.q, strict=True):
        if mine is None or theirs is None:
            assert mine is theirs
        else:
            assert (mine.ids.tolist(), mine.probs.tolist()) == (theirs.ids.tolist(), theirs.probs.tolist())


def test_trees_come_back() -> None:
    chain = Draft.chain(0, [1, 2, 3], (), "t")
    tree = Draft(0, chain.tokens, np.array([-1, 0, 0], np.int32), chain.q, chain.source, chain.scores, chain.times_ms)
    assert framing.draft_of(framing.submit_frame(1, tree, 5), N_VOCAB).parents.tolist() == [-1, 0, 0]


@given(st.lists(st.tuples(st.binary(max_size=5), st.booleans()), max_size=20))
def test_vocabularies_come_back(pieces: list[tuple[bytes, bool]]) -> None:
    entries = [VocabularyEntry(2 * i, piece, control) for i, (piece, control) in enumerate(pieces)]
    frame = wire.server_frame(wire.encode(framing.vocabulary_frame(1, entries)))
    assert isinstance(frame, wire.Vocabulary)
    assert framing.entries_of(frame) == entries


# ---- q ----


@given(quantisable)
def test_a_quantised_q_is_close_and_stays_as_it_is(q: Support) -> None:
    close = quantised(q)
    counts = close.probs * QUANTA
    assert np.array_equal(counts, counts.round())
    assert counts.sum() == QUANTA
    assert counts.min() >= 1
    dense = dict(zip(close.ids.tolist(), close.probs.tolist(), strict=True))
    distance = 0.5 * sum(abs(p - dense.get(i, 0.0)) for i, p in zip(q.ids.tolist(), q.probs.tolist(), strict=True))
    assert distance < 1e-3
    again = quantised(close)
    assert (again.ids.tolist(), again.probs.tolist()) == (close.ids.tolist(), close.probs.tolist())


def test_a_point_mass_stays_one() -> None:
    point = quantised(Support.point(7))
    assert (point.ids.tolist(), point.probs.tolist()) == ([7], [1.0])
    assert framing.draft_of(framing.submit_frame(1, Draft.chain(0, [7], (point,), "t"), 1), 8).q[0] is not None


@pytest.mark.parametrize("probs", [[1 / 3, 2 / 3], [0.5, 0.25], [1.0, 0.0], [0.5, 0.75]])
def test_a_q_that_is_not_quantised_is_refused(probs: list[float]) -> None:
    q = Support(np.array([1, 2], np.int32), np.array(probs))
    with pytest.raises(ValueError, match=r"2\^-16"):
        framing.submit_frame(1, Draft.chain(0, [1], (q,), "t"), 1)


# ---- sizes: random numbers do not compress, so no model gives larger frames ----


def largest_round() -> tuple[int, int]:
    """Bytes up and down of a round of depth 8 with support 64 over 152k ids: the largest of twelve rounds."""
    rng, n_vocab, ups, downs = np.random.default_rng(0), 151_936, [0], [0]
    asked = Request((0,), Sampling(1.0), Limits(0))
    for seed in range(12):
        logits = 8 * rng.standard_normal((9, n_vocab), np.float32)
        noise = rng.standard_normal((9, n_vocab), np.float32) * (0.0 if seed % 2 else 0.3)
        qs = [quantised(support(row, asked.sampling, 64)) for row in logits[:8] + noise[:8]]
        tokens = [int(rng.choice(q.ids, p=q.probs)) for q in qs]
        draft = Draft.chain(1_000_000, tokens, tuple(qs), "t")
        ups.append(len(wire.encode(framing.submit_frame(1_000_000, draft, 100_000))))
        verdict = decide(draft, logits, layout(0, draft), asked, (0,), seeded(seed)("verify", 1), no_clock, 8)
        frame = framing.judged_frame(1_000_000, 1_000_000, verdict, 123.456)
        downs.append(len(wire.encode(frame)))
    return max(ups), max(downs)


def test_a_round_is_small() -> None:
    up, down = largest_round()
    header = 14  # the most that WebSocket puts in front, RFC 6455 section 5.2
    assert up + header <= 6 * 1024, up
    assert down + header <= 4 * 1024, down


def test_every_possible_verdict_is_small() -> None:
    """Eight checks and the extra token with eight alternatives each, and eight alternatives of the residual."""
    numbers = np.random.default_rng(0)
    top = (pack(numbers.integers(0, 151_936, 8)), numbers.random(8, np.float32).tobytes())
    nine = pack(numbers.integers(0, 151_936, 9))
    shown = wire.WireCompared(nine, numbers.random(9).tobytes(), numbers.random(9).tobytes())
    overlap = wire.WireOverlap(*numbers.random(5).tolist())
    check = wire.WireCheck(7, True, 0.1, 0.2, 0.3, 0.4, wire.WireScores(-0.1, 0.2, *top), shown, overlap)
    frame = wire.Judged(
        1 << 20,
        1 << 20,
        pack(range(8)),
        [check] * 8,
        1 << 17,
        "resampled",
        0.1,
        check.scores,
        top,
        0.1,
        0.2,
        0.3,
        shown,
    )
    assert len(wire.encode(frame)) <= 5 * 1024


def test_verdicts_come_back() -> None:
    rng = np.random.default_rng(3)
    logits = rng.standard_normal((4, N_VOCAB))
    for seed in range(30):
        asked = Request((0,), Sampling(1.0), Limits(0), certainty=seed % 2 == 0)
        qs = [quantised(support(row + rng.standard_normal(N_VOCAB), asked.sampling, 64)) for row in logits[:3]]
        draft = Draft.chain(seed, [int(rng.choice(q.ids, p=q.probs)) for q in qs], tuple(qs), "t")
        verdict = decide(draft, logits, layout(0, draft), asked, (0,), seeded(seed)("verify", seed), no_clock, 8)
        frame = wire.server_frame(wire.encode(framing.judged_frame(1, seed, verdict, 1.0)))
        got = framing.verdict_of(judged(frame), draft)
        assert verdict_bits(got) == verdict_bits(verdict)
        assert got.certainty == verdict.certainty


def evident(seed: int, vocabulary: np.ndarray) -> Draft:
    """A drawn token, and one that was chosen; the drafter of both knows some of the ids only."""
    rng, asked = np.random.default_rng(seed), Sampling(1.0)
    drawn, other = (quantised(support(rng.standard_normal(N_VOCAB), asked, 64)) for _ in range(2))
    chosen = int(other.ids[other.probs.argmax()])
    nodes = [
        Node(int(rng.choice(drawn.ids, p=drawn.probs)), -1, drawn, "t", evidence=DraftEvidence(None, vocabulary)),
        Node(chosen, 0, None, "t", evidence=DraftEvidence(other, vocabulary)),
    ]
    return Draft.tree(seed, nodes)


def test_what_is_shown_of_a_verdict_is_what_a_local_target_shows() -> None:
    """p beside q and the overlaps, also of what a drafter could have proposed and of the ids that it lacks."""
    logits = np.random.default_rng(3).standard_normal((3, N_VOCAB))
    vocabulary = np.arange(0, N_VOCAB, 3, dtype=np.int32)
    seen = set()
    for seed in range(20):
        draft, asked = evident(seed, vocabulary), Request((0,), Sampling(1.0, top_k=400), Limits(0))
        frame = wire.client_frame(wire.encode(framing.submit_frame(1, draft, 5)))
        assert isinstance(frame, wire.Submit)
        got = framing.draft_of(frame, N_VOCAB, known_vocabulary(frame, N_VOCAB))
        verdicts = [
            decide(own, logits, layout(0, own), asked, (0,), seeded(seed)("verify", seed), no_clock, 8)
            for own in (draft, got)
        ]
        answer = wire.server_frame(wire.encode(framing.judged_frame(1, seed, verdicts[1], 1.0)))
        assert verdict_bits(framing.verdict_of(judged(answer), draft)) == verdict_bits(verdicts[0])
        for check in verdicts[0].checks:
            assert check.overlap is not None
            seen.add((check.node, check.overlap.uncovered > 0.3, check.overlap.filtered > 0, bool(check.compared)))
    assert {(0, True, True, True), (1, True, True, True)} <= seen


def test_a_vocabulary_is_sent_once() -> None:
    vocabulary = np.arange(0, N_VOCAB, 3, dtype=np.int32)
    first, second = framing.submit_frame(1, evident(0, vocabulary), 5), None
    assert first.vocabulary is not None
    second = framing.submit_frame(2, evident(1, vocabulary), 6, vocabulary)
    assert (second.vocabulary, second.limited) == (None, bytes([1, 1]))
    again = framing.draft_of(second, N_VOCAB, known_vocabulary(first, N_VOCAB))
    assert all(one is not None and one.vocabulary is not None for one in again.evidence)
    other = framing.submit_frame(3, evident(1, vocabulary + 1), 6, vocabulary)
    assert other.vocabulary == pack(vocabulary + 1)
    opened = framing.open_frame(4, bytes(16), request(), (0, 1), vocabulary)
    assert known_vocabulary(opened, N_VOCAB) is not None


@pytest.mark.parametrize(
    "change",
    [
        {"vocabulary": pack([3, 2])},
        {"vocabulary": pack([3, N_VOCAB])},
        {"vocabulary": b""},
        {"limited": bytes(3)},
        {"own": [None]},
        {"own": [None, (pack([1, 2]), np.array([0.5, 0.2], "<f8").tobytes())]},
        {"own": [None, (pack([2, 1]), np.array([0.5, 0.5], "<f8").tobytes())]},
        {"own": [None, (pack([1]), np.array([np.nan], "<f8").tobytes())]},
        {"vocabulary": None},
    ],
)
def test_evidence_that_does_not_fit_is_refused(change: dict[str, object]) -> None:
    good = framing.submit_frame(1, evident(0, np.arange(9, dtype=np.int32)), 5)
    assert framing.draft_of(good, N_VOCAB, known_vocabulary(good, N_VOCAB)).evidence
    frame = msgspec.structs.replace(good, **change)
    with pytest.raises(wire.WireError):
        framing.draft_of(frame, N_VOCAB, known_vocabulary(frame, N_VOCAB))


@pytest.mark.parametrize("evidence", [True, False])
def test_a_run_shows_the_same_remotely(evidence: bool, servers: Servers, folder: Path) -> None:
    """With a draft model that lacks ids of the target's, whose vocabulary the verifier has to know."""
    model, draft = toys()
    trimmed = TrimmedToy(draft, [1, 2, 3])
    expected = rounds(here(model), drafter_for(model, trimmed), evidence=evidence)
    with connected(servers.start(model).url, folder) as target:
        found = rounds(target, drafter_for(model, trimmed), evidence=evidence)
    assert ids(found) == ids(expected)
    overlaps = [[check.overlap for check in round.verdict.checks] for round in expected]
    assert [[check.overlap for check in round.verdict.checks] for round in found] == overlaps
    assert any(overlap is not None for own in overlaps for overlap in own) == evidence


@pytest.mark.parametrize("certainty", [-0.1, 1.1, float("nan")])
def test_a_certainty_that_is_no_probability_is_refused(certainty: float) -> None:
    verdict = Verdict((), Extra(1, "plain", 1.0), (), certainty=certainty)
    frame = wire.server_frame(wire.encode(framing.judged_frame(1, 0, verdict, 1.0)))
    with pytest.raises(wire.WireError, match="no probability"):
        framing.verdict_of(judged(frame), Draft.empty(0))


def test_a_verifier_sends_its_models_vocabulary(servers: Servers) -> None:
    model = ToyModel(0)
    with RawClient(servers.start(model).url) as client:
        assert isinstance(client.welcome, wire.Welcome)
        assert client.welcome.fingerprint == model.tokenizer.fingerprint
        answer = client.ask(wire.AskVocabulary)
        assert isinstance(answer, wire.Vocabulary)
        assert framing.entries_of(answer) == list(model.tokenizer.entries())
