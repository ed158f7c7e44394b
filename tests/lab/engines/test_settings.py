"""Settings for other engines: the names of each, and rates by the definition that it uses."""

from __future__ import annotations

import ast
import json
import shlex
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, get_args

import pytest

from speculatoviz.drafters.about import DRAFTERS
from speculatoviz.errors import BadRequestError
from speculatoviz.lab.engines.evidence import Evidence, evidence
from speculatoviz.lab.engines.export import as_text, exported
from speculatoviz.lab.engines.names import ENGINES, Engine
from speculatoviz.lab.engines.settings import EngineSettings
from support.recorded import SAMPLED, model, traced

ROUNDS = [(3, 3), (3, 1), (3, 0), (3, 2)]  # accepts 6 tokens in 4 drafts


def found(drafter: str = "model", **options: Any) -> Evidence:
    return evidence([traced(ROUNDS, drafter=drafter, **options)])


def settings(
    engine: Engine, drafter: str = "model", weights: str | None = "owner/Draft", **options: Any
) -> EngineSettings:
    return exported(engine, found(drafter, **options), weights)


def vllm(argument: str) -> dict[str, Any]:
    """The object of --speculative-config, as a shell would pass it on."""
    flag, value = shlex.split(argument)
    assert flag == "--speculative-config"
    config: dict[str, Any] = json.loads(value)
    return config


def expected_accepted(unconditional: Sequence[float]) -> float:
    """Accepted tokens of a draft in an engine that takes `unconditional`: position i is tested after position i - 1
    was accepted, and accepted with the ratio of their rates."""
    conditional = [unconditional[0], *(b / a if a else 0.0 for a, b in pairwise(unconditional))]
    total, reached = 0.0, 1.0
    for rate in conditional:
        reached *= min(1.0, rate)
        total += reached
    return total


def test_vllm_gets_its_names() -> None:
    (argument,) = settings("vllm").arguments

    assert vllm(argument) == {"method": "draft_model", "model": "owner/Draft", "num_speculative_tokens": 3}


def test_an_engine_accepts_with_these_rates_what_was_measured() -> None:
    (argument,) = settings("vllm").stand_in
    config = vllm(argument)

    assert config["rejection_sample_method"] == "synthetic"
    assert config["synthetic_acceptance_rates"] == [0.75, 0.5, 0.25]
    assert len(config["synthetic_acceptance_rates"]) == config["num_speculative_tokens"]
    assert expected_accepted(config["synthetic_acceptance_rates"]) == pytest.approx(6 / 4)
    # The broken twin: conditional rates in their place accept more.
    conditional = [rate or 0.0 for rate in found().acceptance.conditional]
    assert expected_accepted(conditional) != pytest.approx(6 / 4, abs=0.1)


def test_llama_server_gets_the_same_rates() -> None:
    made = settings("llama.cpp", weights="draft model.gguf")
    words = shlex.split(" ".join(made.stand_in))

    assert words == [
        *("--spec-type", "draft-simple", "--spec-draft-model", "draft model.gguf", "--spec-draft-n-max", "3"),
        *("--spec-synth-rates", "0.75,0.5,0.25"),
    ]
    assert shlex.split(" ".join(made.arguments)) == words[:-2]


def test_sglang_counts_the_last_committed_token() -> None:
    made = settings("sglang")

    assert made.arguments == (
        "--speculative-algorithm STANDALONE",
        "--speculative-draft-model-path owner/Draft",
        "--speculative-num-steps 3",
        "--speculative-eagle-topk 1",
        "--speculative-num-draft-tokens 4",
    )
    assert made.environment[0] == "SGLANG_SIMULATE_ACC_LEN=2.5000"


def test_transformers_gets_lines_of_python() -> None:
    made = settings("transformers")
    ast.parse("\n".join(made.arguments))

    assert 'from_pretrained("owner/Draft")' in made.arguments[0]
    assert "num_assistant_tokens = 3" in made.arguments[1]
    assert made.stand_in == ()


@pytest.mark.parametrize(
    ("engine", "drafter", "has"),
    [
        ("vllm", "ngram", '"method": "ngram"'),
        ("vllm", "suffix", '"method": "suffix"'),
        ("vllm", "eagle3", '"method": "eagle3"'),
        ("vllm", "p-eagle", '"parallel_drafting": true'),
        ("vllm", "dflash", '"method": "dflash"'),
        ("vllm", "mtp", '"method": "mtp"'),
        ("sglang", "ngram", "--speculative-algorithm NGRAM"),
        ("sglang", "eagle3", "--speculative-algorithm EAGLE3"),
        ("sglang", "dflash", "--speculative-algorithm DFLASH"),
        ("sglang", "mtp", "--speculative-algorithm NEXTN"),
        ("llama.cpp", "ngram", "--spec-type ngram-simple"),
        ("llama.cpp", "eagle3", "--spec-type draft-eagle3"),
        ("llama.cpp", "dflash", "--spec-type draft-dflash"),
        ("llama.cpp", "mtp", "--spec-type draft-mtp"),
        ("transformers", "ngram", "prompt_lookup_num_tokens=3"),
        ("transformers", "mtp", "use_mtp=True"),
    ],
)
def test_every_drafter_has_the_name_of_the_engine(engine: Engine, drafter: str, has: str) -> None:
    assert has in " ".join(settings(engine, drafter).arguments)


@pytest.mark.parametrize("engine", get_args(Engine))
@pytest.mark.parametrize("drafter", DRAFTERS)
def test_a_drafter_is_written_for_an_engine_or_refused_with_another(engine: Engine, drafter: str) -> None:
    refusal: BadRequestError | None = None
    try:
        assert settings(engine, drafter).arguments
    except BadRequestError as error:
        refusal = error
    if refusal is not None:
        assert ENGINES[engine].title in refusal.message
        assert "Record a run with" in refusal.hint


@pytest.mark.parametrize(
    ("engine", "flag"),
    [
        ("vllm", '"draft_sample_method": "probabilistic"'),
        ("sglang", "--speculative-use-rejection-sampling"),
        ("llama.cpp", "--spec-draft-sampling probabilistic"),
    ],
)
def test_drafts_are_drawn_where_the_run_drew_them(engine: Engine, flag: str) -> None:
    assert flag in " ".join(settings(engine, sampling=SAMPLED, drawn=True).arguments)
    assert flag not in " ".join(settings(engine, sampling=SAMPLED).arguments)
    assert flag not in " ".join(settings(engine, drawn=True).arguments)  # temperature 0: nothing is drawn


def test_vllm_draws_no_tokens_of_a_dflash_head() -> None:
    with pytest.raises(BadRequestError, match="takes the most probable ones"):
        settings("vllm", "dflash", sampling=SAMPLED, drawn=True)


def test_block_verification_goes_where_it_exists() -> None:
    assert vllm(settings("vllm", rule="block").arguments[0])["rejection_sample_method"] == "block"
    assert "--speculative-use-block-verification" in settings("sglang", "eagle3", rule="block").arguments
    for engine, drafter in (("sglang", "model"), ("llama.cpp", "model"), ("transformers", "model")):
        with pytest.raises(BadRequestError, match="no block verification"):
            settings(engine, drafter, rule="block")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("engine", "options", "words"),
    [
        ("vllm", {"rule": "typical"}, "lossy"),
        ("vllm", {"rule": "match", "sampling": SAMPLED, "drawn": True}, "most probable tokens"),
        ("transformers", {"rule": "match", "sampling": SAMPLED}, "draws them from q"),
        ("sglang", {"translated": True}, "another vocabulary"),
        ("llama.cpp", {"translated": True}, "another vocabulary"),
        ("llama.cpp", {"weights": None}, "the GGUF file of the draft"),
        ("vllm", {"weights": None, "draft_model": model("Draft 0.5B")}, "OWNER/NAME"),
    ],
)
def test_what_cannot_be_said_is_refused(engine: Engine, options: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequestError, match=words) as refused:
        settings(engine, **options)
    assert refused.value.hint


def test_the_traces_name_the_draft_if_they_can() -> None:
    (argument,) = settings("vllm", weights=None).arguments
    assert vllm(argument)["model"] == "owner/Draft-0.5B"


def test_a_name_with_quotes_reaches_the_engine_whole() -> None:
    name = 'it\'s a "draft"'
    assert vllm(settings("vllm", weights=name).arguments[0])["model"] == name
    words = shlex.split(" ".join(settings("sglang", weights=name).arguments))
    assert words[words.index("--speculative-draft-model-path") + 1] == name


@pytest.mark.parametrize("engine", get_args(Engine))
def test_the_text_is_the_flags_and_comments(engine: Engine) -> None:
    evident = found()
    made = exported(engine, evident, "owner/Draft")
    text = as_text(engine, evident, made)
    flags = [line for line in text.splitlines() if line and not line.startswith("#")]

    assert "0.750, 0.500, 0.250" in text
    assert "0.750, 0.667, 0.500" in text
    assert "--nextn 3 --nextn-accepted 1.5000" in text
    assert [line.removesuffix(" \\") for line in flags] == [*made.arguments, *made.environment, *made.stand_in]
