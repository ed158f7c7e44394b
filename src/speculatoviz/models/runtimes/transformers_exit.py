"""The first layers of a transformers model with its output matrix (Elhoushi et al. 2024, "LayerSkip", section 4.3)."""

from __future__ import annotations

from copy import copy
from typing import Any

import torch


def first_layers(model: Any, count: int) -> Any | None:
    """The library's model with its first `count` layers: the same modules in other containers, so no weight is copied.

    None if the library keeps the layers of this architecture elsewhere.
    """
    decoder = model.get_decoder()
    name = next((name for name, module in model.named_children() if module is decoder), None)
    if name is None or not isinstance(getattr(decoder, "layers", None), torch.nn.ModuleList):
        return None
    return _with_module(model, name, _with_module(decoder, "layers", decoder.layers[:count]))


def _with_module(module: Any, name: str, other: Any) -> Any:
    changed = copy(module)
    changed._modules = {**module._modules, name: other}
    return changed
