"""The configuration of a model folder as published on the hub: config.json, read with its sizes checked.

Libraries build what it describes before they look at the weights: a billion layers would take all memory.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from speculatoviz.errors import ModelError, reason_of

Config = dict[str, Any]

# Of sizes that libraries loop over or allocate; far beyond any model.
MOST = {
    "num_hidden_layers": 1024,
    "hidden_size": 1 << 18,
    "intermediate_size": 1 << 20,
    "num_attention_heads": 4096,
    "num_key_value_heads": 4096,
    "head_dim": 1 << 14,
    "vocab_size": 1 << 24,
    "max_position_embeddings": 1 << 30,
}


def read_config(folder: Path) -> Config:
    """The object in config.json. Raises ModelError if there is none, a part is no object, or a size is out of range."""
    path = folder / "config.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read ({reason_of(error)}).", "Fetch the model again.") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path} holds no JSON object.", "Fetch the model again.")
    if not isinstance(found.get("text_config") or {}, dict):
        raise ModelError(f"{path} has a text_config that is no object.", "Fetch the model again.")
    for settings in (found, text_config(found)):
        for name, most in MOST.items():
            value = settings.get(name)
            if value is not None and (type(value) is not int or not 0 < value <= most):
                raise ModelError(
                    f"{path} gives {name} as {str(value)[:40]!r}, not as a number from 1 to {most}.",
                    "Fetch the model again, or choose another one.",
                )
    return found


def text_config(config: Config) -> Config:
    """The part of a configuration that describes the language model: all of it unless the model has other parts."""
    nested: Config = config.get("text_config") or config
    return nested
