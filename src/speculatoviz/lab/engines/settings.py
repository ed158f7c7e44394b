"""The settings of each engine that decode as a recorded run did: same drafter, depth, rule, and way of drafting.

Every writer takes the evidence and the name of the draft's weights, and raises BadRequestError for what its engine
does not have, with what to use instead. Names are those of the releases in `names.ENGINES`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from speculatoviz.errors import BadRequestError
from speculatoviz.lab.engines.evidence import Evidence
from speculatoviz.lab.engines.names import ENGINES, Engine

_DIGITS = 4  # of rates; more than any sample has


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What to add to an engine's command (or, for transformers, to a program).

    arguments: one flag with its value a line. stand_in: the same for a drafter of any quality, whose tokens are
    accepted as often as the measured ones; empty if the engine has no such switch. environment: variables that the
    stand-in needs. notes: what is different there, one sentence each.
    """

    arguments: tuple[str, ...]
    stand_in: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


Writer = Callable[[Evidence, str | None], EngineSettings]


def rates(found: Evidence) -> list[float]:
    """The unconditional acceptance by position, rounded: what `synthetic_acceptance_rates` takes."""
    return [round(rate, _DIGITS) for rate in found.acceptance.unconditional]


def accepted_per_draft(found: Evidence) -> float:
    """Accepted tokens of a mean draft: AIConfigurator's `nextn_accepted`."""
    return found.acceptance.accepted / found.acceptance.drafts


def acceptance_length(found: Evidence) -> float:
    """The mean acceptance length: the token after the draft counts."""
    return 1.0 + accepted_per_draft(found)


# --- vLLM ---------------------------------------------------------------------------------------------


def vllm(found: Evidence, weights: str | None) -> EngineSettings:
    """`--speculative-config` of vLLM."""
    config: dict[str, Any] = {}
    match _supported("vllm", found):
        case "model":
            config |= {"method": "draft_model", "model": _weights("vllm", found, weights)}
            if found.started.translated:
                config["use_heterogeneous_vocab"] = True
        case "ngram":
            config |= {"method": "ngram", "prompt_lookup_min": 2, "prompt_lookup_max": 4}
        case "eagle3" | "dflash" as method:
            config |= {"method": method, "model": _weights("vllm", found, weights)}
        case "p-eagle":
            config |= {"method": "eagle3", "model": _weights("vllm", found, weights), "parallel_drafting": True}
        case name:  # suffix and mtp have vLLM's own names
            config |= {"method": name}
    config["num_speculative_tokens"] = found.depth
    if _draws(found):
        config["draft_sample_method"] = "probabilistic"
    standard = config | ({"rejection_sample_method": "block"} if found.rule == "block" else {})
    synthetic = config | {"rejection_sample_method": "synthetic", "synthetic_acceptance_rates": rates(found)}
    return EngineSettings(
        (_json_flag("--speculative-config", standard),),
        (_json_flag("--speculative-config", synthetic),),
        notes=_own_matches("vLLM", found) + _translated(found),
    )


def _json_flag(flag: str, value: Mapping[str, Any]) -> str:
    text = json.dumps(value).replace("'", "\\u0027")  # an apostrophe would end the shell's quotes
    return f"{flag} '{text}'"


# --- SGLang -------------------------------------------------------------------------------------------


def sglang(found: Evidence, weights: str | None) -> EngineSettings:
    """`--speculative-…` of SGLang. It counts the last committed token as one of its draft tokens."""
    lines: list[str]
    match _supported("sglang", found):
        case "model":
            lines = ["--speculative-algorithm STANDALONE", _path("sglang", found, weights)]
        case "eagle3":
            lines = ["--speculative-algorithm EAGLE3", _path("sglang", found, weights)]
        case "dflash":
            block = f"--speculative-dflash-block-size {found.depth + 1}"
            lines = ["--speculative-algorithm DFLASH", _path("sglang", found, weights), block]
        case "ngram":
            lines = ["--speculative-algorithm NGRAM", "--speculative-ngram-max-bfs-breadth 1"]
        case _:
            lines = ["--speculative-algorithm NEXTN"]
    if found.drafter not in {"ngram", "dflash"}:
        lines += [f"--speculative-num-steps {found.depth}", "--speculative-eagle-topk 1"]
    lines.append(f"--speculative-num-draft-tokens {found.depth + 1}")
    stand_in = tuple(lines)
    if found.rule == "block":
        lines.append("--speculative-use-block-verification")
    elif _draws(found):
        lines.append("--speculative-use-rejection-sampling")
    return EngineSettings(
        tuple(lines),
        stand_in,
        (
            f"SGLANG_SIMULATE_ACC_LEN={acceptance_length(found):.{_DIGITS}f}",
            "SGLANG_SIMULATE_ACC_METHOD=match-expected",
            "SGLANG_SIMULATE_ACC_TOKEN_MODE=real-draft-token",
        ),
        (*_own_matches("SGLang", found), "SGLang simulates the mean acceptance length only, not the single positions."),
    )


def _path(engine: Engine, found: Evidence, weights: str | None) -> str:
    return f"--speculative-draft-model-path {shlex.quote(_weights(engine, found, weights))}"


# --- llama-server -------------------------------------------------------------------------------------

_LLAMA_TYPES = {
    "model": "draft-simple",
    "ngram": "ngram-simple",
    "eagle3": "draft-eagle3",
    "dflash": "draft-dflash",
    "mtp": "draft-mtp",
}


def llamacpp(found: Evidence, weights: str | None) -> EngineSettings:
    """`--spec-…` of llama-server."""
    drafter = _supported("llama.cpp", found)
    lines = [f"--spec-type {_LLAMA_TYPES[drafter]}"]
    if drafter in {"model", "eagle3", "dflash"}:
        lines.append(f"--spec-draft-model {shlex.quote(_weights('llama.cpp', found, weights))}")
    if drafter == "ngram":
        lines += ["--spec-ngram-simple-size-n 4", f"--spec-ngram-simple-size-m {found.depth}"]
    else:
        lines.append(f"--spec-draft-n-max {found.depth}")
    if _draws(found):
        lines.append("--spec-draft-sampling probabilistic")
    listed = ",".join(f"{rate:g}" for rate in rates(found))
    return EngineSettings(
        tuple(lines), (*lines, f"--spec-synth-rates {listed}"), notes=_own_matches("llama-server", found)
    )


# --- transformers -------------------------------------------------------------------------------------


def transformers(found: Evidence, weights: str | None) -> EngineSettings:
    """Arguments of `generate`, as lines of Python."""
    match _supported("transformers", found):
        case "model":
            name = json.dumps(_weights("transformers", found, weights))
            lines = [
                f"assistant = AutoModelForCausalLM.from_pretrained({name})",
                f"assistant.generation_config.num_assistant_tokens = {found.depth}",
                'assistant.generation_config.num_assistant_tokens_schedule = "constant"',
                "assistant.generation_config.assistant_confidence_threshold = 0.0",
                f"output = model.generate(**inputs, assistant_model=assistant{_tokenizers(found)})",
            ]
        case "ngram":
            lines = [
                f"output = model.generate(**inputs, prompt_lookup_num_tokens={found.depth}, max_matching_ngram_size=4)"
            ]
        case _:
            lines = ["output = model.generate(**inputs, use_mtp=True)"]
    notes = [*_own_matches("transformers", found), "transformers cannot simulate an acceptance."]
    if found.drafter == "mtp":
        notes.append("It drafts as many tokens as the model has next-token layers.")
    return EngineSettings(tuple(lines), notes=tuple(notes))


def _tokenizers(found: Evidence) -> str:
    return ", tokenizer=tokenizer, assistant_tokenizer=assistant_tokenizer" if found.started.translated else ""


WRITERS: Mapping[Engine, Writer] = {
    "vllm": vllm,
    "sglang": sglang,
    "llama.cpp": llamacpp,
    "transformers": transformers,
}


# --- what an engine does not have ---------------------------------------------------------------------

_HAS: Mapping[Engine, frozenset[str]] = {
    "vllm": frozenset({"model", "ngram", "suffix", "eagle3", "p-eagle", "dflash", "mtp"}),
    "sglang": frozenset({"model", "ngram", "eagle3", "dflash", "mtp"}),
    "llama.cpp": frozenset({"model", "ngram", "eagle3", "dflash", "mtp"}),
    "transformers": frozenset({"model", "ngram", "mtp"}),
}
_INSTEAD: Mapping[str, str] = {
    "suffix": "Record a run with --drafter ngram.",
    "eagle": "Its head has this program's format. Record a run with a published EAGLE-3 head: --head hf:OWNER/NAME.",
    "eagle3": "Record a run with a draft model: --drafter model.",
    "p-eagle": "Record a run with a draft model: --drafter model.",
    "dflash": "Record a run with a draft model: --drafter model.",
    "mtp": "Record a run with a draft model: --drafter model.",
    "medusa": "Record a run with a published EAGLE-3 head: --head hf:OWNER/NAME.",
    "lookahead": "Record a run with --drafter ngram, which needs no second model either.",
    "selfspec": "Record a run with a draft model: --drafter model.",
    "mixture": "Record a run with one drafter: --drafter model.",
    "multi": "Record a run with one drafter: --drafter model.",
    "hybrid": "Record a run with one drafter: --drafter model, or --drafter ngram.",
}


def _supported(engine: Engine, found: Evidence) -> str:
    """The drafter's name. Raises BadRequestError if the engine lacks the drafter, the rule or the vocabularies."""
    title = ENGINES[engine].title
    if found.drafter not in _HAS[engine]:
        instead = _INSTEAD.get(found.drafter, "Record a run with --drafter model.")
        raise BadRequestError(f"{title} has no drafter like {found.drafter}.", instead)
    _check_rule(engine, found)
    if found.started.translated and engine in {"sglang", "llama.cpp"}:
        raise BadRequestError(
            f"The draft model has another vocabulary than the target, which {title} does not support.",
            "Record a run with a draft model of the target's family, or choose vllm or transformers.",
        )
    return found.drafter


def _check_rule(engine: Engine, found: Evidence) -> None:
    title = ENGINES[engine].title
    if found.rule == "typical":
        raise BadRequestError(
            f"The traces were recorded with typical acceptance, which is lossy and which {title} does not have.",
            "Record a run with --rule token.",
        )
    if found.rule == "block":
        has = engine == "vllm" or (engine == "sglang" and found.drafter in {"eagle3", "mtp"})
        if not has:
            raise BadRequestError(
                f"{title} has no block verification for the drafter {found.drafter}.", "Record a run with --rule token."
            )
    if found.rule == "match" and _draws(found):
        raise BadRequestError(
            "The traces compare drawn tokens with the target's own draws. Engines that compare so take the draft's "
            "most probable tokens, which are accepted more often.",
            "Record a run with --rule token.",
        )
    if engine == "vllm" and found.drafter == "dflash" and _draws(found):
        raise BadRequestError(
            "The traces drew the tokens of their drafts; vLLM takes the most probable ones of a DFlash head.",
            "Record a run with --temperature 0.",
        )
    if engine == "transformers" and found.drafter == "model" and not found.greedy and not found.drawn:
        raise BadRequestError(
            "The drafts of these traces are the most probable tokens; transformers draws them from q.",
            "Record a run with --rule token.",
        )


def _draws(found: Evidence) -> bool:
    """Whether the engine has to draw the draft's tokens from q, as the runs did."""
    return found.drawn and not found.greedy


def _weights(engine: Engine, found: Evidence, given: str | None) -> str:
    """The name of the draft's weights in the engine. Raises BadRequestError if neither flag nor trace names them."""
    if given:
        return given
    model = found.started.draft_model
    named = model.name if model is not None and found.drafter == "model" else ""
    if "/" in named and engine != "llama.cpp":
        return named
    kind = "the GGUF file of the draft" if engine == "llama.cpp" else "the draft's weights as OWNER/NAME or a folder"
    which = f" (the traces name {named!r})" if named else ""
    raise BadRequestError(
        f"{ENGINES[engine].title} has to be given {kind}, which the traces do not contain{which}.",
        "Add --draft-weights NAME.",
    )


def _own_matches(title: str, found: Evidence) -> tuple[str, ...]:
    if found.drafter not in {"ngram", "suffix"}:
        return ()
    return (
        f"{title} searches for matches by a rule of its own, and a drafter without a match drafts nothing: compare its "
        "statistics with these figures (speculatoviz stats).",
    )


def _translated(found: Evidence) -> tuple[str, ...]:
    if not found.started.translated:
        return ()
    return ("vLLM drafts only tokens that both vocabularies have, which this program's translation does not require.",)
