"""Frames of the verifier cause no harm, whatever they contain."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speculatoviz.core.sampling import QUANTA
from speculatoviz.targets.verifier import frames as framing
from speculatoviz.targets.verifier import wire
from speculatoviz.targets.verifier.arrays import pack
from support.verifier import connected, drafter_for, ids, rounds
from support.verifier_client import RawClient, here, request, toys
from support.verifier_servers import Servers
from support.wire_samples import ASKED, SAMPLES

N_VOCAB = 1000


def digest(raw: bytes) -> None:
    """Everything that a verifier does with a frame before it computes. Raises WireError."""
    match wire.client_frame(raw):
        case wire.Open() as frame:
            framing.request_of(frame, N_VOCAB)
        case wire.Submit() as frame:
            for q in framing.draft_of(frame, N_VOCAB).q:
                assert q is None or (q.ids.min() >= 0 and q.ids.max() < N_VOCAB and abs(q.probs.sum() - 1) == 0)


def test_every_truncation_is_refused() -> None:
    for frame in SAMPLES:
        raw = wire.encode(frame)
        read = wire.client_frame if frame in ASKED else wire.server_frame
        for end in range(len(raw)):
            with pytest.raises(wire.WireError, match="cannot be read"):
                read(raw[:end])


@settings(max_examples=400)
@given(st.binary(max_size=60) | st.sampled_from(ASKED).map(wire.encode), st.integers(0, 200), st.binary(max_size=9))
def test_any_bytes_are_a_frame_or_refused(raw: bytes, at: int, bad: bytes) -> None:
    changed = raw[:at] + bad + raw[at + len(bad) :]
    with suppress(wire.WireError):
        digest(changed)


def test_deep_nesting_is_refused() -> None:
    raw = wire.encode(wire.Bye(8))
    with pytest.raises(wire.WireError):
        wire.client_frame(bytes([raw[0] + 1]) + raw[1:] + b"\x91" * 100_000 + b"\xc0")


i32 = st.integers(-(1 << 31), (1 << 31) - 1) | st.integers(0, 5)


@settings(max_examples=400)
@given(st.lists(i32, max_size=4), st.lists(st.integers(0, 0xFFFF), max_size=4), i32, st.lists(i32, max_size=2))
def test_any_numbers_are_a_draft_or_refused(support: list[int], counts: list[int], token: int, up: list[int]) -> None:
    pair = (pack(support), np.array(counts, "<u2").tobytes())
    for parents in (None, pack(up)):
        with suppress(wire.WireError):
            digest(wire.encode(wire.Submit(1, token, 1, pack([token]), parents, [pair])))


def test_ids_that_ascend_only_by_overflow_are_refused() -> None:
    ascending = pack([5, (1 << 31) - 1, -(1 << 31)])
    counts = np.array([QUANTA - 3, 0, 0], "<u2").tobytes()
    with pytest.raises(wire.WireError):
        framing.draft_of(wire.Submit(1, 0, 1, pack([5]), None, [(ascending, counts)]), N_VOCAB)


@given(st.binary(max_size=40), st.binary(max_size=9), st.binary(max_size=40), st.binary(max_size=9))
def test_any_vocabulary_is_one_or_refused(ids: bytes, pieces: bytes, lengths: bytes, control: bytes) -> None:
    with suppress(wire.WireError):
        framing.entries_of(wire.Vocabulary(1, ids, pieces, lengths, control))


def bad_frames() -> list[bytes]:
    """Truncations, frames with a wrong byte, and noise."""
    rng = np.random.default_rng(1)
    good = [wire.encode(frame) for frame in ASKED]
    cut = [raw[: int(rng.integers(len(raw)))] for raw in good for _ in range(4)]
    wrong = []
    for raw in good * 8:
        at = int(rng.integers(len(raw)))
        wrong.append(raw[:at] + rng.bytes(1) + raw[at + 1 :])
    return [b"", *cut, *wrong, *(rng.bytes(int(rng.integers(40))) for _ in range(40))]


def test_no_bad_frame_stops_a_verifier(servers: Servers, folder: Path) -> None:
    model, draft = toys()
    server = servers.start(model)
    answers = set()
    for raw in bad_frames():
        with RawClient(server.url) as client:
            client.open(request())
            client.send_raw(raw)
            answers.add(type(client.receive()))
    assert wire.Refused in answers
    expected = ids(rounds(here(model), drafter_for(model, draft)))
    with connected(server.url, folder) as target:
        assert ids(rounds(target, drafter_for(model, draft))) == expected
