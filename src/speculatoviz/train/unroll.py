"""What heads share that are unrolled in training: several steps, each on the head's own states of the step before.

Training-time test (Li et al. 2025, section 3.1), for whole texts at once. Place i of a step is the pair (state at token
i, token i + 1). Step 0 reads the target's states; place i of step k reads the head's own state of place i - 1 of step
k - 1. So it belongs to the draft that begins after place i - k, and attends to what such a draft sees:

    places 0 .. i - k of step 0, which were committed, and place i - k + m of every step m = 1 .. k

B texts of T + 1 tokens have T places; H heads of attention have W numbers each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.functional import pad, softmax

from speculatoviz.heads.file import EPSILON, Shapes
from speculatoviz.train.data import Batch, sampled_places

Rotation = tuple[torch.Tensor, torch.Tensor]

_SMALL = {"fc", "o", "down"}  # matrices whose products are added to something: the sum is to begin near it


class CountedSteps(NamedTuple):
    """The N places of a batch that count in a loss, of S steps.

    truth float[N, D]: the target's states. shares float[S, N]: weights of the places. own: of each step the head's
    states float[N, D].
    """

    truth: torch.Tensor
    shares: torch.Tensor
    own: list[torch.Tensor]

    @classmethod
    def of(cls, batch: Batch, steps: Sequence[torch.Tensor], share: float, generator: torch.Generator) -> CountedSteps:
        """A random `share` of the places. steps: of each step the head's states float[B, T, D]."""
        weight = batch.weight[:, 1:]
        counted = sampled_places(weight, share, generator)
        places = torch.arange(weight.shape[1], device=weight.device)
        reached = [places >= step for step in range(len(steps))]  # no draft of k tokens ends before place k
        shares = torch.stack([(weight * there)[counted] for there in reached])
        return cls(batch.states[:, 1:][counted], shares, [states[counted] for states in steps])


def joined_steps(most: int, done: float, begin: float, end: float) -> int:
    """How many of `most` steps are computed when the share `done` of a training is over.

    One before the share `begin`; the others join one by one until `end`. They build on the states of the steps before,
    and each costs as much as the first.
    """
    return 1 + math.ceil((most - 1) * min(1.0, max(0.0, (done - begin) / (end - begin))))


def factors(decay: float, steps: int, device: torch.device) -> torch.Tensor:
    """float[steps]: decay^k, the factors of steps k in a loss."""
    return decay ** torch.arange(steps, device=device)


def random_weights(shapes: Shapes, seed: int) -> nn.ParameterDict:
    """Weights to begin with, by name: ones for norms, small random numbers for matrices [rows, columns]."""
    generator = torch.Generator(device="cpu").manual_seed(seed)
    weights = nn.ParameterDict()
    for name, size in shapes.items():
        if len(size) == 1:
            start = torch.ones(size, device="cpu")
        else:
            start = torch.randn(size, generator=generator, device="cpu") * size[1] ** -0.5
            start *= 0.1 if name in _SMALL else 1.0
        weights[name] = nn.Parameter(start)
    return weights


def rms_norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """x / sqrt(mean(x^2) + EPSILON) * weight, of x float[..., D] and weight float[D], in float32."""
    x = x.float()
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPSILON) * weight


def split_heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    """float[B, H, T, W] of x float[B, T, H * W]."""
    return x.unflatten(2, (heads, -1)).transpose(1, 2)


def rotation(places: int, width: int, theta: float, device: torch.device) -> Rotation:
    """Cosines and sines float[T, W / 2] of rotary embeddings (Su et al. 2021, section 3.2.2)."""
    half = width // 2
    frequencies = theta ** (-torch.arange(half, dtype=torch.float64, device="cpu") / half)  # not every GPU has float64
    angles = torch.arange(places, device="cpu")[:, None] * frequencies
    return angles.cos().float().to(device), angles.sin().float().to(device)


def rotated(x: torch.Tensor, by: Rotation) -> torch.Tensor:
    """x float[B, H, T, W] with rotary embeddings; the two halves of W make the pairs, as in PyTorch's models."""
    cos, sin = by
    first, second = x.chunk(2, -1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


def attend(query: torch.Tensor, keys: list[torch.Tensor], values: list[torch.Tensor], window: int) -> torch.Tensor:
    """float[B, H, T, W], of the last step k = len(keys) - 1, with the pattern that is described above.

    keys, values: of every step, float[B, H, T, W]. window: places that a place attends to, itself included.
    """
    step, length = len(keys) - 1, query.shape[2]
    places = torch.arange(length, device=query.device)
    distance = places[:, None] - places
    scores = query @ keys[0].transpose(2, 3)
    parts = [scores.masked_fill((distance < step) | (distance >= window), -1e30)]
    distances = [step - m for m in range(1, step + 1)]
    for m, back in enumerate(distances, 1):
        one = (query * _shifted(keys[m], back)).sum(-1, keepdim=True)
        unseen = (places < back) | (back >= window)
        parts.append(one.masked_fill(unseen[:, None], -1e30))
    weights = softmax(torch.cat(parts, -1).float() * query.shape[-1] ** -0.5, dim=-1).to(query.dtype)
    mixed = weights[..., :length] @ values[0]
    for m, back in enumerate(distances, 1):
        mixed = mixed + weights[..., length + m - 1 : length + m] * _shifted(values[m], back)
    return mixed


def next_inputs(first: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """float[B, T, D]: the states that the next step reads. Place 0, which no draft reaches, reads those of `first`."""
    return torch.cat([first[:, :1], own[:, :-1]], 1)


def chain_guesses(ids: Sequence[torch.Tensor], batch: Batch) -> torch.Tensor:
    """See `score.ChainPredictor`; every token of a chain is predicted given the text's tokens before it.

    ids: of each step, long[B, T], the most probable ids.
    """
    b, t = batch.tokens.shape
    result = torch.full((b, t, len(ids)), -1, dtype=torch.long, device="cpu")
    for step, guess in enumerate(ids):  # place i of a step: of the draft that begins after token i + 1 - step
        result[:, 1 : t - step, step] = guess[:, step:].cpu()
    return result


def _shifted(x: torch.Tensor, back: int) -> torch.Tensor:
    """x float[B, H, T, W] moved by `back` places: place i has the values of place i - back, or zeros."""
    return pad(x, (0, 0, back, 0))[:, :, : x.shape[2]] if back else x
