"""The parent's side of the process that renders a chat template (`template_worker`)."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from speculatoviz.errors import BadRequestError, reason_of

Cause = Literal["messages", "template", "process"]

_SEND_RAW = "Send the prompt raw (--raw), or choose another file of this model."

_WORKER = Path(__file__).with_name("template_worker.py")
_START = "import runpy, sys; sys.path += sys.argv[2:]; runpy.run_path(sys.argv[1], run_name='__main__')"
_LIBRARIES = ("jinja2", "markupsafe")
_ENVIRONMENT = ("TZ", "SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # local time; what starts an interpreter
_BYTES_PER_CHARACTER = 12  # in JSON, at most: two escapes of a surrogate each
_SPARE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class TemplateLimits:
    """What one rendering may use.

    cpu_s: seconds of processor time. wall_s: seconds until its answer. memory_bytes: address space of the process.
    characters: of the rendered text.
    """

    cpu_s: float = 3.0
    wall_s: float = 30.0
    memory_bytes: int = 512 << 20
    characters: int = 1 << 20


class RenderingError(BadRequestError):
    """A chat template cannot render a conversation.

    cause: "messages" if the template may render others, "template" if it cannot be used, "process" if its process
    ended for another reason.
    """

    def __init__(self, message: str, hint: str, cause: Cause) -> None:
        super().__init__(message, hint)
        self.cause = cause


class Renderer:
    """Renders one template in a child process, which is started for the first rendering and kept.

    Its methods may be called from any thread; renderings take turns. The process sees no environment variables beyond
    those in `_ENVIRONMENT`, and ends with this object or this process.
    """

    def __init__(self, source: str, limits: TemplateLimits | None = None) -> None:
        self._source, self._limits = source, limits or TemplateLimits()
        self._turn, self._state = threading.Lock(), threading.Lock()
        self._worker: _Worker | None = None
        self._closings = 0

    @property
    def pid(self) -> int | None:
        """The id of its process; None if none runs."""
        worker = self._worker
        return worker.process.pid if worker is not None and worker.running else None

    def render(self, variables: Mapping[str, Any]) -> str:
        """The template's text for these variables, which JSON can hold. Raises RenderingError."""
        closings = self._closings
        with self._turn:
            worker = self._running_worker(closings)
            answer = worker.exchange(variables, self._limits.wall_s)
            if answer is None or answer.get("error") == "memory":
                worker.end()
            if self._closings != closings:
                raise _closed()
        if answer is None:
            raise self._ended(worker)
        if "text" in answer:
            return answer["text"]
        raise self._error(answer)

    def close(self) -> None:
        """End the process and all renderings that have begun. A later rendering starts a new process."""
        with self._state:
            self._closings += 1
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.end()

    def _running_worker(self, closings: int) -> _Worker:
        with self._state:
            if self._closings != closings:
                raise _closed()
            if self._worker is None or not self._worker.running:
                limits = asdict(self._limits)
                self._worker = _Worker({"source": self._source, **limits}, self._limits.characters)
            return self._worker

    def _ended(self, worker: _Worker) -> RenderingError:
        """Why there is no answer."""
        status = worker.end()
        if worker.late:
            return _unusable(f"does not end within {self._limits.wall_s:g} s", "process")
        if hasattr(signal, "SIGPROF") and status == -signal.SIGPROF:
            return _unusable(f"computes for more than {self._limits.cpu_s:g} s")
        how = signal.Signals(-status).name if -status in set(signal.Signals) else f"status {status}"
        return _unusable(f"cannot be rendered: its process ended with {how}", "process")

    def _error(self, answer: Mapping[str, str]) -> RenderingError:
        limits, reason = self._limits, answer.get("reason", "")
        match answer.get("error"):
            case "refused":
                return RenderingError(
                    f"The model's chat template refuses these messages ({reason}).",
                    "Let user and assistant turns alternate and end with a user turn, or send the prompt raw (--raw).",
                    "messages",
                )
            case "syntax":
                return _unusable(f"cannot be read ({reason})")
            case "memory":
                return _unusable(f"needs more than {limits.memory_bytes >> 20} MB of memory")
            case "long":
                return _unusable(f"makes a text of more than {limits.characters:,} characters")
            case _:
                return _unusable(f"fails ({reason})", "messages")


class _Worker:
    """One process. late: it was ended because an answer took too long."""

    def __init__(self, setup: Mapping[str, Any], characters: int) -> None:
        self.process = _start()
        self.late = False
        self._setup: bytes | None = _line(setup)
        self._most_bytes = _BYTES_PER_CHARACTER * characters + _SPARE_BYTES
        self._exchanging = threading.Lock()
        self._finalizer = weakref.finalize(self, _end, self.process)

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def exchange(self, variables: Mapping[str, Any], wall_s: float) -> dict[str, str] | None:
        """Send variables and receive the answer; None if none came, or one that cannot be read."""
        timer = threading.Timer(wall_s, self._give_up)
        timer.daemon = True
        timer.start()
        try:
            with self._exchanging:
                return _answer(self._ask(_line(variables)))
        except BaseException:
            self.process.kill()  # what it answers would be taken for a later answer
            raise
        finally:
            timer.cancel()

    def end(self) -> int:
        """End the process, and an exchange with it. Returns its status."""
        self.process.kill()
        with self._exchanging:
            self._finalizer()
        return self.process.returncode

    def _ask(self, line: bytes) -> bytes:
        if self._finalizer.alive:
            assert self.process.stdin is not None
            assert self.process.stdout is not None
            setup, self._setup = self._setup, None
            with contextlib.suppress(BrokenPipeError):  # it has ended
                self.process.stdin.write((setup or b"") + line)
                self.process.stdin.flush()
            return self.process.stdout.readline(self._most_bytes)
        return b""

    def _give_up(self) -> None:
        self.late = True
        self.process.kill()


def _start() -> subprocess.Popen[bytes]:
    specs = [find_spec(name) for name in _LIBRARIES]
    folders = dict.fromkeys(str(Path(spec.origin).parents[1]) for spec in specs if spec and spec.origin)
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-X", "utf8", "-c", _START, str(_WORKER), *folders],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            process_group=0,  # Ctrl+C is for this process, which ends the other
        )
    except OSError as error:
        raise RenderingError(
            f"No process could be started for the model's chat template ({reason_of(error)}).",
            "Free memory and try again.",
            "process",
        ) from error


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill, reap, and close the pipes."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what it did not read
                pipe.close()


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _answer(line: bytes) -> dict[str, str] | None:
    """What the child wrote is checked: a template that leaves the sandbox must not get further."""
    try:
        answer = json.loads(line) if line.endswith(b"\n") else None
    except (ValueError, RecursionError):
        return None
    if isinstance(answer, dict) and all(isinstance(value, str) for value in answer.values()):
        return answer
    return None


def _unusable(what: str, cause: Cause = "template") -> RenderingError:
    return RenderingError(f"The model's chat template {what}.", _SEND_RAW, cause)


def _closed() -> RenderingError:
    return RenderingError("The model was closed while its chat template rendered.", "Load it again.", "process")
