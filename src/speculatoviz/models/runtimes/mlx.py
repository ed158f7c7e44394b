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
from mlx_lm.models.cache import ArraysCache, KVCache, RotatingKVCache, make_prompt_cache

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
from speculatoviz.models.rewinder import require_rewinding
from speculatoviz.models.runtimes.mlx_contexts import KINDS, CopiedContext, MlxContext
from speculatoviz.models.tokenizers.hub import HubTokenizer
from speculatoviz.models.tree import depths, visible

_COMPLETE = "Check that it is a complete model of an architecture that MLX-LM knows, with safetensors."


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
            if not {type(cache) for cache in caches} <= KINDS:
                raise _cannot_rewind(folder)
            self.provides: frozenset[Capability] = frozenset({"trees"} if _takes_siblings(self._model, caches) else ())
            self._recurrent = any(isinstance(cache, ArraysCache) for cache in caches)
            self._window = min((c.max_size for c in caches if isinstance(c, RotatingKVCache)), default=None)
            positions = text_config(config).get("max_position_embeddings") or context_tokens
            self.tokenizer = HubTokenizer(folder, self._output_rows(folder.name))
            self.description = Description(
                name=name or folder.name,
                runtime="MLX",
                quantisation=_quantisation(self._model),
                parameters=int(mlx_lm.utils.get_total_parameters(self._model)),
                size_bytes=sum(file.stat().st_size for file in folder.glob("*.safetensors")),
                context_tokens=min(context_tokens, positions),
                computes_on=_computes_on(),
            )
        self._budget = ContextBudget(context_tokens)
        if self._recurrent:
            require_rewinding(self, lambda: _cannot_rewind(folder))

    def open(self, size: int) -> MlxContext:
        """A new context. Raises ContextFullError if there is no room."""
        self._budget.reserve(size)
        # Caches of a window cannot be cut once they turn.
        copied = self._recurrent or (self._window is not None and size > self._window)
        return (CopiedContext if copied else MlxContext)(self, make_prompt_cache(self._model), size)

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
                _own(feed).undo(length)
            raise

    def close(self) -> None:
        """Free the weights."""
        self.tokenizer.close()
        self._model = None
        mx.clear_cache()

    def _pass(self, feed: Feed) -> Floats:
        context = _own(feed)
        context.prepare(feed)
        rows = self.compute(feed)
        context.grow(feed)
        return rows

    def compute(self, feed: Feed) -> Floats:
        """A pass over the tokens of `feed` after those that the context holds, without counting them."""
        context = _own(feed)
        if feed.parents is None:
            logits = self._model(mx.array([list(feed.tokens)]), cache=context.caches)[0]
        else:
            siblings = _siblings(context, feed.parents)
            logits = self._model(mx.array([[token] for token in feed.tokens]), cache=siblings)[:, 0]
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


def _cannot_rewind(folder: Path) -> ModelError:
    return ModelError(
        f"{folder.name} cannot rewind its context.",
        "Choose a model without recurrent layers, or one whose layers MLX-LM can copy: speculation takes tokens back.",
    )


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
