"""MLX-LM, through its models and caches directly: one pass per context.

MLX computes on the GPU of a Mac through Metal (not on its Neural Engine), on NVIDIA GPUs, or on the CPU, as the
installed build does. Passes have to run in the thread that loaded the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx_lm.utils
import numpy as np
from mlx.utils import tree_flatten
from mlx_lm.models.cache import KVCache, can_trim_prompt_cache, make_prompt_cache, trim_prompt_cache

from speculatoviz.core.types import Floats
from speculatoviz.errors import ModelError
from speculatoviz.models.base import (
    Capability,
    ContextBudget,
    Description,
    Feed,
    Rows,
    check_feeds,
    check_finite,
    load_errors,
)
from speculatoviz.models.files.config import Config, read_config, text_config
from speculatoviz.models.tokenizers.hub import HubTokenizer
from speculatoviz.models.tree import check_keep, depths, visible

_COMPLETE = "Check that it is a complete model of an architecture that MLX-LM knows, with safetensors."


class MlxContext:
    """One cache per layer. The cells of a tree come after the sequence until `keep` moves those of a path."""

    def __init__(self, model: MlxModel, caches: list[Any], size: int) -> None:
        self.model, self.caches, self.size = model, caches, size
        self.length = 0
        self.tree: Sequence[int] | None = None

    def keep(self, length: int, path: Sequence[int] = ()) -> None:
        """See `Context.keep`. Raises ModelError if a layer's cache cannot be rewound that far."""
        check_keep(self.length, length, self.tree, path)
        tree = len(self.tree or ())
        if path:
            for cache in self.caches:
                _move(cache, length, [length + node for node in path])
        self.trim(self.length + tree - length - len(path))
        self.length, self.tree = length + len(path), None

    def trim(self, count: int) -> None:
        """Remove the last `count` cells of every layer. Raises ModelError if a layer cannot."""
        if count and trim_prompt_cache(self.caches, count) != count:
            raise ModelError(
                f"{self.model.description.name} cannot rewind its context any more.",
                "Its attention looks back over a window only: use a context no longer than that.",
            )

    def restore(self, length: int) -> None:
        """Rewind every layer to `length` after a failed pass, of which some layers may hold more than others."""
        for cache in self.caches:
            trim_prompt_cache([cache], cache.offset - length)
        self.length, self.tree = length, None

    def close(self) -> None:
        """Free the caches."""
        if self.caches:
            self.model.release(self)
            self.caches = []
            mx.clear_cache()


class _Siblings:
    """A layer's cache during a pass over a tree, with the interface of MLX-LM's caches.

    The nodes form the batch, one token each, so that every node has a position of its own. Their keys and values are
    appended to the cache, which they share.
    """

    def __init__(self, cache: KVCache, positions: mx.array, mask: mx.array) -> None:
        self._cache, self.offset, self._mask = cache, positions, mask

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        nodes = keys.shape[0]
        shared = self._cache.update_and_fetch(keys.transpose(2, 1, 0, 3), values.transpose(2, 1, 0, 3))
        all_keys, all_values = (mx.broadcast_to(held, (nodes, *held.shape[1:])) for held in shared)
        return all_keys, all_values

    def make_mask(self, *_: Any, **__: Any) -> mx.array:
        return self._mask


class MlxModel:
    """A causal language model of MLX-LM.

    folder: configuration, tokenizer and safetensors. context_tokens: what all contexts hold together. Raises ModelError
    if it cannot be loaded, cannot rewind, or computes logits that are not finite.
    """

    def __init__(self, folder: Path, context_tokens: int = 4096, name: str | None = None) -> None:
        config = read_config(folder)
        with load_errors("MLX-LM", folder, _COMPLETE):
            self._model, config = mlx_lm.utils.load_model(folder, model_config=_older_names(config))
            caches = make_prompt_cache(self._model)
            if not can_trim_prompt_cache(caches):
                raise ModelError(
                    f"{name or folder.name} cannot rewind its context.",
                    "Choose a model without recurrent layers: speculation takes tokens back.",
                )
            self.provides: frozenset[Capability] = frozenset({"trees"} if _takes_siblings(self._model, caches) else ())
            windows = [cache.max_size for cache in caches if getattr(cache, "max_size", None)]
            positions = text_config(config).get("max_position_embeddings") or context_tokens
            self.tokenizer = HubTokenizer(folder, self._output_rows(folder.name))
            self.description = Description(
                name=name or folder.name,
                runtime="MLX",
                quantisation=_quantisation(self._model),
                parameters=int(mlx_lm.utils.get_total_parameters(self._model)),
                size_bytes=sum(file.stat().st_size for file in folder.glob("*.safetensors")),
                # Caches of a window stop being trimmable once they turn.
                context_tokens=min(context_tokens, positions, *windows),
                computes_on=_computes_on(),
            )
        self._budget = ContextBudget(context_tokens)

    def open(self, size: int) -> MlxContext:
        """A new context. Raises ContextFullError if there is no room."""
        self._budget.reserve(size)
        return MlxContext(self, make_prompt_cache(self._model), size)

    def release(self, context: MlxContext) -> None:
        """Return the size of a closed context to the budget."""
        self._budget.release(context.size)

    def forward(self, feeds: Sequence[Feed]) -> list[Rows]:
        """One pass per feed, in turn."""
        check_feeds(self, feeds)
        before = [feed.context.length for feed in feeds]
        try:
            return [Rows(self._pass(feed)) for feed in feeds]
        except Exception:
            for feed, length in zip(feeds, before, strict=True):
                _own(feed).restore(length)
            raise

    def close(self) -> None:
        """Free the weights."""
        self.tokenizer.close()
        self._model = None
        mx.clear_cache()

    def _pass(self, feed: Feed) -> Floats:
        context = _own(feed)
        if feed.parents is None:
            logits = self._model(mx.array([list(feed.tokens)]), cache=context.caches)[0]
            context.length += len(feed.tokens)
        else:
            siblings = _siblings(context, feed.parents)
            logits = self._model(mx.array([[token] for token in feed.tokens]), cache=siblings)[:, 0]
            context.tree = feed.parents
        wanted = logits if feed.rows == "all" else logits[-1:]
        return np.array(wanted.astype(mx.float32))

    def _output_rows(self, name: str) -> int:
        """V, from a pass over one token, whose logits have to be finite."""
        logits = np.array(self._model(mx.array([[0]]))[0].astype(mx.float32))
        check_finite(logits, name)
        return int(logits.shape[-1])


def _siblings(context: MlxContext, parents: Sequence[int]) -> list[_Siblings]:
    positions = mx.array([context.length + depth for depth in depths(parents)])
    before = np.ones((len(parents), context.length), dtype=np.bool_)
    mask = mx.array(np.concatenate([before, visible(parents)], axis=1)[:, None, None])
    return [_Siblings(cache, positions, mask) for cache in context.caches]


def _takes_siblings(model: Any, caches: list[Any]) -> bool:
    """Whether a pass can have a position per node: some rotary embeddings take one position for the whole batch."""
    if any(type(cache) is not KVCache for cache in caches):
        return False
    positions, mask = mx.array([0, 0]), mx.array(np.eye(2, dtype=np.bool_)[:, None, None])
    try:
        logits = model(mx.array([[1], [1]]), cache=[_Siblings(c, positions, mask) for c in caches])[:, 0]
        rows = np.array(logits.astype(mx.float32))
    except Exception:  # whatever the model does with positions it does not expect
        return False
    return bool(np.allclose(rows[0], rows[1], rtol=1e-2, atol=1e-2))


def _move(cache: KVCache, start: int, sources: list[int]) -> None:
    """Copy the cells `sources` to `start` and the following ones, in that order."""
    end, picked = start + len(sources), mx.array(sources)
    cache.keys[..., start:end, :] = mx.take(cache.keys, picked, axis=2)
    cache.values[..., start:end, :] = mx.take(cache.values, picked, axis=2)


def _own(feed: Feed) -> MlxContext:
    if not isinstance(feed.context, MlxContext):
        raise TypeError(f"expected an MLX context, got {type(feed.context).__name__}")
    return feed.context


def _older_names(config: Config) -> Config:
    """Rotary settings under the names that MLX-LM reads.

    transformers 5 writes them as `rope_parameters`; most of MLX-LM's models do not look there and would compute with
    their default, without a warning.
    """
    settings = config.get("rope_parameters") or {}
    if "rope_theta" in config or "rope_theta" not in settings:
        return {}
    scaled = settings.get("rope_type", "default") != "default"
    return {"rope_theta": settings["rope_theta"]} | ({"rope_scaling": settings} if scaled else {})


def _quantisation(model: Any) -> str:
    """Of the model's layers, as they were loaded."""
    bits = {module.bits for _, module in model.named_modules() if isinstance(getattr(module, "bits", None), int)}
    if bits:
        return f"{'/'.join(map(str, sorted(bits)))}-bit"
    types = {mx.float32: "F32", mx.bfloat16: "BF16", mx.float16: "F16"}
    found = tree_flatten(model.parameters())[0][1].dtype
    return types.get(found, str(found))


def _computes_on() -> str:
    if mx.default_device().type == mx.DeviceType.cpu:
        return "CPU"
    return "GPU, Metal" if mx.metal.is_available() else "GPU, CUDA"
