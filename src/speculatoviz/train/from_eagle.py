"""An EAGLE-3 head that begins with what a trained EAGLE head of the same target does.

s is the target's last state, f the inputs of its inner layers, e' and e embeddings of the next token and of this one.
unit(x) = x / rms(x). The weights of EAGLE are A, B, C (of fc), N_s, N_e, N_a, N_o (of norms), and its layer's.

    EAGLE     attention reads N_a unit(x), x = A N_s unit(s) + B N_e unit(e') + C N_e unit(e), and is added to x;
              its next state is s' = N_o unit(y)
    EAGLE-3   attention reads [N_e unit(e'); N_g unit(g)], g = F f, and is added to g; its next state is y

They do the same, up to sizes that are nearly constant (rms(x), rms(s), rms(y)), with

    F       such that F f is near y of the state s: the least squares of y = r unit(s / N_o) over recorded tokens
    N_g     N_o N_s / rms(s'), so that N_g unit(g) = N_s unit(s) for s = N_o unit(g)
    q k v   of EAGLE, times N_a [B A] / rms(x): they read x without its part from e
    more heads of attention, whose values have D numbers together, that look at their own place alone and add x - g to g

C is lost: what e says is in f. A query and a key that are the same everywhere, turned by the rotary embedding, are most
alike at the same place. There is no bias, so they come from a direction a in which a' N_g unit(g) is near 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn.functional import linear

from speculatoviz.heads.eagle3_folder import Eagle3Shape
from speculatoviz.heads.file import HeadFile
from speculatoviz.train.data import collate
from speculatoviz.train.eagle import EagleModule
from speculatoviz.train.store import Dialogue
from speculatoviz.train.target import TargetMatrices
from speculatoviz.train.unroll import rms_norm

_DIALOGUES = 100  # that sizes and least squares are of
_OUTLIERS = 4  # the first tokens of a text, whose states are unlike all others
_RIDGE = 5e-4  # of the least squares, per token
_PULL = (60.0, 20.0, 20.0, 20.0)  # of the fastest rotations: how much more a place attends to itself

Weights = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Usual root mean squares: of EAGLE's x, of its state s', and of y, which the last norm reads."""

    x: float
    state: float
    inner: float


def shape(begun: HeadFile) -> Eagle3Shape:
    """Of the head that does what `begun` does, with more heads of attention."""
    width, inner = int(begun.number("width", 2, 1024)), int(begun.number("inner", 1, 1 << 20))
    heads = int(begun.number("heads", 1, 1024)) + _further(begun.hidden_size, width)
    return replace(
        Eagle3Shape.of(begun.hidden_size),
        heads=heads,
        kv_heads=heads,
        width=width,
        inner=inner,
        theta=begun.number("theta", 1.0, 1e9),
    )


def _further(hidden_size: int, width: int) -> int:
    """The heads that are needed to add a vector of D numbers."""
    return -(-hidden_size // width)


def weights(eagle: EagleModule, target: TargetMatrices, dialogues: Sequence[Dialogue], seed: int) -> Weights:
    """Weights of `shape`, by the names of `Eagle3Shape.tensors`; fc reads f / layer_scale. Output rows are not in it.

    eagle: a trained head. dialogues: recorded with the layers f.
    """
    some = [dialogue for dialogue in dialogues[:_DIALOGUES] if dialogue.layers is not None]
    own = {name: weight.detach() for name, weight in eagle.weights.items()}
    sizes = _sizes(eagle, target, some)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        state_norm = own["output_norm"] * own["state_norm"] / sizes.state
        fc, always = _least_squares(own["output_norm"], state_norm, sizes, target, some)
        return {
            **{name: own[name] for name in ("embedding_norm", "mlp_norm", "gate", "up", "down", "output_norm")},
            **_attention(eagle, own, sizes, state_norm, always, generator),
            "fc": fc,
            "state_norm": state_norm,
        }


def _attention(
    eagle: EagleModule,
    own: Mapping[str, torch.Tensor],
    sizes: _Sizes,
    state_norm: torch.Tensor,
    always: torch.Tensor,
    generator: torch.Generator,
) -> Weights:
    """EAGLE's heads, then those that add x - g."""
    d, width = len(state_norm), eagle.shape.width
    heads = _further(d, width)
    of_state, of_next = own["fc"][:, :d], own["fc"][:, d : 2 * d]
    made = {}
    for name in ("q", "k", "v"):
        scaled = own[name] * own["attention_norm"] / sizes.x
        made[name] = torch.cat([scaled @ of_next, scaled @ of_state], 1)
    device = always.device
    pull = torch.zeros(width)
    pull[: len(_PULL)] = torch.tensor(_PULL).mul(width**0.5).sqrt()[: width // 2]
    constant = torch.cat([torch.zeros(d, device=device), always])
    at_itself = (pull.to(device)[:, None] * constant).repeat(heads, 1)
    missing = torch.cat([of_next, of_state - torch.diag(sizes.inner / state_norm)], 1)
    turn = torch.linalg.qr(torch.randn(heads * width, heads * width, generator=generator)).Q[:, :d].to(device)
    return {
        "q": torch.cat([made["q"], at_itself]),
        "k": torch.cat([made["k"], at_itself]),
        "v": torch.cat([made["v"], turn @ missing]),  # turned, so that no large number spoils the rounding of others
        "o": torch.cat([own["o"], turn.T], 1),
    }


def _sizes(eagle: EagleModule, target: TargetMatrices, dialogues: Sequence[Dialogue]) -> _Sizes:
    sizes = []
    with torch.no_grad():
        for dialogue in dialogues:
            batch = collate([dialogue]).to(target.device)
            x, y = eagle.first_step(batch.tokens, batch.states)
            state = rms_norm(y, eagle.weights["output_norm"])
            sizes.append(torch.stack([_rms(x), _rms(state), _rms(y)], -1)[0, _OUTLIERS:])
    return _Sizes(*torch.cat(sizes).median(0).values.tolist())


def _least_squares(
    output_norm: torch.Tensor,
    state_norm: torch.Tensor,
    sizes: _Sizes,
    target: TargetMatrices,
    dialogues: Sequence[Dialogue],
) -> tuple[torch.Tensor, torch.Tensor]:
    """F [D, L * D] of f / layer_scale, and a [D]."""
    kept = slice(_OUTLIERS, None)
    states = torch.from_numpy(np.concatenate([np.asarray(d.states, np.float32)[kept] for d in dialogues]))
    layers = torch.from_numpy(np.concatenate([np.asarray(d.layers, np.float32)[kept] for d in dialogues]))
    f = layers.to(target.device) / target.layer_scale
    y = states.to(target.device) / output_norm
    fc = _solved(f, y / _rms(y)[:, None] * sizes.inner).T
    g = linear(f, fc)
    normal = g / _rms(g)[:, None] * state_norm
    return fc, _solved(normal, torch.ones(len(normal), 1, device=target.device))[:, 0]


def _solved(given: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """float[N, M]: the least squares of given float[T, N] @ it = wanted float[T, M], with a ridge."""
    given, wanted = given.double(), wanted.double()
    ridge = _RIDGE * len(given) * torch.eye(given.shape[1], device=given.device)
    return torch.linalg.solve(given.T @ given + ridge, given.T @ wanted).float()


def _rms(x: torch.Tensor) -> torch.Tensor:
    return x.square().mean(-1).sqrt()
