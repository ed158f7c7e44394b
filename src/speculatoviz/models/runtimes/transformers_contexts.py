"""Contexts of the transformers library: caches that are allocated once, and states that are copied to be restored."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from transformers.cache_utils import Cache, DummyLayer, DynamicLayer, DynamicSlidingWindowLayer, LinearAttentionLayer

from speculatoviz.models.base import Feed, Rows
from speculatoviz.models.prefix_cache import Snapshot
from speculatoviz.models.rewinder import Rewinder
from speculatoviz.models.tree import check_keep

CUT = {DynamicLayer, DynamicSlidingWindowLayer, DummyLayer}  # layers of a cache that lose tokens without a trace
COPIED = {LinearAttentionLayer}  # those with a state that is copied instead


class _Layer(DynamicLayer):  # type: ignore[misc]  # the library is optional
    """Keys and values of one layer in buffers of full length, float[1, H, size, W]: growing copies nothing."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.length = size, 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.keys = key_states.new_empty((*key_states.shape[:2], self.size, key_states.shape[3]))
        self.values = value_states.new_empty((*value_states.shape[:2], self.size, value_states.shape[3]))
        self.dtype, self.device = key_states.dtype, key_states.device
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self.length + key_states.shape[2]
        self.keys[:, :, self.length : end] = key_states
        self.values[:, :, self.length : end] = value_states
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_seq_length(self) -> int:
        return self.length

    def move(self, start: int, sources: list[int]) -> None:
        """Copy the cells `sources` to `start` and the following ones, in that order."""
        if self.is_initialized:
            end = start + len(sources)
            self.keys[:, :, start:end] = self.keys[:, :, sources].clone()
            self.values[:, :, start:end] = self.values[:, :, sources].clone()


class ContextOwner(Protocol):
    """The model that a context is open on."""

    @property
    def device(self) -> torch.device: ...
    def new_layers(self) -> list[Any]:
        """The library's own layers of a cache, one per layer of the model."""

    def release(self, context: TransformersContext) -> None: ...
    def compute(self, feed: Feed) -> Rows: ...


class TransformersContext:
    """A cache of one sequence. The cells of a tree come after it until `keep` moves those of a path."""

    def __init__(self, model: ContextOwner, size: int) -> None:
        self.model, self.size = model, size
        self.length = 0
        self._closed = False
        self.tree: Sequence[int] | None = None
        all_layers = self._new_layers()
        self.layers = [layer for layer in all_layers if isinstance(layer, _Layer)]
        self.cache = Cache(layers=all_layers)

    def _new_layers(self) -> list[Any]:
        return [_Layer(self.size) if isinstance(layer, DynamicLayer) else layer for layer in self.model.new_layers()]

    @property
    def held(self) -> int:
        """The tokens that the cache holds, and after which a pass appends."""
        return self.length

    def prepare(self, feed: Feed) -> None:
        """Before a pass over `feed`."""

    def grow(self, feed: Feed) -> None:
        """After a pass over `feed`."""
        self.settle(self.length + (len(feed.tokens) if feed.parents is None else 0))
        self.tree = feed.parents

    def undo(self, length: int) -> None:
        """After a pass that failed: return to `length` tokens."""
        self.keep(length)

    def keep(self, length: int, path: Sequence[int] = ()) -> None:
        """See `Context.keep`."""
        check_keep(self.length, length, self.tree, path)
        if path:
            with torch.inference_mode():
                for layer in self.layers:
                    layer.move(length, [length + node for node in path])
        self.tree = None
        self.settle(length + len(path))

    def settle(self, length: int) -> None:
        """Set the length of the sequence; cells beyond it are overwritten."""
        self.length = length
        for layer in self.layers:
            layer.length = length

    def snapshot(self) -> Snapshot:
        """Keys and values of every layer, float[1, H, length, W], in PyTorch's format: see `SnapshotContext`."""
        cells = [(layer.keys, layer.values) for layer in self.layers if layer.is_initialized]
        buffer = io.BytesIO()
        torch.save([part[:, :, : self.length].clone() for pair in cells for part in pair], buffer)
        return np.frombuffer(buffer.getvalue(), np.uint8)

    def restore(self, state: Snapshot, length: int) -> bool:
        """See `SnapshotContext.restore`."""
        self.keep(0)
        parts = torch.load(io.BytesIO(state.tobytes()), weights_only=True, map_location=self.model.device)
        if length > self.size or len(parts) not in {0, 2 * len(self.layers)}:
            return False
        with torch.inference_mode():
            for layer, keys, values in zip(self.layers, parts[::2], parts[1::2], strict=False):
                layer.update(keys, values)
        self.length = length
        return True

    def close(self) -> None:
        """Free the cache."""
        if not self._closed:
            self._closed = True
            self.model.release(self)
            self.layers, self.cache = [], Cache(layers=[])


class _SharedLayer(_Layer):
    """Another context's cells of one layer, with a length of its own."""

    def __init__(self, owner: _Layer) -> None:
        super().__init__(owner.size)
        self._owner = owner

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        if not self._owner.is_initialized:
            self._owner.lazy_initialization(key_states, value_states)
        self.keys, self.values = self._owner.keys, self._owner.values
        self.dtype, self.device = self._owner.dtype, self._owner.device
        self.is_initialized = True


class SharedCells(TransformersContext):
    """The first `count` layers of `owner`'s cells. What it appends comes after the owner's tokens, which stay."""

    def __init__(self, model: ContextOwner, owner: TransformersContext, count: int) -> None:
        self._owner, self._count = owner, count
        super().__init__(model, owner.size)

    def _new_layers(self) -> list[Any]:
        return [_SharedLayer(layer) for layer in self._owner.layers[: self._count]]

    def adopt(self, length: int) -> None:
        """See `SharedContext.adopt`."""
        self.tree = None
        self.settle(length)


class _State(NamedTuple):
    """What one recurrent layer holds, by number of the state within the layer."""

    convolutions: dict[int, torch.Tensor | None]
    recurrences: dict[int, torch.Tensor | None]
    begun: dict[int, bool]


class RecurrentContext(TransformersContext):
    """A cache with recurrent layers: keys and values are cut, and the recurrent state is restored from a copy."""

    def __init__(self, model: ContextOwner, size: int) -> None:
        super().__init__(model, size)
        self._recurrent = [layer for layer in self.cache.layers if isinstance(layer, LinearAttentionLayer)]
        self.rewinder = Rewinder[list[_State]](self)

    @property
    def held(self) -> int:
        return self.rewinder.held

    def reach(self, length: int) -> int:
        """See `PartialContext.reach`."""
        return self.rewinder.reach(length)

    def keep(self, length: int, path: Sequence[int] = ()) -> None:
        self.rewinder.keep(length, path)
        self.length = length

    def prepare(self, feed: Feed) -> None:
        self.rewinder.prepare(feed)

    def grow(self, feed: Feed) -> None:
        self.rewinder.grow(feed)
        super().grow(feed)

    def undo(self, length: int) -> None:
        self.rewinder.lose()
        self.keep(length)

    def snapshot(self) -> Snapshot:
        """The ids, which a rewind needs, and the state of every layer, in PyTorch's format."""
        self.rewinder.settle()
        states = [[dict(part) for part in state] for state in self.save(self.length)]
        cells = [(layer.keys, layer.values) for layer in self.layers if layer.is_initialized]
        parts = [part[:, :, : self.length].clone() for pair in cells for part in pair]
        buffer = io.BytesIO()
        torch.save({"ids": self.rewinder.ids, "cells": parts, "states": states}, buffer)
        return np.frombuffer(buffer.getvalue(), np.uint8)

    def restore(self, state: Snapshot, length: int) -> bool:
        found = torch.load(io.BytesIO(state.tobytes()), weights_only=True, map_location=self.model.device)
        self.keep(0)
        if length > self.size or len(found["ids"]) != length:
            return False
        with torch.inference_mode():
            for layer, keys, values in zip(self.layers, found["cells"][::2], found["cells"][1::2], strict=True):
                layer.update(keys, values)
            self._write([_State(*parts) for parts in found["states"]])
        self.rewinder.replace(found["ids"])
        self.settle(length)
        return True

    # --- RecurrentCalls -------------------------------------------------------------------------------

    def save(self, length: int) -> list[_State]:
        del length
        return [
            _State(_cloned(layer.conv_states), _cloned(layer.recurrent_states), dict(layer.has_previous_state))
            for layer in self._recurrent
        ]

    def load(self, state: list[_State] | None, length: int) -> None:
        super().settle(length)
        with torch.inference_mode():
            if state is None:
                for layer in self._recurrent:
                    layer.reset()
            else:
                self._write(state)

    def free(self, state: list[_State]) -> None:
        state.clear()

    def roll_back(self, length: int) -> bool:
        del length
        return False

    def compute(self, tokens: Sequence[int]) -> None:
        feed = Feed(self, tokens, "last")
        self.model.compute(feed)
        super().settle(self.held + len(tokens))

    def _write(self, states: Sequence[_State]) -> None:
        """Copy the states into the layers' own tensors, and leave the copies as they are."""
        for layer, state in zip(self._recurrent, states, strict=True):
            layer.conv_states, layer.recurrent_states = _cloned(state.convolutions), _cloned(state.recurrences)
            layer.has_previous_state = dict(state.begun)
            for number, tensor in state.convolutions.items():
                layer.is_conv_states_initialized[number] = tensor is not None
            for number, tensor in state.recurrences.items():
                layer.is_recurrent_states_initialized[number] = tensor is not None


def _cloned(tensors: dict[int, torch.Tensor | None]) -> dict[int, torch.Tensor | None]:
    return {number: None if tensor is None else tensor.clone() for number, tensor in tensors.items()}
