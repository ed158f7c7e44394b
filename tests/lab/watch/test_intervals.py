"""Two looks at the counters give what happened between them; a server that began anew is told."""

from __future__ import annotations

import pytest

from speculatoviz.errors import BadRequestError
from speculatoviz.lab.watch.intervals import between, look


def vllm(drafts: int, drafted: int, accepted: tuple[int, ...], tokens: int, running: int = 2) -> str:
    labels = 'engine="0",model_name="m"'
    positions = "".join(
        f'vllm:spec_decode_num_accepted_tokens_per_pos_total{{{labels},position="{i}"}} {n}\n'
        for i, n in enumerate(accepted)
    )
    return (
        "# TYPE vllm:spec_decode_num_drafts_total counter\n"
        f"vllm:spec_decode_num_drafts_total{{{labels}}} {drafts}\n"
        f"vllm:spec_decode_num_draft_tokens_total{{{labels}}} {drafted}\n"
        f"vllm:spec_decode_num_accepted_tokens_total{{{labels}}} {sum(accepted)}\n"
        f"{positions}"
        f"vllm:generation_tokens_total{{{labels}}} {tokens}\n"
        f"vllm:num_requests_running{{{labels}}} {running}\n"
        f"vllm:num_requests_waiting{{{labels}}} 1\n"
    )


def test_the_counts_are_those_of_the_interval() -> None:
    first, last = look(vllm(100, 300, (80, 60, 40), 500), 10.0), look(vllm(110, 330, (89, 66, 42), 540), 12.0)
    interval = between(first, last)
    [record] = interval.speculation

    assert (interval.seconds, interval.generated, interval.tps) == (2.0, 40, 20.0)
    assert (interval.running, interval.waiting, interval.restarted) == (2, 1, False)
    assert (record.drafts, record.draft_tokens, record.accepted_tokens) == (10, 30, 17)
    assert record.unconditional == [0.9, 0.6, 0.2]
    assert record.acceptance_rate == 17 / 30
    assert record.mean_acceptance_length == 1 + 17 / 10


def test_nothing_drafted_leaves_rates_unknown() -> None:
    still = look(vllm(100, 300, (80, 60, 40), 500, running=0), 10.0)
    [record] = between(still, still).speculation
    assert (record.drafts, record.acceptance_rate, record.unconditional) == (0, None, None)


def test_a_server_that_began_anew_counts_from_its_start() -> None:
    interval = between(look(vllm(100, 300, (80, 60, 40), 500), 10.0), look(vllm(3, 9, (2, 1, 0), 12), 11.0))
    assert (interval.restarted, interval.generated, interval.speculation[0].drafts) == (True, 12, 3)


def test_llama_cpp_and_sglang_are_read_too() -> None:
    text = "llamacpp:tokens_predicted_total {}\nllamacpp:requests_processing 1\nllamacpp:requests_deferred 0\n"
    interval = between(look(text.format(10), 0.0), look(text.format(25), 1.0))
    assert (interval.generated, interval.running, interval.waiting, interval.speculation) == (15, 1, 0, ())

    text = 'sglang:spec_accept_length{model_name="m"} 2.5\nsglang:spec_accept_rate{model_name="m"} 0.5\n'
    [record] = between(look(text, 0.0), look(text, 1.0)).speculation
    assert (record.acceptance_rate, record.reported_rate, record.reported_length) == (None, 0.5, 2.5)


@pytest.mark.parametrize("text", ["", "process_cpu_seconds_total 3\n", "<html>"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(BadRequestError):
        look(text, 0.0)
