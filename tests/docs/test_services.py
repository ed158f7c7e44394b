"""Every service that the documentation starts is started so, on toy models, answers, and ends at Ctrl+C."""

from __future__ import annotations

import os
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import trustme

from support.documented import PAGES, shell_commands
from support.live_server import PATIENCE_S, poll

KEY = "a-key-of-the-test"
# What cannot be served on toy models, by a word of the command, and the test that covers it.
COVERED = {
    "--head": "tests/session/test_eagle3.py",
    "hf:": "tests/models/runtimes/test_runtimes.py",
    "mlx-community/": "tests/models/runtimes/test_runtimes.py",
    "vllm:": "tests/targets/hosted/test_real_servers.py",
    "postgresql+": "tests/lab/store/test_runs.py",
}
NAMES = [
    (r"(ik:|llamacpp:)?qwen2\.5-coder-1\.5b-instruct", "toy:0"),
    (r"(ik:)?qwen2\.5-coder-0\.5b-instruct", "toy:0~7"),
    ("8100", "0"),
    ("…", KEY),
    (r"\$KEY", KEY),
]


def documented() -> list[tuple[str, ...]]:
    """The services of all pages, each once, with toy models and a free port."""
    found = dict.fromkeys(
        command.words[1:] for page in PAGES for command in shell_commands(page) if command.words[1:2] in SERVICES
    )
    own = (tuple(_own(word) for word in words if word != "--open") for words in found)
    return list(dict.fromkeys(words for words in own if not covered(words)))


def covered(words: tuple[str, ...]) -> list[str]:
    return [key for key in COVERED if any(word.startswith(key) for word in words)]


def _own(word: str) -> str:
    for pattern, name in NAMES:
        word = re.sub(pattern, name, word)
    return word


SERVICES = (("serve",), ("verifier",))
COMMANDS = documented()


@contextmanager
def started(folder: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A service in a process of its own, and the address that it prints."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SPECULATOVIZ_")}
    own = {"TARGET": "toy:0", "DRAFT": "toy:0~7", "CACHE_DIR": str(folder), "STORE": "none", "PORT": "0"}
    if "--host" in words:
        own["API_KEY"] = KEY
    process = subprocess.Popen(
        [sys.executable, "-m", "speculatoviz", *words],
        cwd=folder,
        env=inherited
        | {f"SPECULATOVIZ_{name}": value for name, value in own.items()}
        | {"SSL_CERT_FILE": str(folder / "authority.pem"), "OMP_WAIT_POLICY": "passive"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        lines = list[str]()
        for line in process.stderr:
            lines.append(line)
            if found := re.search(r"\b(https?|wss?)://[\w.-]+:\d+", line):
                yield process, found[0]
                break
        else:
            pytest.fail("".join(lines))
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate of this machine under the names that the pages use."""
    made, authority = tmp_path_factory.mktemp("services"), trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost", os.uname().nodename)
    issued.private_key_pem.write_to_path(str(made / "privkey.pem"))
    for chained in issued.cert_chain_pems:
        chained.write_to_path(str(made / "fullchain.pem"), append=True)
    authority.cert_pem.write_to_path(str(made / "authority.pem"))
    return made


def test_the_pages_start_services() -> None:
    root = Path(__file__).parents[2]
    assert len(COMMANDS) >= 6
    assert all((root / file).exists() for file in COVERED.values())


@pytest.mark.full
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_service_starts_answers_and_ends(words: tuple[str, ...], folder: Path) -> None:
    if "--target" in words and "there" in (target := words[words.index("--target") + 1]):
        secure = ["--tls-certificate", "fullchain.pem", "--tls-key", "privkey.pem"] if "wss" in target else []
        other = ("verifier", "--target", "toy:0", "--port", "0", "--api-key", KEY, *secure)
        with started(folder, *other) as (_, address):
            answers(folder, tuple(f"verifier:{address}" if word == target else word for word in words))
    else:
        answers(folder, words)


def answers(folder: Path, words: tuple[str, ...]) -> None:
    path = "/health/ready" if words[0] == "verifier" else "/api/health/ready"
    with started(folder, *words) as (process, address):
        url = re.sub(r"^(ws|http)(s?)://[^:]+", r"http\2://127.0.0.1", address)
        trusted = ssl.create_default_context(cafile=folder / "authority.pem")
        with httpx.Client(trust_env=False, timeout=PATIENCE_S, verify=trusted) as client:
            poll(lambda: client.get(url + path).status_code == 200, "the service is ready")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
