"""Compare the pinned packages with known vulnerabilities: Python's by pip-audit, the page's by `npm audit`.

    .venv/bin/python scripts/audit.py [--osv-url URL]

Ends with 1 if one was found. Where no service answers this is printed, and is no failure: a machine without a
network can still run every other check.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PIN = re.compile(r"(?m)^([a-z0-9-]+)==([\w.]+)")
# Accepted, with the reason: {"GHSA-…": "the function that it is about is not used here"}
ACCEPTED: dict[str, str] = {}


@dataclass(frozen=True)
class Found:
    """What a service answered. asked: the number of packages. answered: for how many; 0 if there was no answer."""

    source: str
    asked: int
    answered: int
    vulnerabilities: tuple[str, ...]


def pins(locks: Sequence[Path]) -> list[str]:
    """name==version of every package of the locks, each once."""
    return sorted({f"{name}=={version}" for lock in locks for name, version in PIN.findall(lock.read_text())})


def python_packages(locks: Sequence[Path], service: str, osv_url: str | None = None) -> Found:
    """The answer of one service of pip-audit about the packages of the locks."""
    wanted = pins(locks)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(wanted) + "\n")
        file.flush()
        asked = [
            "-r",
            file.name,
            "--no-deps",
            "--disable-pip",
            "-f",
            "json",
            "--progress-spinner",
            "off",
            "-s",
            service,
        ]
        address = ["--osv-url", osv_url] if osv_url and service == "osv" else []
        document = _document([sys.executable, "-m", "pip_audit", *asked, *address])
    known = [package for package in document.get("dependencies", []) if "vulns" in package]
    vulnerabilities = tuple(
        f"{package['name']} {package['version']}: {vulnerability['id']}"
        + (f", fixed in {', '.join(fixed)}" if (fixed := vulnerability["fix_versions"]) else ", no fixed version yet")
        for package in known
        for vulnerability in package["vulns"]
        if not {vulnerability["id"], *vulnerability.get("aliases", [])} & ACCEPTED.keys()
    )
    return Found(f"pip-audit, {service}", len(wanted), len(known), vulnerabilities)


def page_packages(folder: Path) -> Found:
    """The answer of npm's registry about the packages of the page's lock."""
    count = len(json.loads((folder / "package-lock.json").read_text())["packages"]) - 1
    document = _document(["npm", "--prefix", str(folder), "audit", "--json"])
    if "vulnerabilities" not in document:
        return Found("npm audit", count, 0, ())
    vulnerabilities = tuple(
        f"{name} {package['range']}: {via['title']} ({via['url']})"
        for name, package in sorted(document["vulnerabilities"].items())
        for via in package["via"]
        if isinstance(via, dict) and via["url"].rpartition("/")[2] not in ACCEPTED
    )
    return Found("npm audit", count, count, vulnerabilities)


def _document(command: list[str]) -> dict[str, Any]:
    """The JSON object that a program prints; an empty one if it printed none."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
        found = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return {}
    return found if isinstance(found, dict) else {}


def report(found: Found) -> bool:
    """Print an answer in words. True if it names a vulnerability."""
    if not found.answered:
        print(f"{found.source}: no service answers here. {found.asked} packages were not compared.")
        return False
    if found.answered < found.asked:
        print(f"{found.source}: {found.asked - found.answered} of {found.asked} packages are not known there.")
    for line in found.vulnerabilities:
        print(f"{found.source}: {line}")
    if not found.vulnerabilities:
        print(f"{found.source}: no known vulnerability in {found.answered} packages.")
    return bool(found.vulnerabilities)


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--osv-url", help="another address of OSV's query API")
    parser.add_argument("--locks", nargs="*", type=Path, default=sorted((ROOT / "requirements").glob("*.txt")))
    parser.add_argument("--page", type=Path, default=ROOT / "frontend", help="the folder of package-lock.json")
    given = parser.parse_args()
    python = python_packages(given.locks, "osv", given.osv_url)
    if not python.answered:
        report(python)
        python = python_packages(given.locks, "pypi")
    if sum([report(python), report(page_packages(given.page))]):
        print("A pinned package has a known vulnerability (above).", file=sys.stderr)
        print(
            'Update it: make lock ARGS="--upgrade-package NAME", or npm --prefix frontend update NAME. If it does not '
            "apply here, put its id and the reason into ACCEPTED of scripts/audit.py.",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
