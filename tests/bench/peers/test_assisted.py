"""transformers' assisted generation as a peer: which ways there are, and real runs of a tiny model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from speculatoviz.bench.peers.assisted import (
    ASSISTANT_TOKENS,
    LOOKUP_TOKENS,
    AssistedEngine,
    AssistedWorker,
    TransformersFiles,
)
from speculatoviz.bench.peers.runs import PLAIN, Question
from speculatoviz.lab.questions import Prompt
from support.real_servers import lacking
from support.tiny_gguf import write_tiny

MISSING = lacking("torch", "transformers", "gguf")
pytestmark = pytest.mark.skipif(MISSING is not None, reason=MISSING or "")

IDS = (4, 5, 6, 4, 5, 6, 4, 5)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TransformersFiles:
    folder = tmp_path_factory.mktemp("tiny")
    target, draft = write_tiny(folder / "target.gguf"), write_tiny(folder / "draft.gguf", seed=1)
    return TransformersFiles(target, draft, (), 1, "cpu", "float32")


@pytest.fixture(scope="module")
def worker(files: TransformersFiles) -> Iterator[AssistedWorker]:
    with closing(AssistedWorker(files, lambda _: None)) as made:
        yield made


def question(max_tokens: int, temperature: float) -> Question:
    return Question(Prompt("coding", 0, "sort"), IDS, max_tokens, temperature)


@pytest.mark.parametrize("temperature", [0.0, 0.7])
@pytest.mark.parametrize(
    "options", [{}, {"prompt_lookup_num_tokens": 3}, {"num_assistant_tokens": 2}], ids=["plain", "lookup", "assistant"]
)
def test_it_decodes_to_the_limit_and_counts_what_came_after_the_prompts_own_pass(
    worker: AssistedWorker, options: dict[str, int], temperature: float
) -> None:
    timing = worker.decode(question(16, temperature), options)

    most_of_a_pass = 1 + sum(options.values())
    assert 16 - most_of_a_pass <= timing.tokens <= 15
    assert timing.tokens == 15 or options
    assert timing.ms > 0.0


def test_a_text_that_ends_in_the_prompts_own_pass_has_no_rate(worker: AssistedWorker) -> None:
    assert worker.decode(question(1, 0.0), {}).tokens == 0


def test_the_process_offers_the_assistant_only_with_a_draft_model(files: TransformersFiles) -> None:
    stages: list[str] = []
    with closing(AssistedEngine(files, stages.append)) as engine:
        ways = engine.ways()
        timing = ways[0].decode(question(8, 0.0))

    assert timing.tokens == 7
    assert stages == ["transformers: loading"]
    assert ways[0].way.name == PLAIN
    assert len({way.way for way in ways}) == len(ways) == 1 + len(LOOKUP_TOKENS) + len(ASSISTANT_TOKENS)
