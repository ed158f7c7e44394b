"""The inputs of a model's inner layers, as llama.cpp computes them in a pass.

Two ways, both tried on the library's version at hand:

- `llama_set_embeddings_layer_inp` and `llama_get_embeddings_layer_inp` of its internal header `llama-ext.h`, exported
  under their C++ names. They cost a copy of the rows. But they end the process for an architecture whose graph
  does not mark its layers (qwen2, for example), so they are used only for architectures that are known to do so.
- The callback `cb_eval` (`watched`), which works with every architecture that names the outputs of its layers, but
  costs every pass some time.
"""

from __future__ import annotations

import ctypes
from collections.abc import Set as AbstractSet
from functools import cache
from typing import Any, Protocol

import llama_cpp.llama_cpp as lib
import numpy as np

from speculatoviz.core.types import Floats
from speculatoviz.errors import ModelError
from speculatoviz.models.runtimes.watched import WatchedTensors, input_of

_MARKED = frozenset({"llama"})  # architectures whose graphs mark the inputs of their layers
_SET = ("llama_set_embeddings_layer_inp", "_Z30llama_set_embeddings_layer_inpP13llama_contextjb")
_GET = ("llama_get_embeddings_layer_inp", "_Z30llama_get_embeddings_layer_inpP13llama_contextj")


class InnerLayers(Protocol):
    """Keeps inputs of inner layers for one context."""

    def opened(self, params: Any) -> InnerLayers:
        """For a context that is opened next with these parameters, which are changed where that is needed."""

    def want(self, context: Any, layers: AbstractSet[int]) -> None:
        """Keep the inputs of these layers in the next pass."""

    def read(self, context: Any, layer: int, tokens: int, width: int) -> Floats:
        """A copy of a layer's inputs float32[tokens, width] in the last pass. Raises ModelError if there are none."""


def inner_layers(architecture: str | None, *, asked: bool) -> InnerLayers | None:
    """What reads the layers of a model; None if nothing can. asked: feeds will ask for them, so they may cost time."""
    functions = _functions()
    if architecture in _MARKED and functions is not None:
        return _Marked(*functions)
    callback = getattr(lib, "ggml_backend_sched_eval_callback", None)
    return _Watched(WatchedTensors(lib._lib, callback)) if asked and callback is not None else None


def _gone(layer: int) -> ModelError:
    return ModelError(
        f"This version of llama.cpp gives no input of layer {layer} for this model.",
        "Choose another drafter, or load the target with transformers (hf: before its name).",
    )


class _Marked:
    """With the functions of `llama-ext.h`. What was wanted once is kept in every later pass."""

    def __init__(self, switch: Any, get: Any) -> None:
        self._switch, self._get = switch, get
        self._kept: set[int] = set()

    def opened(self, params: Any) -> _Marked:
        del params
        return _Marked(self._switch, self._get)

    def want(self, context: Any, layers: AbstractSet[int]) -> None:
        for layer in layers - self._kept:
            self._switch(context, layer, True)
            self._kept.add(layer)

    def read(self, context: Any, layer: int, tokens: int, width: int) -> Floats:
        pointer = self._get(context, layer)
        if not pointer:
            raise _gone(layer)
        return np.ctypeslib.as_array(pointer, shape=(tokens, width)).copy()


class _Watched:
    """With `cb_eval`."""

    def __init__(self, tensors: WatchedTensors) -> None:
        self._tensors = tensors

    def opened(self, params: Any) -> _Watched:
        return _Watched(self._tensors.opened(params))

    def want(self, context: Any, layers: AbstractSet[int]) -> None:
        del context
        self._tensors.want(map(input_of, layers))

    def read(self, context: Any, layer: int, tokens: int, width: int) -> Floats:
        del context
        rows = self._tensors.read(input_of(layer), tokens, width)
        if rows is None:
            raise _gone(layer)
        return rows


@cache
def _functions() -> tuple[Any, Any] | None:
    """The two functions of `llama-ext.h`; None if this version of the library does not export them."""
    found = [
        next((getattr(lib._lib, name) for name in names if hasattr(lib._lib, name)), None) for names in (_SET, _GET)
    ]
    switch, get = found
    if switch is None or get is None:
        return None
    switch.argtypes, switch.restype = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_bool], None
    get.argtypes, get.restype = [ctypes.c_void_p, ctypes.c_uint32], ctypes.POINTER(ctypes.c_float)
    return switch, get
