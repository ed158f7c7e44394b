"""Whether a loaded target and its drafters keep the target's distribution: tested on real runs, so that it can fail.

1. At T=0, speculative and plain runs of the same prompts have to give the same text. Kernels that round differently for
   different numbers of rows can turn a near tie; any other difference fails.
2. Above T=0, the first tokens of many speculative runs of one prompt are compared with the target's own probabilities,
   and the first L tokens with those of as many plain runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from speculatoviz.core.logits import LogitsProcessor
from speculatoviz.core.rounds import Round
from speculatoviz.core.sampling import distribution
from speculatoviz.core.types import Floats, Label, Scores
from speculatoviz.lab.decode import Decoded, decode_prompt
from speculatoviz.lab.randomisation import Outcome, goodness_of_fit, two_samples
from speculatoviz.models.window import Window
from speculatoviz.session.heads import head_cards
from speculatoviz.session.session import Session
from speculatoviz.telemetry.mapping import model_info
from speculatoviz.telemetry.messages import Start
from speculatoviz.telemetry.parts import ModelInfo

LEVEL = 0.001  # a test that holds is rejected this often
_ENDED = -1  # in place of a token after the end of a run
Verdict = Literal["passed", "failed", "undecided"]
Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is tested.

    k: drafted tokens of a round; None: what the session chooses. tokens: of a greedy text. samples: runs of each kind.
    positions: L, the compared tokens of a sampled run. temperature: of the sampled runs, above 0. seed: of the first.
    """

    k: int | None = 4
    tokens: int = 64
    samples: int = 400
    positions: int = 4
    temperature: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class GreedyDeparture:
    """Where a greedy text leaves that of plain decoding.

    prompt: its index. margin: plain decoding's log-probability of its token minus that of the other one, at least; None
    if it is not known. near_tie: whether the measured noise of the kernels explains it; None if that is not known.
    """

    prompt: int
    position: int
    plain_token: str
    speculative_token: str
    margin: float | None
    near_tie: bool | None


@dataclass(frozen=True, slots=True)
class GreedyResult:
    """prompts: how many were compared. tokens: of all compared texts. accepted, drafted: of the speculative runs."""

    prompts: int
    tokens: int
    accepted: int
    drafted: int
    departures: tuple[GreedyDeparture, ...]

    @property
    def verdict(self) -> Verdict:
        if any(departure.near_tie is False for departure in self.departures):
            return "failed"
        known = all(departure.near_tie for departure in self.departures)
        return "passed" if known and self.drafted else "undecided"


@dataclass(frozen=True, slots=True)
class SampledResult:
    """samples: runs of each kind. first_token: against the target's probabilities; None if it does not give them.

    plain: against plain sampling, over `positions` tokens.
    """

    samples: int
    positions: int
    accepted: int
    drafted: int
    first_token: Outcome | None
    plain: Outcome

    @property
    def verdict(self) -> Verdict:
        tests = [self.plain] if self.first_token is None else [self.plain, self.first_token]
        if any(test.p_value < LEVEL for test in tests):
            return "failed"
        return "passed" if self.drafted and self.plain.distance is not None else "undecided"


@dataclass(frozen=True, slots=True)
class Certificate:
    """label: what the target claims for these runs. noise: the largest total variation of its noise floor, if known.

    draft_model, heads: what the drafter uses, if it does.
    """

    target: str
    target_model: ModelInfo
    draft_model: ModelInfo | None
    heads: tuple[str, ...]
    drafter: str
    rule: str
    label: Label
    noise: float | None
    batch_invariant: bool
    plan: Plan
    greedy: GreedyResult
    sampled: SampledResult

    @property
    def verdict(self) -> Verdict:
        """Failed if a part failed, passed if both passed."""
        parts = {self.greedy.verdict, self.sampled.verdict}
        return "failed" if "failed" in parts else "undecided" if "undecided" in parts else "passed"


def certify(session: Session, prompts: Sequence[str], plan: Plan, progress: Progress = lambda *_: None) -> Certificate:
    """Test the session's own drafter and rule on these prompts; sampled runs take the first one.

    progress: what is under way, and the share that is done. Raises what runs raise.
    """
    greedy = _greedy(session, prompts, plan, progress)
    sampled = _sampled(session, prompts[0], plan, progress)
    prepared = session.prepare(_start(prompts[0], plan, plan.temperature))
    request, floor = prepared.request, session.noise_info(prepared)
    return Certificate(
        target=session.target.description.name,
        target_model=model_info(session.target),
        draft_model=model_info(session.draft_model) if session.draft_model and session.drafter == "model" else None,
        heads=tuple(head.file for head in head_cards(session.drafters) if head.drafter == session.drafter),
        drafter=session.drafter,
        rule=request.rule,
        label=session.target.claim(request).label,
        noise=None if floor is None else floor.max_total_variation,
        batch_invariant=session.calibration.batch_invariant,
        plan=plan,
        greedy=greedy,
        sampled=sampled,
    )


def _start(prompt: str, plan: Plan, temperature: float, seed: int = 0, tokens: int | None = None) -> Start:
    return Start(
        prompt=prompt,
        max_tokens=tokens or plan.tokens,
        temperature=temperature,
        k=plan.k,
        policy=None if plan.k is None else "fixed",
        seed=plan.seed + seed,
    )


def _plain(start: Start) -> Start:
    return start.model_copy(update={"k": 0, "policy": "fixed"})


# --- greedy texts -------------------------------------------------------------------------------------


def _greedy(session: Session, prompts: Sequence[str], plan: Plan, progress: Progress) -> GreedyResult:
    tokens = accepted = drafted = 0
    departures = []
    for number, prompt in enumerate(prompts):
        progress("greedy texts", number / len(prompts))
        start = _start(prompt, plan, 0.0)
        plain = decode_prompt(session, _plain(start), evidence=True, fresh=False)
        speculative = decode_prompt(session, start, fresh=False)
        tokens += min(plain.tokens, speculative.tokens)
        accepted, drafted = accepted + speculative.accepted, drafted + speculative.drafted
        if (found := _departure(session, start, number, plain, speculative)) is not None:
            departures.append(found)
    return GreedyResult(len(prompts), tokens, accepted, drafted, tuple(departures))


def _departure(
    session: Session, start: Start, number: int, plain: Decoded, speculative: Decoded
) -> GreedyDeparture | None:
    ids, others = plain.token_ids, speculative.token_ids
    position = next((i for i, (a, b) in enumerate(zip(ids, others, strict=False)) if a != b), None)
    if position is None:
        return None if len(ids) == len(others) else _shorter(number, ids, others)
    mine, other = ids[position], others[position]
    prepared = session.prepare(start)
    penalised = prepared.request.sampling.penalties.active  # then raw scores show neither margins nor ties
    margin = None if penalised else _margin(_scores(plain.rounds, position), other)
    tokenizer = session.target.tokenizer
    names = [tokenizer.token_bytes(token).decode("utf-8", "replace") for token in (mine, other)]
    floor = session.noise_info(prepared)
    near: bool | None = None
    if session.calibration.batch_invariant:
        near = False
    elif margin is not None and floor is not None:
        near = floor.max_total_variation >= exchange_variation(margin)
    window = session.target.window
    if not near and window is not None and not penalised and not session.calibration.batch_invariant:
        most = max(prepared.k, prepared.nodes) + 1
        near = order_depends_on_rows(window, prepared.request.prompt, ids[:position], mine, other, most)
    return GreedyDeparture(number, position, names[0], names[1], margin, near)


def _shorter(number: int, ids: Sequence[int], others: Sequence[int]) -> GreedyDeparture:
    """One text ends where the other goes on, although the last tokens are the same: no noise explains it."""
    position = min(len(ids), len(others))
    went_on = "it goes on"
    names = (went_on, "the text ends") if len(ids) > len(others) else ("the text ends", went_on)
    return GreedyDeparture(number, position, *names, None, False)


def _scores(rounds: Sequence[Round], position: int) -> Scores | None:
    """The target's scores at a position of a plain run: a round emits one token."""
    return rounds[position].verdict.extra.target if position < len(rounds) else None


def _margin(found: Scores | None, other: int) -> float | None:
    if found is None or not found.top:
        return None
    known = dict(found.top)
    return found.top[0][1] - known.get(other, found.top[-1][1])


def exchange_variation(margin: float) -> float:
    """The total variation that is enough to exchange two tokens whose log-probabilities differ by `margin` nats.

    For p + p' <= 1 it is (p - p') / 2 = (p + p') tanh(margin / 2) / 2 <= tanh(margin / 2) / 2.
    """
    return 0.5 * math.tanh(0.5 * margin)


def order_depends_on_rows(
    window: Window, prompt: Sequence[int], text: Sequence[int], first: int, second: int, most: int
) -> bool:
    """Whether the number of tokens that share a pass, 1 to `most`, decides which of two tokens follows `text`.

    The text is computed again for each number. Tokens that stand in for a draft follow its last one: it does not see
    them, but its row shares the pass with theirs.
    """
    ids, orders = [*prompt, *text], set()
    for rows in range(1, min(most, window.context.size - len(ids)) + 1):
        window.prefill(ids[: len(prompt) - 1], lambda: False)
        for start in range(len(prompt) - 1, len(ids) - 1, rows):
            window.feed(ids[start : min(start + rows, len(ids) - 1)], "last")
        logits = window.feed([ids[-1]] * rows, "all")[0]
        orders.add(bool(logits[first] > logits[second]))
        window.keep(len(ids) - 1)
    return len(orders) > 1


# --- sampled texts ------------------------------------------------------------------------------------


def _sampled(session: Session, prompt: str, plan: Plan, progress: Progress) -> SampledResult:
    """Runs of both kinds alternate; all have different seeds."""
    rows: dict[bool, list[list[int]]] = {True: [], False: []}
    accepted = drafted = 0
    for number in range(plan.samples):
        progress("sampled texts", number / plan.samples)
        for plain in (True, False):
            start = _start(prompt, plan, plan.temperature, 2 * number + plain, plan.positions)
            decoded = decode_prompt(session, _plain(start) if plain else start, fresh=False)
            rows[plain].append((decoded.token_ids + [_ENDED] * plan.positions)[: plan.positions])
            if not plain:
                accepted, drafted = accepted + decoded.accepted, drafted + decoded.drafted
    rng = np.random.default_rng(plan.seed)
    speculative = np.array(rows[False], np.int64)
    probs = _first_probs(session, _start(prompt, plan, plan.temperature))
    first = None if probs is None else goodness_of_fit(_counts(speculative[:, 0], len(probs)), probs, LEVEL, rng)
    beside = two_samples(speculative, np.array(rows[True], np.int64), LEVEL, rng)
    return SampledResult(plan.samples, plan.positions, accepted, drafted, first, beside)


def _first_probs(session: Session, start: Start) -> Floats | None:
    """The target's probabilities float64[V] of the first token of its answer; None for a remote target."""
    if session.target.window is None:
        return None
    request = session.prepare(start).request
    window = session.target.window
    logits = window.catch_up(window.missing(list(request.prompt)), request.cancelled)[0]
    logits = LogitsProcessor(request, request.prompt)(logits)
    probs = distribution(logits, request.sampling).probs(np.arange(len(logits), dtype=np.int32))
    result: Floats = probs / probs.sum()
    return result


def _counts(tokens: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.int64]:
    return np.bincount(tokens[tokens >= 0], minlength=size).astype(np.int64)
