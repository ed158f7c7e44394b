"""EAGLE's head in PyTorch, as it is trained; in use it is `heads.eagle`, which gives the same numbers."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import nn
from torch.nn.functional import linear, pad, silu, smooth_l1_loss, softmax

from speculatoviz.heads.eagle import shapes
from speculatoviz.heads.maths import EPSILON
from speculatoviz.train.data import Batch, chosen, noisy
from speculatoviz.train.divergence import divergences
from speculatoviz.train.target import TargetMatrices


@dataclass(frozen=True, slots=True)
class EagleShape:
    """heads of `width` numbers each, a feed-forward of `inner`; it attends to the last `window` pairs."""

    heads: int
    width: int
    inner: int
    window: int = 512
    theta: float = 10_000.0


@dataclass(frozen=True, slots=True)
class EagleLoss:
    """steps: how often the head goes on from its own states while it is trained; a further step counts `decay` less.

    state: weight of the regression on the target's states. noise: added to those it starts from, as a share of their
    root mean square. share: of the places of a batch, those at which it is compared with the target.
    """

    steps: int = 3
    decay: float = 0.8
    state: float = 0.1
    noise: float = 0.05
    share: float = 0.5


class EagleModule(nn.Module):  # type: ignore[misc]  # the library is optional
    """weights: by the names and shapes of `heads.eagle.shapes`."""

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
        with torch.no_grad():  # begins as if the next state were the last one
            self.weights["fc"][:, : target.hidden_size] += torch.eye(target.hidden_size)
            self.weights["output_norm"] *= target.state_scale.square().mean().sqrt()

    @property
    def numbers(self) -> dict[str, float]:
        return asdict(self.shape)

    def loss(self, batch: Batch, generator: torch.Generator, done: float) -> tuple[torch.Tensor, dict[str, float]]:
        """Divergence from the target's own distributions over the head's vocabulary, and regression on its states.

        The first half of a training takes only the first of its steps, and the others join one by one: what they build
        on comes first, and a step costs as much as the whole head.
        """
        weight = batch.weight[:, 1:]
        counted = chosen(weight, self.how.share, generator)
        truth = batch.states[:, 1:][counted]
        steps = self.unrolled(batch.tokens, noisy(batch, self.target, self.how.noise, generator), self._depth(done))
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
        """The head's states behind tokens 1 to T - 1, float[B, T - 1, D] each: from the target's states in the first
        step, and in every further one from its own of the step before (training-time test)."""
        embeddings = rms_norm(self.target.embed(tokens), self.weights["embedding_norm"])
        tokens_there = torch.cat([embeddings[:, 1:], embeddings[:, :-1]], -1)
        rotation = _rotation(tokens_there.shape[1], self.shape)
        given, keys, values, results = states[:, :-1], [], [], []
        for _ in range(steps):
            x = linear(torch.cat([rms_norm(given, self.weights["state_norm"]), tokens_there], -1), self.weights["fc"])
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
        """long[B, T, depth]: the chain that a draft behind token i would be, each of its tokens given the ones of the
        text before it; -1 where the head is never asked."""
        with torch.no_grad():
            steps = self.unrolled(batch.tokens, batch.states, depth)
            ids = [self.target.best(states) for states in steps]
        b, t = batch.tokens.shape
        result = torch.full((b, t, depth), -1, dtype=torch.long)
        for step, guess in enumerate(ids):  # of pair i in this step: a draft that began behind token i + 1 - step
            result[:, 1 : t - step, step] = guess[:, step:]
        return result

    def _heads(self, x: torch.Tensor, name: str) -> torch.Tensor:
        """float[B, H, T, W]."""
        return linear(x, self.weights[name]).unflatten(2, (self.shape.heads, self.shape.width)).transpose(1, 2)


def rms_norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
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
    """float[B, H, T, W]: step k at place i sees the first step's places up to i - k, and place i - k + m of step m."""
    step, length = len(keys) - 1, query.shape[2]
    distance = torch.arange(length)[:, None] - torch.arange(length)
    scores = query @ keys[0].transpose(2, 3)
    parts = [scores.masked_fill((distance < step) | (distance >= window), -1e30)]
    behind = [step - m for m in range(1, step + 1)]
    for m, back in enumerate(behind, 1):
        one = (query * _shifted(keys[m], back)).sum(-1, keepdim=True)
        unseen = (torch.arange(length) < back) | (back >= window)
        parts.append(one.masked_fill(unseen[:, None], -1e30))
    weights = softmax(torch.cat(parts, -1).float() * query.shape[-1] ** -0.5, dim=-1).to(query.dtype)
    mixed = weights[..., :length] @ values[0]
    for m, back in enumerate(behind, 1):
        mixed = mixed + weights[..., length + m - 1 : length + m] * _shifted(values[m], back)
    return mixed


def _shifted(x: torch.Tensor, back: int) -> torch.Tensor:
    """What stood `back` places before, zeros in front."""
    return pad(x, (0, 0, back, 0))[:, :, : x.shape[2]] if back else x
