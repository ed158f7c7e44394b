"""Small graphs on ggml's kernels, for draft heads that llama.cpp has no architecture for.

ggml is the tensor library of llama.cpp, and part of its Python package. Shapes are given as in NumPy, rows first; ggml
itself counts dimensions the other way round. All results are float32.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, NamedTuple

import gguf
import numpy as np
import numpy.typing as npt

from speculatoviz.core.types import Floats, Ints
from speculatoviz.errors import ModelError, reason_of

_F32, _I32 = int(gguf.GGMLQuantizationType.F32), int(gguf.GGMLQuantizationType.I32)
_BLOCK = 32  # columns that are quantised together
_HALVES = 2  # GGML_ROPE_TYPE_NEOX: the two halves of a head's numbers make the pairs that are rotated


class Tensor(NamedTuple):
    """A tensor of ggml's. shape: as in NumPy."""

    handle: int
    shape: tuple[int, ...]


class Stored:
    """Tensors that stay in memory until this object is collected.

    arrays: float32, by name. Matrices whose rows have a multiple of 32 numbers are stored in 8 bits (Q8_0) if `small`,
    all others as float32. Raises ModelError if the library is not installed, or lacks a function.
    """

    def __init__(self, arrays: Mapping[str, Floats], *, small: bool) -> None:
        library = kernels()
        kinds = {name: _kind(array, small) for name, array in arrays.items()}
        stored = {name: _bytes(array, kinds[name]) for name, array in arrays.items()}
        overhead = int(library.ggml_tensor_overhead()) + 64
        self._context = library.ggml_init(_Memory(sum(d.nbytes + overhead for d in stored.values()), None, False))
        if not self._context:
            raise ModelError("There is no memory for a draft head.", "Choose another drafter.")
        weakref.finalize(self, library.ggml_free, self._context)
        self._tensors = {name: _new(library, self._context, kinds[name], array.shape) for name, array in arrays.items()}
        for name, data in stored.items():
            target = ctypes.cast(library.ggml_get_data(self._tensors[name].handle), ctypes.POINTER(ctypes.c_uint8))
            np.ctypeslib.as_array(target, shape=data.shape)[:] = data

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[name]

    def array(self, name: str) -> Floats:
        """A tensor of float32 as an array over its own memory, valid while this object is."""
        return _array(kernels(), self._tensors[name])


class Pass(AbstractContextManager["Pass"]):
    """One graph: operations are added, then it is computed. All of its memory is freed at the end.

    numbers, operations: the most float32 numbers that its inputs and results have together, and the most operations.
    threads: that compute it. Weights are tensors of `Stored`. Raises ModelError if there is no memory.
    """

    def __init__(self, numbers: int, threads: int, operations: int = 128) -> None:
        self._library, self._threads = kernels(), threads
        library, most = self._library, 2 * operations  # with their inputs
        own = most * (int(library.ggml_tensor_overhead()) + 64) + int(library.ggml_graph_overhead_custom(most, False))
        # As much again, for what the kernels need beside: inputs in 8 bits, and padding.
        self._context = library.ggml_init(_Memory(8 * numbers + own + (1 << 20), None, False))
        if not self._context:
            raise ModelError("There is no memory for a pass of the draft head.", "Choose another drafter.")
        self._graph = library.ggml_new_graph_custom(self._context, most, False)

    def __exit__(self, *_: object) -> None:
        self._library.ggml_free(self._context)

    # --- inputs and results ---------------------------------------------------------------------------------

    def floats(self, array: Floats) -> Tensor:
        """An input float32[...]."""
        tensor = _new(self._library, self._context, _F32, array.shape)
        _array(self._library, tensor)[...] = array
        return tensor

    def integers(self, array: Ints) -> Tensor:
        """An input int32[n]."""
        tensor = _new(self._library, self._context, _I32, array.shape)
        pointer = ctypes.cast(self._library.ggml_get_data(tensor.handle), ctypes.POINTER(ctypes.c_int32))
        np.ctypeslib.as_array(pointer, shape=array.shape)[:] = array
        return tensor

    def compute(self, *wanted: Tensor) -> list[Floats]:
        """Compute the graph. Copies of the wanted results. Raises ModelError if ggml cannot compute it."""
        for tensor in wanted:
            self._library.ggml_build_forward_expand(self._graph, tensor.handle)
        code = int(self._library.ggml_graph_compute_with_ctx(self._context, self._graph, self._threads))
        if code != 0:
            raise ModelError(f"ggml refused a pass of the draft head (code {code}).", "Choose another drafter.")
        return [_array(self._library, tensor).copy() for tensor in wanted]

    # --- operations -----------------------------------------------------------------------------------------

    def linear(self, x: Tensor, matrix: Tensor) -> Tensor:
        """x @ matrix.T, [..., n, rows], of x [..., n, columns] and matrix [..., rows, columns]."""
        return self._made("ggml_mul_mat", (*x.shape[:-1], matrix.shape[-2]), matrix.handle, x.handle)

    def norm(self, x: Tensor, epsilon: float, weight: Tensor | None = None) -> Tensor:
        """x / sqrt(mean(x^2) + epsilon), times weight [D] if there is one, of x [n, D]."""
        normal = self._made("ggml_rms_norm", x.shape, x.handle, epsilon)
        return normal if weight is None else self._made("ggml_mul", x.shape, normal.handle, weight.handle)

    def add(self, x: Tensor, other: Tensor) -> Tensor:
        """x + other; a vector [D] is added to every row of x [n, D]."""
        return self._made("ggml_add", x.shape, x.handle, other.handle)

    def silu(self, x: Tensor) -> Tensor:
        """x * sigmoid(x)."""
        return self._made("ggml_silu", x.shape, x.handle)

    def gated(self, gate: Tensor, up: Tensor) -> Tensor:
        """silu(gate) * up."""
        return self._made("ggml_swiglu_split", gate.shape, gate.handle, up.handle)

    def joined(self, parts: Sequence[Tensor], axis: int) -> Tensor:
        """Matrices side by side (axis 1) or one below the other (axis 0)."""
        result = parts[0]
        for part in parts[1:]:
            shape = list(result.shape)
            shape[axis] += part.shape[axis]
            result = self._made("ggml_concat", tuple(shape), result.handle, part.handle, len(shape) - 1 - axis)
        return result

    def rotated(self, x: Tensor, positions: Tensor, theta: float) -> Tensor:
        """x [n, H, W] with rotary embeddings (Su et al. 2021, section 3.2.2), at positions [n].

        Number j of the first half of W and number j of the second are rotated by position * theta^(-2j / W).
        """
        numbers = (None, x.shape[-1], _HALVES, 0, theta, 1.0, 0.0, 1.0, 0.0, 0.0)
        return self._made("ggml_rope_ext", x.shape, x.handle, positions.handle, *numbers)

    def softmax(self, x: Tensor, scale: float, added: Tensor | None) -> Tensor:
        """softmax(scale * x + added) over the last axis, of x [H, n, m] and added [n, m]."""
        return self._made("ggml_soft_max_ext", x.shape, x.handle, None if added is None else added.handle, scale, 0.0)

    def reshaped(self, x: Tensor, shape: tuple[int, int] | tuple[int, int, int]) -> Tensor:
        """x, whose numbers are in order, in another shape."""
        return self._made(f"ggml_reshape_{len(shape)}d", shape, x.handle, *reversed(shape))

    def swapped(self, x: Tensor) -> Tensor:
        """x [a, b, c] as [b, a, c], or x [a, b] as [b, a]; its numbers stay where they are."""
        a, b = x.shape[:2]
        if len(x.shape) == 2:
            return self._made("ggml_transpose", (b, a), x.handle)
        return self._made("ggml_permute", (b, a, *x.shape[2:]), x.handle, 0, 2, 1, 3)

    def in_order(self, x: Tensor) -> Tensor:
        """A copy of x with its numbers in order."""
        return self._made("ggml_cont", x.shape, x.handle)

    def part(self, x: Tensor, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> Tensor:
        """Numbers of x, float32, from number `offset` on. strides: numbers from one row (and slice) to the next."""
        steps = [4 * stride for stride in reversed(strides)]
        return self._made(f"ggml_view_{len(shape)}d", shape, x.handle, *reversed(shape), *steps, 4 * offset)

    def write(self, x: Tensor, place: Tensor) -> None:
        """Copy x to a part of a stored tensor, before all operations that are added later."""
        copied = self._made("ggml_cpy", place.shape, x.handle, place.handle)
        self._library.ggml_build_forward_expand(self._graph, copied.handle)

    def _made(self, function: str, shape: tuple[int, ...], *arguments: Any) -> Tensor:
        return Tensor(getattr(self._library, function)(self._context, *arguments), shape)


class _Memory(ctypes.Structure):
    """ggml_init_params. A null buffer: the library allocates it."""

    _fields_ = (("size", ctypes.c_size_t), ("buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool))


_POINTER, _LONG, _SIZE, _FLOAT, _INT = (
    ctypes.c_void_p,
    ctypes.c_int64,
    ctypes.c_size_t,
    ctypes.c_float,
    ctypes.c_int,
)
_TWO, _THREE = [_POINTER] * 2, [_POINTER] * 3
# Result and arguments of each function, as ggml.h declares them; tensors and contexts are pointers.
_FUNCTIONS: Mapping[str, tuple[Any, list[Any]]] = {
    "ggml_init": (_POINTER, [_Memory]),
    "ggml_free": (None, [_POINTER]),
    "ggml_tensor_overhead": (_SIZE, []),
    "ggml_graph_overhead_custom": (_SIZE, [_SIZE, ctypes.c_bool]),
    "ggml_new_tensor_1d": (_POINTER, [_POINTER, _INT, _LONG]),
    "ggml_new_tensor_2d": (_POINTER, [_POINTER, _INT, _LONG, _LONG]),
    "ggml_new_graph_custom": (_POINTER, [_POINTER, _SIZE, ctypes.c_bool]),
    "ggml_build_forward_expand": (None, _TWO),
    "ggml_graph_compute_with_ctx": (_INT, [*_TWO, _INT]),
    "ggml_get_data": (_POINTER, [_POINTER]),
    "ggml_mul_mat": (_POINTER, _THREE),
    "ggml_rms_norm": (_POINTER, [*_TWO, _FLOAT]),
    "ggml_mul": (_POINTER, _THREE),
    "ggml_add": (_POINTER, _THREE),
    "ggml_silu": (_POINTER, _TWO),
    "ggml_swiglu_split": (_POINTER, _THREE),
    "ggml_concat": (_POINTER, [*_THREE, _INT]),
    "ggml_rope_ext": (_POINTER, [*_THREE, _POINTER, _INT, _INT, _INT, *[_FLOAT] * 6]),
    "ggml_soft_max_ext": (_POINTER, [*_THREE, _FLOAT, _FLOAT]),
    "ggml_reshape_2d": (_POINTER, [*_TWO, _LONG, _LONG]),
    "ggml_reshape_3d": (_POINTER, [*_TWO, _LONG, _LONG, _LONG]),
    "ggml_transpose": (_POINTER, _TWO),
    "ggml_permute": (_POINTER, [*_TWO, _INT, _INT, _INT, _INT]),
    "ggml_cont": (_POINTER, _TWO),
    "ggml_cpy": (_POINTER, _THREE),
    "ggml_view_1d": (_POINTER, [*_TWO, _LONG, _SIZE]),
    "ggml_view_2d": (_POINTER, [*_TWO, _LONG, _LONG, _SIZE, _SIZE]),
    "ggml_view_3d": (_POINTER, [*_TWO, _LONG, _LONG, _LONG, _SIZE, _SIZE, _SIZE]),
}


@cache
def kernels() -> Any:
    """ggml's functions. Raises ModelError if llama.cpp is not installed, or its library does not have them all."""
    install = "Run `pip install 'speculatoviz[llamacpp]'`, or choose another drafter."
    try:
        import llama_cpp.llama_cpp as lib

        library = ctypes.CDLL(lib._lib._name)
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (ImportError, AttributeError, OSError) as error:
        raise ModelError(
            f"llama.cpp, whose kernels compute draft heads, cannot be used ({reason_of(error)}).", install
        ) from error
    return library


def _kind(array: Floats, small: bool) -> int:
    eight_bits = small and array.ndim == 2 and array.shape[1] % _BLOCK == 0
    return int(gguf.GGMLQuantizationType.Q8_0 if eight_bits else gguf.GGMLQuantizationType.F32)


def _bytes(array: Floats, kind: int) -> npt.NDArray[np.uint8]:
    array = np.ascontiguousarray(array, np.float32)
    data = array if kind == _F32 else gguf.quantize(array, gguf.GGMLQuantizationType(kind))
    return data.reshape(-1).view(np.uint8)


def _new(library: Any, context: int, kind: int, shape: tuple[int, ...]) -> Tensor:
    made = library.ggml_new_tensor_1d if len(shape) == 1 else library.ggml_new_tensor_2d
    return Tensor(made(context, kind, *reversed(shape)), shape)


def _array(library: Any, tensor: Tensor) -> Floats:
    pointer = ctypes.cast(library.ggml_get_data(tensor.handle), ctypes.POINTER(ctypes.c_float))
    return np.ctypeslib.as_array(pointer, shape=tensor.shape)
