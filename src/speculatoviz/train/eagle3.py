"""EAGLE-3's head in PyTorch, for training. llama.cpp's graph computes the same; `heads.eagle3` has the notation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from torch import nn
from torch.nn.functional import linear, silu

from speculatoviz.heads.eagle3_folder import Eagle3Shape
from speculatoviz.train import unroll
from speculatoviz.train.data import Batch
from speculatoviz.train.divergence import divergences
from speculatoviz.train.target import TargetMatrices
from speculatoviz.train.unroll import rms_norm


@dataclass(frozen=True, slots=True)
class Eagle3Loss:
    """loss = sum_k decay^k KL_k, over steps k = 0 .. steps - 1 (Li et al. 2025, section 3.2).

    Step 0 predicts from the inputs of the target's layers, step k from the head's own states of step k - 1. KL_k:
    divergence from the target's distributions, of tokens alone: no state of the head has to be one of the target's.
    share: of the places of a batch at which the loss is computed.
    """

    steps: int = 5
    decay: float = 0.8
    share: float = 0.5


class Eagle3Module(nn.Module):  # type: ignore[misc]  # the library is optional
    """A head that is trained. weights: by the names and shapes of `Eagle3Shape.tensors`.

    fc is trained as a multiple of the matrix of the file: it reads f_i / layer_scale, numbers of a usual size. The
    output rows begin as the target's. Raises ValueError if the dialogues record no layers.
    """

    output_rows: frozenset[str] = frozenset({"output"})

    def __init__(self, target: TargetMatrices, shape: Eagle3Shape, loss: Eagle3Loss, seed: int) -> None:
        super().__init__()
        features, d = len(target.layer_scale), target.hidden_size
        if not features:
            raise ValueError("expected dialogues that record the inputs of inner layers")
        self.target, self.shape, self.how = target, shape, loss
        self.scales: Mapping[str, torch.Tensor] = {"fc": target.layer_scale}
        self.weights = unroll.random_weights(shape.tensors(features, len(target.vocabulary)), seed)
        with torch.no_grad():  # its first state is the input of the last of the layers
            self.weights["fc"][:, -d:] += torch.eye(d)
            self.weights["output_norm"] *= target.state_size
            self.weights["output"].copy_(target.output.float())

    @property
    def numbers(self) -> dict[str, float]:
        """The hyperparameters of the head."""
        return asdict(self.shape)

    @property
    def trained_depth(self) -> int:
        """The tokens of a draft that the training unrolls."""
        return self.how.steps

    @property
    def loss_words(self) -> str:
        """The loss, for the card."""
        return (
            f"KL divergence from the target's distributions over the head's vocabulary, over {self.how.steps} steps of "
            f"which each counts {self.how.decay:g} times the one before"
        )

    def loss(self, batch: Batch, generator: torch.Generator, done: float) -> tuple[torch.Tensor, dict[str, float]]:
        """The loss of `Eagle3Loss` and its divergences by step. All steps are computed from half of a training on."""
        how = self.how
        steps = self.unrolled(batch, unroll.joined_steps(how.steps, done, 0.0, 0.5))
        counted = unroll.CountedSteps.of(batch, steps, how.share, generator)
        factors = unroll.factors(how.decay, len(steps), batch.tokens.device)
        rows = self.weights["output"]
        total, apart = divergences(counted.truth, counted.shares, factors, self.target.output, counted.own, rows)
        return total, {f"kl_{step}": value for step, value in enumerate(apart.tolist(), 1)}

    def unrolled(self, batch: Batch, steps: int) -> list[torch.Tensor]:
        """Of each step norm(s_i) float[B, T - 1, D], which the output rows multiply; see `train.unroll`."""
        assert batch.layers is not None
        w, shape = self.weights, self.shape
        first = linear(batch.layers[:, :-1] / self.scales["fc"], w["fc"]).float()  # g_i
        by = unroll.rotation(first.shape[1], shape.width, shape.theta, batch.tokens.device)
        keys, values, results, state = [], [], [], None
        for _ in range(steps):
            tokens, given = self._inputs(batch.tokens[:, 1:], first, state)
            pairs = rms_norm(self.target.embed(tokens), w["embedding_norm"])  # e(t_i+1)
            x = torch.cat([pairs, rms_norm(given, w["state_norm"])], -1)
            query, key, value = (unroll.split_heads(linear(x, w[name]), heads) for name, heads in self._projections())
            keys.append(self._for_all(unroll.rotated(key, by)))
            values.append(self._for_all(value))
            mixed = unroll.attend(unroll.rotated(query, by), keys, values, first.shape[1])
            state = given + linear(mixed.transpose(1, 2).flatten(2), w["o"]).float()
            normal = rms_norm(state, w["mlp_norm"])
            state = state + linear(silu(linear(normal, w["gate"])) * linear(normal, w["up"]), w["down"]).float()
            results.append(rms_norm(state, w["output_norm"]))
        return results

    def _inputs(
        self, tokens: torch.Tensor, first: torch.Tensor, before: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What a step reads: ids long[B, T - 1] and states float[B, T - 1, D], of the pairs of a text.

        tokens long[B, T - 1]: t_i+1. first float[B, T - 1, D]: g_i. before: s_i of the step before; None for step 0.
        """
        return tokens, first if before is None else unroll.next_inputs(first, before)

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """float[..., K] over the head's vocabulary, of norm(s) float[..., D]."""
        return linear(states, self.weights["output"]).float()

    def guesses(self, batch: Batch, depth: int) -> torch.Tensor:
        """See `score.ChainPredictor`."""
        batch = batch.to(self.target.device)
        with torch.no_grad():
            ids = [self.target.ids[self.logits(states).argmax(-1)] for states in self.unrolled(batch, depth)]
            return unroll.chain_guesses(ids, batch)

    def _projections(self) -> tuple[tuple[str, int], ...]:
        """The names of the projections of attention, and their heads."""
        return ("q", self.shape.heads), ("k", self.shape.kv_heads), ("v", self.shape.kv_heads)

    def _for_all(self, x: torch.Tensor) -> torch.Tensor:
        """float[B, H, T, W] of x float[B, G, T, W]: head h reads keys and values h // (H / G)."""
        return x.repeat_interleave(self.shape.heads // self.shape.kv_heads, 1)
