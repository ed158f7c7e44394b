"""Commands with one fault each get that finding and what to write instead; commands without fault get none."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speculatoviz.errors import BadRequestError
from speculatoviz.lab.engines.checks import lint
from speculatoviz.lab.engines.command import lookup, parse
from speculatoviz.lab.engines.evidence import evidence
from speculatoviz.lab.engines.export import exported
from speculatoviz.lab.engines.flags import TABLES, Server
from speculatoviz.lab.engines.heads import context_of, kind_of
from speculatoviz.lab.engines.lint import Finding, Known
from speculatoviz.lab.engines.names import Engine
from support.recorded import SAMPLED, traced
from support.tiny_gguf import CONTEXT, write_tiny

STARTS: dict[Server, str] = {
    "vllm": "vllm serve Qwen/Qwen3-8B",
    "sglang": "python -m sglang.launch_server --model-path Qwen/Qwen3-8B",
    "llama.cpp": "llama-server -m target.gguf --temp 0",
}
NAMES = Known(kind_of=kind_of)


def config(**keys: Any) -> str:
    values = {"method": "ngram", "num_speculative_tokens": 4} | keys
    return f"vllm serve m --speculative-config '{json.dumps({key: v for key, v in values.items() if v is not None})}'"


def only(text: str, known: Known = NAMES) -> Finding:
    (finding,) = lint(text, known)
    return finding


GOOD = [
    config(),
    config(method="eagle3", model="yuhuili/EAGLE3-LLaMA3.1-Instruct-8B"),
    config(method="suffix", num_speculative_tokens=None),
    config(num_speculative_tokens_per_batch_size=[[1, 8, 4]]),
    "vllm serve m --speculative_config.method ngram --speculative-config.num_speculative_tokens 4",
    "vllm serve m --spec-method ngram --spec-tokens 4 --max-model-len 4096 --gpu-memory-utilization 0.9",
    """CUDA_VISIBLE_DEVICES=0 /usr/bin/vllm serve m -sc '{"method": "ngram", "num_speculative_tokens": 2}' && echo""",
    "docker run --gpus all vllm/vllm-openai:v0.33.0 --model m --host 0.0.0.0",
    "python3 -m sglang.launch_server --model-path m --speculative-algo EAGLE3 --speculative-draft-model-path o/EAGLE3 "
    "--speculative-num-steps 3 --speculative-eagle-topk 1 --speculative-num-draft-tokens 4",
    "sglang serve --model m --speculative-algorithm NGRAM --speculative-num-draft-tokens=8",
    "./bin/llama-server -m t.gguf -md d.gguf --spec-type draft-simple --spec-draft-n-max 4 --temp 0 -c 4096 -ngl 99",
    "llama-server -hf o/t --spec-type ngram-mod,draft-mtp --spec-draft-sampling probabilistic",
]

# (command, where, a word of what to write instead)
FAULTS = [
    ("vllm serve m --speculative-model d --num-speculative-tokens 4", "--speculative-model", '"model"'),
    ("vllm serve m --speculative-confg '{}'", "--speculative-confg", "--speculative-config"),
    ("vllm serve m --use-v2-block-manager", "--use-v2-block-manager", "leave it out"),
    (f"{STARTS['sglang']} --speculative-eagle-top-k 4", "--speculative-eagle-top-k", "--speculative-eagle-topk"),
    (f"{STARTS['llama.cpp']} --draft-max 8", "--draft-max", "--spec-draft-n-max"),
    (f"{STARTS['llama.cpp']} --spec-draft-nmax 8", "--spec-draft-nmax", "--spec-draft-n-max"),
    (f"{STARTS['llama.cpp']} -cd 4096", "-cd", "leave it out"),
    ("vllm serve m --speculative-config {method:ngram}", "--speculative-config", "single quotes"),
    (config(method="ngrams"), "method", "ngram"),
    (config(method="medusa"), "method", "EAGLE-3"),
    (config(method=None), "method", "ngram"),
    (config(method="draft_model"), "model", "OWNER/NAME"),
    (config(disable_by_batch_size=32), "disable_by_batch_size", "num_speculative_tokens_per_batch_size"),
    (config(num_spec_tokens=4), "num_spec_tokens", "num_speculative_tokens"),
    (config(num_speculative_tokens=None), "num_speculative_tokens", "4"),
    (config(num_speculative_tokens="four"), "num_speculative_tokens", "number"),
    (config(method="eagle", model="yuhuili/EAGLE3-LLaMA3.1-Instruct-8B"), "method", "eagle3"),
    (config(method="draft_model", model="z-lab/Qwen3-8B-DFlash-b16"), "method", "dflash"),
    (config(rejection_sample_method="fly"), "rejection_sample_method", "standard"),
    (config(rejection_sample_method="blok"), "rejection_sample_method", "block"),
    (config(draft_sample_method="random"), "draft_sample_method", "greedy"),
    (f"{STARTS['sglang']} --speculative-algorithm MEDUSA", "--speculative-algorithm", "EAGLE3"),
    (f"{STARTS['sglang']} --speculative-num-draft-tokens 4", "--speculative-algorithm", "EAGLE"),
    (f"{STARTS['sglang']} --speculative-algorithm STANDALONE", "--speculative-draft-model-path", "OWNER/NAME"),
    (
        f"{STARTS['sglang']} --speculative-algorithm EAGLE --speculative-draft-model-path o/Head-EAGLE3",
        "--speculative-algorithm",
        "EAGLE3",
    ),
    (
        f"{STARTS['sglang']} --speculative-algorithm NGRAM --speculative-accept-threshold-single 0.9",
        "--speculative-accept-threshold-single",
        "1.0",
    ),
    (
        f"{STARTS['sglang']} --speculative-algorithm NGRAM --speculative-use-block-verification",
        "--speculative-use-block-verification",
        "--speculative-use-rejection-sampling",
    ),
    (
        f"{STARTS['sglang']} --speculative-algorithm NEXTN --speculative-num-steps 3",
        "--speculative-eagle-topk",
        "all three",
    ),
    (
        f"{STARTS['sglang']} --speculative-algorithm NEXTN --speculative-num-steps 3 --speculative-eagle-topk 1 "
        "--speculative-num-draft-tokens 8",
        "--speculative-num-draft-tokens",
        "4",
    ),
    (
        f"{STARTS['sglang']} --speculative-algorithm NEXTN --speculative-num-steps 3 --speculative-eagle-topk 4 "
        "--speculative-num-draft-tokens 8 --speculative-use-rejection-sampling",
        "--speculative-use-rejection-sampling",
        "topk 1",
    ),
    (f"{STARTS['llama.cpp']} --spec-type draft", "--spec-type", "draft-simple"),
    (f"{STARTS['llama.cpp']} --spec-type draft-simple", "--spec-draft-model", "FILE"),
    (f"{STARTS['llama.cpp']} -md d.gguf", "--spec-type", "draft-simple"),
    (f"{STARTS['llama.cpp']} -md head-eagle3.gguf --spec-type draft-simple", "--spec-type", "draft-eagle3"),
    (f"{STARTS['llama.cpp']} --spec-type draft-mtp --spec-draft-sampling random", "--spec-draft-sampling", "greedy"),
]


@pytest.mark.parametrize("text", GOOD)
def test_a_command_without_fault_has_no_finding(text: str) -> None:
    assert lint(text, NAMES) == []


@pytest.mark.parametrize(("text", "where", "instead"), FAULTS, ids=[fault[1] for fault in FAULTS])
def test_a_fault_is_found_and_mended(text: str, where: str, instead: str) -> None:
    found = lint(text, NAMES)

    assert any(finding.where == where and instead in finding.instead for finding in found), found


def test_each_of_these_faults_is_the_only_one() -> None:
    """So no check fires because of another fault; the first command has two removed flags."""
    counts = [len(lint(text, NAMES)) for text, _, _ in FAULTS]
    assert counts == [2, *[1] * (len(FAULTS) - 1)]


def test_synthetic_acceptance_is_no_setting_for_users() -> None:
    synthetic = config(rejection_sample_method="synthetic", synthetic_acceptance_rates=[0.8, 0.6, 0.5, 0.4])
    assert only(synthetic).where == "rejection_sample_method"
    for rates in ([0.8, 0.6], [0.5, 0.6, 0.4, 0.3], [1.2, 0.6, 0.5, 0.4], "0.5"):
        found = lint(config(rejection_sample_method="synthetic", synthetic_acceptance_rates=rates), NAMES)
        assert "synthetic_acceptance_rates" in [finding.where for finding in found]
    text = f"{STARTS['llama.cpp']} --spec-type draft-mtp --spec-synth-rates "
    assert len(lint(text + "0.8,0.6,0.5", NAMES)) == 1  # the depth is 3 by default
    assert len(lint(text + "0.8,0.6", NAMES)) == 2


@pytest.mark.parametrize(
    "text",
    [
        config(method="mtp"),
        f"{STARTS['sglang']} --speculative-algorithm NEXTN",
        f"{STARTS['llama.cpp']} --spec-type draft-mtp",
    ],
)
def test_greedy_drafts_for_sampled_requests_cost_acceptance(text: str) -> None:
    assert lint(text, Known(temperature=0.0)) == []
    finding = only(text, Known(temperature=0.7))
    assert finding.level == "warning"
    assert "p(argmax q)" in finding.message


def test_the_command_can_set_the_temperature() -> None:
    text = config(method="mtp") + """ --override-generation-config '{"temperature": 0.6}'"""
    assert "0.6" in only(text).message
    assert "default" in only("llama-server -m t --spec-type draft-mtp").message
    assert lint(text, Known(temperature=0.0)) == []


def test_a_depth_beyond_the_evidence_is_a_guess() -> None:
    shown = evidence([traced([(4, 4), (4, 1), *[(4, 1)] * 58])])
    for text, where in (
        (config(num_speculative_tokens=6), "num_speculative_tokens"),
        (f"{STARTS['llama.cpp']} --spec-type draft-mtp --spec-draft-n-max 6", "--spec-draft-n-max"),
        (
            f"{STARTS['sglang']} --speculative-algorithm NGRAM --speculative-num-draft-tokens 7",
            "--speculative-num-draft-tokens",
        ),
    ):
        finding = only(text, Known(temperature=0.0, evidence=shown))
        assert (finding.where, finding.level) == (where, "warning")
        assert "at most 4 tokens" in finding.message
    rare = only(config(), Known(evidence=shown))
    assert "1.7 %" in rare.message
    assert rare.instead == "write 1"
    assert lint(config(num_speculative_tokens=1), Known(evidence=shown)) == []


def test_a_drafter_with_a_shorter_context_is_found(tmp_path: Path) -> None:
    draft = write_tiny(tmp_path / "d.gguf")
    text = f"llama-server -m t.gguf -md {draft} --spec-type draft-simple --temp 0 -c"
    known = Known(context_of=context_of, kind_of=kind_of)

    assert lint(f"{text} {CONTEXT}", known) == []
    assert f"{CONTEXT} tokens" in only(f"{text} 4096", known).message
    short = config(method="draft_model", model="o/d", max_model_len=2048) + " --max-model-len 8192"
    assert "2048 tokens" in only(short, known).message


def test_a_local_file_or_folder_states_what_it_is(tmp_path: Path) -> None:
    head = write_tiny(tmp_path / "head.gguf", architecture="eagle3")
    folder = tmp_path / "EAGLE-model"
    folder.mkdir()
    (folder / "config.json").write_text(
        json.dumps({"architectures": ["LlamaForCausalLMEagle3"], "max_position_embeddings": 2048})
    )

    assert (kind_of(str(head)), kind_of(str(folder))) == ("eagle3", "eagle3")
    assert context_of(str(folder)) == 2048
    assert (kind_of("o/Qwen3-0.6B"), kind_of("o/P-EAGLE-x"), kind_of("o/EAGLE-LLaMA3")) == (None, None, "eagle")
    assert context_of("o/Qwen3-0.6B") is None


@pytest.mark.parametrize("engine", ["vllm", "sglang", "llama.cpp"])
@pytest.mark.parametrize(
    ("drafter", "drawn"),
    [*itertools.product(("model", "ngram", "eagle3", "mtp"), (False, True)), ("dflash", False)],
)
def test_what_export_config_writes_has_no_finding(engine: Engine, drafter: str, drawn: bool) -> None:
    sampled = {"sampling": SAMPLED, "drawn": True} if drawn else {}
    shown = evidence([traced([(3, 3)] * 60, drafter=drafter, **sampled)])
    made = exported(engine, shown, f"owner/Draft-{drafter}" if "e3" in drafter or "flash" in drafter else "owner/Draft")
    known = Known(0.7 if drawn and drafter != "ngram" else 0.0, shown, kind_of=kind_of)

    assert lint(f"{STARTS[engine]} {' '.join(made.arguments)}", known) == []
    levels = {finding.level for finding in lint(f"{STARTS[engine]} {' '.join(made.stand_in)}", known)}
    assert engine == "sglang" or levels == {"error"}


@pytest.mark.parametrize("text", ["", "ls -l", "echo vllmserve", "llama-cli -m x"])
def test_another_command_is_refused_in_words(text: str) -> None:
    with pytest.raises(BadRequestError, match="none of the servers"):
        lint(text, NAMES)


def test_an_open_quote_is_refused_in_words() -> None:
    with pytest.raises(BadRequestError, match="cannot be taken apart"):
        lint("vllm serve m --speculative-config '{", NAMES)


def test_lines_of_a_script_are_one_command() -> None:
    command = parse("#!/bin/sh\n# starts it\nexec vllm serve m \\\n  --spec-tokens 4 \\\n  --port 8000 > log\n")
    assert command.server == "vllm"
    assert command.value("--spec-tokens") == "4"
    assert command.words == ("m",)


def test_the_last_of_several_values_counts() -> None:
    assert parse("llama-server --spec-type none --spec-type draft-mtp").value("--spec-type") == "draft-mtp"


@pytest.mark.parametrize("server", get_args(Server))
def test_the_tables_contradict_nothing(server: Server) -> None:
    table = TABLES[server]
    names = [name for flag in (*table.flags, *table.others) for name in flag.names]

    assert len(names) == len(set(names))
    assert not set(names) & {*table.removed, *table.renamed}
    assert set(table.renamed.values()) <= set(names)
    assert all(lookup(server, name) is not None for name in names)


WORDS = (
    "--speculative-config",
    "{",
    "[1]",
    "null",
    "--spec-type",
    "--spec-tokens",
    "-sc",
    "=",
    "--speculative-algorithm",
)


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(sorted(STARTS.values())), st.lists(st.text(max_size=12) | st.sampled_from(WORDS), max_size=6))
def test_any_text_is_checked_or_refused_in_words(start: str, words: list[str]) -> None:
    hints: list[str]
    try:
        hints = [finding.instead for finding in lint(f"{start} {' '.join(words)}", Known(0.7))]
    except BadRequestError as error:
        hints = [error.hint]
    assert all(hints)
