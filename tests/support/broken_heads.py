"""Changes of a published head's tensors, for the heads that are refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Change = Callable[[dict[str, np.ndarray]], None]


def without(name: str) -> Change:
    """Leave a tensor out."""

    def change(own: dict[str, np.ndarray]) -> None:
        del own[name]

    return change


def put(name: str, tensor: np.ndarray) -> Change:
    """Put a tensor in the place of another, or beside the others."""
    return lambda own: own.update({name: tensor})
