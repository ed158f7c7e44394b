"""Training a head: optimisers, schedule, checkpoints, and the held-out score that chooses the best step."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from speculatoviz.errors import TrainError, reason_of
from speculatoviz.train.data import Batch, TrainingData
from speculatoviz.train.muon import Muon
from speculatoviz.train.score import CategoryScores, HeldOutAnswers, Score
from speculatoviz.train.target import TargetMatrices
from speculatoviz.train.validation import Validation

_LAST_SHARE = 0.02  # of the learning rate, at the end of the schedule
_SHAPES = {1: "vectors", 2: "matrices"}
_ROWS_SHARE = 0.1  # of the learning rate, for output rows: they begin as the target's, and most tokens are rare


class TrainableHead(Protocol):
    """A head as a PyTorch module.

    target: whose vocabulary it drafts. weights: the tensors of the head's file, by name; those in `scales` are trained
    as multiples: weight = tensor * scale. output_rows: the weights that are output rows, and change little. numbers:
    the head's hyperparameters. trained_depth: the tokens of a draft that are trained. loss_words: the loss, for the
    card.
    """

    weights: nn.ParameterDict
    target: TargetMatrices

    @property
    def scales(self) -> Mapping[str, torch.Tensor]: ...
    @property
    def output_rows(self) -> frozenset[str]: ...
    @property
    def numbers(self) -> dict[str, float]: ...
    @property
    def trained_depth(self) -> int: ...
    @property
    def loss_words(self) -> str: ...
    def loss(self, batch: Batch, generator: torch.Generator, done: float) -> tuple[torch.Tensor, dict[str, float]]:
        """The loss of a batch and its parts for display. done: the share of the training that is over."""

    def guesses(self, batch: Batch, depth: int) -> torch.Tensor:
        """long[B, T, depth]: the chain that the head drafts after every token (`score.ChainPredictor`)."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How a head is trained.

    batch_tokens: of a step, padding included. rate: the highest learning rate, reached after `warmup` steps, or after a
    tenth of a shorter training; a half cosine lowers it to 2 % of that. decay: weight decay of matrices. clip: the
    greatest norm of all gradients. every: steps between two scores, each with a checkpoint. depth: of the chains that
    are scored.
    """

    steps: int
    batch_tokens: int = 2048
    rate: float = 1e-3
    warmup: int = 100
    decay: float = 0.01
    clip: float = 1.0
    every: int = 100
    depth: int = 4
    seed: int = 0


@dataclass(frozen=True, slots=True)
class StepReport:
    """One step of a training.

    best: the highest held-out acceptance length so far. score: if one was taken; validation: with it, on prompts that
    the user named. warning: what went wrong without ending the training.
    """

    step: int
    loss: float
    parts: dict[str, float]
    best: float
    score: Score | None = None
    warning: str | None = None
    validation: CategoryScores | None = None


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The weights of the step with the best held-out score.

    history: (step, acceptance length) of every score. optimisers: in words, for the card. validation: (step, scores) on
    prompts that the user named.
    """

    weights: dict[str, torch.Tensor]
    step: int
    score: Score
    history: tuple[tuple[int, float], ...]
    optimisers: str
    validation: tuple[tuple[int, CategoryScores], ...] = ()


def fit(
    head: TrainableHead,
    data: TrainingData,
    held_out: HeldOutAnswers,
    how: Schedule,
    checkpoint: Path,
    report: Callable[[StepReport], None],
    validation: Validation | None = None,
) -> TrainingResult:
    """Train to the end of the schedule, from the checkpoint if there is one.

    validation: is scored whenever held_out is, and chooses nothing. A checkpoint that cannot be written is reported and
    does not end the training. Raises TrainError if the checkpoint is of a training with other data, another vocabulary,
    other hyperparameters or another seed, or there are no held-out answers.
    """
    if not held_out.answers:
        raise TrainError("No greedy answer was held out to score the head on.", "Have more tokens written.")
    run = _Run(head, how, checkpoint, report, validation, _about(head, data, how))
    run.resume()
    if not run.history:
        run.take(held_out.score(head, how.depth))
    for batch in islice(data.batches(how.seed, how.batch_tokens), run.step, how.steps):
        run.learn(batch)
        if run.step % how.every == 0 or run.step == how.steps:
            run.take(held_out.score(head, how.depth))
            run.save()
    return run.result()


class _Run:
    def __init__(
        self,
        head: TrainableHead,
        how: Schedule,
        checkpoint: Path,
        report: Callable[[StepReport], None],
        validation: Validation | None,
        about: str,
    ) -> None:
        self._about = about
        self._head, self._how, self._checkpoint, self._report = head, how, checkpoint, report
        self._validation, self._validated = validation, list[tuple[int, CategoryScores]]()
        self.step = 0
        self.history: list[tuple[int, Score]] = []
        self._best: dict[str, torch.Tensor] = {}
        self._device: torch.device = next(iter(head.weights.values())).device
        self._optimisers = _optimisers(head, how)
        self._parts: dict[str, float] = {}
        self._loss = math.nan

    def learn(self, batch: Batch) -> None:
        """One step."""
        generator = torch.Generator(self._device).manual_seed(self._how.seed * 1_000_003 + self.step)
        for optimiser in self._optimisers:
            optimiser.zero_grad(set_to_none=True)
            for group in optimiser.param_groups:
                group["lr"] = self._rate() * group.get("rate_share", 1.0)
        with _fast(self._device):
            loss, self._parts = self._head.loss(batch.to(self._device), generator, self.step / self._how.steps)
        loss.backward()
        nn.utils.clip_grad_norm_(self._head.weights.values(), self._how.clip)
        for optimiser in self._optimisers:
            optimiser.step()
        self.step, self._loss = self.step + 1, float(loss.detach())
        self._tell()

    def take(self, score: Score) -> None:
        """Record a score; the weights are kept if it is the best."""
        better = all(score.mean_acceptance_length > old.mean_acceptance_length for _, old in self.history)
        self.history.append((self.step, score))
        if better:
            self._best = {name: w.detach().clone() for name, w in self._head.weights.items()}
        if self._validation is not None:
            self._validated.append((self.step, self._validation.score(self._head, self._how.depth)))
        self._tell(score)

    def result(self) -> TrainingResult:
        step, score = self._best_score()
        history = tuple((step, score.mean_acceptance_length) for step, score in self.history)
        return TrainingResult(self._best, step, score, history, _in_words(self._optimisers), tuple(self._validated))

    def save(self) -> None:
        """Write a checkpoint under another name, then rename it."""
        partial = self._checkpoint.with_name(self._checkpoint.name + ".partial")
        history = [(step, *_numbers(score)) for step, score in self.history]
        state: dict[str, Any] = {"weights": dict(self._head.weights.items()), "best": self._best, "step": self.step}
        state["about"] = self._about
        if self._validation is not None:
            state["validation"] = (
                self._validation.digest,
                [
                    (step, _numbers(own.overall), {name: _numbers(score) for name, score in own.by_category.items()})
                    for step, own in self._validated
                ],
            )
        optimisers = [optimiser.state_dict() for optimiser in self._optimisers]
        try:
            torch.save({**state, "optimisers": optimisers, "history": history}, partial)
            partial.replace(self._checkpoint)
        except (OSError, RuntimeError) as error:  # PyTorch raises RuntimeError for a full disk
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            reason = reason_of(error)
            self._tell(
                warning=f"{self._checkpoint} could not be written ({reason}): an interruption loses this training"
            )

    def resume(self) -> None:
        """Continue from the checkpoint if there is one."""
        if not self._checkpoint.is_file():
            return
        try:
            state: dict[str, Any] = torch.load(self._checkpoint, map_location=self._device, weights_only=True)
            if state["about"] != self._about:
                raise ValueError("its data, vocabulary, shape or seed are others")
            with torch.no_grad():
                for name, weight in self._head.weights.items():
                    weight.copy_(state["weights"][name])
            for optimiser, kept in zip(self._optimisers, state["optimisers"], strict=True):
                optimiser.load_state_dict(kept)
            self._best, self.step = dict(state["best"]), int(state["step"])
            self.history = [(step, _score(numbers)) for step, *numbers in state["history"]]
            self._resume_validation(state)
        except Exception as error:  # PyTorch raises whatever its parts do
            raise TrainError(
                f"{self._checkpoint} is not a checkpoint of this training ({reason_of(error)}).",
                "Remove it to begin anew, write the head to another file, or start that training again as it was.",
            ) from error

    def _resume_validation(self, state: Mapping[str, Any]) -> None:
        """Earlier scores, if they are on the same answers."""
        digest, scores = state.get("validation", (None, []))
        if self._validation is not None and digest == self._validation.digest:
            self._validated = [
                (step, CategoryScores(_score(overall), {name: _score(own) for name, own in by_category.items()}))
                for step, overall, by_category in scores
            ]

    def _tell(self, score: Score | None = None, warning: str | None = None) -> None:
        best = self._best_score()[1].mean_acceptance_length
        validation = self._validated[-1][1] if score is not None and self._validated else None
        self._report(StepReport(self.step, self._loss, self._parts, best, score, warning, validation))

    def _best_score(self) -> tuple[int, Score]:
        return max(self.history, key=lambda taken: (taken[1].mean_acceptance_length, -taken[0]))

    def _rate(self) -> float:
        warmup = min(self._how.warmup, self._how.steps // 10)  # else a short training never reaches its rate
        warm = min(1.0, (self.step + 1) / max(1, warmup))
        cosine = 0.5 * (1 + math.cos(math.pi * self.step / self._how.steps))
        return self._how.rate * warm * (_LAST_SHARE + (1 - _LAST_SHARE) * cosine)


def _about(head: TrainableHead, data: TrainingData, how: Schedule) -> str:
    """What has to be the same for weights, order of batches and scores to go on: not the number of steps."""
    parts = (
        type(head).__name__,
        sorted(head.numbers.items()),
        head.trained_depth,
        how.seed,
        how.batch_tokens,
        how.depth,
    )
    vocabulary = head.target.vocabulary.tobytes()
    return hashlib.sha256(repr(parts).encode() + vocabulary + data.digest.encode()).hexdigest()


def _numbers(score: Score) -> tuple[float, list[float], int]:
    """A score as a checkpoint holds it."""
    return score.mean_acceptance_length, list(score.conditional), score.answers


def _score(numbers: Sequence[Any]) -> Score:
    mean, shares, answers = numbers
    return Score(mean, tuple(shares), answers)


def _optimisers(head: TrainableHead, how: Schedule) -> list[torch.optim.Optimizer]:
    """Muon for matrices (Jordan et al. 2024, with the scale of AdamW's steps), AdamW for vectors and output rows."""
    rows = [weight for name, weight in head.weights.items() if name in head.output_rows]
    inner = [weight for name, weight in head.weights.items() if name not in head.output_rows]
    matrices = [weight for weight in inner if weight.ndim == 2]
    groups: list[dict[str, Any]] = [{"params": [weight for weight in inner if weight.ndim != 2]}]
    if rows:
        groups.append({"params": rows, "rate_share": _ROWS_SHARE})
    made: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=how.rate, betas=(0.9, 0.95), weight_decay=0.0)]
    if matrices and fast_dtype(matrices[0].device) == torch.bfloat16:
        made.append(torch.optim.Muon(matrices, how.rate, how.decay, adjust_lr_fn="match_rms_adamw"))
    elif matrices:
        made.append(Muon(matrices, how.rate, how.decay))
    return made


def _in_words(optimisers: Sequence[torch.optim.Optimizer]) -> str:
    """The optimisers and the weights they move: "AdamW for vectors and Muon for matrices"."""
    parts = []
    for optimiser in optimisers:
        name = type(optimiser).__name__
        for group in optimiser.param_groups:
            dimensions = {weight.ndim for weight in group["params"]}
            shapes = "/".join(_SHAPES.get(ndim, f"{ndim}-dimensional weights") for ndim in sorted(dimensions))
            share = group.get("rate_share")
            rows = f"{name} at {share} of the rate for output rows"
            parts.append(f"{name} for {shapes}" if share is None else rows)
    return ", ".join(parts[:-1]) + f" and {parts[-1]}" if len(parts) > 1 else parts[0]


def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 if the device computes in it, else float32."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if native else torch.float32


def _fast(device: torch.device) -> Any:
    return torch.autocast(device.type, torch.bfloat16, enabled=fast_dtype(device) == torch.bfloat16)
