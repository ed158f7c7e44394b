"""The inputs of a model's inner layers, as llama.cpp computes them in a pass.

Two ways, both tried on the library's version at hand:

- `llama_set_embeddings_layer_inp` and `llama_get_embeddings_layer_inp` of its internal header `llama-ext.h`, exported
  under their C++ names. They cost a copy of the rows. But they end the process for an architecture whose graph
  does not mark its layers (qwen2, for example), so they are used only for architectures that are known to do so.
- The callback `cb_eval`, which the library calls for every node of the graph, before and after it is computed. It is
  public and works with every architecture that names the outputs of its layers, but it has to be set when a context is
  opened, and costs about half a millisecond for each pass.
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
    return _Watched() if asked and hasattr(lib, "ggml_backend_sched_eval_callback") else None


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
    """With `cb_eval`. The output of a layer is the input of the next one."""

    def __init__(self) -> None:
        self._tensors = _tensor_library()
        self._wanted: dict[bytes, int] = {}
        self._parts: dict[int, list[Floats]] = {}
        self._callback = lib.ggml_backend_sched_eval_callback(self._visit)  # lives as long as the context

    def opened(self, params: Any) -> _Watched:
        made = _Watched()
        params.cb_eval = made._callback
        return made

    def want(self, context: Any, layers: AbstractSet[int]) -> None:
        del context
        self._wanted = {f"l_out-{layer - 1}".encode(): layer for layer in layers}
        self._parts = {layer: [] for layer in layers}

    def read(self, context: Any, layer: int, tokens: int, width: int) -> Floats:
        del context
        rows = np.concatenate(self._parts[layer] or [np.empty(0, np.float32)])
        if len(rows) < tokens * width:
            raise _gone(layer)
        return rows[: tokens * width].reshape(tokens, width)

    def _visit(self, tensor: int, before: bool, _: Any) -> bool:
        """Called by the library for each node. Before it is computed: whether it is to be shown afterwards."""
        layer = self._wanted.get(self._tensors.ggml_get_name(tensor)) if self._wanted else None
        if layer is not None and not before:
            rows = np.empty(self._tensors.ggml_nelements(tensor), np.float32)
            self._tensors.ggml_backend_tensor_get(tensor, rows.ctypes.data, 0, rows.nbytes)
            self._parts[layer].append(rows)
        return layer is not None or not before


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


@cache
def _tensor_library() -> Any:
    """The functions of ggml that read a tensor. llama.cpp's library brings them into the process."""
    library = ctypes.CDLL(lib._lib._name)
    for name, arguments, result in (
        ("ggml_get_name", [ctypes.c_void_p], ctypes.c_char_p),
        ("ggml_nelements", [ctypes.c_void_p], ctypes.c_int64),
        ("ggml_backend_tensor_get", [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t], None),
    ):
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, result
    return library
