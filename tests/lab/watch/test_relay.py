"""The proxy changes nothing: both sides see the same bytes as without it, and whoever looks on can break nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from speculatoviz.lab.watch import relay as relay_module
from speculatoviz.lab.watch.relay import Relay

# Headers in odd spelling, server-sent events in chunks that cut characters and events, a trailer, then another answer.
REQUESTS = (
    b"POST /v1/chat/completions?x=1 HTTP/1.1\r\nhOST: somewhere\r\nX-Odd:  two  spaces \r\n",
    b'content-length: 7\r\n\r\n{"a":1}',
    b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n",
)
ANSWERS = (
    b"HTTP/1.1 200 Fine\r\ncOnTent-Type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
    b"5\r\ndata:\r\n",
    b'a\r\n \xe2\x82\xac{"b"}\n\r\n1\r\n\n\r',
    b"\n0\r\nX-Trailer: t\r\n\r\n",
    b"HTTP/1.1 500 Broken\r\nContent-Length: 3\r\n\r\nno\x00",
)
PATIENCE_S = 30.0


class Copy:
    """A tap that keeps what it sees."""

    def __init__(self) -> None:
        self.of_client, self.of_server, self.is_closed = bytearray(), bytearray(), False

    def sent(self, data: bytes) -> None:
        self.of_client += data

    def received(self, data: bytes) -> None:
        self.of_server += data

    def closed(self) -> None:
        self.is_closed = True


class Server:
    """Answers with the pieces above, whatever it is asked, and keeps what it gets."""

    def __init__(self, pieces: tuple[bytes, ...] = ANSWERS) -> None:
        self._pieces = pieces
        self.got = bytearray()
        self.ended = asyncio.Event()
        self.port = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Server]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            self.got += await reader.read(1 << 16)
            for piece in self._pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.01)
            if writer.can_write_eof():
                writer.write_eof()
            while data := await reader.read(1 << 16):
                self.got += data
        self.ended.set()
        writer.close()


async def talk(port: int) -> bytes:
    """What a client gets that sends all requests and then no more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for request in REQUESTS:
        writer.write(request)
        await writer.drain()
        await asyncio.sleep(0.02)
    writer.write_eof()
    try:
        return await reader.read()
    finally:
        writer.close()


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await work()

    asyncio.run(limited())


async def _same_bytes() -> None:
    copy = Copy()
    async with Server().running() as direct, Server().running() as behind:
        expected = await talk(direct.port)
        async with Relay("127.0.0.1", behind.port, lambda: copy).listening("127.0.0.1", 0) as port:
            found = await talk(port)
            await behind.ended.wait()
        assert expected == b"".join(ANSWERS)
        assert found == expected
        assert bytes(behind.got) == bytes(direct.got) == b"".join(REQUESTS)
        assert (bytes(copy.of_client), bytes(copy.of_server)) == (b"".join(REQUESTS), expected)
        assert copy.is_closed


def test_both_sides_see_the_same_bytes() -> None:
    run(_same_bytes)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"cOnTent", b"Content"),
        (b"5\r\n", b"05\r\n"),
        (b"two  spaces ", b"two spaces"),
        (b"\xe2\x82", b"?"),
        (b"hO", b"Ho"),
    ],
    ids=["header of an answer", "size of a chunk", "value of a request", "text", "header of a request"],
)
def test_a_proxy_that_changes_a_byte_is_caught(monkeypatch: pytest.MonkeyPatch, old: bytes, new: bytes) -> None:
    """The twin: one that writes headers in their usual spelling, or reads text and writes it again."""

    async def changing(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, see: Callable[[bytes], None]
    ) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data.replace(old, new))
            see(data)
        writer.write_eof()

    monkeypatch.setattr(relay_module, "_pass_on", changing)
    with pytest.raises(AssertionError):
        run(_same_bytes)


def test_pieces_arrive_as_they_are_sent_and_not_at_the_end() -> None:
    async def work() -> None:
        go = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            writer.write(b"first")
            await go.wait()
            writer.write(b"second")
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        behind = server.sockets[0].getsockname()[1]
        async with server, Relay("127.0.0.1", behind, Copy).listening("127.0.0.1", 0) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"go")
            assert await reader.read(100) == b"first"  # before the server has sent the rest
            go.set()
            assert await reader.read() == b"second"
            writer.close()

    run(work)


def test_a_client_that_leaves_is_gone_for_the_server_too() -> None:
    async def work() -> None:
        left = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while await reader.read(100):
                    writer.write(b"data: {}\n\n")
            left.set()
            writer.close()

        copy = Copy()
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        behind = server.sockets[0].getsockname()[1]
        async with server, Relay("127.0.0.1", behind, lambda: copy).listening("127.0.0.1", 0) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"ask")
            await reader.read(1)
            writer.transport.abort()
            await left.wait()
            while not copy.is_closed:
                await asyncio.sleep(0.01)

    run(work)


def test_a_server_that_is_not_there_is_not_there_behind_the_proxy_either() -> None:
    async def work() -> None:
        async with Server().running() as gone:
            nobody = gone.port
        async with Relay("127.0.0.1", nobody, Copy).listening("127.0.0.1", 0) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with contextlib.suppress(ConnectionError):
                writer.write(b"ask")
                assert await reader.read() == b""
            writer.close()

    run(work)


def test_a_tap_that_fails_changes_nothing() -> None:
    class Broken(Copy):
        def received(self, data: bytes) -> None:
            raise ValueError(data)

    async def work() -> None:
        async with Server().running() as behind:
            relay = Relay("127.0.0.1", behind.port, Broken)
            async with relay.listening("127.0.0.1", 0) as port:
                assert await talk(port) == b"".join(ANSWERS)

    run(work)
