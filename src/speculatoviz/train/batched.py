"""The target in PyTorch, for writing dialogues alone: one pass over many contexts, each with its own KV cache.

llama.cpp's contexts share one cache, and attention is computed over all of it for every token of a pass. With many
contexts that costs more than the weights do. Here a context attends to itself alone, and weights are bfloat16 if the
hardware computes in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from speculatoviz.core.types import Floats
from speculatoviz.errors import ContextFullError, TrainError
from speculatoviz.models.base import Capability, Description, Feed, LocalTokenizer, Rows, check_feeds, check_layers
from speculatoviz.models.runtimes.transformers import TransformersModel

_ATTENTION = "speculatoviz_slots"
_GROUP = 16  # contexts whose attention is one product, padded to the longest of them
_EXACT = 8  # logits that are computed in float32


@dataclass(slots=True)
class _Context:
    """One row of the caches."""

    model: BatchedModel
    slot: int
    size: int
    length: int = 0
    tree: Sequence[int] | None = None

    def keep(self, length: int, path: Sequence[int] = ()) -> None:
        if path or not 0 <= length <= self.length:
            raise ValueError(f"expected a length up to {self.length} and no path, got {length} and {list(path)}")
        self.length = length

    def close(self) -> None:
        self.model.free.append(self.slot)


class _Group(NamedTuple):
    """Tokens of contexts of similar length, one of each.

    places long[n]: of the tokens in the pass. slots: of their contexts. bias float[n, 1, 1, length]: added to the
    scores, 0 if a token attends to a place, else -inf.
    """

    places: torch.Tensor
    slots: list[int]
    length: int
    bias: torch.Tensor


class _Stretch(NamedTuple):
    """Several tokens of one context. sees bool[n, length]: which places each attends to."""

    places: slice
    slot: int
    length: int
    sees: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class _Pass:
    """The N tokens of a pass: slots and positions int[N], and how their attention is computed."""

    slots: torch.Tensor
    positions: torch.Tensor
    groups: tuple[_Group, ...]
    stretches: tuple[_Stretch, ...]


class BatchedModel:
    """A `TransformersModel` with `slots` contexts of `size` tokens; a LanguageModel without trees.

    A pass computes the logits after the last token of each feed alone. Raises ModelError like TransformersModel,
    TrainError for a model with layers that attend to a window only.
    """

    provides: frozenset[Capability] = frozenset({"hidden", "layers"})

    def __init__(
        self,
        source: Path,
        slots: int,
        size: int,
        threads: int | None = None,
        *,
        device: str = "auto",
        dtype: str = "auto",
    ) -> None:
        inner = TransformersModel(source, size, threads, device=device, dtype=dtype)
        if "trees" not in inner.provides:
            raise TrainError(
                f"{source.name} has layers that attend to a window only, which is not supported here.",
                "Write with --write-with llamacpp.",
            )
        self._inner = inner
        self._model: Any = inner._model
        self.tokenizer: LocalTokenizer = inner.tokenizer
        self.description: Description = inner.description
        self.free = list(range(slots - 1, -1, -1))
        config = self._model.config.get_text_config(decoder=True)
        heads = int(config.num_key_value_heads)
        width = int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
        layers = int(config.num_hidden_layers)
        kind = {"dtype": self._model.dtype, "device": self._model.device}
        self._keys = [torch.zeros(slots, heads, size, width, **kind) for _ in range(layers)]
        self._values = [torch.zeros(slots, heads, size, width, **kind) for _ in range(layers)]
        self._output = self._model.get_output_embeddings().weight.detach()
        AttentionInterface.register(_ATTENTION, _attend)
        self._model.set_attn_implementation(_ATTENTION)

    def open(self, size: int) -> _Context:
        """A context in a free slot. Raises ContextFullError if there is none, or it is too short."""
        if not self.free or size > self._keys[0].shape[2]:
            raise ContextFullError(
                f"{len(self.free)} contexts of {self._keys[0].shape[2]} tokens are left; one of {size} was asked for.",
                "Write fewer dialogues at once.",
            )
        return _Context(self, self.free.pop(), size)

    def forward(self, feeds: Sequence[Feed]) -> list[Rows]:
        """One pass over all feeds: logits float[1, V] after the last token of each, states float[n, D] after all."""
        check_feeds(self, feeds)
        wanted = sorted({layer for feed in feeds for layer in feed.layers})
        check_layers(wanted, self._inner.layer_count, self.description.name)
        with torch.inference_mode():
            states, inner = self._states(feeds, wanted)
            ends = np.cumsum([len(feed.tokens) for feed in feeds])
            logits = self._logits(states[ends - 1]).cpu().numpy()
        hidden = states.cpu().numpy()
        rows = []
        for place, (feed, end) in enumerate(zip(feeds, ends.tolist(), strict=True)):
            assert isinstance(feed.context, _Context)
            feed.context.length += len(feed.tokens)
            own = slice(end - len(feed.tokens), end)
            layers = np.concatenate([inner[layer][own] for layer in feed.layers], axis=1) if feed.layers else None
            rows.append(Rows(logits[place : place + 1], hidden[own], layers=layers))
        return rows

    def close(self) -> None:
        """Free the weights."""
        self._inner.close()

    def _states(self, feeds: Sequence[Feed], layers: Sequence[int]) -> tuple[torch.Tensor, dict[int, Floats]]:
        """float32[N, D]: the hidden state after every token of the pass, and for each of `layers` its input."""
        layout = self._layout(feeds)
        device = self._model.device
        out = self._model.base_model(
            input_ids=torch.tensor([[token for feed in feeds for token in feed.tokens]], device=device),
            position_ids=layout.positions[None],
            attention_mask=torch.zeros(1, 1, 1, 1, device=device),  # not used; spares the library making one
            use_cache=False,
            output_hidden_states=bool(layers),
            layout=layout,
            caches=(self._keys, self._values),
        )
        states: torch.Tensor = out.last_hidden_state[0].float()
        return states, {layer: out.hidden_states[layer][0].float().cpu().numpy() for layer in layers}

    def _logits(self, states: torch.Tensor) -> torch.Tensor:
        """float32[n, V]; the largest ones are computed in float32, so that the greedy choice is exact."""
        logits = (states.to(self._output.dtype) @ self._output.T).float()
        best = logits.topk(_EXACT, dim=-1).indices
        exact = torch.einsum("nd,nkd->nk", states, self._output[best].float())
        return logits.scatter_(1, best, exact)

    def _layout(self, feeds: Sequence[Feed]) -> _Pass:
        device = self._model.device
        slots: list[int] = []
        positions: list[int] = []
        single: list[int] = []
        stretches: list[_Stretch] = []
        for feed in feeds:
            context, count, start = feed.context, len(feed.tokens), len(slots)
            assert isinstance(context, _Context)
            own = range(context.length, context.length + count)
            slots += [context.slot] * count
            positions += own
            if count == 1:
                single.append(start)
            else:
                sees = torch.arange(own[-1] + 1, device=device) <= torch.tensor(own, device=device)[:, None]
                stretches.append(_Stretch(slice(start, start + count), context.slot, own[-1] + 1, sees))
        at, slot = torch.tensor(positions, device=device), torch.tensor(slots, device=device)
        single.sort(key=lambda place: positions[place])
        groups = [
            self._group(torch.tensor(single[first : first + _GROUP], device=device), slot, at)
            for first in range(0, len(single), _GROUP)
        ]
        return _Pass(slot, at, tuple(groups), tuple(stretches))

    def _group(self, places: torch.Tensor, slots: torch.Tensor, positions: torch.Tensor) -> _Group:
        length = int(positions[places[-1]]) + 1
        hidden = torch.arange(length, device=places.device) > positions[places][:, None]
        bias = torch.zeros(hidden.shape, dtype=self._model.dtype, device=places.device)
        return _Group(places, slots[places].tolist(), length, bias.masked_fill_(hidden, -torch.inf)[:, None, None])


def _attend(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, _mask: Any, **kwargs: Any
) -> tuple[torch.Tensor, None]:
    """Attention over the caches, for the transformers library: float[1, N, H, W] of the N tokens of a pass.

    query float[1, H, N, W]. key, value float[1, G, N, W], of G heads that H/G query heads share each.
    """
    layout: _Pass = kwargs["layout"]
    keys, values = (caches[module.layer_idx] for caches in kwargs["caches"])
    keys[layout.slots, :, layout.positions] = key[0].transpose(0, 1)
    values[layout.slots, :, layout.positions] = value[0].transpose(0, 1)
    _, heads, count, width = query.shape
    groups, scale = keys.shape[1], kwargs["scaling"]
    # Query heads that share keys take the dimension of a sequence, so that no key is repeated.
    asked = query[0].transpose(0, 1).reshape(count, groups, heads // groups, width)
    result = torch.empty_like(asked)
    for places, slots, length, bias in layout.groups:
        k, v = (torch.stack([cache[slot, :, :length] for slot in slots]) for cache in (keys, values))
        result[places] = scaled_dot_product_attention(asked[places], k, v, attn_mask=bias, scale=scale)
    for stretch, slot, length, sees in layout.stretches:
        k, v = (cache[slot, :, None, :length].expand(-1, heads // groups, -1, -1) for cache in (keys, values))
        own = asked[stretch].permute(1, 2, 0, 3)  # [G, H/G, n, W]
        mixed = scaled_dot_product_attention(own, k, v, attn_mask=sees, scale=scale)
        result[stretch] = mixed.permute(2, 0, 1, 3)
    return result.reshape(1, count, heads, width), None
