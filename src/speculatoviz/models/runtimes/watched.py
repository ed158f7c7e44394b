"""Tensors of the graph that a library computes in a pass, read by the names that the library gives them.

llama.cpp and its relatives call the function `cb_eval` for every node of the graph, before and after it is computed. It
is public and works with every architecture whose graph names these tensors, but it has to be set when a context is
opened, and the calls cost 0.5 to 1.5 milliseconds for each pass.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from speculatoviz.core.types import Floats

STATES = "result_norm"  # the rows that the output matrix multiplies: the hidden states


def input_of(layer: int) -> str:
    """The name of a layer's input: the output of the layer before it."""
    return f"l_out-{layer - 1}"


class WatchedTensors:
    """Copies of the wanted tensors of one context's last pass.

    library: the shared library that brings ggml, as ctypes loaded it. callback: its type of `cb_eval`.
    """

    def __init__(self, library: ctypes.CDLL, callback: Any) -> None:
        self._library, self._type = library, callback
        self._functions = tensor_functions(library)
        self._parts: dict[bytes, list[Floats]] = {}
        self._callback = callback(self._visit)  # lives as long as the context

    def opened(self, params: Any) -> WatchedTensors:
        """For a context that is opened next with these parameters, in which the callback is set."""
        made = WatchedTensors(self._library, self._type)
        params.cb_eval = made._callback
        return made

    def want(self, names: Iterable[str]) -> None:
        """Copy the tensors of these names in the next pass, and no others."""
        self._parts = {name.encode(): [] for name in names}

    def read(self, name: str, rows: int, width: int) -> Floats | None:
        """A wanted tensor float32[rows, width] of the last pass; None if the graph has no such tensor."""
        found = np.concatenate(self._parts[name.encode()] or [np.empty(0, np.float32)])
        return found[: rows * width].reshape(rows, width) if len(found) >= rows * width else None

    def _visit(self, tensor: int, before: bool, _: Any) -> bool:
        """Called by the library for each node. Before it is computed: whether it is to be shown afterwards."""
        parts = self._parts.get(self._functions["ggml_get_name"](tensor)) if self._parts else None
        if parts is not None and not before:
            rows = np.empty(self._functions["ggml_nelements"](tensor), np.float32)
            self._functions["ggml_backend_tensor_get"](tensor, rows.ctypes.data, 0, rows.nbytes)
            parts.append(rows)
        return parts is not None or not before


def tensor_functions(library: ctypes.CDLL) -> Mapping[str, Any]:
    """The functions of ggml that read a tensor. Raises AttributeError if the library lacks one."""
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    types = {
        "ggml_get_name": ctypes.CFUNCTYPE(ctypes.c_char_p, pointer),
        "ggml_nelements": ctypes.CFUNCTYPE(ctypes.c_int64, pointer),
        "ggml_backend_tensor_get": ctypes.CFUNCTYPE(None, pointer, pointer, size, size),
    }
    return {name: prototype((name, library)) for name, prototype in types.items()}
