"""A process of its own for an engine. While it waits for a request it is blocked in a read, and uses no processor."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Protocol

from speculatoviz.errors import SpeculatoVizError, TargetError

_END_S = 10.0  # a process that has not ended by then is killed


class Worker(Protocol):
    """What runs in the process. Its other methods answer requests, one at a time."""

    def close(self) -> None:
        """Free the models."""


class WorkerProcess:
    """Makes a worker in a new process, and calls its methods there.

    title: for errors. make: a function of a module, called with `arguments` and a function that reports stages. What
    goes in and out must be picklable. progress: called with each stage. Raises what `make` raises.
    """

    def __init__(
        self, title: str, make: Callable[..., Worker], arguments: tuple[Any, ...], progress: Callable[[str], None]
    ) -> None:
        self._title, self._progress = title, progress
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, make, arguments), daemon=True)
        self._process.start()
        other.close()
        try:
            self._answer()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int | None:
        """Of the process."""
        return self._process.pid

    def call(self, method: str, *arguments: Any) -> Any:
        """The result of one method of the worker.

        Raises the SpeculatoVizError that the method raises, and TargetError if the process has ended.
        """
        try:
            self._connection.send((method, arguments))
        except OSError as error:
            raise self._ended() from error
        return self._answer()

    def close(self) -> None:
        """End the process: it closes its worker once its connection is closed."""
        self._connection.close()
        self._process.join(_END_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _answer(self) -> Any:
        shown = ""
        while True:
            try:
                kind, value = self._connection.recv()
            except (EOFError, OSError) as error:
                raise self._ended() from error
            if kind == "error":
                raise value
            if kind == "answer":
                return value
            if value != shown:
                self._progress(value)
            shown = value

    def _ended(self) -> TargetError:
        self._process.join(_END_S)
        code = self._process.exitcode
        how = f"by signal {-code}" if code is not None and code < 0 else f"with status {code}"
        return TargetError(
            f"The process of {self._title} has ended ({how}).", "Check that memory suffices, and start it again."
        )


def _serve(connection: Connection, make: Callable[..., Worker], arguments: tuple[Any, ...]) -> None:
    """Answer requests until the connection closes. Ctrl+C is for the parent, which then closes it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        worker = make(*arguments, lambda stage: connection.send(("stage", stage)))
    except SpeculatoVizError as error:
        connection.send(("error", error))
        return
    with contextlib.closing(worker), contextlib.suppress(EOFError, OSError):
        connection.send(("answer", None))
        while True:
            method, given = connection.recv()
            try:
                answer = ("answer", getattr(worker, method)(*given))
            except SpeculatoVizError as error:
                answer = ("error", error)
            connection.send(answer)
