"""Prefixes of one model on disk, from which later processes continue.

A file holds one prefix: a NumPy archive with `key` (of the model that the snapshot is valid for), `ids`, `snapshot` and
`states`, and if inner layers were read, `layers` and `inputs`. Its name has the number of tokens and of hidden states,
and a hash of the ids and the layers.
"""

from __future__ import annotations

import hashlib
import logging
import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from speculatoviz.models.prefix_cache import Prefix

log = logging.getLogger(__name__)

_DAMAGE = (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


@runtime_checkable
class StorableModel(Protocol):
    """A model whose snapshots are valid in other processes."""

    def snapshot_key(self) -> str:
        """Equal for models whose snapshots can be exchanged: same weights, same library, same version."""


class PrefixFiles:
    """The files of one model below `folder`. key: of the model; files with another one are refused."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder / hashlib.sha256(key.encode()).hexdigest()[:16], key
        self._read: set[Path] = set()

    def load(self) -> Iterator[Prefix]:
        """The prefixes, from the least to the most recently used one. A file that cannot be used is logged."""
        for path in self._paths():
            try:
                with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                    key, parts = str(archive["key"]), [archive[name] for name in ("ids", "snapshot", "states")]
                    inner = [archive[name] for name in ("layers", "inputs") if name in archive.files]
            except _DAMAGE as error:
                log.warning("%s is damaged and is not used (%s). Remove it.", path, str(error) or type(error).__name__)
                continue
            if key != self.key:
                log.warning("%s belongs to another model or another version and is not used. Remove it.", path)
                continue
            self._read.add(path)
            ids, snapshot, states = parts
            prefix = Prefix(tuple(ids.tolist()), snapshot, states)
            yield replace(prefix, layers=tuple(inner[0].tolist()), inputs=inner[1]) if len(inner) == 2 else prefix

    def save(self, prefixes: Sequence[Prefix], most_tokens: int) -> None:
        """Write these prefixes, from the least to the most recently used one, and remove what they replace.

        Of the others in the folder the oldest are removed, until all together have at most `most_tokens` tokens. A
        folder that cannot be written is logged.
        """
        kept = [self._path(prefix) for prefix in prefixes]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for prefix, path in zip(prefixes, kept, strict=True):
                self._write(prefix, path)
            for path in self._read.difference(kept):
                path.unlink(missing_ok=True)
            others = [path for path in self._paths() if path not in kept]
            tokens = sum(map(_tokens, [*others, *kept]))
            for path in others:
                if tokens > most_tokens:
                    path.unlink(missing_ok=True)
                    tokens -= _tokens(path)
        except OSError as error:
            reason = error.strerror or error
            log.warning("The prompt cache could not be written to %s (%s). Choose another folder.", self.folder, reason)

    def _paths(self) -> list[Path]:
        """The files of prefixes, the oldest first."""
        found = [path for path in self.folder.glob("*-*-*.npz") if path.name.partition("-")[0].isdecimal()]
        return sorted(found, key=_used_ns)

    def _path(self, prefix: Prefix) -> Path:
        named = np.array([*prefix.ids, *(-1 - layer for layer in prefix.layers), len(prefix.inputs)], np.int64)
        digest = hashlib.sha256(named.tobytes()).hexdigest()[:16]
        return self.folder / f"{len(prefix.ids)}-{len(prefix.states)}-{digest}.npz"

    def _write(self, prefix: Prefix, path: Path) -> None:
        if path in self._read:
            path.touch()
            return
        part = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with part.open("wb") as file:
                parts: dict[str, Any] = {
                    "ids": np.array(prefix.ids, np.int64),
                    "snapshot": prefix.snapshot,
                    "states": prefix.states,
                }
                if prefix.layers:
                    parts |= {"layers": np.array(prefix.layers, np.int64), "inputs": prefix.inputs}
                np.savez(file, key=np.array(self.key), **parts)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def _used_ns(path: Path) -> int:
    """When a file was last used, in nanoseconds; 0 if another process has just removed it."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _tokens(path: Path) -> int:
    return int(path.name.partition("-")[0])
