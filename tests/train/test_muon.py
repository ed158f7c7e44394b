"""Muon in float32 moves weights as PyTorch's own does."""

from __future__ import annotations

from copy import deepcopy

import pytest

torch = pytest.importorskip("torch")

from speculatoviz.train.muon import Muon  # noqa: E402

SHAPES = [(24, 40), (40, 24), (16, 16)]


def moved(made, steps: int, state=None):  # type: ignore[no-untyped-def]
    """The weights after some steps, and the optimiser. made: makes one of weights."""
    generator = torch.Generator().manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]
    optimiser = made(weights)
    if state is not None:
        optimiser.load_state_dict(deepcopy(state))
    for _ in range(steps):
        for weight in weights:
            weight.grad = torch.randn(weight.shape, generator=generator)
        optimiser.step()
    return [weight.detach() for weight in weights], optimiser


def own(weights):  # type: ignore[no-untyped-def]
    return Muon(weights, 0.1, 0.01)


def of_pytorch(weights):  # type: ignore[no-untyped-def]
    return torch.optim.Muon(weights, 0.1, 0.01, adjust_lr_fn="match_rms_adamw")


def largest_difference(first, second) -> float:  # type: ignore[no-untyped-def]
    return max(float((a - b).abs().max()) for a, b in zip(first, second, strict=True))


def test_weights_move_as_with_pytorch_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose numbers are kept in float32 here."""
    before, mine = moved(own, 0)[0], moved(own, 4)[0]
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)
    assert largest_difference(mine, before) > 0.1
    assert largest_difference(mine, moved(of_pytorch, 4)[0]) < 1e-4


def test_a_training_goes_on_with_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)
    state = moved(of_pytorch, 3)[1].state_dict()
    mine = moved(own, 2, state)[0]
    assert largest_difference(mine, moved(of_pytorch, 2, state)[0]) < 1e-4
    assert largest_difference(mine, moved(own, 2)[0]) > 0.01, "the state counts"
