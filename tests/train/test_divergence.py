"""The divergence in chunks is the divergence, and so is its gradient."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from speculatoviz.train import divergence  # noqa: E402
from speculatoviz.train.divergence import divergences  # noqa: E402


def plain(truth, shares, factors, output, states, rows=None):  # type: ignore[no-untyped-def]
    wanted = torch.log_softmax(truth @ output.T, -1)
    own = output if rows is None else rows
    each = torch.stack([(wanted.exp() * (wanted - torch.log_softmax(x @ own.T, -1))).sum(-1) for x in states])
    apart = (each * shares).sum(1) / shares.sum(1)
    return factors @ apart, apart.detach()


@pytest.mark.parametrize("own_rows", [False, True])
@pytest.mark.parametrize("chunk", [3, 4, 64])
def test_value_and_gradient_are_those_of_the_definition(
    chunk: int, own_rows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(divergence, "_CHUNK", chunk)
    generator = torch.Generator().manual_seed(0)
    truth, first, second = (torch.randn(8, 5, generator=generator) for _ in range(3))
    output, rows = (torch.randn(11, 5, generator=generator) for _ in range(2))
    shares = torch.rand(2, 8, generator=generator)
    shares[1, :3] = 0.0
    found, wanted = [], []
    for function, into in ((divergences, found), (plain, wanted)):
        states = [own.clone().requires_grad_() for own in (first, second)]
        trained = [rows.clone().requires_grad_()] if own_rows else []
        loss, apart = function(truth, shares, torch.tensor([1.0, 0.3]), output, states, *trained)
        (2.0 * loss).backward()
        into += [loss.detach(), apart, *(tensor.grad for tensor in (*states, *trained))]

    assert len(found) == 4 + own_rows
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_equal_states_do_not_differ() -> None:
    truth = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    output = torch.randn(11, 5, generator=torch.Generator().manual_seed(2))
    loss, apart = divergences(truth, torch.ones(1, 4), torch.ones(1), output, [truth])
    assert float(loss) == pytest.approx(0.0, abs=1e-6)
    assert float(apart) == pytest.approx(0.0, abs=1e-6)
