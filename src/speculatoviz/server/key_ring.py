"""Which keys a server accepts, and who holds each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from speculatoviz.server.key_file import KeyFile, KeysError, StoredKey, digest, stored

FIXED = "--api-key"  # holder of the key of the settings; no name in a file begins so

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Digests:
    keys: Mapping[str, StoredKey] = field(default_factory=dict)
    cookies: Mapping[str, StoredKey] = field(default_factory=dict)

    @classmethod
    def of(cls, keys: Iterable[StoredKey]) -> _Digests:
        found = tuple(keys)
        return cls({key.sha256: key for key in found}, {key.cookie_sha256: key for key in found})


class KeyRing:
    """The key of the settings, if there is one, and those of a file, which may change at any time.

    A key is looked up by its SHA-256. now: seconds since 1970. Raises KeysError if the file cannot be used.
    """

    def __init__(self, fixed: str | None, file: Path | None, now: Callable[[], float]) -> None:
        self._now = now
        self._fixed = _Digests.of([] if fixed is None else [stored(FIXED, fixed)])
        self._file = None if file is None else KeyFile(file, now)
        self._seen = self._stamp()
        self._stored = _Digests() if self._file is None else _Digests.of(self._file.read())

    @property
    def empty(self) -> bool:
        """Whether no key is accepted at all."""
        self._refresh()
        return not any(map(self._valid, (*self._fixed.keys.values(), *self._stored.keys.values())))

    def holder(self, key: str) -> str | None:
        """The name of a key; None if it is not accepted."""
        self._refresh()
        asked = digest(key)
        return self._name(self._fixed.keys.get(asked) or self._stored.keys.get(asked))

    def holder_of_cookie(self, cookie: str) -> str | None:
        """The name of the key that a browser has shown; None if that is not accepted, or not any more."""
        self._refresh()
        asked = digest(cookie)
        return self._name(self._fixed.cookies.get(asked) or self._stored.cookies.get(asked))

    def _name(self, key: StoredKey | None) -> str | None:
        return key.name if key is not None and self._valid(key) else None

    def _valid(self, key: StoredKey) -> bool:
        return not key.expired(self._now())

    def _refresh(self) -> None:
        """Read the file again if it has changed. A file that cannot be read any more holds no keys."""
        stamp = self._stamp()
        if stamp == self._seen or self._file is None:
            return
        self._seen = stamp
        try:
            self._stored = _Digests.of(self._file.read())
        except KeysError:
            self._stored = _Digests()
            log.error("The file of keys cannot be used any more: its keys are refused. Restore it.")

    def _stamp(self) -> tuple[int, ...] | None:
        if self._file is None:
            return None
        try:
            about = self._file.path.stat()
        except OSError:
            return None
        return (about.st_ino, about.st_size, about.st_mtime_ns)
