"""The next-token layer that a model carries itself (multi-token prediction), in a context beside the target's.

Its decoder takes the same pairs as an EAGLE-3 head: a token, and a state, which is the target's hidden state at the
token before, or the layer's own output. It uses the target's weights, so nothing is loaded.
"""

from __future__ import annotations

import numpy as np

from speculatoviz.core.types import Floats
from speculatoviz.models.runtimes.llamacpp import LlamaCppModel
from speculatoviz.models.runtimes.llamacpp_eagle3 import LlamaCppEagle3
from speculatoviz.models.runtimes.llamacpp_head import require_extension


class LlamaCppMtp(LlamaCppEagle3):
    """The layer of `target`: see `models.eagle3_graph.Eagle3Graph`. It has to be closed before the target.

    cells: pairs that it can hold. Raises ModelError if the library cannot compute it, or has no memory.
    """

    def __init__(self, target: LlamaCppModel, cells: int) -> None:
        require_extension(target.path.name)
        self._context = target.open_mtp(self._params(cells, target.threads))  # the weights are the target's
        columns = target.tokenizer.n_vocab
        self._begin(target.layer_width, columns, np.arange(columns, dtype=np.int32))

    def fuse(self, features: Floats) -> Floats:
        """The target's hidden states are the layer's input as they are."""
        return features
