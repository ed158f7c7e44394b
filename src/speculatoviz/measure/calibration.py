"""Measurements of a loaded pair, at its start and while idle, and the draft depth that follows from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path

from speculatoviz.core.progress import Progress
from speculatoviz.core.theory import best_depth
from speculatoviz.core.types import Limits, Request, Sampling
from speculatoviz.drafters.about import WITH_MODEL
from speculatoviz.errors import BadRequestError
from speculatoviz.machine import usable_cores
from speculatoviz.measure.invariance import Proof
from speculatoviz.measure.noise import POSITIONS, Noise, NoiseTable, noise_floor
from speculatoviz.measure.passes import LARGEST_PASS, PassTimes, pass_ms, round_ms
from speculatoviz.measure.plain import PlainRun, plain_run, streaming_run
from speculatoviz.measure.text import PASSAGE, SENTENCE
from speculatoviz.models.base import PREFILL_TOKENS, LanguageModel
from speculatoviz.models.tokenizers.chat import encode_raw
from speculatoviz.models.window import Window
from speculatoviz.targets.base import RemoteTarget, Target
from speculatoviz.telemetry.parts import Baseline, NoiseFloor

# The probability that a drafted token is accepted, assumed before a run: code and summaries of the Qwen pair reach 0.9
# at T=0; a match of prompt lookup is less reliable.
TYPICAL_ACCEPTANCE = {"model": 0.9, "selfspec": 0.9, "mixture": 0.9, "multi": 0.9, "hybrid": 0.9}
OTHERS_ACCEPTANCE = 0.7
_UNMEASURED_DEPTH = 4
_JOINT_ROWS = (24, 32, 48, PREFILL_TOKENS)  # of passes that several runs share
_FIRST_ROWS = (1, 2, 3, 4, 5)  # enough to choose a depth before the whole table is measured
REFERENCE_CONTEXT = 512  # tokens at which the noise floor is measured while idle, before any run is that long
_LONGER = 1.5  # the noise floor is measured again after a run that is longer than the longest measured context by this


def _best_depth(drafter: str, draft_ms: float | None, measured: Mapping[int, float]) -> int | None:
    """The depth with the highest expected rate for a drafter; None if no pass was measured."""
    if not measured:
        return None
    own_ms = draft_ms or 0.0 if drafter in WITH_MODEL | {"selfspec"} else 0.0
    return best_depth(TYPICAL_ACCEPTANCE.get(drafter, OTHERS_ACCEPTANCE), own_ms, measured)


def _sentence(draft: Window) -> list[int]:
    """Ordinary text in the ids of the draft model, whose vocabulary may differ from the target's."""
    return encode_raw(draft.model.tokenizer, SENTENCE)


class TargetMeasurements:
    """The measured baselines and noise floors of a target. clock: seconds. proof: of the target's batch invariance.

    baseline: the plain run that a speedup is relative to. per_call: of a remote target, the plain run with one call for
    each token. Both are None until they are measured.
    """

    def __init__(self, clock: Callable[[], float], proof: Proof | None = None) -> None:
        self._clock, self._proof = clock, proof
        self.baseline: PlainRun | None = None
        self.per_call: PlainRun | None = None
        self.noise = NoiseTable()

    def baseline_info(self) -> Baseline | None:
        """The baseline with its age, as events carry it."""
        return self._info(self.baseline)

    def per_call_info(self) -> Baseline | None:
        """The baseline of one call for each token, likewise."""
        return self._info(self.per_call)

    @property
    def batch_invariant(self) -> bool:
        """Whether that was proven, and no measurement in a longer context has disproved it."""
        return self._proof is not None and self.noise.silent

    @property
    def _longest(self) -> int:
        """The longest context that was compared, in tokens."""
        return max(self.noise.longest, self._proof.tokens if self._proof is not None else 0)

    def noise_info(self, context_tokens: int, rows: int) -> NoiseFloor | None:
        """The noise floor of runs of `context_tokens` with passes of `rows` tokens (`NoiseTable.for_run`), if known."""
        if self.batch_invariant:
            return NoiseFloor(
                mean_total_variation=0,
                max_total_variation=0,
                argmax_agreement=1,
                tokens=self._longest,
                context_tokens=self._longest,
                rows=PREFILL_TOKENS,
                proven=True,
            )
        noise = self.noise.for_run(context_tokens, rows)
        if noise is None or not all(map(math.isfinite, astuple(noise))):  # weights that compute NaN
            return None
        return NoiseFloor(
            mean_total_variation=noise.mean_total_variation,
            max_total_variation=noise.max_total_variation,
            argmax_agreement=noise.argmax_agreement,
            tokens=noise.tokens,
            context_tokens=noise.context_tokens,
            rows=noise.rows,
        )

    def _info(self, run: PlainRun | None) -> Baseline | None:
        if run is None or not math.isfinite(run.tps):
            return None
        age_s = self._clock() - run.measured_at_s
        return Baseline(tps=run.tps, tokens=run.tokens, context_tokens=run.context_tokens, age_s=age_s, kind=run.kind)


class Calibration(TargetMeasurements):
    """Baseline, noise floors and pass times of a target in this process and of its draft model.

    window: the target's. draft: the draft model's window, None without one. folder: of the stored pass times. threads:
    of a forward pass, None for all cores. clock: seconds. proof: of batch invariance, which replaces the noise
    floors up to its context.
    """

    def __init__(
        self,
        target: Target,
        window: Window,
        draft: Window | None,
        folder: Path,
        threads: int | None,
        clock: Callable[[], float],
        proof: Proof | None = None,
    ) -> None:
        super().__init__(clock, proof)
        self._target, self._window, self._draft = target, window, draft
        self._folder, self._threads = folder, threads or usable_cores()
        self.target_times = self._times(window.model)
        self.draft_times = self._times(draft.model) if draft else None
        self._ids: list[int] = []
        self._sizes: tuple[int, ...] = tuple(range(1, LARGEST_PASS + 1))  # that are measured while nothing runs
        self._rows = 2  # of the passes of the runs to come
        self._measured_sizes: set[int] = set()  # pass sizes that this process has measured
        self._draft_again = True  # the draft model is measured once more, while nothing runs
        self._long_run: tuple[list[int], int] | None = None  # ids and rows of a run longer than what was measured

    @property
    def pass_ms(self) -> Mapping[int, float]:
        """Milliseconds of one verification by tokens in its pass."""
        return self.target_times.ms

    @property
    def draft_ms(self) -> float | None:
        """Milliseconds of one drafted token of the draft model; None without one."""
        return self.draft_times.ms.get(1) if self.draft_times else None

    def measure(self, prompt: Sequence[int], depth: Callable[[], int], progress: Progress) -> None:
        """Measure the first pass times, the noise floor after a short context, and the baseline (16 plain tokens).

        The baseline comes last: right after loading a model is slower, which would flatter speculation. depth: of the
        runs to come; it may follow from the first pass times. progress: called before each measurement; what it raises
        ends them.
        """
        progress("warming up", None)
        _, ids = plain_run(self._target, prompt, self._clock)
        self._ids = [*prompt, *ids]
        for rows in _FIRST_ROWS:
            progress("measuring pass times", rows / (len(_FIRST_ROWS) + 2))
            self._measure_pass(rows)
        self._measure_draft()
        progress("measuring the noise floor", 0.8)
        self._rows = max(depth(), 1) + 1  # passes of one token would be compared with themselves
        if self._rows not in _FIRST_ROWS:
            self._measure_pass(self._rows)
        if self._proof is None:
            self.noise.add(noise_floor(self._window, self._ids, self._rows))
        progress("measuring the baseline", 0.9)
        self.baseline, _ = plain_run(self._target, prompt, self._clock)

    def measure_passes(self, largest: int, progress: Progress) -> None:
        """Measure the passes over up to `largest` tokens that were not measured yet. After `measure`."""
        for rows in range(max(_FIRST_ROWS) + 1, largest + 1):
            progress("measuring pass times", rows / largest)
            if rows not in self._measured_sizes:
                self._measure_pass(rows)

    def measure_next(self, cancelled: Callable[[], bool] = lambda: False) -> bool:
        """Take one further measurement while nothing else runs. False if none is left.

        First the noise floor at the context of a long run, then at 512 tokens, then pass sizes: unknown ones, and after
        them those that an earlier process measured, perhaps on a busy machine; then the draft model, which was
        measured once, right after loading. cancelled: returns True once the models
        are wanted; a measurement that takes long raises CancelledError then.
        """
        if (noise := self._next_noise()) is not None:
            ids, rows = noise
            self.noise.add(noise_floor(self._window, ids, rows, cancelled))
            self._long_run = None
            return True
        left = [rows for rows in self._sizes if rows not in self._measured_sizes]
        if left:
            self._measure_pass(min(left, key=lambda rows: (rows in self.pass_ms, rows)))
            return True
        again, self._draft_again = self._draft_again, False
        return again and self._measure_draft()

    def measure_joint_passes(self) -> None:
        """Measure larger passes too while nothing runs: those that several runs share."""
        self._sizes = (*range(1, LARGEST_PASS + 1), *_JOINT_ROWS)

    def record_run(self, ids: Sequence[int], rows: int) -> None:
        """Note a finished run: a long one asks for the noise floor at its context.

        ids: of its prompt and its text. rows: the tokens of the largest pass that it verified.
        """
        if rows > 1 and len(ids) > max(_LONGER * self._longest, POSITIONS + 1):
            self._long_run = list(ids), rows

    def best_depth(self, drafter: str) -> int:
        """The depth with the highest expected rate here, from measured pass times and a typical acceptance."""
        measured = {rows: ms for rows, ms in self.target_times.ms.items() if rows > 1}
        return _best_depth(drafter, self.draft_ms, measured) or 1

    def record_plain_run(self, tps: float, tokens: int, context_tokens: int) -> None:
        """Replace the baseline by a whole plain run. context_tokens: of its prompt."""
        self.baseline = PlainRun(tps, tokens, context_tokens, self._clock(), "plain_run")

    def _next_noise(self) -> tuple[list[int], int] | None:
        if self._long_run is not None:
            return self._long_run
        if self._longest >= REFERENCE_CONTEXT or self._target.context_tokens <= REFERENCE_CONTEXT:
            return None
        return self._reference()

    def _reference(self) -> tuple[list[int], int] | None:
        ids = self._passage(REFERENCE_CONTEXT)
        return None if ids is None else (ids, self._rows)

    def _passage(self, tokens: int) -> list[int] | None:
        """Ordinary text; None if the model cannot encode it, encodes it into fewer tokens, or cannot hold it."""
        try:
            ids = encode_raw(self._target.tokenizer, PASSAGE)[:tokens]
        except BadRequestError:
            return None
        return ids if len(ids) == tokens <= self._target.context_tokens else None

    def _times(self, model: LanguageModel) -> PassTimes:
        return PassTimes(self._folder, model.description, self._threads)

    def _measure_draft(self) -> bool:
        """False without a draft model."""
        if self._draft is None or self.draft_times is None:
            return False
        self.draft_times.record(1, pass_ms(self._draft, _sentence(self._draft), 1, self._clock))
        return True

    def _measure_pass(self, rows: int) -> None:
        ids: list[int] | None = self._ids
        if rows > LARGEST_PASS and len(self._ids) <= rows:  # a joint pass, larger than the text of the baseline
            ids = self._passage(2 * rows)
        if ids is not None:
            self.target_times.record(rows, pass_ms(self._window, ids, rows, self._clock))
        self._measured_sizes.add(rows)


class RemoteCalibration(TargetMeasurements):
    """Baselines and round trips of a remote target, measured with calls to it. clock: seconds.

    noise: as the remote target reports it, None if it does not.
    """

    def __init__(
        self, target: RemoteTarget, draft: Window | None, clock: Callable[[], float], noise: Noise | None = None
    ) -> None:
        super().__init__(clock)
        self._target, self._draft = target, draft
        self._round_ms: dict[int, float] = {}
        self.draft_ms: float | None = None
        if noise is not None:
            self.noise.add(noise)

    @property
    def pass_ms(self) -> Mapping[int, float]:
        """Milliseconds of one verification, network included, by tokens in its pass."""
        return dict(sorted(self._round_ms.items()))

    def measure(self, prompt: Sequence[int], depth: Callable[[], int], progress: Progress) -> None:
        """Measure both baselines, 16 tokens each, and one round of every depth up to 4.

        Nothing is measured of an endpoint that declares a low rate limit, or that does not verify.
        """
        del depth
        claim = self._target.claim(Request(tuple(prompt), Sampling(), Limits(0)))
        if self._target.about().warning is not None or claim.label == "unverified":
            return
        progress("measuring the streaming baseline", 0.2)
        streaming_run(self._target, prompt, self._clock)  # the first call also opens the connection
        self.baseline = streaming_run(self._target, prompt, self._clock)
        progress("measuring plain calls", 0.4)
        self.per_call, ids = plain_run(self._target, prompt, self._clock, "per_call")
        for rows in _FIRST_ROWS:
            progress("measuring round trips", 0.6 + 0.05 * rows)
            self._round_ms[rows] = round_ms(self._target, prompt, ids[: rows - 1], self._clock)
        if self._draft is not None:
            progress("measuring the draft model", 0.9)
            self.draft_ms = pass_ms(self._draft, _sentence(self._draft), 1, self._clock)

    def measure_passes(self, largest: int, progress: Progress) -> None:
        """Does nothing: a remote target is asked for no more than `measure` asks."""
        del largest, progress

    def measure_joint_passes(self) -> None:
        """Does nothing: which runs share a pass, a remote target decides."""

    def measure_next(self, cancelled: Callable[[], bool] = lambda: False) -> bool:
        """Always False: a remote target is not asked for anything while idle."""
        del cancelled
        return False

    def record_run(self, ids: Sequence[int], rows: int) -> None:
        """Does nothing: the noise floor is the one that the remote target reports."""
        del ids, rows

    def best_depth(self, drafter: str) -> int:
        """The depth with the highest expected rate, from measured round trips and a typical acceptance."""
        measured = {rows: ms for rows, ms in self._round_ms.items() if rows > 1}
        return _best_depth(drafter, self.draft_ms, measured) or _UNMEASURED_DEPTH

    def record_plain_run(self, tps: float, tokens: int, context_tokens: int) -> None:
        """Replace the per-call baseline: a plain run makes one call for each token."""
        self.per_call = PlainRun(tps, tokens, context_tokens, self._clock(), "per_call")
