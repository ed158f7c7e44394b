"""The server reads the statistics of other engines from a text, and nothing but the text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.live_server import PATIENCE_S, Server

VLLM = {
    "metrics": {
        "speculative_decoding": {
            "num_spec_steps": 4,
            "num_draft_tokens": 12,
            "num_accepted_draft_tokens": 6,
            "num_spec_tokens": 3,
            "acceptance_histogram": [1, 1, 1, 1],
            "draft_acceptance_rate": 0.5,
        }
    },
    "usage": {"completion_tokens": 10},
}
SGLANG = {"meta_info": {"spec_verify_ct": 4, "spec_num_proposed_drafts": 12, "spec_num_correct_drafts": 6}}
LLAMACPP = {"timings": {"draft_n": 12, "draft_n_accepted": 6, "predicted_n": 10}}
LM_STUDIO = {"stats": {"total_draft_tokens_count": 12, "accepted_draft_tokens_count": 6}}
METRICS = """\
vllm:spec_decode_num_drafts_total{model_name="m"} 4
vllm:spec_decode_num_draft_tokens_total{model_name="m"} 12
vllm:spec_decode_num_accepted_tokens_total{model_name="m"} 6
"""


def read(server: Server, text: str) -> tuple[int, dict[str, Any]]:
    address = f"http://127.0.0.1:{server.port}/api/statistics"
    with httpx.Client(trust_env=False, timeout=PATIENCE_S) as client:
        answer = client.post(address, json={"text": text})
    return answer.status_code, answer.json()


@pytest.mark.parametrize(
    "text", [*map(json.dumps, (VLLM, SGLANG, LLAMACPP, LM_STUDIO)), METRICS], ids=lambda text: text[:12]
)
def test_every_engines_statistics_have_one_form(shared_server: Server, text: str) -> None:
    status, found = read(shared_server, text)
    [record] = found["statistics"]

    assert status == 200
    assert (record["draft_tokens"], record["accepted_tokens"], record["acceptance_rate"]) == (12, 6, 0.5)
    assert record["mean_acceptance_length"] == (None if record["drafts"] is None else 2.5)
    assert (record["per_position_acceptance_rate"] is None) == (text != json.dumps(VLLM))
    lacks = record["drafts"] is None or record["per_position_acceptance_rate"] is None
    assert bool(record["cannot_show"]) == lacks


def test_rates_by_position_and_the_engines_own_are_there(shared_server: Server) -> None:
    _, found = read(shared_server, json.dumps(VLLM))
    [record] = found["statistics"]
    assert record["per_position_acceptance_rate"] == [0.75, 0.5, 0.25]
    assert record["conditional_acceptance_rate"] == pytest.approx([0.75, 2 / 3, 0.5])
    assert record["tokens_per_pass"] == 2.5
    assert record["reported_rate"] == 0.5
    assert record["disagreements"] == []


def test_what_holds_no_statistics_is_refused_in_words(shared_server: Server, tmp_path: Path) -> None:
    file = tmp_path / "answer.json"
    file.write_text(json.dumps(VLLM))
    for text in ("", "{}", "<html>", "hello", str(file), "http://127.0.0.1:9/metrics", "[" * 5000):
        status, found = read(shared_server, text)
        assert (status, found["code"]) == (400, "bad_request"), text
        assert found["message"]
        assert found["hint"]
