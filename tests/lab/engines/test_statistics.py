"""Statistics of other engines become one record whose rates are those of one definition."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speculatoviz.errors import BadRequestError
from speculatoviz.lab.acceptance import CountedRound, acceptance
from speculatoviz.lab.engines.reading import read
from speculatoviz.lab.engines.statistics import Speculation, as_document
from speculatoviz.server.api.prometheus import exposition
from speculatoviz.server.api.tally import Tally
from speculatoviz.server.counters import Counters
from speculatoviz.server.latency import Latencies
from support.recorded import events

# The same four drafts of three tokens in every form: 3, 1, 0 and 2 of them were accepted.
ACCEPTED = (3, 1, 0, 2)
VLLM: dict[str, Any] = {
    "mean_acceptance_length": 2.5,
    "draft_acceptance_rate": 0.5,
    "acceptance_histogram": [1, 1, 1, 1],
    "num_spec_steps": 4,
    "num_accepted_draft_tokens": 6,
    "num_draft_tokens": 12,
    "num_spec_tokens": 3,
}
DETAILED = VLLM | {"per_step_accepted": [3, 1, 0, 2], "per_step_drafted": [3, 3, 3, 3]}
SGLANG: dict[str, Any] = {
    "spec_verify_ct": 4,
    "spec_num_correct_drafts": 6,
    "spec_num_proposed_drafts": 12,
    "spec_correct_drafts_histogram": [1, 1, 1, 1],
    "spec_accept_rate": 0.5,
    "spec_accept_length": 2.5,
    "completion_tokens": 10,
}
USAGE = {"completion_tokens": 10}
BENCH = {
    "total_output_tokens": 10,
    "spec_decode_acceptance_rate": 50.0,
    "spec_decode_acceptance_length": 2.5,
    "spec_decode_num_drafts": 4,
    "spec_decode_draft_tokens": 12,
    "spec_decode_accepted_tokens": 6,
    "spec_decode_per_position_acceptance_rates": [0.75, 0.5, 0.25],
}
COUNTERS = """# HELP {p}spec_decode_num_drafts_total Drafts.
# TYPE {p}spec_decode_num_drafts_total counter
{p}spec_decode_num_drafts_total{l} 4.0
# TYPE {p}spec_decode_num_draft_tokens_total counter
{p}spec_decode_num_draft_tokens_total{l} 12.0
# TYPE {p}spec_decode_num_accepted_tokens_total counter
{p}spec_decode_num_accepted_tokens_total{l} 6.0
# TYPE {p}{per_pos} counter
{p}{per_pos}{{position="0"{m}}} 3.0
{p}{per_pos}{{position="1"{m}}} 2.0
{p}{per_pos}{{position="2"{m}}} 1.0
# TYPE {p}{generated} counter
{p}{generated}{l} 10.0
"""


def counters(prefix: str) -> str:
    vllm = prefix == "vllm:"
    return COUNTERS.format(
        p=prefix,
        l='{engine="0",model_name="m"}' if vllm else "",
        m=',engine="0",model_name="m"' if vllm else "",
        per_pos="spec_decode_num_accepted_tokens_per_pos_total",
        generated="generation_tokens_total" if vllm else "tokens_predicted_total",
    )


WHOLE: dict[str, str] = {
    "vLLM": json.dumps({"choices": [], "usage": USAGE, "metrics": {"speculative_decoding": VLLM}}),
    "vLLM, detailed": json.dumps({"usage": USAGE, "metrics": {"speculative_decoding": DETAILED}}),
    "vLLM's histogram as a map": json.dumps(
        {
            "usage": USAGE,
            "metrics": {"speculative_decoding": VLLM | {"acceptance_histogram": {"0": 1, "1": 1, "2": 1, "3": 1}}},
        }
    ),
    "SGLang": json.dumps({"text": "", "meta_info": SGLANG}),
    "SGLang, chat": json.dumps({"usage": USAGE, "sglext": {"spec_tokens_details": SGLANG}}),
    "vllm bench serve": json.dumps(BENCH),
    "vLLM's counters": counters("vllm:"),
    "llama.cpp's counters": counters("llamacpp:"),
}
PARTLY: dict[str, str] = {
    "llama.cpp": json.dumps({"timings": {"predicted_n": 10, "draft_n": 12, "draft_n_accepted": 6}}),
    "LM Studio": json.dumps(
        {
            "usage": USAGE,
            "stats": {
                "total_draft_tokens_count": 12,
                "accepted_draft_tokens_count": 6,
                "rejected_draft_tokens_count": 3,
                "ignored_draft_tokens_count": 3,
            },
        }
    ),
    "LM Studio's SDK": json.dumps(
        {"stats": {"predictedTokensCount": 10, "totalDraftTokensCount": 12, "acceptedDraftTokensCount": 6}}
    ),
    "OpenAI": json.dumps(
        {
            "usage": USAGE
            | {"completion_tokens_details": {"accepted_prediction_tokens": 6, "rejected_prediction_tokens": 6}}
        }
    ),
}


def only(text: str) -> Speculation:
    (record,) = read(text, "answer")
    return record


def answer(**changes: Any) -> str:
    return json.dumps({"metrics": {"speculative_decoding": VLLM | changes}})


@pytest.mark.parametrize("text", WHOLE.values(), ids=WHOLE)
def test_every_engine_that_counts_positions_gives_the_same_record(text: str) -> None:
    record, by_hand = only(text), acceptance([CountedRound("", 3, accepted) for accepted in ACCEPTED])

    assert (record.drafts, record.draft_tokens, record.accepted_tokens, record.generated) == (4, 12, 6, 10)
    assert record.accepted_at == by_hand.accepted_at
    assert record.acceptance_rate == by_hand.acceptance_rate
    assert record.mean_acceptance_length == by_hand.mean_acceptance_length
    assert record.unconditional == by_hand.unconditional
    assert record.conditional == by_hand.conditional
    assert record.disagreements == ()


@pytest.mark.parametrize("text", PARTLY.values(), ids=PARTLY)
def test_an_engine_that_counts_tokens_only_says_what_it_cannot_show(text: str) -> None:
    record = only(text)

    assert (record.draft_tokens, record.accepted_tokens, record.acceptance_rate) == (12, 6, 0.5)
    assert record.tokens_per_pass == 10 / 4  # four passes, each with one token of its own
    assert (record.drafts, record.mean_acceptance_length, record.unconditional) == (None, None, None)
    assert any("position" in text for text in record.cannot)
    assert any("mean acceptance length" in text for text in record.cannot)


def test_gauges_are_marked_as_reported() -> None:
    text = '# TYPE sglang:spec_accept_length gauge\nsglang:spec_accept_length{model_name="m"} 2.5\n'
    text += '# TYPE sglang:spec_accept_rate gauge\nsglang:spec_accept_rate{model_name="m"} 0.5\n'
    record = only(text)

    assert (record.reported_rate, record.reported_length) == (0.5, 2.5)
    assert (record.acceptance_rate, record.mean_acceptance_length) == (None, None)
    assert "current batch" in record.scope


def test_the_broken_twin_of_a_counter_is_contradicted() -> None:
    """An engine that counts the token after the draft as accepted."""
    record = only(answer(num_accepted_draft_tokens=10))

    assert any("10 are reported" in sentence for sentence in record.disagreements)
    assert any("acceptance rate of 0.500" in sentence for sentence in record.disagreements)
    assert any("drafted (12)" in sentence for sentence in only(answer(num_accepted_draft_tokens=13)).disagreements)
    studio = json.dumps(
        {"stats": {"total_draft_tokens_count": 9, "accepted_draft_tokens_count": 6, "rejected_draft_tokens_count": 1}}
    )
    assert any("are 7, and 9" in sentence for sentence in only(studio).disagreements)


def test_drafts_of_different_lengths_leave_conditional_rates_open_without_steps() -> None:
    mixed = {"num_draft_tokens": 10}
    assert only(answer(**mixed)).conditional is None
    assert only(answer(**mixed)).unconditional == [0.75, 0.5, 0.25]
    steps = {"per_step_accepted": [3, 1, 0, 2], "per_step_drafted": [3, 1, 3, 3]}
    assert only(answer(**mixed, **steps)).conditional == [0.75, 1.0, 0.5]


def test_answers_of_one_source_are_added_up_and_sources_kept_apart() -> None:
    lines = [
        WHOLE["vLLM"],
        PARTLY["llama.cpp"],
        WHOLE["vLLM"],
        json.dumps({"wrapped": {"response": json.loads(WHOLE["vLLM"])}}),
    ]
    first, second = read("\n".join(lines), "log.jsonl")

    assert (first.answers, first.drafts, first.accepted_at) == (3, 12, (9, 6, 3))
    assert (second.answers, second.draft_tokens) == (1, 12)
    assert read(f"[{','.join(lines)}]", "log.json") == [first, second]


def test_of_a_stream_the_last_chunk_counts() -> None:
    early = json.dumps({"meta_info": SGLANG | {"spec_verify_ct": 1}})
    record = only(f"data: {early}\n\ndata: {WHOLE['SGLang']}\n\ndata: [DONE]\n\n")
    assert record.drafts == 4


def test_engines_of_one_server_are_added_up_and_models_kept_apart() -> None:
    second = counters("vllm:").replace('engine="0"', 'engine="1"')
    other = counters("vllm:").replace('"m"', '"n"')
    samples = [
        line for text in (counters("vllm:"), second, other) for line in text.splitlines() if not line.startswith("#")
    ]
    first, another = read("\n".join([*samples, ""]), "metrics")

    assert (first.drafts, first.accepted_at, first.conditional) == (8, (6, 4, 2), [0.75, 2 / 3, 0.5])
    assert (another.drafts, another.scope) == (4, "the server since its start, n")


def test_this_programs_own_metrics_and_answers_are_read() -> None:
    """The counters and the statistics of a request that the API reports, from the events of a run."""
    told, tally, counts = events([(3, accepted) for accepted in ACCEPTED]), Tally(), Counters()
    for event in told:
        tally.add(event)
        counts.add(event)
    metrics = tally.metrics()
    assert metrics is not None
    own = only(json.dumps({"metrics": metrics.model_dump()}))
    exposed = only(exposition(counts, Latencies(), "m", 0, 0))

    assert own.accepted_at == exposed.accepted_at == (3, 2, 1)
    assert (own.drafts, exposed.drafts, own.draft_tokens, exposed.draft_tokens) == (4, 4, 12, 12)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("  \n", "is empty"),
        ("{}", "no statistics"),
        ('{"timings": {"predicted_n": 3}}', "no statistics"),
        ('{"metrics": {"speculative_decoding": null}}', "no statistics"),
        ("{not json", "Line 1 of answer is no JSON"),
        ("<html></html>", "web page"),
        ("process_cpu_seconds_total 1.0\n", "no statistics"),
        ("hello world, this is no metric {", "no exposition"),
        (answer(num_spec_steps=-1), "num_spec_steps is '-1'"),
        (answer(num_draft_tokens=1.5), "num_draft_tokens is '1.5'"),
        (answer(num_draft_tokens=True), "num_draft_tokens is 'True'"),
        (answer(acceptance_histogram="abc"), "acceptance_histogram is no list"),
        (answer(acceptance_histogram={"x": 1}), "acceptance_histogram has keys"),
        (answer(acceptance_histogram=[0] * 5000), "5000 entries"),
        (answer(per_step_accepted=[3], per_step_drafted=[2]), "do not belong together"),
        (answer(mean_acceptance_length="two"), "mean_acceptance_length is 'two'"),
        (counters("vllm:").replace(" 4.0", " NaN"), "is nan"),
        (counters("vllm:").replace('position="2"', 'position="x"'), "A position is 'x'"),
    ],
)
def test_bad_input_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(BadRequestError, match=words) as refused:
        read(text, "answer")
    assert refused.value.hint


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *VLLM,
                    *SGLANG,
                    *BENCH,
                    "metrics",
                    "speculative_decoding",
                    "meta_info",
                    "timings",
                    "draft_n",
                    "stats",
                    "usage",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=40)
@given(json_values.map(json.dumps) | st.text())
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    assert all(outcome(text))


@settings(deadline=None, max_examples=40)
@given(st.sampled_from([*WHOLE.values(), *PARTLY.values()]), st.data())
def test_a_damaged_answer_is_read_or_refused_in_words(text: str, data: st.DataObject) -> None:
    place, inserted = data.draw(st.integers(0, len(text))), data.draw(st.text(max_size=3))
    assert all(outcome(text[:place] + inserted + text[place + 1 :]))


def outcome(text: str) -> list[str]:
    """The records as JSON, or the hint of the refusal."""
    try:
        return [json.dumps(as_document(record)) for record in read(text, "answer")] or [""]
    except BadRequestError as error:
        return [error.hint]


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.integers(0, 6).flatmap(lambda drafted: st.tuples(st.just(drafted + 1), st.integers(0, drafted + 1))),
        min_size=1,
        max_size=30,
    )
)
def test_steps_give_the_acceptance_that_rounds_give(rounds: list[tuple[int, int]]) -> None:
    steps = {
        "num_spec_steps": len(rounds),
        "num_draft_tokens": sum(drafted for drafted, _ in rounds),
        "num_accepted_draft_tokens": sum(accepted for _, accepted in rounds),
        "per_step_drafted": [drafted for drafted, _ in rounds],
        "per_step_accepted": [accepted for _, accepted in rounds],
    }
    record = only(json.dumps({"speculative_decoding": steps}))
    by_hand = acceptance([CountedRound("", drafted, accepted) for drafted, accepted in rounds])

    assert record.unconditional == by_hand.unconditional
    assert record.conditional == by_hand.conditional
    assert record.disagreements == ()
