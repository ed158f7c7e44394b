"""llama.cpp's own server as a peer: which ways there are, and real runs of the small model."""

from __future__ import annotations

from pathlib import Path

import pytest

from speculatoviz.bench.drafters import Prompt
from speculatoviz.bench.llamacpp_server import DRAFT_DEPTHS, NGRAM_TYPES, LlamaServer, ServerOptions, ways
from speculatoviz.errors import TargetError
from support.real_servers import lacking

NO_SERVER = lacking("xllamacpp")
IDS = list(range(40, 90))


def test_the_ways_are_those_of_the_benchmark() -> None:
    target, draft = Path("t.gguf"), Path("d.gguf")
    plain = ways(target, None, 512, 2, sampled=False)
    greedy = ways(target, draft, 512, 2, sampled=False)
    sampled = ways(target, draft, 512, 2, sampled=True)

    assert [options.type for options in plain] == ["", *NGRAM_TYPES]
    assert [options.depth for options in greedy if options.draft] == list(DRAFT_DEPTHS)
    assert not any(options.probabilistic for options in greedy)
    assert sum(options.probabilistic for options in sampled) == len(DRAFT_DEPTHS)
    assert len({options.way for options in sampled}) == len(sampled)


@pytest.mark.skipif(NO_SERVER is not None, reason=NO_SERVER or "")
@pytest.mark.parametrize(("kind", "depth"), [("", 0), ("DRAFT_SIMPLE", 2), ("NGRAM_SIMPLE", 0)])
def test_it_decodes_and_reports_its_times(smol_path: Path, kind: str, depth: int) -> None:
    server = LlamaServer(ServerOptions("a way", smol_path, smol_path, 512, 2, kind, depth))
    try:
        timing = server.decode(Prompt("coding", 0, "sort"), IDS, 12, 0.0)
    finally:
        server.close()

    assert 0 < timing.tokens <= 12
    assert timing.ms > 0.0
    assert timing.tps > 0.0
    if kind == "DRAFT_SIMPLE":  # the model drafts for itself
        assert timing.drafted > 0
        assert timing.accepted <= timing.drafted


@pytest.mark.skipif(NO_SERVER is not None, reason=NO_SERVER or "")
def test_a_server_that_cannot_start_is_told_in_words(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF")

    with pytest.raises(TargetError, match="did not start"):
        LlamaServer(ServerOptions("plain", broken, None, 512, 2))
