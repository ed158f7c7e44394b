"""The next-token layer that a model carries itself (multi-token prediction), in a context beside the target's.

Its decoder takes the same pairs as an EAGLE-3 head: a token, and a state, which is the target's hidden state at the
token before, or the layer's own output. It uses the target's weights, so nothing is loaded.
"""

from __future__ import annotations

import llama_cpp.llama_cpp as lib
import numpy as np

from speculatoviz.core.types import Floats
from speculatoviz.models.runtimes.llamacpp import LlamaCppModel
from speculatoviz.models.runtimes.llamacpp_eagle3 import LlamaCppEagle3, extension, require_extension


class LlamaCppMtp(LlamaCppEagle3):
    """The layer of `target`: see `models.eagle3_graph.Eagle3Graph`. It has to be closed before the target.

    cells: pairs that it can hold. Raises ModelError if the library cannot compute it, or has no memory.
    """

    def __init__(self, target: LlamaCppModel, cells: int) -> None:
        require_extension(target.path.name)
        self._closed, self._companion, self._model = False, None, None
        self._context = target.open_mtp(self._params(cells, target.threads))
        self.hidden_size, self._columns = target.layer_width, target.tokenizer.n_vocab
        self.vocabulary = np.arange(self._columns, dtype=np.int32)
        self._memory = lib.llama_get_memory(self._context)
        self._batch = lib.llama_batch_ext_init(self._context)
        extension().llama_set_embeddings_nextn(self._context, True, True)

    def fuse(self, features: Floats) -> Floats:
        """The target's hidden states are the layer's input as they are."""
        return features
