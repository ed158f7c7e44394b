"""The C API of ik_llama.cpp, as the package ik-llama-cpp-python brings it, under the names of llama.cpp's own.

The package binds a part of the API; the structures and that part come from it, the other calls are bound here. Calls
into the vocabulary take the model, where llama.cpp's take a vocabulary: so the model serves as its own vocabulary.
"""

from __future__ import annotations

import ctypes
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from speculatoviz.errors import ModelError, reason_of

PACKAGE = "ik-llama-cpp-python"
VERSION = "0.1.5"  # of the package: other versions have other structures

_HANDLE, _INT, _BOOL, _TEXT = ctypes.c_void_p, ctypes.c_int32, ctypes.c_bool, ctypes.c_char_p
_SIZE, _FLAGS = ctypes.c_size_t, ctypes.c_uint32
_NO_TYPE = 400  # GGML_TYPE_COUNT: of a tensor for which no type is given
_FLOATS, _TOKENS = ctypes.POINTER(ctypes.c_float), ctypes.POINTER(ctypes.c_int32)


class CacheView(ctypes.Structure):
    """`struct llama_kv_cache_view`: how many cells there are and are used, and the longest run of free ones."""

    _fields_ = (
        ("n_cells", _INT),
        ("n_seq_max", _INT),
        ("token_count", _INT),
        ("used_cells", _INT),
        ("max_contiguous", _INT),
        ("max_contiguous_idx", _INT),
        ("cells", _HANDLE),
        ("cells_sequences", _HANDLE),
    )


class QuantiseParams(ctypes.Structure):
    """`struct llama_model_quantize_params`. types: of single tensors."""

    _fields_ = (
        ("nthread", _INT),
        ("ftype", _INT),
        ("types", _INT * 11),
        ("allow_requantize", _BOOL),
        ("quantize_output_tensor", _BOOL),
        ("only_copy", _BOOL),
        ("pure", _BOOL),
        ("keep_split", _BOOL),
        ("ignore_imatrix_rules", _BOOL),
        ("only_repack", _BOOL),
        ("dry_run", _BOOL),
        ("partial_requant", _BOOL),
        ("imatrix", _HANDLE),
        ("kv_overrides", _HANDLE),
        ("custom_quants", _HANDLE),
        ("repack_pattern", _HANDLE),
    )


# llama.cpp's name: ik_llama.cpp's name, the types of the arguments, the type of the result
_CALLS: dict[str, tuple[str, list[Any], Any]] = {
    "llama_model_free": ("llama_free_model", [_HANDLE], None),
    "llama_model_is_recurrent": ("llama_model_is_recurrent", [_HANDLE], _BOOL),
    "llama_model_is_hybrid": ("llama_model_is_hybrid", [_HANDLE], _BOOL),
    "llama_model_n_layer": ("llama_n_layer", [_HANDLE], _INT),
    "llama_model_n_embd": ("llama_model_n_embd", [_HANDLE], _INT),
    "llama_model_n_ctx_train": ("llama_n_ctx_train", [_HANDLE], _INT),
    "llama_model_meta_val_str": ("llama_model_meta_val_str", [_HANDLE, _TEXT, _TEXT, _SIZE], _INT),
    "llama_supports_gpu_offload": ("llama_supports_gpu_offload", [], _BOOL),
    "llama_model_quantize_default_params": ("llama_model_quantize_default_params", [], QuantiseParams),
    "llama_model_quantize": (
        "llama_model_quantize",
        [_TEXT, _TEXT, ctypes.POINTER(QuantiseParams)],
        ctypes.c_uint32,
    ),
    "llama_log_set": ("llama_log_set", [_HANDLE, _HANDLE], None),
    "llama_get_logits": ("llama_get_logits", [_HANDLE], _FLOATS),
    "llama_kv_cache_seq_rm": ("llama_kv_cache_seq_rm", [_HANDLE, _INT, _INT, _INT], _BOOL),
    "llama_kv_cache_seq_cp": ("llama_kv_cache_seq_cp", [_HANDLE, _INT, _INT, _INT, _INT], None),
    "llama_kv_cache_defrag": ("llama_kv_cache_defrag", [_HANDLE], None),
    "llama_kv_cache_update": ("llama_kv_cache_update", [_HANDLE], _INT),
    "llama_kv_cache_view_init": ("llama_kv_cache_view_init", [_HANDLE, _INT], CacheView),
    "llama_kv_cache_view_update": ("llama_kv_cache_view_update", [_HANDLE, ctypes.POINTER(CacheView)], None),
    "llama_kv_cache_view_free": ("llama_kv_cache_view_free", [ctypes.POINTER(CacheView)], None),
    "llama_state_seq_get_size": ("llama_state_seq_get_size", [_HANDLE, _INT, _FLAGS], _SIZE),
    "llama_state_seq_get_data": ("llama_state_seq_get_data", [_HANDLE, _HANDLE, _SIZE, _INT, _FLAGS], _SIZE),
    "llama_state_seq_set_data": ("llama_state_seq_set_data", [_HANDLE, _HANDLE, _SIZE, _INT, _FLAGS], _SIZE),
    "llama_vocab_n_tokens": ("llama_n_vocab", [_HANDLE], _INT),
    "llama_vocab_bos": ("llama_token_bos", [_HANDLE], _INT),
    "llama_vocab_eos": ("llama_token_eos", [_HANDLE], _INT),
    "llama_vocab_eot": ("llama_token_eot", [_HANDLE], _INT),
    "llama_vocab_sep": ("llama_token_sep", [_HANDLE], _INT),
    "llama_vocab_pad": ("llama_token_pad", [_HANDLE], _INT),
    "llama_vocab_get_add_bos": ("llama_add_bos_token", [_HANDLE], _INT),
    "llama_vocab_get_text": ("llama_token_get_text", [_HANDLE, _INT], _TEXT),
    "llama_vocab_is_eog": ("llama_token_is_eog", [_HANDLE, _INT], _BOOL),
    "llama_vocab_get_attr": ("llama_token_get_attr", [_HANDLE, _INT], _INT),
    "llama_tokenize": ("llama_tokenize", [_HANDLE, _TEXT, _INT, _TOKENS, _INT, _BOOL, _BOOL], _INT),
    "llama_token_to_piece": ("llama_token_to_piece", [_HANDLE, _INT, _TEXT, _INT, _INT, _BOOL], _INT),
}
# What the package binds, with the structures that these calls take.
_OF_THE_PACKAGE = (
    "llama_token",
    "llama_model_default_params",
    "llama_context_default_params",
    "llama_model_load_from_file",
    "llama_init_from_model",
    "llama_free",
    "llama_batch_init",
    "llama_batch_free",
    "llama_decode",
)


class IkLibrary:
    """ik_llama.cpp with llama.cpp's names. Use `library()`, which loads and checks it once."""

    llama_log_callback = ctypes.CFUNCTYPE(None, ctypes.c_int, _TEXT, _HANDLE)

    def __init__(self, package: Any) -> None:
        self._shared = package._lib
        for name in _OF_THE_PACKAGE:
            setattr(self, name, getattr(package, name))
        for name, (symbol, arguments, result) in _CALLS.items():
            # A prototype of its own: the package binds some of these symbols with other types.
            setattr(self, name, ctypes.CFUNCTYPE(result, *arguments)((symbol, self._shared)))
        # What `WatchedTensors` needs: the shared library, and its type of a callback for the nodes of a graph.
        self.watching = self._shared, dict(package.llama_context_params._fields_)["cb_eval"]

    def __getattr__(self, name: str) -> Any:  # for the type checker: all calls are set in __init__
        raise AttributeError(name)

    def llama_model_get_vocab(self, model: Any) -> Any:
        return model

    def llama_vocab_mask(self, _model: Any) -> int:
        """None: this API does not tell, and no causal language model has one."""
        return -1


@cache
def library() -> IkLibrary:
    """The library. Raises ImportError if it is not installed, ModelError if it is another version than VERSION."""
    try:
        found = version(PACKAGE)
    except PackageNotFoundError as error:
        raise ImportError(f"No package named {PACKAGE!r}") from error
    if found != VERSION:
        raise _unusable(f"{PACKAGE} {found} is installed, and only {VERSION} can be used")
    try:
        loaded = IkLibrary(import_module("ik_llama_cpp._ctypes_api"))
    except (OSError, AttributeError) as error:  # a library that cannot be loaded, or lacks a call
        raise _unusable(f"{PACKAGE} cannot be loaded ({reason_of(error)})") from error
    _require_layout(loaded)
    return loaded


def _require_layout(lib: IkLibrary) -> None:
    """Raises ModelError unless the default parameters are where the structures expect them.

    IK_LLAMA_CPP_LIB_PATH can name a library that was built from other sources.
    """
    model, context = lib.llama_model_default_params(), lib.llama_context_default_params()
    of_model = (model.n_k_first, model.use_mmap, model.repack_tensors, model.flash_attn)
    of_context = (context.n_batch, context.defrag_thold, context.embeddings, context.flash_attn, context.min_experts)
    quantise = lib.llama_model_quantize_default_params()
    of_quantising = (set(quantise.types) == {_NO_TYPE}, quantise.quantize_output_tensor, quantise.pure)
    expected = (-1, True, False, True), (2048, -1.0, False, True, -1), (True, True, False)
    if (of_model, of_context, of_quantising) != expected:
        raise _unusable(f"The library of {PACKAGE} has other structures than those of version {VERSION}")


def _unusable(problem: str) -> ModelError:
    return ModelError(f"{problem}.", f"Run `pip install {PACKAGE}=={VERSION}`, or load the model with another runtime.")
