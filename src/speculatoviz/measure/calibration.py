"""What is measured of a loaded pair at its start and while idle, and the choices that follow from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from speculatoviz.core.theory import best_depth
from speculatoviz.core.types import Limits, Request, Sampling
from speculatoviz.drafters.about import WITH_MODEL
from speculatoviz.machine import usable_cores
from speculatoviz.measure.runs import (
    LARGEST_PASS,
    Noise,
    PassTimes,
    PlainRun,
    noise_floor,
    pass_ms,
    plain_run,
    round_ms,
    streaming_run,
)
from speculatoviz.models.base import LanguageModel
from speculatoviz.models.window import Window
from speculatoviz.targets.base import RemoteTarget
from speculatoviz.targets.local import LocalTarget
from speculatoviz.telemetry.events import Baseline, NoiseFloor

# Chance that a drafted token is accepted, before anything of the run is known: code and summaries of the Qwen
# pair at T=0 reach .9; a prompt-lookup match is less sure.
TYPICAL_ACCEPTANCE = {"model": 0.9, "selfspec": 0.9, "mixture": 0.9, "multi": 0.9, "hybrid": 0.9}
_OTHERS_ACCEPTANCE = 0.7
_UNMEASURED_DEPTH = 4
_FIRST_ROWS = (1, 2, 3, 4, 5)  # enough to choose a depth before the whole table is known


def _best(drafter: str, draft_ms: float | None, measured: Mapping[int, float]) -> int | None:
    """The depth that pays best for a drafter; None where nothing is measured."""
    if not measured:
        return None
    own_ms = draft_ms or 0.0 if drafter in WITH_MODEL | {"selfspec"} else 0.0
    return best_depth(TYPICAL_ACCEPTANCE.get(drafter, _OTHERS_ACCEPTANCE), own_ms, measured)


def _sentence(draft: Window) -> list[int]:
    """Ordinary text in the draft model's own ids, which need not be the target's."""
    return draft.model.tokenizer.encode("the quick brown fox jumps over the lazy dog", special=False)


class Measured:
    """Baselines and noise floor of a target. clock: seconds.

    baseline: what speculation has to beat. per_call: of a remote target, one call per token.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.baseline: PlainRun | None = None
        self.per_call: PlainRun | None = None
        self.noise: Noise | None = None

    def baseline_info(self) -> Baseline | None:
        return self._info(self.baseline)

    def per_call_info(self) -> Baseline | None:
        return self._info(self.per_call)

    def noise_info(self) -> NoiseFloor | None:
        noise = self.noise
        if noise is None:
            return None
        return NoiseFloor(
            mean_total_variation=noise.mean_total_variation,
            max_total_variation=noise.max_total_variation,
            argmax_agreement=noise.argmax_agreement,
            tokens=noise.tokens,
        )

    def _info(self, run: PlainRun | None) -> Baseline | None:
        if run is None:
            return None
        age_s = self._clock() - run.measured_at_s
        return Baseline(tps=run.tps, tokens=run.tokens, context_tokens=run.context_tokens, age_s=age_s, kind=run.kind)


class Calibration(Measured):
    """Baseline, noise floor and pass times of one target in this process and its draft model.

    draft: the draft model's window, None without one. folder: where pass times are kept. clock: seconds.
    """

    def __init__(
        self,
        target: LocalTarget,
        draft: Window | None,
        folder: Path,
        threads: int | None,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(clock)
        self._target, self._draft = target, draft
        self._folder, self._threads = folder, threads or usable_cores()
        self.target_times = self._times(target.model)
        self.draft_times = self._times(draft.model) if draft else None
        self._ids: list[int] = []
        self._renewed: set[int] = set()  # batch sizes measured by this process

    @property
    def pass_ms(self) -> Mapping[int, float]:
        """Milliseconds of one verification by tokens in its pass."""
        return self.target_times.ms

    def measure(
        self, prompt: Sequence[int], depth: Callable[[], int], report: Callable[[str, float | None], None]
    ) -> None:
        """Take the first pass times, the noise floor and the baseline: 16 tokens decoded plainly.

        The baseline comes last and once more: right after loading a model is slower, which would flatter speculation.
        depth: of the runs to come, which may follow from the first pass times; the noise floor is taken at it. report:
        told the stage before each measurement; what it raises stops them.
        """
        report("warming up", None)
        _, ids = plain_run(self._target, prompt, self._clock)
        self._ids = [*prompt, *ids]
        for rows in _FIRST_ROWS:
            report("measuring pass times", rows / (len(_FIRST_ROWS) + 2))
            self._pass(rows)
        if self._draft is not None and self.draft_times is not None:
            self.draft_times.record(1, pass_ms(self._draft, _sentence(self._draft), 1, self._clock))
        report("measuring the noise floor", 0.8)
        batch = max(depth(), 1) + 1  # a batch of one would be compared with itself
        if batch not in _FIRST_ROWS:
            self._pass(batch)
        self.noise = noise_floor(self._target.window, prompt, ids, batch)
        report("measuring the baseline", 0.9)
        self.baseline, _ = plain_run(self._target, prompt, self._clock)

    @property
    def draft_ms(self) -> float | None:
        """One drafted token of the draft model; None without one."""
        return self.draft_times.ms.get(1) if self.draft_times else None

    def fill_one(self) -> bool:
        """Measure one batch size: unknown ones, then those this process did not measure. False where none is left.

        A size measured while the machine was busy would otherwise stay wrong: the next start finds its true time.
        """
        left = [rows for rows in range(1, LARGEST_PASS + 1) if rows not in self._renewed]
        if left:
            self._pass(min(left, key=lambda rows: (rows in self.pass_ms, rows)))
        return bool(left)

    def best_depth(self, drafter: str) -> int:
        """The depth that pays best on this machine at a typical acceptance, from measured pass times."""
        measured = {rows: ms for rows, ms in self.target_times.ms.items() if rows > 1}
        return _best(drafter, self.draft_ms, measured) or 1

    def learn(self, tps: float, tokens: int, context_tokens: int) -> None:
        """A full plain run replaces the one made at the start."""
        self.baseline = PlainRun(tps, tokens, context_tokens, self._clock(), "plain_run")

    def _times(self, model: LanguageModel) -> PassTimes:
        return PassTimes(self._folder, model.description, self._threads)

    def _pass(self, rows: int) -> None:
        self.target_times.record(rows, pass_ms(self._target.window, self._ids, rows, self._clock))
        self._renewed.add(rows)


class RemoteCalibration(Measured):
    """Baselines and round trips of a remote target, measured by asking it. clock: seconds."""

    def __init__(self, target: RemoteTarget, draft: Window | None, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self._target, self._draft = target, draft
        self._round_ms: dict[int, float] = {}
        self.draft_ms: float | None = None

    @property
    def pass_ms(self) -> Mapping[int, float]:
        """Milliseconds of one verification, network included, by tokens in its pass."""
        return dict(sorted(self._round_ms.items()))

    def measure(
        self, prompt: Sequence[int], depth: Callable[[], int], report: Callable[[str, float | None], None]
    ) -> None:
        """Both baselines, 16 tokens each, and one round of every depth up to 4.

        Nothing is measured of an endpoint that declares too little headroom for it, or generates by itself.
        """
        del depth
        claim = self._target.claim(Request(tuple(prompt), Sampling(), Limits(0)))
        if self._target.about().warning is not None or claim.label == "unverified":
            return
        report("measuring the streaming baseline", 0.2)
        streaming_run(self._target, prompt, self._clock)  # the first one also pays for a cold connection
        self.baseline = streaming_run(self._target, prompt, self._clock)
        report("measuring plain calls", 0.4)
        self.per_call, ids = plain_run(self._target, prompt, self._clock, "per_call")
        for rows in _FIRST_ROWS:
            report("measuring round trips", 0.6 + 0.05 * rows)
            self._round_ms[rows] = round_ms(self._target, prompt, ids[: rows - 1], self._clock)
        if self._draft is not None:
            report("measuring the draft model", 0.9)
            self.draft_ms = pass_ms(self._draft, _sentence(self._draft), 1, self._clock)

    def fill_one(self) -> bool:
        """Never asks a remote target on its own account."""
        return False

    def best_depth(self, drafter: str) -> int:
        """The depth that pays best at a typical acceptance, from measured round trips."""
        measured = {rows: ms for rows, ms in self._round_ms.items() if rows > 1}
        return _best(drafter, self.draft_ms, measured) or _UNMEASURED_DEPTH

    def learn(self, tps: float, tokens: int, context_tokens: int) -> None:
        """A full plain run is one call per token."""
        self.per_call = PlainRun(tps, tokens, context_tokens, self._clock(), "per_call")
