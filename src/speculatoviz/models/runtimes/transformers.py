"""Hugging Face transformers on PyTorch: one pass per context, over a KV cache that is allocated once.

Weights are safetensors, or a GGUF file that is dequantised while it is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import transformers
from transformers import modeling_gguf_pytorch_utils
from transformers.cache_utils import DynamicCache, DynamicSlidingWindowLayer

from speculatoviz.errors import ModelError
from speculatoviz.machine import on_threads, usable_cores
from speculatoviz.models.base import (
    Capability,
    Context,
    ContextBudget,
    Description,
    Feed,
    LocalTokenizer,
    Rows,
    check_feeds,
    check_finite,
    check_layers,
    load_errors,
)
from speculatoviz.models.files.config import read_config
from speculatoviz.models.files.decoder import require_decoder
from speculatoviz.models.files.gguf import GgufFile, read
from speculatoviz.models.gguf_runtimes import open_vocabulary
from speculatoviz.models.libraries import gguf_runtimes
from speculatoviz.models.rewinder import require_rewinding
from speculatoviz.models.runtimes.torch_device import torch_device, torch_dtype
from speculatoviz.models.runtimes.transformers_contexts import (
    COPIED,
    CUT,
    RecurrentContext,
    SharedCells,
    TransformersContext,
)
from speculatoviz.models.runtimes.transformers_exit import first_layers
from speculatoviz.models.shared_window import FirstLayers
from speculatoviz.models.tokenizers.hub import HubTokenizer
from speculatoviz.models.tree import depths, visible

_COMPLETE = "Check that it is a complete causal language model with safetensors, and that it fits into memory."
_NAMES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}


class TransformersModel:
    """A causal language model of the transformers library.

    source: a folder with safetensors, or a GGUF file. context_tokens: what all contexts hold together. device: a name
    that PyTorch knows, or auto. dtype: float32, bfloat16, float16, or auto. Raises ModelError if it cannot be loaded,
    cannot rewind, or computes logits that are not finite.
    """

    def __init__(
        self,
        source: Path,
        context_tokens: int = 4096,
        threads: int | None = None,
        *,
        device: str = "auto",
        dtype: str = "auto",
        name: str | None = None,
    ) -> None:
        if source.is_file():
            _require_one_file(read(source))
        else:
            read_config(source)
        self.device = torch_device(device)
        self._dtype = torch_dtype(dtype, self.device)
        threads = threads or usable_cores()
        torch.set_num_threads(threads)
        with load_errors("transformers", source, _COMPLETE):
            self._model: Any = load_weights(source, self.device, self._dtype)
            config = self._model.config.get_text_config(decoder=True)
            kinds = _kinds_of_layers(self._model, source)
            self._recurrent = bool(kinds & COPIED)
            self._cache_name = "cache_params" if kinds <= COPIED else "past_key_values"  # of models without attention
            self.provides = _provided(kinds)
            self.layer_count = int(config.num_hidden_layers)
            self.layer_width = int(config.hidden_size)
            self.tokenizer = _tokenizer(source, self._output_rows(source.name))
            self.description = Description(
                name=name or (source.stem if source.is_file() else source.name),
                runtime="transformers",
                quantisation=_NAMES.get(self._dtype, str(self._dtype)) + (" of GGUF" if source.is_file() else ""),
                parameters=sum(tensor.numel() for tensor in self._model.parameters()),
                size_bytes=sum(tensor.numel() * tensor.element_size() for tensor in self._model.parameters()),
                context_tokens=min(context_tokens, int(getattr(config, "max_position_embeddings", context_tokens))),
                computes_on=_computes_on(self.device, threads),
                gguf=source if source.is_file() else None,
            )
        self._budget = ContextBudget(context_tokens)
        self._beside: TransformersContext | None = None  # of first layers: whose cells they use
        if self._recurrent:
            require_rewinding(self, lambda: _cannot_rewind(source))

    @property
    def library_model(self) -> Any:
        """The library's model."""
        return self._model

    def first_layers(self, count: int, context: Context) -> FirstLayers:
        """See `EarlyExitModel.first_layers`. Recurrent layers have no cells to share."""
        name = self.description.name
        if not isinstance(context, TransformersContext) or not 0 < count < self.layer_count:
            raise ModelError(
                f"{name} has {self.layer_count} layers, of which {count} cannot draft.",
                f"Choose a number from 1 to {self.layer_count - 1}.",
            )
        shorter = None if self._recurrent else first_layers(self._model, count)
        if shorter is None:
            raise ModelError(f"The first layers of {name} cannot be computed alone.", "Choose another drafter.")
        part = copy(self)
        part._model, part.layer_count, part._beside = shorter, count, context
        part.provides = self.provides & {"trees"}
        about = f"{name}, the first {count} of its {self.layer_count} layers"
        part.description = replace(self.description, name=about, parameters=None, size_bytes=None)
        return cast("FirstLayers", part)

    def new_layers(self) -> list[Any]:
        """The library's own layers of a cache."""
        return list(DynamicCache(config=self._model.config).layers)

    def _output_rows(self, name: str) -> int:
        """V, the rows of the output matrix. The logits of a pass over one token have to be finite."""
        rows = int(self._model.get_output_embeddings().weight.shape[0])
        with torch.inference_mode():
            check_finite(_array(self._model(input_ids=torch.tensor([[0]], device=self.device)).logits[0]), name)
        return rows

    def open(self, size: int) -> TransformersContext:
        """A new context. Raises ContextFullError if there is no room. Of first layers, the one beside the whole's."""
        if self._beside is not None:
            return SharedCells(self, self._beside, self.layer_count)
        self._budget.reserve(size)
        return (RecurrentContext if self._recurrent else TransformersContext)(self, size)

    def release(self, context: TransformersContext) -> None:
        """Return the size of a closed context to the budget."""
        if self._beside is None:
            self._budget.release(context.size)

    def forward(self, feeds: Sequence[Feed]) -> list[Rows]:
        """One pass per feed, in turn. Raises ModelError if memory runs out."""
        check_feeds(self, feeds)
        for feed in feeds:
            check_layers(feed.layers, self.layer_count, self.description.name)
        before = [feed.context.length for feed in feeds]
        try:
            return [self._pass(feed) for feed in feeds]
        except Exception as error:
            for feed, length in zip(feeds, before, strict=True):
                _own(feed).undo(length)
            if isinstance(error, torch.OutOfMemoryError):
                raise ModelError("PyTorch ran out of memory in a pass.", "Lower the context size.") from error
            raise

    def close(self) -> None:
        """Free the weights, unless they are those of a whole model."""
        if self._beside is not None:
            return
        self.tokenizer.close()
        self._model = None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _pass(self, feed: Feed) -> Rows:
        context = _own(feed)
        context.prepare(feed)
        rows = self.compute(feed)
        context.grow(feed)
        return rows

    def compute(self, feed: Feed) -> Rows:
        """A pass over the tokens of `feed` after those that the context holds, without counting them."""
        with torch.inference_mode():
            return self._compute(feed)

    def _compute(self, feed: Feed) -> Rows:
        context = _own(feed)
        before, rows = context.held, len(feed.tokens) if feed.rows == "all" else 1
        positions = list(range(len(feed.tokens))) if feed.parents is None else depths(feed.parents)
        with self._attention_shown(feed.attention):
            out = self._model(
                input_ids=torch.tensor([list(feed.tokens)], device=self.device),
                position_ids=torch.tensor([positions], device=self.device) + before,
                attention_mask=self._tree_mask(feed, before),
                **{self._cache_name: context.cache},
                use_cache=True,
                logits_to_keep=rows,
                output_hidden_states=feed.hidden or bool(feed.layers),
                output_attentions=feed.attention,
            )
        logits = _array(out.logits[0])
        return Rows(
            logits[-rows:],
            _array(out.hidden_states[-1][0, -rows:]) if feed.hidden else None,
            np.stack([_array(layer[0, :, -rows:]) for layer in out.attentions]) if feed.attention else None,
            np.concatenate([_array(out.hidden_states[i][0]) for i in feed.layers], axis=1) if feed.layers else None,
        )

    def _tree_mask(self, feed: Feed, before: int) -> torch.Tensor | None:
        """float[1, 1, n, before + n], added to the scores: 0 if a node attends to a token, else the lowest number."""
        if feed.parents is None:
            return None
        tree = torch.from_numpy(visible(feed.parents))
        sees = torch.cat([torch.ones(len(tree), before, dtype=torch.bool), tree], dim=1).to(self.device)
        lowest = torch.finfo(self._dtype).min
        return torch.zeros(sees.shape, dtype=self._dtype, device=self.device).masked_fill(~sees, lowest)[None, None]

    @contextmanager
    def _attention_shown(self, shown: bool) -> Iterator[None]:
        """Use the plain implementation of attention for a pass that asks for its weights: fast ones give none."""
        usual = self._model.config._attn_implementation
        if shown:
            self._model.set_attn_implementation("eager")
        try:
            yield
        finally:
            if shown:
                self._model.set_attn_implementation(usual)


def _own(feed: Feed) -> TransformersContext:
    if not isinstance(feed.context, TransformersContext):
        raise TypeError(f"expected a transformers context, got {type(feed.context).__name__}")
    return feed.context


def _array(tensor: torch.Tensor) -> Any:
    return tensor.float().cpu().numpy()


def load_weights(source: Path, device: torch.device, dtype: torch.dtype) -> Any:
    """The library's model of a folder or a GGUF file. Raises ModelError if weights are missing there."""
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    where: dict[str, Any] = {"gguf_file": source.name} if source.is_file() else {"use_safetensors": True}
    with _no_bar():
        model, loaded = transformers.AutoModelForCausalLM.from_pretrained(
            source.parent if source.is_file() else source,
            dtype=dtype,
            local_files_only=True,
            output_loading_info=True,
            **where,
        )
    lacking = sorted({*loaded["missing_keys"], *(str(key) for key in loaded["mismatched_keys"])})
    if lacking:  # the library would begin with random numbers
        raise ModelError(
            f"{source} does not hold {len(lacking)} of the model's weights, such as {lacking[0]}.", _COMPLETE
        )
    return model.to(device).eval()


def _require_one_file(file: GgufFile) -> None:
    """Raises ModelError if it is no causal language model, or split: the library reads one file alone."""
    require_decoder(file)
    if len(file.parts) > 1:
        raise ModelError(
            f"transformers cannot read {file.path}, which is split into {len(file.parts)} files.",
            "Load it with llama.cpp, or name a file that is not split.",
        )


@contextmanager
def _no_bar() -> Iterator[None]:
    """Without the progress bar that transformers draws for GGUF files, which has no switch."""
    bar, modeling_gguf_pytorch_utils.tqdm = modeling_gguf_pytorch_utils.tqdm, lambda tensors, **_: tensors
    try:
        yield
    finally:
        modeling_gguf_pytorch_utils.tqdm = bar


def _kinds_of_layers(model: Any, source: Path) -> set[type]:
    """The types of the library's cache layers. Raises ModelError if one can neither be cut nor copied."""
    kinds = {type(layer) for layer in DynamicCache(config=model.config).layers}
    if not kinds <= CUT | COPIED:
        raise _cannot_rewind(source)
    return kinds


def _provided(kinds: set[type]) -> frozenset[Capability]:
    if kinds & COPIED:  # a recurrent layer reads tokens in their order, and has no attention to show
        return frozenset({"hidden", "layers"})
    every: frozenset[Capability] = frozenset({"trees", "hidden", "layers", "attention"})
    return every - {"trees"} if DynamicSlidingWindowLayer in kinds else every


def _cannot_rewind(source: Path) -> ModelError:
    return ModelError(
        f"{source.name} cannot rewind its context.",
        "Load a GGUF file with llama.cpp, or choose a model without recurrent layers: speculation takes tokens back.",
    )


def _tokenizer(source: Path, n_vocab: int) -> LocalTokenizer:
    if source.is_file():
        return open_vocabulary(gguf_runtimes()[0], source)
    return HubTokenizer(source, n_vocab)


def _computes_on(device: torch.device, threads: int) -> str:
    if device.type == "cuda":
        return f"GPU, {torch.cuda.get_device_name(device)}"
    return on_threads(threads) if device.type == "cpu" else device.type
