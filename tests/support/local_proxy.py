"""A proxy on this machine that answers every request itself."""

from __future__ import annotations

import socketserver
import threading
from typing import Self


class LocalProxy:
    """status, body: of every answer. lines: the request lines that it got."""

    def __init__(self, status: int, body: bytes) -> None:
        self.lines: list[str] = []
        lines = self.lines
        head = f"HTTP/1.1 {status} Answer\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        answer = f"{head}Connection: close\r\n\r\n".encode() + body

        class Answering(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                lines.append(self.rfile.readline().decode().strip())
                while self.rfile.readline().strip():
                    pass
                self.wfile.write(answer)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answering)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
