"""A GGUF file without some of its layers, made once and kept: a cheaper version of a model, to draft for it.

Self-speculation by skipped layers (Zhang et al. 2024, "Draft & Verify", section 3.1). The residual stream passes from
the layer before a gap to the one behind it as if nothing were missing; embeddings, output and tokenizer stay.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import gguf

from speculatoviz.errors import ModelError
from speculatoviz.models.files.derived import derive
from speculatoviz.models.files.requantise import read_header

_BLOCK = re.compile(r"blk\.(\d+)\.(.+)")


def skip_layers(source: Path, keep: float | Sequence[int], cache_dir: Path | str) -> Path:
    """The path of `source` with only some of its layers, made on first use.

    keep: the share of layers to keep, of (0, 1], chosen by `around_middle`; or their numbers from 0, ascending. A
    source that keeps all its layers is returned as it is. Raises ModelError for a choice that is none, for a file that
    is not GGUF or not whole, and for one without numbered layers.
    """
    total = count_layers(source)
    layers = _chosen(keep, total, source)
    if len(layers) == total:
        return source
    name = f"{source.stem}.{_label(layers, total)}.gguf"
    choices = {"layers": list(layers)}
    return derive(source, name, cache_dir, choices, lambda part: _write(_open(source), part, layers))


def count_layers(source: Path) -> int:
    """How many layers a GGUF file has. Raises ModelError where it has none, or is no GGUF file."""
    numbers = {int(found[1]) for name in read_header(source).tensor_types if (found := _BLOCK.fullmatch(name))}
    if not numbers:
        raise ModelError(f"{source.name} has no numbered layers.", "Choose another model, or skip none of its layers.")
    return max(numbers) + 1


def around_middle(total: int, kept: int) -> tuple[int, ...]:
    """Which `kept` of `total` layers stay: the first and the last ones; what is skipped is one run in the middle.

    Skipped one here and one there, as many layers cost more of the agreement with the whole model (docs/drafters.md),
    and the first and last few cost most of all.
    """
    first = (kept + 1) // 2
    return (*range(first), *range(total - kept + first, total))


def _chosen(keep: float | Sequence[int], total: int, source: Path) -> tuple[int, ...]:
    if isinstance(keep, int | float):
        if not 0 < keep <= 1:
            raise ModelError(f"{keep} is no share of layers to keep.", "Choose one above 0, and at most 1.")
        return around_middle(total, max(1, round(keep * total)))
    layers = tuple(keep)
    if not layers or list(layers) != sorted(set(layers)) or not 0 <= layers[0] <= layers[-1] < total:
        raise ModelError(
            f"{list(layers)} are no layers to keep of {source.name}.",
            f"Name some of its layers 0 to {total - 1}, in ascending order.",
        )
    return layers


def _label(layers: tuple[int, ...], total: int) -> str:
    """The choice as a part of a file name."""
    label = f"layers{len(layers)}of{total}"
    if layers == around_middle(total, len(layers)):
        return label
    return f"{label}-{hashlib.sha256(repr(layers).encode()).hexdigest()[:8]}"


def _open(source: Path) -> gguf.GGUFReader:
    try:
        return gguf.GGUFReader(source)
    except (ValueError, IndexError, KeyError) as error:
        raise ModelError(f"{source} cannot be read as a GGUF file: {error}.", "Fetch the file again.") from error


def _write(reader: gguf.GGUFReader, part: Path, layers: tuple[int, ...]) -> None:
    """All tensors but the skipped layers', their data as they are, and all metadata."""
    architecture = reader.fields["general.architecture"].contents()
    kept = [(name, tensor) for tensor in reader.tensors if (name := _renamed(tensor.name, layers)) is not None]
    writer = gguf.GGUFWriter(part, architecture, endianess=reader.endianess)
    with contextlib.closing(writer):
        _copy_metadata(reader, writer, layers)
        for name, tensor in kept:
            data = tensor.data
            writer.add_tensor_info(name, data.shape, data.dtype, data.nbytes, tensor.tensor_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for _, tensor in kept:
            writer.write_tensor_data(tensor.data, tensor_endianess=reader.endianess)


def _renamed(name: str, layers: tuple[int, ...]) -> str | None:
    """A tensor's name where the kept layers are numbered anew; None in a skipped one."""
    found = _BLOCK.fullmatch(name)
    if found is None:
        return name
    number = int(found[1])
    return f"blk.{layers.index(number)}.{found[2]}" if number in layers else None


def _copy_metadata(reader: gguf.GGUFReader, writer: gguf.GGUFWriter, layers: tuple[int, ...]) -> None:
    """Every field as it is, but the number of layers and what is listed layer by layer."""
    architecture = writer.arch
    total = reader.fields[f"{architecture}.block_count"].contents()
    writer.data_alignment = reader.alignment
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":  # the writer's own
            continue
        value = field.contents()
        listed = field.types[0] == gguf.GGUFValueType.ARRAY
        if key == f"{architecture}.block_count":
            value = len(layers)
        elif listed and key.startswith(f"{architecture}.") and len(value) == total:
            value = [value[layer] for layer in layers]
        writer.add_key_value(key, value, field.types[0], sub_type=field.types[-1] if listed else None)
