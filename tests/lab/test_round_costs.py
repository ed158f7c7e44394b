"""Pass times of other machines: typed in, or from what llama-batched-bench prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from speculatoviz.errors import BadRequestError
from speculatoviz.lab.pass_tables import read_pass_times
from speculatoviz.lab.round_costs import RoundCosts

TABLE = """\
main: n_kv_max = 2048, n_batch = 2048, n_ubatch = 512, flash_attn = -1, is_pp_shared = 0, n_gpu_layers = 99

|    PP |     TG |    B |   N_KV |   T_PP s | S_PP t/s |   T_TG s | S_TG t/s |      T s |    S t/s |
|-------|--------|------|--------|----------|----------|----------|----------|----------|----------|
|   256 |    100 |    1 |    356 |    0.100 |  2560.00 |    2.500 |    40.00 |    2.600 |   136.92 |
|   256 |    100 |    2 |    712 |    0.200 |  2560.00 |    3.600 |    55.56 |    3.800 |   187.37 |
|   512 |    100 |    2 |   1224 |    0.400 |  2560.00 |    4.000 |    50.00 |    4.400 |   278.18 |
|   256 |    100 |    4 |   1424 |    0.400 |  2560.00 |    5.100 |    78.43 |    5.500 |   258.91 |

llama_perf_context_print:        load time =     400.00 ms
"""
EXPECTED = {1: 25.0, 2: 36.0, 4: 51.0}


def test_a_table_that_is_typed_in() -> None:
    assert read_pass_times("1:25,2:36,4:51") == EXPECTED
    assert read_pass_times(" 4:51, 1:2.5e1 ,2:36.0,") == EXPECTED


def test_the_table_of_llama_batched_bench(tmp_path: Path) -> None:
    file = tmp_path / "bench.txt"
    file.write_text(TABLE)
    assert read_pass_times(str(file)) == pytest.approx(EXPECTED)


def test_its_json_lines(tmp_path: Path) -> None:
    rows = [{"pp": 256, "tg": 100, "pl": rows, "t_pp": 0.1, "t_tg": ms / 10, "t": 3.0} for rows, ms in EXPECTED.items()]
    file = tmp_path / "bench.jsonl"
    file.write_text("\n".join(["a line of a log", *map(json.dumps, rows), "{broken", '{"other": 1}']))
    assert read_pass_times(str(file)) == pytest.approx(EXPECTED)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1:25,2", "no table of pass times"),
        ("1:25,2:three", "neither a table of pass times nor a file"),
        ("1:25:3", "no table of pass times"),
        ("nowhere.txt", "neither a table"),
        ("2:36,4:51", "no time of a pass over one token"),
        ("1:25,0:10", "over 0 tokens"),
        ("1:25,2:-4", "over 2 tokens"),
        ("1:0", "over 1 tokens"),
        ("a\0b", "neither a table"),
    ],
)
def test_anything_else_is_refused_in_words(text: str, message: str) -> None:
    with pytest.raises(BadRequestError, match=message) as refused:
        read_pass_times(text)
    assert "1:25" in refused.value.hint


def served(rows: int, itl_ms: float, **changed: object) -> dict[str, object]:
    """A result that `vllm bench serve --save-result` writes, as far as it is read."""
    values = {"max_concurrency": rows, "median_itl_ms": itl_ms, "median_tpot_ms": itl_ms + 3, "completed": 4 * rows}
    return {"backend": "vllm", "request_rate": "inf", **values, **changed}


@pytest.mark.parametrize("form", ["lines", "list", "joined"])
def test_saved_results_of_vllm_bench_serve(form: str, tmp_path: Path) -> None:
    runs = [served(rows, ms) for rows, ms in EXPECTED.items()]
    runs += [
        served(2, 50.0),  # slower than another run of it
        served(8, 9.0, request_rate=2.0),  # which does not fill the concurrency
        served(16, 9.0, completed=3),
        {"max_concurrency": None, "median_itl_ms": 5.0, "completed": 4},
    ]
    each = [json.dumps(run) for run in runs]
    texts = {"lines": "\n".join(each), "list": f"[{', '.join(each)}]", "joined": "".join(each)}
    file = tmp_path / "bench.json"
    file.write_text(texts[form])
    assert read_pass_times(str(file)) == EXPECTED


SERVED = """\
============ Serving Benchmark Result ============
Successful requests:                     40
Maximum request concurrency:             {rows}
Benchmark duration (s):                  27.85
Total generated tokens:                  1500
-----Time per Output Token (excl. 1st token)------
Mean TPOT (ms):                          15.35
Median TPOT (ms):                        15.15
---------------Inter-token Latency----------------
Mean ITL (ms):                           16.02
Median ITL (ms):                         {ms}
==================================================
"""


def test_what_vllm_bench_serve_printed(tmp_path: Path) -> None:
    file = tmp_path / "bench.txt"
    runs = [SERVED.format(rows=rows, ms=ms) for rows, ms in EXPECTED.items()]
    limited = SERVED.format(rows=8, ms=1.0).replace("Benchmark", "Request rate configured (RPS):  1.50\nBenchmark", 1)
    file.write_text("INFO a line of a log\n".join([*runs, limited]))
    assert read_pass_times(str(file)) == EXPECTED


@pytest.mark.parametrize("form", ["saved", "printed"])
def test_times_of_a_server_that_speculated_are_refused(form: str, tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    printed = SERVED.format(rows=1, ms=9.0).replace("====\n", "====\n------Speculative Decoding------\n", 1)
    file.write_text(json.dumps(served(1, 9.0, spec_decode_num_drafts=7)) if form == "saved" else printed)
    with pytest.raises(BadRequestError, match="a server that speculated"):
        read_pass_times(str(file))


def test_a_file_without_times_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.txt"
    file.write_bytes(b"| a | b |\n\xff\xfe\n| 1 | 2 | 3 |\n")
    with pytest.raises(BadRequestError, match="holds no pass times"):
        read_pass_times(str(file))


def test_a_size_between_two_measured_ones_is_interpolated() -> None:
    verify_ms = RoundCosts({1: 20.0, 4: 32.0}, 1.5, 0.0, 0.0, 0.0, 0.0).pass_times()
    assert [verify_ms(rows) for rows in (1, 2, 4)] == pytest.approx([30.0, 36.0, 48.0])
