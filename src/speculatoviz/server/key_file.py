"""The file of keys: names, dates and digests. A key itself is nowhere on the disk."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from speculatoviz.errors import BadRequestError, SpeculatoVizError

_PREFIX = "sv-"
_KEY_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DAY_S = 86_400
_LOCK_S = 10.0


class KeysError(SpeculatoVizError):
    """The file of keys cannot be read or written."""

    code = "keys"


class StoredKey(BaseModel):
    """What is stored of one key. created_s, expires_s: seconds since 1970; expires_s None: it does not expire.

    sha256: of the key. cookie_sha256: of the cookie that a browser keeps after it has shown the key. A key has 256
    random bits, so that no search can find it from its digest; a slow password hash would add nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    created_s: int
    expires_s: int | None = None
    sha256: str
    cookie_sha256: str

    def expired(self, now_s: float) -> bool:
        """Whether the key is no longer accepted."""
        return self.expires_s is not None and now_s >= self.expires_s


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    keys: tuple[StoredKey, ...] = ()


def digest(secret: str) -> str:
    """SHA-256 of a key or a cookie, as hexadecimal digits."""
    return hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()


def cookie_of(key: str) -> str:
    """The value of the cookie of a browser that has shown this key. The key cannot be computed from it."""
    return hmac.new(key.encode(errors="surrogateescape"), b"cookie", hashlib.sha256).hexdigest()


def stored(name: str, key: str, created_s: int = 0, expires_s: int | None = None) -> StoredKey:
    """What to store of a key."""
    return StoredKey(
        name=name,
        created_s=created_s,
        expires_s=expires_s,
        sha256=digest(key),
        cookie_sha256=digest(cookie_of(key)),
    )


class KeyFile:
    """Reads and changes a file of keys. now: seconds since 1970."""

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        self.path, self._now = path, now

    def read(self) -> tuple[StoredKey, ...]:
        """The keys in the order in which they were added; none if there is no file. Raises KeysError."""
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text in UTF-8"
            raise KeysError(f"The keys in {self.path} cannot be read ({reason}).", "Make the file readable.") from error
        try:
            return _Document.model_validate_json(text).keys
        except ValidationError as error:
            hint = "Restore it from a copy, or remove it and make new keys with `speculatoviz keys add`."
            raise KeysError(f"{self.path} is damaged: it is no list of keys.", hint) from error

    def add(self, name: str, days: float | None = None) -> str:
        """Make a key and store its digest; returns the key, which is kept nowhere. days: until it expires.

        Raises BadRequestError for a name that is taken or not allowed, and KeysError.
        """
        if not _NAME.fullmatch(name):
            hint = "Use up to 64 letters, digits, dots, underscores and hyphens, with a letter or a digit first."
            raise BadRequestError(f"{name!r} is no name for a key.", hint)
        key = _PREFIX + secrets.token_urlsafe(_KEY_BYTES)
        created_s = int(self._now())
        new = stored(name, key, created_s, None if days is None else created_s + int(days * _DAY_S))

        def with_new(keys: tuple[StoredKey, ...]) -> tuple[StoredKey, ...]:
            if any(other.name == name for other in keys):
                hint = f"Choose another name, or remove that key first (`speculatoviz keys remove {name}`)."
                raise BadRequestError(f"There is a key named {name!r} already.", hint)
            return (*keys, new)

        self._change(with_new)
        return key

    def remove(self, name: str) -> None:
        """Remove a key. Raises BadRequestError if there is none of that name, and KeysError."""

        def without(keys: tuple[StoredKey, ...]) -> tuple[StoredKey, ...]:
            left = tuple(key for key in keys if key.name != name)
            if left == keys:
                raise BadRequestError(f"There is no key named {name!r}.", "`speculatoviz keys list` shows the names.")
            return left

        self._change(without)

    def _change(self, change: Callable[[tuple[StoredKey, ...]], tuple[StoredKey, ...]]) -> None:
        """Replace the file as a whole, readable by its owner alone. Two changes at the same time are both made."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with FileLock(f"{self.path}.lock", timeout=_LOCK_S, mode=0o600):
                text = _Document(keys=change(self.read())).model_dump_json(indent=1)
                written = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}.part")
                _write_private(written, text)
                written.replace(self.path)
        except OSError as error:  # filelock's Timeout is one
            reason = error.strerror or "another program is changing it"
            hint = "Choose another file with --keys-file, or make its folder writable."
            raise KeysError(f"The keys in {self.path} cannot be written ({reason}).", hint) from error


def _write_private(path: Path, text: str) -> None:
    """Write a new file with mode 600; what was written of it goes if the disk is full."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)
        raise
