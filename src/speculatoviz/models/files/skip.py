"""A GGUF file without some of its layers, made once and kept: a cheaper version of a model, to draft for it.

Self-speculation by skipped layers (Zhang et al. 2024, "Draft & Verify", section 3.1). The layer after a gap reads the
output of the layer before it. Embeddings, output matrix and tokenizer are those of the source.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from speculatoviz.errors import ModelError, reason_of
from speculatoviz.models.files.derived import derive
from speculatoviz.models.files.gguf import GgufFile, read
from speculatoviz.models.files.rewrite import CANNOT, Kept, Value, rewrite

_BLOCK = re.compile(r"blk\.(\d{1,5})\.(.+)")


def skip_layers(source: Path, keep: float | Sequence[int], cache_dir: Path | str) -> Path:
    """The path of `source` with only some of its layers, made on first use.

    source: a file, or the first part of a split one; the result is one file. keep: the share of layers to keep, in
    (0, 1], chosen by `around_middle`; or their numbers from 0, ascending. A source that keeps all its layers is
    returned as it is. Raises ModelError for another choice, for a file that is not GGUF or not whole, and for one
    without numbered layers.
    """
    file = read(source)
    total = _layers_of(file)
    layers = _chosen(keep, total, source)
    if len(layers) == total:
        return source
    choices = {"layers": list(layers)}
    return derive(file, _label(layers, total), cache_dir, choices, lambda part: _write(source, part, layers))


def count_layers(source: Path) -> int:
    """How many layers a GGUF file has, in all its parts. Raises ModelError if it has none, or is no GGUF file."""
    return _layers_of(read(source))


def _layers_of(file: GgufFile) -> int:
    numbers = {int(found[1]) for name in file.tensors if (found := _BLOCK.fullmatch(name))}
    if not numbers:
        raise ModelError(
            f"{file.path.name} has no numbered layers.", "Choose another model, or skip none of its layers."
        )
    announced = file.integer(f"{file.architecture}.block_count")
    if numbers != set(range(len(numbers))) or announced != len(numbers):
        raise ModelError(
            f"{file.path.name} announces {announced} layers and holds {len(numbers)}, numbered up to {max(numbers)}.",
            "Skip no layers of this model, or fetch its file again.",
        )
    return len(numbers)


def around_middle(total: int, kept: int) -> tuple[int, ...]:
    """The numbers of the `kept` of `total` layers that stay: the first and the last ones, without a run in the middle.

    Skipping as many layers one by one, or the first and last few, costs more of the agreement with the whole model
    (measured in docs/drafters.md).
    """
    first = (kept + 1) // 2
    return (*range(first), *range(total - kept + first, total))


def _chosen(keep: float | Sequence[int], total: int, source: Path) -> tuple[int, ...]:
    if isinstance(keep, int | float):
        if not 0 < keep <= 1:
            raise ModelError(f"{keep} is no share of layers to keep.", "Choose a share above 0 and at most 1.")
        return around_middle(total, max(1, round(keep * total)))
    layers = tuple(keep)
    if not layers or list(layers) != sorted(set(layers)) or not 0 <= layers[0] <= layers[-1] < total:
        raise ModelError(
            f"{source.name} has {total} layers, and the layers to keep are {_named(layers)}.",
            f"Keep at least one and at most {total}: numbers from 0 to {total - 1}, ascending, each once.",
        )
    return layers


def _named(layers: Sequence[int]) -> str:
    """For an error: `none`, `0, 2` or `0, 1, 2 … 98`."""
    few = ", ".join(map(str, layers[:3])) or "none"
    return f"{few} … {layers[-1]}" if len(layers) > 3 else few


def _label(layers: tuple[int, ...], total: int) -> str:
    """The choice as a part of a file name."""
    label = f"layers{len(layers)}of{total}"
    if layers == around_middle(total, len(layers)):
        return label
    return f"{label}-{hashlib.sha256(repr(layers).encode()).hexdigest()[:8]}"


def _write(source: Path, part: Path, layers: tuple[int, ...]) -> None:
    """All tensors but the skipped layers', and all metadata; without what belongs to skipped layers."""
    file = read(source, large_arrays=True)
    architecture, total = file.architecture, _layers_of(file)

    def changed(key: str, value: Value) -> Value:
        if key == f"{architecture}.block_count":
            return len(layers)
        if isinstance(value, list) and key.startswith(f"{architecture}.") and len(value) == total:
            return [value[layer] for layer in layers]
        return value

    kept = [Kept(name, tensor) for tensor in file.tensors.values() if (name := _renamed(tensor.name, layers))]
    try:
        rewrite(file, part, kept, changed)
    except CANNOT as error:
        raise ModelError(
            f"The layers of {source.name} could not be skipped: {reason_of(error)}.",
            "Choose another model, or another drafter.",
        ) from error


def _renamed(name: str, layers: tuple[int, ...]) -> str | None:
    """A tensor's name with the kept layers numbered from 0; None if its layer is skipped."""
    found = _BLOCK.fullmatch(name)
    if found is None:
        return name
    number = int(found[1])
    return f"blk.{layers.index(number)}.{found[2]}" if number in layers else None
