"""An edit of a long file: with the file as the predicted output, without a prediction, and by the target alone."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from speculatoviz.core import sampling
from speculatoviz.lab.decode import Decoded, decode_prompt
from speculatoviz.session.session import Session
from speculatoviz.telemetry.messages import Start

OWN_LINES = 200  # of the file that is edited if none is given


def own_file() -> str:
    """The first lines of a module of this package."""
    return "\n".join(Path(sampling.__file__).read_text(encoding="utf-8").splitlines()[:OWN_LINES])


def prompt_of(file: str, edit: str) -> str:
    """What the model is asked. edit: the change, as an order."""
    return f"{edit} Answer with the whole file and nothing else.\n\n{file}"


def measure(session: Session, prompt: str, prediction: str, repeats: int, max_tokens: int) -> dict[str, object]:
    """Greedy runs of the three kinds in turn, and the paired ratios of their tokens per second.

    usual: drafted as the session's settings say. predicted: by `suffix`, with the prediction. same_text: whether all
    runs have the same tokens; on quantised kernels they can differ at a near tie.
    """
    plain, usual, predicted = list[Decoded](), list[Decoded](), list[Decoded]()
    for _ in range(repeats):
        start = Start(prompt=prompt, max_tokens=max_tokens, temperature=0.0, seed=0)
        plain.append(decode_prompt(session, start.model_copy(update={"k": 0, "policy": "fixed"})))
        usual.append(decode_prompt(session, start))
        suffix = start.model_copy(update={"drafter": "suffix"})
        predicted.append(decode_prompt(session, suffix, prediction=prediction))
    return {
        "tokens": plain[-1].tokens,
        "plain_tps_median": statistics.median(run.tps for run in plain),
        "same_text": all(run.token_ids == plain[0].token_ids for run in (*plain, *usual, *predicted)),
        "usual": _compared(usual, plain),
        "predicted": _compared(predicted, plain),
        "predicted_to_usual_median": statistics.median(_ratios(predicted, usual)),
    }


def _compared(runs: Sequence[Decoded], plain: Sequence[Decoded]) -> dict[str, float]:
    ratios = _ratios(runs, plain)
    return {
        "speedup_median": statistics.median(ratios),
        "speedup_lowest": min(ratios),
        "speedup_highest": max(ratios),
        "acceptance_rate": runs[-1].acceptance_rate,
        "tokens_per_round": runs[-1].tokens_per_round,
    }


def _ratios(runs: Sequence[Decoded], others: Sequence[Decoded]) -> list[float]:
    return [run.tps / other.tps for run, other in zip(runs, others, strict=True)]
