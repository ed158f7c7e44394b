"""Readers of the statistics in single answers: vLLM, SGLang, llama.cpp, LM Studio, `vllm bench serve`, OpenAI.

A reader gets one JSON object and returns its record, or None if it holds no statistics of that kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from speculatoviz.errors import BadRequestError
from speculatoviz.lab.acceptance import CountedRound, acceptance
from speculatoviz.lab.engines.statistics import Speculation

Object = Mapping[str, Any]
Reader = Callable[[Object], Speculation | None]

ANSWER = "one answer"
_MOST_POSITIONS = 1024  # of a draft; far beyond any
_NO_POSITIONS = "the acceptance by position"
_NO_DRAFTS = "the number of drafts, and so no mean acceptance length"
_HINT = "Give an answer as the engine sent it, or the text of its /metrics."


def records(value: Any) -> Iterator[Speculation]:
    """The records of all answers in a JSON value, however deep they stand in it. Raises BadRequestError."""
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, list):
            todo += reversed(one)
        elif isinstance(one, dict):
            found = next((record for reader in READERS if (record := reader(one)) is not None), None)
            if found is not None:
                yield found.checked()
            else:
                todo += reversed(list(one.values()))


# --- the engines --------------------------------------------------------------------------------------


def vllm(answer: Object) -> Speculation | None:
    """`metrics.speculative_decoding`, which --per-request-spec-decode-metrics adds; its value alone, too."""
    found = _part(_part(answer, "metrics"), "speculative_decoding") or _part(answer, "speculative_decoding")
    if not found:
        return None
    drafts, drafted = count(found, "num_spec_steps"), count(found, "num_draft_tokens")
    histogram = _histogram(found.get("acceptance_histogram"), "acceptance_histogram")
    accepted_at = _accepted_at(histogram, count(found, "num_spec_tokens"))
    reached_at = alike(accepted_at, drafts, drafted)
    steps = _steps(found)
    if steps is not None:
        exact = acceptance(steps)
        accepted_at, reached_at = exact.accepted_at, exact.reached_at
    cannot = (
        ()
        if reached_at is not None
        else ("the acceptance of the drafts that reached a position (set the level detailed)",)
    )
    return Speculation(
        source="vLLM, metrics.speculative_decoding",
        scope=ANSWER,
        drafts=drafts,
        draft_tokens=drafted,
        accepted_tokens=count(found, "num_accepted_draft_tokens"),
        generated=count(_part(answer, "usage"), "completion_tokens"),
        accepted_at=accepted_at,
        reached_at=reached_at,
        reported_rate=number(found, "draft_acceptance_rate"),
        reported_length=number(found, "mean_acceptance_length"),
        cannot=cannot,
    )


def _steps(found: Object) -> list[CountedRound] | None:
    """The rounds of the level `detailed`; None without them."""
    accepted, drafted = found.get("per_step_accepted"), found.get("per_step_drafted")
    if not accepted or not drafted:
        return None
    rows = [_counts(accepted, "per_step_accepted"), _counts(drafted, "per_step_drafted")]
    if len(rows[0]) != len(rows[1]) or any(a > d for a, d in zip(*rows, strict=True)):
        raise BadRequestError("per_step_accepted and per_step_drafted do not belong together.", _HINT)
    if max(rows[1], default=0) > _MOST_POSITIONS:
        raise BadRequestError(f"per_step_drafted has a draft of {max(rows[1])} tokens.", _HINT)
    return [CountedRound("", d, a) for a, d in zip(*rows, strict=True)]


def sglang(answer: Object) -> Speculation | None:
    """`meta_info` of /generate, and `sglext.spec_tokens_details` of the OpenAI-compatible routes."""
    found = _part(_part(answer, "sglext"), "spec_tokens_details") or _part(answer, "meta_info")
    if "spec_verify_ct" not in found:
        return None
    drafts, drafted = count(found, "spec_verify_ct"), count(found, "spec_num_proposed_drafts")
    deepest = drafted // drafts if drafted is not None and drafts else None
    accepted_at = _accepted_at(
        _histogram(found.get("spec_correct_drafts_histogram"), "spec_correct_drafts_histogram"), deepest
    )
    generated = count(found, "completion_tokens")
    return Speculation(
        source="SGLang, meta_info",
        scope=ANSWER,
        drafts=drafts,
        draft_tokens=drafted,
        accepted_tokens=count(found, "spec_num_correct_drafts"),
        generated=count(_part(answer, "usage"), "completion_tokens") if generated is None else generated,
        accepted_at=accepted_at,
        reached_at=alike(accepted_at, drafts, drafted),
        reported_rate=number(found, "spec_accept_rate"),
        reported_length=number(found, "spec_accept_length"),
        cannot=() if accepted_at is not None else (_NO_POSITIONS,),
    )


def lm_studio(answer: Object) -> Speculation | None:
    """`stats`, in the spelling of the REST API or of the SDK."""
    for name in ("stats", "usage", ""):
        found = _part(answer, name) if name else answer
        for snake in (True, False):
            keys = [
                _spelt(f"{what}_draft_tokens_count", snake) for what in ("total", "accepted", "rejected", "ignored")
            ]
            if keys[0] in found:
                total, accepted, rejected, ignored = (count(found, key) for key in keys)
                parts = (accepted or 0) + (rejected or 0) + (ignored or 0)
                wrong = (f"Accepted, rejected and ignored tokens are {parts}, and {total} in all.",)
                return Speculation(
                    source="LM Studio, stats",
                    scope=ANSWER,
                    draft_tokens=total,
                    accepted_tokens=accepted,
                    generated=_first(
                        count(found, "predictedTokensCount"), count(_part(answer, "usage"), "completion_tokens")
                    ),
                    cannot=(_NO_DRAFTS, _NO_POSITIONS),
                    disagreements=wrong if total is not None and rejected is not None and parts != total else (),
                )
    return None


def _spelt(name: str, snake: bool) -> str:
    if snake:
        return name
    first, *others = name.split("_")
    return first + "".join(part.capitalize() for part in others)


def llamacpp(answer: Object) -> Speculation | None:
    """`timings` with `draft_n`, which is there if something was drafted."""
    found = _part(answer, "timings")
    if "draft_n" not in found:
        return None
    return Speculation(
        source="llama.cpp, timings",
        scope=ANSWER,
        draft_tokens=count(found, "draft_n"),
        accepted_tokens=count(found, "draft_n_accepted"),
        generated=count(found, "predicted_n"),
        cannot=(_NO_DRAFTS, _NO_POSITIONS),
    )


def vllm_bench(report: Object) -> Speculation | None:
    """The result file of `vllm bench serve`; its acceptance rate is in percent."""
    if "spec_decode_num_drafts" not in report:
        return None
    drafts = count(report, "spec_decode_num_drafts")
    rates = report.get("spec_decode_per_position_acceptance_rates")
    shares = [_share(rate) for rate in rates] if isinstance(rates, list) else None
    drafted = count(report, "spec_decode_draft_tokens")
    accepted_at = tuple(round(share * (drafts or 0)) for share in shares) if shares else None
    percent = number(report, "spec_decode_acceptance_rate")
    return Speculation(
        source="vllm bench serve",
        scope="one benchmark",
        drafts=drafts,
        draft_tokens=drafted,
        accepted_tokens=count(report, "spec_decode_accepted_tokens"),
        generated=count(report, "total_output_tokens"),
        accepted_at=accepted_at,
        reached_at=alike(accepted_at, drafts, drafted),
        reported_rate=None if percent is None else percent / 100.0,
        reported_length=number(report, "spec_decode_acceptance_length"),
        cannot=() if accepted_at is not None else (_NO_POSITIONS,),
    )


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise BadRequestError(f"A rate by position is {value!r}, and has to be a number from 0 to 1.", _HINT)
    return float(value)


def openai(answer: Object) -> Speculation | None:
    """`usage.completion_tokens_details` of a request with a prediction; SGLang puts its drafts there."""
    usage = _part(answer, "usage")
    found = _part(usage, "completion_tokens_details")
    accepted, rejected = count(found, "accepted_prediction_tokens"), count(found, "rejected_prediction_tokens")
    if accepted is None or rejected is None or not accepted + rejected:
        return None
    return Speculation(
        source="OpenAI, usage of a prediction",
        scope=ANSWER,
        draft_tokens=accepted + rejected,
        accepted_tokens=accepted,
        generated=count(usage, "completion_tokens"),
        cannot=(_NO_DRAFTS, _NO_POSITIONS, "tokens of the prediction that were not tried"),
    )


READERS: tuple[Reader, ...] = (vllm, sglang, lm_studio, llamacpp, vllm_bench, openai)


# --- parts of answers ---------------------------------------------------------------------------------


def _part(value: Object, name: str) -> Object:
    """The object of that name; empty if there is none."""
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def count(part: Object, name: str) -> int | None:
    """A number of things; None if it is absent or null. Raises BadRequestError for anything else."""
    value = part.get(name)
    return None if value is None else _whole(value, name)


def _whole(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 1 << 53:
        raise BadRequestError(f"{name} is {str(value)[:40]!r}, and has to be a whole number from 0 on.", _HINT)
    return value


def _counts(value: object, name: str) -> list[int]:
    if not isinstance(value, list):
        raise BadRequestError(f"{name} is no list.", _HINT)
    return [_whole(one, name) for one in value]


def number(part: Object, name: str) -> float | None:
    """A finite number; None if it is absent or null. Raises BadRequestError for anything else."""
    value = part.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:
        raise BadRequestError(f"{name} is {str(value)[:40]!r}, and has to be a number.", _HINT)
    return float(value)


def _histogram(value: object, name: str) -> list[int] | None:
    """counts[i]: drafts of which exactly i tokens were accepted, from a list or from {"i": count}."""
    if value is None:
        return None
    if isinstance(value, dict):
        keys = {int(key): _whole(one, name) for key, one in value.items() if str(key).isdecimal()}
        if len(keys) < len(value) or max(keys, default=0) > _MOST_POSITIONS:
            raise BadRequestError(f"{name} has keys that are no numbers of accepted tokens.", _HINT)
        return [keys.get(i, 0) for i in range(max(keys, default=-1) + 1)]
    counts = _counts(value, name)
    if len(counts) > _MOST_POSITIONS + 1:
        raise BadRequestError(f"{name} has {len(counts)} entries.", _HINT)
    return counts


def _accepted_at(histogram: Sequence[int] | None, depth: int | None) -> tuple[int, ...] | None:
    """Drafts that accepted each position, of a histogram; as many positions as `depth` has, if it is known."""
    if histogram is None:
        return None
    positions = max(len(histogram) - 1, min(depth or 0, _MOST_POSITIONS))
    return tuple(sum(histogram[position + 1 :]) for position in range(positions))


def alike(accepted_at: tuple[int, ...] | None, drafts: int | None, drafted: int | None) -> tuple[int, ...] | None:
    """Drafts that reached each position, if all drafts had all positions; else it does not follow from counts."""
    if accepted_at is None or drafts is None or drafted != drafts * len(accepted_at):
        return None
    return (drafts, *accepted_at)[: len(accepted_at)]


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)
