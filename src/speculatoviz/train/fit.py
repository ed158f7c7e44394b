"""Training: AdamW, a cosine schedule, checkpoints, and the held-out score that chooses among them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from speculatoviz.errors import TrainError
from speculatoviz.train.data import Batch, Data
from speculatoviz.train.score import Exam, Score


class Trainee(Protocol):
    """A module whose `weights` are the tensors of a head, and `numbers` what describes it beside their shapes."""

    weights: nn.ParameterDict

    @property
    def numbers(self) -> dict[str, float]: ...

    def loss(self, batch: Batch, generator: torch.Generator, done: float) -> tuple[torch.Tensor, dict[str, float]]:
        """What to lower, and its parts for display; done: the share of the training that lies behind."""

    def guesses(self, batch: Batch, depth: int) -> torch.Tensor: ...


@dataclass(frozen=True, slots=True)
class Schedule:
    """batch_tokens: padding included. every: steps between two scores, each with a checkpoint."""

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
class Told:
    """One step, for the one who watches; score: where one was taken; best: the longest acceptance so far."""

    step: int
    loss: float
    parts: dict[str, float]
    best: float
    score: Score | None = None


@dataclass(frozen=True, slots=True)
class Fitted:
    """The best weights by held-out score, the step they are of, and every score taken."""

    weights: dict[str, torch.Tensor]
    step: int
    score: Score
    history: tuple[tuple[int, float], ...]


def fit(
    trainee: Trainee, data: Data, exam: Exam, how: Schedule, checkpoint: Path, report: Callable[[Told], None]
) -> Fitted:
    """Train to the end of the schedule, from the checkpoint where there is one.

    Raises TrainError where the checkpoint is of another training, or no answers are there to score.
    """
    if not exam.answers:
        raise TrainError("No greedy answer was held out to score the head on.", "Have more tokens written.")
    run = _Run(trainee, how, checkpoint)
    run.resume()
    if not run.history:
        run.take(exam.score(trainee, how.depth), report)
    for batch in islice(data.batches(how.seed, how.batch_tokens), run.step, how.steps):
        run.learn(batch, report)
        if run.step % how.every == 0 or run.step == how.steps:
            run.take(exam.score(trainee, how.depth), report)
            run.save()
    return run.fitted()


class _Run:
    def __init__(self, trainee: Trainee, how: Schedule, checkpoint: Path) -> None:
        self._trainee, self._how, self._checkpoint = trainee, how, checkpoint
        self.step = 0
        self.history: list[tuple[int, Score]] = []
        self._best: dict[str, torch.Tensor] = {}
        self._optimisers = _optimisers(list(trainee.weights.values()), how)
        self._parts: dict[str, float] = {}
        self._loss = math.nan

    def learn(self, batch: Batch, report: Callable[[Told], None]) -> None:
        generator = torch.Generator().manual_seed(self._how.seed * 1_000_003 + self.step)
        for optimiser in self._optimisers:
            optimiser.zero_grad(set_to_none=True)
            for group in optimiser.param_groups:
                group["lr"] = self._rate()
        with _fast():
            loss, self._parts = self._trainee.loss(batch, generator, self.step / self._how.steps)
        loss.backward()
        nn.utils.clip_grad_norm_(self._trainee.weights.values(), self._how.clip)
        for optimiser in self._optimisers:
            optimiser.step()
        self.step, self._loss = self.step + 1, float(loss.detach())
        report(Told(self.step, self._loss, self._parts, self._fittest()[1].mean_acceptance_length))

    def take(self, score: Score, report: Callable[[Told], None]) -> None:
        better = all(score.mean_acceptance_length > old.mean_acceptance_length for _, old in self.history)
        self.history.append((self.step, score))
        if better:
            self._best = {name: w.detach().clone() for name, w in self._trainee.weights.items()}
        report(Told(self.step, self._loss, self._parts, self._fittest()[1].mean_acceptance_length, score))

    def fitted(self) -> Fitted:
        step, score = self._fittest()
        return Fitted(
            self._best, step, score, tuple((step, score.mean_acceptance_length) for step, score in self.history)
        )

    def _fittest(self) -> tuple[int, Score]:
        return max(self.history, key=lambda taken: (taken[1].mean_acceptance_length, -taken[0]))

    def save(self) -> None:
        partial = self._checkpoint.with_name(self._checkpoint.name + ".partial")
        history = [
            (s, score.mean_acceptance_length, list(score.conditional), score.answers) for s, score in self.history
        ]
        state = {"weights": dict(self._trainee.weights.items()), "best": self._best, "step": self.step}
        optimisers = [optimiser.state_dict() for optimiser in self._optimisers]
        torch.save({**state, "optimisers": optimisers, "history": history}, partial)
        partial.replace(self._checkpoint)

    def resume(self) -> None:
        if not self._checkpoint.is_file():
            return
        try:
            state: dict[str, Any] = torch.load(self._checkpoint, weights_only=True)
            with torch.no_grad():
                for name, weight in self._trainee.weights.items():
                    weight.copy_(state["weights"][name])
            for optimiser, kept in zip(self._optimisers, state["optimisers"], strict=True):
                optimiser.load_state_dict(kept)
        except Exception as error:  # PyTorch raises whatever its parts do
            raise TrainError(
                f"{self._checkpoint} is not a checkpoint of this training ({' '.join(str(error).split())[:200]}).",
                "Remove it to begin anew, or write the head to another file.",
            ) from error
        self._best, self.step = state["best"], int(state["step"])
        self.history = [(step, Score(mean, tuple(share), n)) for step, mean, share, n in state["history"]]

    def _rate(self) -> float:
        warm = min(1.0, (self.step + 1) / max(1, self._how.warmup))
        return self._how.rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * self.step / self._how.steps)))


def _optimisers(weights: Sequence[torch.Tensor], how: Schedule) -> list[torch.optim.Optimizer]:
    """Muon for matrices (Jordan et al. 2024, with the scale of AdamW's steps), AdamW for what is none."""
    matrices = [weight for weight in weights if weight.ndim == 2]
    others = [weight for weight in weights if weight.ndim != 2]
    made: list[torch.optim.Optimizer] = [torch.optim.AdamW(others, lr=how.rate, betas=(0.9, 0.95), weight_decay=0.0)]
    if matrices:
        muon = torch.optim.Muon(matrices, lr=how.rate, weight_decay=how.decay, adjust_lr_fn="match_rms_adamw")
        made.append(muon)
    return made


def fast_dtype() -> torch.dtype:
    """bfloat16 where the processor computes in it."""
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32


def _fast() -> Any:
    return torch.autocast("cpu", torch.bfloat16, enabled=fast_dtype() == torch.bfloat16)
