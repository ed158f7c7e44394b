"""EAGLE's head in PyTorch, for training. `heads.eagle` computes the same on ggml's kernels, and has the notation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from torch import nn
from torch.nn.functional import linear, silu, smooth_l1_loss

from speculatoviz.heads.eagle import shapes
from speculatoviz.train import unroll
from speculatoviz.train.data import Batch, with_noise
from speculatoviz.train.divergence import divergences
from speculatoviz.train.target import TargetMatrices
from speculatoviz.train.unroll import rms_norm


@dataclass(frozen=True, slots=True)
class EagleShape:
    """heads, width: of attention. inner: of the feed-forward. window: places it attends to. theta: rotary base."""

    heads: int
    width: int
    inner: int
    window: int = 512
    theta: float = 10_000.0


@dataclass(frozen=True, slots=True)
class EagleLoss:
    """loss = sum_k decay^k (KL_k + state * L1_k), over steps k = 0 .. steps - 1.

    Step 0 predicts from the target's states, step k from the head's own states of step k - 1. KL_k: divergence from the
    target's distributions. L1_k: smooth L1 distance from the target's states. noise: added to the states of step 0, as
    a share of their root mean square. share: of the places of a batch at which the loss is computed.
    """

    steps: int = 3
    decay: float = 0.8
    state: float = 0.1
    noise: float = 0.05
    share: float = 0.5


class EagleModule(nn.Module):  # type: ignore[misc]  # the library is optional
    """A head that is trained. weights: by the names and shapes of `heads.eagle.shapes`."""

    output_rows: frozenset[str] = frozenset()
    scales: Mapping[str, torch.Tensor] = {}  # read only

    def __init__(self, target: TargetMatrices, shape: EagleShape, loss: EagleLoss, seed: int) -> None:
        super().__init__()
        self.target, self.shape, self.how = target, shape, loss
        self.weights = unroll.random_weights(shapes(target.hidden_size, shape.heads, shape.width, shape.inner), seed)
        with torch.no_grad():  # its first estimate of the next state is the last one
            self.weights["fc"][:, : target.hidden_size] += torch.eye(target.hidden_size)
            self.weights["output_norm"] *= target.state_size

    @property
    def numbers(self) -> dict[str, float]:
        """The hyperparameters of the head's file."""
        return asdict(self.shape)

    @property
    def trained_depth(self) -> int:
        """The tokens of a draft that the training unrolls."""
        return self.how.steps

    @property
    def loss_words(self) -> str:
        """The loss, for the card."""
        how = self.how
        return (
            f"KL divergence from the target's distributions over the head's vocabulary, plus {how.state:g} times the "
            f"smooth L1 distance from its states, over {how.steps} steps of which each counts {how.decay:g} times the "
            f"one before; noise of {how.noise:g} times the states' root mean square"
        )

    def loss(self, batch: Batch, generator: torch.Generator, done: float) -> tuple[torch.Tensor, dict[str, float]]:
        """The loss of `EagleLoss` and its divergences by step. The first half of a training computes step 0 alone."""
        how = self.how
        given = with_noise(batch, self.target, how.noise, generator)
        steps = self.unrolled(batch.tokens, given, unroll.joined_steps(how.steps, done, 0.5, 1.0))
        counted = unroll.CountedSteps.of(batch, steps, how.share, generator)
        factors = unroll.factors(how.decay, len(steps), batch.tokens.device)
        truth, shares = counted.truth, counted.shares
        total, apart = divergences(truth, shares, factors, self.target.output, counted.own)
        if how.state:
            errors = torch.stack([smooth_l1_loss(own, truth, reduction="none").mean(-1) for own in counted.own])
            total = total + how.state * (factors * (errors * shares).sum(1) / shares.sum(1)).sum()
        return total, {f"kl_{step}": value for step, value in enumerate(apart.tolist(), 1)}

    def unrolled(self, tokens: torch.Tensor, states: torch.Tensor, steps: int) -> list[torch.Tensor]:
        """Of each step the head's states after tokens 1 to T - 1, float[B, T - 1, D]; see `train.unroll`.

        tokens long[B, T]. states float[B, T, D]: the target's.
        """
        pairs, first = self._pairs(tokens), states[:, :-1]
        keys, values, results = list[torch.Tensor](), list[torch.Tensor](), list[torch.Tensor]()
        given = first
        for _ in range(steps):
            _, inner = self._step(given, pairs, keys, values)
            results.append(rms_norm(inner, self.weights["output_norm"]))
            given = unroll.next_inputs(first, results[-1])
        return results

    def first_step(self, tokens: torch.Tensor, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of step 0, what the layer reads and what its last norm reads, float[B, T - 1, D]; arguments of `unrolled`."""
        return self._step(states[:, :-1], self._pairs(tokens), [], [])

    def _pairs(self, tokens: torch.Tensor) -> torch.Tensor:
        """float[B, T - 1, 2 D]: e(t_i+1) and e(t_i)."""
        embeddings = rms_norm(self.target.embed(tokens), self.weights["embedding_norm"])
        return torch.cat([embeddings[:, 1:], embeddings[:, :-1]], -1)

    def _step(
        self, given: torch.Tensor, pairs: torch.Tensor, keys: list[torch.Tensor], values: list[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `first_step`. given float[B, T - 1, D]: the states. keys, values: of the steps before; theirs join."""
        w, shape = self.weights, self.shape
        by = unroll.rotation(pairs.shape[1], shape.width, shape.theta, pairs.device)
        read = linear(torch.cat([rms_norm(given, w["state_norm"]), pairs], -1), w["fc"])
        normal = rms_norm(read, w["attention_norm"])
        query, key, value = (unroll.split_heads(linear(normal, w[name]), shape.heads) for name in "qkv")
        keys.append(unroll.rotated(key, by))
        values.append(value)
        mixed = unroll.attend(unroll.rotated(query, by), keys, values, shape.window)
        x = read + linear(mixed.transpose(1, 2).flatten(2), w["o"])
        normal = rms_norm(x, w["mlp_norm"])
        return read, x + linear(silu(linear(normal, w["gate"])) * linear(normal, w["up"]), w["down"])

    def guesses(self, batch: Batch, depth: int) -> torch.Tensor:
        """See `score.ChainPredictor`."""
        batch = batch.to(self.target.device)
        with torch.no_grad():
            steps = self.unrolled(batch.tokens, batch.states, depth)
            return unroll.chain_guesses([self.target.best(states) for states in steps], batch)
