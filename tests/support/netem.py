"""Two network namespaces with a wire between them that Linux's netem makes late and lossy.

Unlike a proxy's, these packets are really late and really lost: TCP itself waits, sends again and slows down. It takes
Linux, root, `ip`, `tc`, `unshare` and `nsenter`, and a kernel with sch_netem; `available` says what is missing.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import IO, Any, Literal, Self

PATIENCE_S = 120.0  # how long a test waits for what must come; only a failing test waits that long
TOOLS = ("ip", "tc", "unshare", "nsenter")

Side = Literal["client", "server"]


def available() -> str | None:
    """Why delay and loss cannot be had here; None where they can."""
    return namespaces_available() or _netem_available()


@functools.cache
def namespaces_available() -> str | None:
    """Why not even namespaces with a wire between them can be had here; None where they can."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "network namespaces take root"
    for tool in TOOLS:
        if _tool(tool) is None:
            return f"{tool} is not installed"
    try:
        with Namespaces():
            return None
    except OSError as error:
        return str(error)


@functools.cache
def _netem_available() -> str | None:
    try:
        with Namespaces(rtt_ms=2.0, loss_percent=1.0):
            return None
    except OSError as error:
        return f"no netem in this kernel? {error}"


class Namespaces:
    """A namespace with a server's address, one with a client's, and nothing else to be reached from either.

    rtt_ms: half of it each way. loss_percent: how many packets are lost, each way. Without either the wire is as it
    is, and no netem is needed. Both namespaces last as long as a process that holds them, and it lasts no longer than
    this one: nothing is left behind, and no name can be taken. Raises OSError where the machine does not allow it.
    """

    server_address = "192.0.2.1"  # reserved for documentation: no network has it
    client_address = "192.0.2.2"

    def __init__(self, rtt_ms: float = 0.0, loss_percent: float = 0.0) -> None:
        self.rtt_ms, self.loss_percent = rtt_ms, loss_percent
        self._open = contextlib.ExitStack()
        self._holders: dict[Side, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            undo.callback(self._open.close)
            self._holders = {"client": self._hold(), "server": self._hold()}
            self._wire()
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def start(self, side: Side, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Run a command in a namespace; options are Popen's. What still runs in the end is killed."""
        process = subprocess.Popen([*self._inside(side), *argv], **options)
        self._open.callback(_end, process)
        return process

    def run(
        self, side: Side, argv: Sequence[str], *, check: bool = True, timeout: float = PATIENCE_S, **options: Any
    ) -> subprocess.CompletedProcess[Any]:
        """Run a command in a namespace to its end; options are subprocess.run's."""
        return subprocess.run([*self._inside(side), *argv], check=check, timeout=timeout, **options)

    def _inside(self, side: Side) -> list[str]:
        return [_path("nsenter"), f"--net=/proc/{self._holders[side].pid}/ns/net", "--"]

    def _hold(self) -> subprocess.Popen[bytes]:
        """A process in a new namespace, which ends when its input does: at the latest when this process ends."""
        argv = [_path("unshare"), "--net", "cat"]
        pipe = subprocess.PIPE
        holder = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0)
        self._open.callback(_end, holder)
        with contextlib.suppress(BrokenPipeError):
            _stream(holder.stdin).write(b".")
        if _stream(holder.stdout).read(1) != b".":  # cat answers once it is inside
            raise OSError(_stream(holder.stderr).read().decode().strip() or "unshare did not start")
        return holder

    def _wire(self) -> None:
        """Fixed hardware addresses, known to both: no question for them is lost or late."""
        server = str(self._holders["server"].pid)
        there = ["peer", "name", "wire", "address", _hardware("server"), "netns", server]
        self._ip("client", "link", "add", "wire", "address", _hardware("client"), "type", "veth", *there)
        addresses: dict[Side, str] = {"client": self.client_address, "server": self.server_address}
        others: dict[Side, Side] = {"client": "server", "server": "client"}
        for side, other in others.items():
            self._ip(side, "address", "add", f"{addresses[side]}/30", "dev", "wire")
            # A packet is lost by itself, not with the sixty that the kernel would hand over as one.
            self._ip(side, "link", "set", "wire", "gso_max_segs", "1", "up")
            self._ip(side, "link", "set", "lo", "up")
            self._ip(side, "neighbour", "add", addresses[other], "lladdr", _hardware(other), "dev", "wire")
            if self.rtt_ms or self.loss_percent:
                bad = ["delay", f"{self.rtt_ms / 2:g}ms", "loss", f"{self.loss_percent:g}%", "limit", "100000"]
                self._set_up(side, "tc", "qdisc", "add", "dev", "wire", "root", "netem", *bad)

    def _ip(self, side: Side, *arguments: str) -> None:
        self._set_up(side, "ip", *arguments)

    def _set_up(self, side: Side, tool: str, *arguments: str) -> None:
        argv = [_path(tool), *arguments]
        done = self.run(side, argv, check=False, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise OSError(f"{tool} {' '.join(arguments)}: {done.stderr.strip()}")


def _hardware(side: Side) -> str:
    return {"client": "02:00:00:00:00:02", "server": "02:00:00:00:00:01"}[side]


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


def _end(process: subprocess.Popen[Any]) -> None:
    process.kill()
    process.wait(PATIENCE_S)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):  # what was not flushed reaches nobody
                stream.close()


def _tool(name: str) -> str | None:
    """Also where only root's shell looks."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _path(name: str) -> str:
    found = _tool(name)
    assert found is not None, f"{name} is not installed"
    return found
