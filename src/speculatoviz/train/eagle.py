"""EAGLE's head in PyTorch, for training. `heads.eagle` computes the same in NumPy, and has the notation."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import nn
from torch.nn.functional import linear, pad, silu, smooth_l1_loss, softmax

from speculatoviz.heads.eagle import shapes
from speculatoviz.heads.maths import EPSILON
from speculatoviz.train.data import Batch, sampled_places, with_noise
from speculatoviz.train.divergence import divergences
from speculatoviz.train.target import TargetMatrices


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

    def __init__(self, target: TargetMatrices, shape: EagleShape, loss: EagleLoss, seed: int) -> None:
        super().__init__()
        self.target, self.shape, self.how = target, shape, loss
        generator = torch.Generator().manual_seed(seed)
        self.weights = nn.ParameterDict()
        wanted = shapes(target.hidden_size, shape.heads, shape.width, shape.inner)
        for name, size in wanted.items():
            if len(size) == 1:
                start = torch.ones(size)
            else:
                start = torch.randn(size, generator=generator) * size[1] ** -0.5
                start *= 0.1 if name in {"fc", "o", "down"} else 1.0
            self.weights[name] = nn.Parameter(start)
        with torch.no_grad():  # its first estimate of the next state is the last one
            self.weights["fc"][:, : target.hidden_size] += torch.eye(target.hidden_size)
            self.weights["output_norm"] *= target.state_scale.square().mean().sqrt()

    @property
    def numbers(self) -> dict[str, float]:
        """The hyperparameters of the head's file."""
        return asdict(self.shape)

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
        """The loss of `EagleLoss` and its divergences by step.

        The first half of a training computes step 0 alone. The other steps join one by one: they build on the states of
        the ones before, and each costs as much as the first.
        """
        weight = batch.weight[:, 1:]
        counted = sampled_places(weight, self.how.share, generator)
        truth = batch.states[:, 1:][counted]
        steps = self.unrolled(
            batch.tokens, with_noise(batch, self.target, self.how.noise, generator), self._depth(done)
        )
        reached = torch.arange(weight.shape[1]) >= torch.arange(len(steps))[:, None, None]
        shares = torch.stack([(weight * there)[counted] for there in reached])
        own = [states[counted] for states in steps]
        apart = divergences(truth, shares, self.target.output, own)
        decay = self.how.decay ** torch.arange(len(steps))
        total = (decay * apart).sum()
        if self.how.state:
            errors = torch.stack([smooth_l1_loss(states, truth, reduction="none").mean(-1) for states in own])
            total = total + self.how.state * (decay * (errors * shares).sum(1) / shares.sum(1)).sum()
        return total, {f"kl_{step}": value for step, value in enumerate(apart.tolist(), 1)}

    def _depth(self, done: float) -> int:
        return 1 + math.ceil((self.how.steps - 1) * max(0.0, 2 * done - 1))

    def unrolled(self, tokens: torch.Tensor, states: torch.Tensor, steps: int) -> list[torch.Tensor]:
        """Of each step the head's states after tokens 1 to T - 1, float[B, T - 1, D].

        tokens long[B, T]. states float[B, T, D]: the target's. Step 0 starts from them, step k from the head's own
        states of step k - 1 (training-time test, Li et al. 2025, section 3.1).
        """
        embeddings = rms_norm(self.target.embed(tokens), self.weights["embedding_norm"])
        pairs = torch.cat([embeddings[:, 1:], embeddings[:, :-1]], -1)  # e(t_i+1), e(t_i)
        rotation = _rotation(pairs.shape[1], self.shape)
        given, keys, values, results = states[:, :-1], [], [], []
        for _ in range(steps):
            x = linear(torch.cat([rms_norm(given, self.weights["state_norm"]), pairs], -1), self.weights["fc"])
            normal = rms_norm(x, self.weights["attention_norm"])
            keys.append(_turned(self._heads(normal, "k"), rotation))
            values.append(self._heads(normal, "v"))
            mixed = _attend(_turned(self._heads(normal, "q"), rotation), keys, values, self.shape.window)
            x = x + linear(mixed.transpose(1, 2).flatten(2), self.weights["o"])
            normal = rms_norm(x, self.weights["mlp_norm"])
            inner = silu(linear(normal, self.weights["gate"])) * linear(normal, self.weights["up"])
            own = rms_norm(x + linear(inner, self.weights["down"]), self.weights["output_norm"])
            results.append(own)
            given = torch.cat([states[:, :1], own[:, :-1]], 1)
        return results

    def guesses(self, batch: Batch, depth: int) -> torch.Tensor:
        """See `score.ChainPredictor`; every token of a chain is predicted given the text's tokens before it."""
        with torch.no_grad():
            steps = self.unrolled(batch.tokens, batch.states, depth)
            ids = [self.target.best(states) for states in steps]
        b, t = batch.tokens.shape
        result = torch.full((b, t, depth), -1, dtype=torch.long)
        for step, guess in enumerate(ids):  # place i of a step: of the draft that begins after token i + 1 - step
            result[:, 1 : t - step, step] = guess[:, step:]
        return result

    def _heads(self, x: torch.Tensor, name: str) -> torch.Tensor:
        """float[B, H, T, W]."""
        return linear(x, self.weights[name]).unflatten(2, (self.shape.heads, self.shape.width)).transpose(1, 2)


def rms_norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """x / sqrt(mean(x^2) + EPSILON) * weight, of x float[..., D] and weight float[D], in float32."""
    x = x.float()
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPSILON) * weight


def _rotation(length: int, shape: EagleShape) -> tuple[torch.Tensor, torch.Tensor]:
    half = shape.width // 2
    frequencies = shape.theta ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = torch.arange(length)[:, None] * frequencies
    return angles.cos().float(), angles.sin().float()


def _turned(x: torch.Tensor, rotation: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    cos, sin = rotation
    first, second = x.chunk(2, -1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


def _attend(query: torch.Tensor, keys: list[torch.Tensor], values: list[torch.Tensor], window: int) -> torch.Tensor:
    """float[B, H, T, W], of the last step k = len(keys) - 1. keys, values: of every step, float[B, H, T, W].

    Place i attends to places 0 .. i - k of step 0 and to place i - k + m of every step m = 1 .. k: the pairs before it
    in a draft of k tokens.
    """
    step, length = len(keys) - 1, query.shape[2]
    distance = torch.arange(length)[:, None] - torch.arange(length)
    scores = query @ keys[0].transpose(2, 3)
    parts = [scores.masked_fill((distance < step) | (distance >= window), -1e30)]
    distances = [step - m for m in range(1, step + 1)]
    for m, back in enumerate(distances, 1):
        one = (query * _shifted(keys[m], back)).sum(-1, keepdim=True)
        unseen = (torch.arange(length) < back) | (back >= window)
        parts.append(one.masked_fill(unseen[:, None], -1e30))
    weights = softmax(torch.cat(parts, -1).float() * query.shape[-1] ** -0.5, dim=-1).to(query.dtype)
    mixed = weights[..., :length] @ values[0]
    for m, back in enumerate(distances, 1):
        mixed = mixed + weights[..., length + m - 1 : length + m] * _shifted(values[m], back)
    return mixed


def _shifted(x: torch.Tensor, back: int) -> torch.Tensor:
    """x float[B, H, T, W] moved by `back` places: place i has the values of place i - back, or zeros."""
    return pad(x, (0, 0, back, 0))[:, :, : x.shape[2]] if back else x
