"""Tensors of the graph that a library computes in a pass, read by the names that the library gives them.

llama.cpp and its relatives call the function `cb_eval` for every node of the graph, before and after it is computed. It
is public and works with every architecture whose graph names these tensors, but it has to be set when a context is
opened, and the calls cost every pass some time. A graph is computed in parts that end at the tensors that are copied.
One at the end needs no part of its own: nothing is computed later that could take its memory.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from speculatoviz.core.types import Floats

_LAST_NODES = 8
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
        self._last: deque[int] | None = None  # the last nodes of the graph, if only they are read
        self._callback = callback(self._visit)  # lives as long as the context

    def opened(self, params: Any) -> WatchedTensors:
        """For a context that is opened next with these parameters, in which the callback is set."""
        made = WatchedTensors(self._library, self._type)
        params.cb_eval = made._callback
        return made

    def want(self, names: Iterable[str], *, at_end: bool = False) -> None:
        """Copy the tensors of these names in the next pass, and no others.

        at_end: all of them are among the last nodes, and the pass computes one graph.
        """
        self._parts = {name.encode(): [] for name in names}
        self._last = deque(maxlen=_LAST_NODES) if at_end else None

    def read(self, name: str, rows: int, width: int) -> Floats | None:
        """A wanted tensor float32[rows, width] of the last pass; None if the graph has no such tensor."""
        if self._last is not None:
            self._copy_last()
        found = np.concatenate(self._parts[name.encode()] or [np.empty(0, np.float32)])
        return found[: rows * width].reshape(rows, width) if len(found) >= rows * width else None

    def _visit(self, tensor: int, before: bool, _: Any) -> bool:
        """Called by the library for each node. Before it is computed: whether it is to be shown afterwards."""
        if self._last is not None:
            self._last.append(tensor)
            return not before
        parts = self._parts.get(self._functions["ggml_get_name"](tensor)) if self._parts else None
        if parts is not None and not before:
            parts.append(self._copied(tensor))
        return parts is not None or not before

    def _copy_last(self) -> None:
        """After the pass."""
        for tensor in self._last or ():
            parts = self._parts.get(self._functions["ggml_get_name"](tensor))
            if parts is not None:
                parts.append(self._copied(tensor))
        self._last = None

    def _copied(self, tensor: int) -> Floats:
        numbers: Floats = np.empty(self._functions["ggml_nelements"](tensor), np.float32)
        self._functions["ggml_backend_tensor_get"](tensor, numbers.ctypes.data, 0, numbers.nbytes)
        return numbers


def tensor_functions(library: ctypes.CDLL) -> Mapping[str, Any]:
    """The functions of ggml that read a tensor. Raises AttributeError if the library lacks one."""
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    types = {
        "ggml_get_name": ctypes.CFUNCTYPE(ctypes.c_char_p, pointer),
        "ggml_nelements": ctypes.CFUNCTYPE(ctypes.c_int64, pointer),
        "ggml_backend_tensor_get": ctypes.CFUNCTYPE(None, pointer, pointer, size, size),
    }
    return {name: prototype((name, library)) for name, prototype in types.items()}
