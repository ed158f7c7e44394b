"""Greedy speculative text equals plain text on real models, up to diagnosed near ties."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from speculatoviz.config import Settings
from speculatoviz.core.rules import RULES
from speculatoviz.core.types import Rule
from speculatoviz.drafters.about import DRAFTERS
from speculatoviz.drafters.base import Drafter
from speculatoviz.drafters.ngram import NgramDrafter
from speculatoviz.models.base import LanguageModel
from speculatoviz.models.files.trim import trim
from speculatoviz.models.requantise import requantise
from speculatoviz.models.runtimes.llamacpp import LlamaCppModel
from speculatoviz.session.drafters import make_drafters
from speculatoviz.targets.local import LocalTarget
from support.departures import departure, emitted, greedy_rounds
from support.questions import questions
from support.runtimes import needs_ik, of_gguf, open_gguf

CONTEXT = 1024
F32_MARGIN = 0.01
FOR_TREES = [rule for rule, info in RULES.items() if info.trees]  # for the others chains are drafted


def share(rule: Rule, count: int) -> list[str]:
    """`count` questions for each rule, all different: at T=0 every rule emits the same text for a question."""
    return questions(count * len(RULES))[list(RULES).index(rule) :: len(RULES)]


class Pair:
    """A target with every drafter that it has, ready to compare texts."""

    def __init__(self, model: LanguageModel, draft: LanguageModel | None, cheaper: LanguageModel | None = None) -> None:
        self.target = LocalTarget(model, CONTEXT, lambda: 0.0)
        self.drafters = make_drafters(Settings(_env_file=None), self.target, draft, cheaper, lambda: 0.0)

    @property
    def branching(self) -> list[Drafter]:
        return [drafter for name, drafter in self.drafters.items() if DRAFTERS[name].trees]  # type: ignore[index]

    def ids(self, prompt: str) -> list[int]:
        tokenizer = self.target.tokenizer
        return tokenizer.encode(tokenizer.render_chat([{"role": "user", "content": prompt}]), special=True)


def compare(
    pair: Pair,
    questions: list[str],
    depth_sets: list[list[int]],
    tokens: int,
    most_margin: float = float("inf"),
    nodes: int = 0,
    rule: Rule = "token",
    drafters: Sequence[Drafter] = (),
) -> tuple[int, list[str]]:
    """Every question at the depths whose turn it is. Every drafter must draft something for one of them at least.

    nodes: of a tree, 0 for chains. drafters: all where none is given. Returns how many texts were compared and a line
    for every excused departure.
    """
    compared, departures, drafted = 0, list[str](), Counter[str]()
    for question, depths in zip(questions, itertools.cycle(depth_sets), strict=False):
        ids = pair.ids(question)
        plain = emitted(greedy_rounds(pair.target, None, ids, 0, tokens))
        for drafter in drafters or pair.drafters.values():
            for depth in depths:
                rounds = greedy_rounds(pair.target, drafter, ids, depth, tokens, nodes, rule)
                found = departure(pair.target.window, ids, plain, rounds)
                compared += 1
                drafted[drafter.name] += sum(round.drafted for round in rounds)
                if found is None:
                    continue
                line = f"{drafter.name} k={depth} {question[:40]!r}: {found}"
                assert found.reproduced, f"not a near tie of the kernels: {line}"
                assert found.margin <= most_margin, line
                departures.append(line)
    assert all(drafted.values()), f"nothing was drafted: {drafted}"
    return compared, departures


def report(name: str, compared: int, departures: list[str]) -> None:
    print(f"\n{name}: {compared} texts, {len(departures)} departures in near ties")
    for line in departures:
        print(f"  {line}")


@pytest.fixture(scope="module")
def smol(smol_path: Path, cache_dir: Path) -> Iterator[Pair]:
    """With the heads that ship for it, and a cheaper version of itself."""
    model = LlamaCppModel(smol_path, cells=CONTEXT, name="smollm2-135m-instruct")
    cheaper = LlamaCppModel(requantise(smol_path, "Q4_0", cache_dir, 2), cells=CONTEXT)
    yield Pair(model, None, cheaper)
    model.close()
    cheaper.close()


@pytest.fixture(scope="module")
def smol_f32(smol_path: Path, smol_f32_path: Path) -> Iterator[Pair]:
    """The F32 file as target, the quantised one as its draft."""
    model = LlamaCppModel(smol_f32_path, cells=CONTEXT, name="smollm2-135m-instruct")
    draft = LlamaCppModel(smol_path, cells=CONTEXT)
    yield Pair(model, draft)
    model.close()
    draft.close()


@pytest.fixture(scope="module")
def qwen(qwen_paths: tuple[Path, Path]) -> Iterator[Pair]:
    target, draft = (LlamaCppModel(path, cells=CONTEXT) for path in qwen_paths)
    yield Pair(target, draft)
    target.close()
    draft.close()


@pytest.fixture(scope="module")
def smol_ik(smol_path: Path, cache_dir: Path) -> Iterator[Pair]:
    """On ik_llama.cpp, with a cheaper version of itself there and a draft on llama.cpp."""
    from speculatoviz.models.runtimes.ik import IkModel

    model = IkModel(smol_path, cells=CONTEXT, name="smollm2-135m-instruct")
    cheaper = IkModel(requantise(smol_path, "Q4_0", cache_dir, 2), cells=CONTEXT)
    draft = LlamaCppModel(smol_path, cells=CONTEXT)
    yield Pair(model, draft, cheaper)
    for loaded in (model, cheaper, draft):
        loaded.close()


@pytest.fixture(scope="module")
def qwen_ik(qwen_paths: tuple[Path, Path]) -> Iterator[Pair]:
    from speculatoviz.models.runtimes.ik import IkModel

    target, draft = (IkModel(path, cells=CONTEXT) for path in qwen_paths)
    yield Pair(target, draft)
    target.close()
    draft.close()


@pytest.mark.smol
def test_every_drafter_there_is_takes_part(smol: Pair, smol_f32: Pair) -> None:
    """Four need heads that these models lack: see tests/session and tests/drafters."""
    assert smol.drafters.keys() | smol_f32.drafters.keys() == DRAFTERS.keys() - {"eagle3", "p-eagle", "dflash", "mtp"}


@pytest.mark.smol
@pytest.mark.full
def test_smol_text_is_the_plain_text(smol: Pair) -> None:
    report("smol", *compare(smol, questions(3), [[1], [3], [7]], 48))


@pytest.mark.smol
@of_gguf
def test_text_drafted_with_few_tokens_is_the_plain_text(runtime: str, smol_path: Path, cache_dir: Path) -> None:
    """The draft is the target with a trimmed vocabulary: it proposes what it can, and reads everything."""
    target = open_gguf(runtime, smol_path, CONTEXT)
    draft = open_gguf(runtime, trim(smol_path, 2048, cache_dir), CONTEXT, source=smol_path)
    try:
        pair = Pair(target, draft)
        model = [pair.drafters["model"]]
        report(f"smol on {runtime}, 2,048 tokens", *compare(pair, questions(2), [[3]], 40, drafters=model))
    finally:
        target.close()
        draft.close()


@pytest.mark.smol
def test_smol_text_of_trees_is_the_plain_text(smol: Pair) -> None:
    report("smol, trees", *compare(smol, questions(1), [[4]], 48, nodes=10, drafters=smol.branching))


@needs_ik
@pytest.mark.smol
def test_smol_text_on_ik_is_the_plain_text(smol_ik: Pair) -> None:
    report("smol on ik", *compare(smol_ik, questions(2), [[2], [7]], 32))


@needs_ik
@pytest.mark.full
@pytest.mark.smol
def test_smol_text_on_ik_is_the_plain_text_at_length(smol_ik: Pair) -> None:
    report("smol on ik", *compare(smol_ik, questions(3), [[1], [3], [7]], 48))


@needs_ik
@pytest.mark.smol
def test_smol_text_of_trees_on_ik_is_the_plain_text(smol_ik: Pair) -> None:
    report("smol on ik, trees", *compare(smol_ik, questions(1), [[4]], 48, nodes=10, drafters=smol_ik.branching))


@pytest.mark.smol
def test_f32_departs_only_in_the_nearest_ties(smol_f32: Pair) -> None:
    report("smol F32", *compare(smol_f32, questions(2), [[3], [7]], 24, F32_MARGIN))


@pytest.mark.smol
def test_f32_trees_depart_only_in_the_nearest_ties(smol_f32: Pair) -> None:
    report("smol F32, trees", *compare(smol_f32, questions(1), [[3]], 32, F32_MARGIN, 8, drafters=smol_f32.branching))


@pytest.mark.full
@pytest.mark.qwen
def test_qwen_text_is_the_plain_text(qwen: Pair) -> None:
    chosen = [qwen.drafters[name] for name in ("suffix", "model")]
    report("qwen", *compare(qwen, questions(4), [[3]], 40, drafters=chosen))


@needs_ik
@pytest.mark.qwen
def test_qwen_text_on_ik_is_the_plain_text(qwen_ik: Pair) -> None:
    chosen = [qwen_ik.drafters[name] for name in ("suffix", "model")]
    report("qwen on ik", *compare(qwen_ik, questions(2), [[3]], 32, drafters=chosen))


@needs_ik
@pytest.mark.full
@pytest.mark.qwen
def test_qwen_text_on_ik_is_the_plain_text_at_length(qwen_ik: Pair) -> None:
    chosen = [qwen_ik.drafters[name] for name in ("suffix", "model")]
    report("qwen on ik", *compare(qwen_ik, questions(4), [[3]], 48, drafters=chosen))


@pytest.mark.full
@pytest.mark.qwen
@pytest.mark.parametrize("rule", RULES)
def test_qwen_text_of_every_drafter_and_rule_is_the_plain_text(qwen: Pair, rule: Rule) -> None:
    report(f"qwen, {rule}", *compare(qwen, share(rule, 2), [[3], [5]], 48, rule=rule))


@pytest.mark.full
@pytest.mark.qwen
@pytest.mark.parametrize("rule", FOR_TREES)
def test_qwen_text_of_trees_under_every_rule_is_the_plain_text(qwen: Pair, rule: Rule) -> None:
    compared = compare(qwen, share(rule, 2), [[3], [5]], 48, nodes=9, rule=rule, drafters=qwen.branching)
    report(f"qwen, {rule}, trees", *compared)


@pytest.mark.full
@pytest.mark.smol
@pytest.mark.parametrize("rule", RULES)
def test_smol_text_of_every_drafter_and_rule_is_the_plain_text(smol: Pair, rule: Rule) -> None:
    report(f"smol, {rule}", *compare(smol, share(rule, 3), [[2], [4], [7]], 96, rule=rule))


@pytest.mark.full
@pytest.mark.smol
@pytest.mark.parametrize("rule", FOR_TREES)
def test_smol_text_of_trees_under_every_rule_is_the_plain_text(smol: Pair, rule: Rule) -> None:
    compared = compare(smol, share(rule, 3), [[2], [4], [7]], 96, nodes=12, rule=rule, drafters=smol.branching)
    report(f"smol, {rule}, trees", *compared)


@needs_ik
@pytest.mark.full
@pytest.mark.smol
@pytest.mark.parametrize("rule", RULES)
def test_smol_text_on_ik_of_every_drafter_and_rule_is_the_plain_text(smol_ik: Pair, rule: Rule) -> None:
    report(f"smol on ik, {rule}", *compare(smol_ik, share(rule, 3), [[2], [4], [7]], 96, rule=rule))


@needs_ik
@pytest.mark.full
@pytest.mark.smol
@pytest.mark.parametrize("rule", FOR_TREES)
def test_smol_text_on_ik_of_trees_under_every_rule_is_the_plain_text(smol_ik: Pair, rule: Rule) -> None:
    compared = compare(smol_ik, share(rule, 3), [[2], [4], [7]], 96, nodes=12, rule=rule, drafters=smol_ik.branching)
    report(f"smol on ik, {rule}, trees", *compared)


@pytest.mark.full
@pytest.mark.smol
def test_smol_text_is_the_plain_text_at_length(smol: Pair) -> None:
    report("smol, long", *compare(smol, questions(8), [[1, 15], [2, 4, 7]], 160))


@pytest.mark.full
@pytest.mark.smol
def test_f32_departs_only_in_the_nearest_ties_at_length(smol_f32: Pair) -> None:
    report("smol F32, long", *compare(smol_f32, questions(6), [[3], [7]], 64, F32_MARGIN))


@pytest.mark.full
@pytest.mark.qwen
def test_qwen_text_is_the_plain_text_at_length(qwen: Pair) -> None:
    report("qwen, long", *compare(qwen, questions(20), [[3], [1], [7]], 64, drafters=[qwen.drafters["model"]]))


@pytest.mark.smol
@pytest.mark.parametrize("name", ["smol", pytest.param("smol_ik", marks=needs_ik)])
def test_a_wrong_cache_is_not_excused(request: pytest.FixtureRequest, name: str) -> None:
    """The broken twin: a run whose cache lost a token departs, and the diagnosis does not excuse it."""
    smol: Pair = request.getfixturevalue(name)
    ids = smol.ids(questions(1)[0])
    plain = emitted(greedy_rounds(smol.target, None, ids, 0, 48))
    window, honest = smol.target.window, smol.target.window.keep

    def forgetful(length: int) -> None:
        if length < len(window.ids):
            window.context.keep(max(0, length - 1))
            del window.ids[length:]

    window.keep = forgetful  # type: ignore[method-assign]
    try:
        rounds = greedy_rounds(smol.target, NgramDrafter(1, 2), ids, 7, 48)
    finally:
        window.keep = honest  # type: ignore[method-assign]
        window.context.keep(0)
        window.ids.clear()
    found = departure(window, ids, plain, rounds)
    assert found is not None
    assert not found.reproduced
