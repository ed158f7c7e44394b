"""Tool calls of two engines, whole and streamed, and what their prefix caches give a repeated prompt."""

from __future__ import annotations

from typing import Any

import pytest

from speculatoviz.lab.endpoints.compare import Comparison, Plan
from speculatoviz.lab.endpoints.tools import NotCompared, ToolCalls
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel
from support.stand_in import Json
from support.tool_engine import ARGUMENTS, ToolEngine
from support.two_engines import Engine, compared

PROMPTS = ["once upon"]
PLAN = Plan(tokens=8, samples=0)


def engine(**changed: Any) -> ToolEngine:
    return ToolEngine(ToyModel(30, ALPHABET), **changed)


def found(plain: Engine, speculating: Engine) -> Comparison:
    return compared(plain, speculating, PROMPTS, PLAN)


def test_equal_calls_in_parts_of_other_sizes_are_equal_and_equal_caches_lose_nothing() -> None:
    same = found(engine(), engine(step=7))

    assert isinstance(same.tools, ToolCalls)
    assert same.tools.speculating_streamed.arguments == ARGUMENTS
    assert same.cache is not None
    assert [(hits.reported, hits.counted) for hits in same.cache] == [(32, 32)] * 2
    assert (same.notes, same.wrong) == ((), False)


def test_spaces_and_the_order_of_keys_make_no_other_call() -> None:
    other = '{"destination":"Paris","origin":"Lisbon","window_seat":true,"passengers":["Anna","Jürgen"]}'
    assert found(engine(), engine(arguments=other)).notes == ()


@pytest.mark.parametrize(
    ("changed", "words", "wrong"),
    [
        ({"arguments": ARGUMENTS.replace("Paris", "Rome")}, "The tool calls differ", False),
        ({"streamed": ARGUMENTS.replace("Anna", "Ana")}, "streams another tool call", False),
        ({"streamed": ARGUMENTS[:40]}, "as a stream a tool call whose arguments are no JSON object", True),
        ({"arguments": ARGUMENTS[:-1]}, "at once a tool call whose arguments are no JSON object", True),
        ({"arguments": '["a list"]'}, "no JSON object", True),
        ({"arguments": ARGUMENTS[:-1], "finish": "length"}, "The tool calls differ", False),  # cut by the limit
    ],
    ids=str,
)
def test_a_call_that_speculation_changes_is_named(changed: dict[str, Any], words: str, wrong: bool) -> None:
    one = found(engine(), engine(**changed))
    assert any(words in note for note in one.notes), one.notes
    assert one.wrong == wrong


def test_json_that_both_break_is_not_the_fault_of_speculation() -> None:
    both = found(engine(arguments="{"), engine(arguments="{"))
    assert sum("no JSON object" in note for note in both.notes) == 4
    assert not both.wrong


def test_an_engine_that_obeys_no_name_is_asked_for_any_function() -> None:
    same = found(engine(by_name=False), engine())
    assert isinstance(same.tools, ToolCalls)
    assert same.tools.plain.arguments == ARGUMENTS
    assert same.notes == ()


def test_an_engine_without_tool_calls_is_not_compared() -> None:
    plain = found(Engine(ToyModel(30, ALPHABET)), engine())
    assert isinstance(plain.tools, NotCompared)
    assert "Tool calls were not compared" in plain.tools.reason
    assert plain.notes == ()


def test_lost_cache_hits_are_named() -> None:
    one = found(engine(hits=48), engine(hits=16))
    assert [note for note in one.notes if "speculating" in note and "loses cache hits" in note] == list(one.notes)
    assert "takes 16 of 1600 tokens" in one.notes[0]
    assert not one.wrong
    assert found(engine(hits=16), engine(hits=48)).notes == ()


def test_hits_come_from_counters_where_the_usage_has_none() -> None:
    def silent(answer: Json) -> Json:
        return answer

    class Silent(ToolEngine):
        def _answer(self, answer: Any) -> Any:
            answer.get("usage", {}).pop("prompt_tokens_details", None)
            return super()._answer(answer)

    plain, losing = Silent(ToyModel(30, ALPHABET), hits=48), engine(hits=0)
    plain.change = losing.change = silent
    one = found(plain, losing)
    assert one.cache is not None
    assert one.cache[0].counted == 48


def test_a_usage_that_its_own_counters_contradict_is_named() -> None:
    class Lying(ToolEngine):
        async def _metrics(self, request: Any) -> Any:
            self.counter += 5
            return await super()._metrics(request)

    one = found(engine(), Lying(ToyModel(30, ALPHABET)))
    assert any("and its counters grow by" in note for note in one.notes)


def total_is_wrong(answer: Json) -> Json:
    if "usage" in answer:
        answer["usage"]["total_tokens"] += 1
    return answer


def one_more(answer: Json) -> Json:
    if "usage" in answer:
        answer["usage"]["completion_tokens"] += 1
        answer["usage"]["total_tokens"] += 1
    return answer


@pytest.mark.parametrize(
    ("change", "words"), [(total_is_wrong, "tokens in all"), (one_more, "For one text, the usage without")]
)
def test_a_usage_that_disagrees_is_named(change: Any, words: str) -> None:
    one = found(engine(), engine(change=change))
    assert any(words in note for note in one.notes), one.notes
