"""The audit of the pinned packages: what is found fails in words, no answer is said, and a gap is no answer."""

from __future__ import annotations

import http.server
import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NOWHERE = "http://127.0.0.1:9/v1/query"
VULNERABLE = {
    "id": "GHSA-test-0001",
    "summary": "A test.",
    "affected": [
        {
            "package": {"name": "jinja2", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.1"}]}],
        }
    ],
}


class Osv(http.server.BaseHTTPRequestHandler):
    """Answers as OSV does: jinja2 has a vulnerability, and no other package."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"vulns": [VULNERABLE]} if asked["package"]["name"] == "jinja2" else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture(scope="module")
def osv() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Osv)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query"
    server.shutdown()
    server.server_close()


def audit(folder: Path, osv_url: str, packages: str, npm: object) -> subprocess.CompletedProcess[str]:
    """Run the script on a lock, with an `npm` that prints this document."""
    (folder / "lock.txt").write_text(packages)
    (folder / "package-lock.json").write_text(json.dumps({"packages": {"": {}, "node_modules/a": {}}}))
    (folder / "npm").write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(npm)}\nEND\n")
    (folder / "npm").chmod(0o755)
    words = ["--osv-url", osv_url, "--locks", str(folder / "lock.txt"), "--page", str(folder)]
    # Only this machine is reached: no service of others is asked.
    away = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:9") | {"NO_PROXY": "127.0.0.1"}
    own = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()} | away
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "audit.py"), *words],
        env=own | {"PATH": f"{folder}:{os.environ['PATH']}", "PIP_CACHE_DIR": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_known_vulnerability_fails_in_words(osv: str, tmp_path: Path) -> None:
    via = [{"title": "A hole", "url": "https://github.com/advisories/GHSA-test-0002"}, "another"]
    npm = {"vulnerabilities": {"a": {"range": "<2", "via": via}}}
    done = audit(tmp_path, osv, "jinja2==3.1.2 \\\n    --hash=sha256:00\nidna==3.20 \\\n", npm)
    assert done.returncode == 1
    assert "pip-audit, osv: jinja2 3.1.2: GHSA-test-0001, fixed in 99.1" in done.stdout
    assert "npm audit: a <2: A hole (https://github.com/advisories/GHSA-test-0002)" in done.stdout
    assert "idna" not in done.stdout
    assert done.stderr.startswith("A pinned package has a known vulnerability (above).\nUpdate it: ")


def test_without_one_it_passes_and_says_how_many_were_compared(osv: str, tmp_path: Path) -> None:
    done = audit(tmp_path, osv, "idna==3.20\nattrs==26.1.0\n", {"vulnerabilities": {}})
    assert (done.returncode, done.stderr) == (0, "")
    assert "pip-audit, osv: no known vulnerability in 2 packages." in done.stdout
    assert "npm audit: no known vulnerability in 1 packages." in done.stdout


def test_no_answer_is_said_and_is_no_failure(tmp_path: Path) -> None:
    done = audit(tmp_path, NOWHERE, "idna==3.20\n", {"error": {"code": "ENOTFOUND"}})
    assert (done.returncode, done.stderr) == (0, "")
    assert "pip-audit, osv: no service answers here. 1 packages were not compared." in done.stdout
    assert "pip-audit, pypi: no service answers here. 1 packages were not compared." in done.stdout
    assert "npm audit: no service answers here." in done.stdout


def test_a_package_that_a_service_does_not_know_is_not_a_clean_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """pip-audit itself ends with "No known vulnerabilities found" and 0 if the service knew none of the packages."""
    script = loaded()
    lock = tmp_path / "lock.txt"
    lock.write_text("idna==3.20\nattrs==26.1.0\n")
    skipped = {"name": "idna", "skip_reason": "Dependency not found on PyPI and could not be audited: idna (3.20)"}
    clean = {"name": "attrs", "version": "26.1.0", "vulns": []}
    for packages, words in (
        ([skipped, skipped], "no service answers here. 2 packages"),
        ([skipped, clean], "1 of 2 packages are not known there."),
    ):
        monkeypatch.setattr(script, "_document", lambda _command, found=packages: {"dependencies": found})
        assert not script.report(script.python_packages([lock], "pypi"))
        assert words in capsys.readouterr().out


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", ROOT / "scripts" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
