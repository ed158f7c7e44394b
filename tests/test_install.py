"""Installation: the locks match pyproject.toml and package.json and name no address; the scripts name a missing
tool, and what to do, in two sentences."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCKS = ("build", "run", "gguf", "dev", "extras")
UNPINNED = {"torch"}  # scripts/dependencies.sh chooses its build for the machine
ADDRESS = re.compile(r"://|--index|find-links|trusted-host|file:/|(?m:^-)")


def read_lock(name: str) -> dict[str, str]:
    """{package: version}; every line of a lock is a pin, one of its hashes, or a comment."""
    pins: dict[str, str] = {}
    hashed: set[str] = set()
    for line in (ROOT / "requirements" / f"{name}.txt").read_text().splitlines():
        if pin := re.fullmatch(r"([a-z0-9-]+)==([\w.]+)(?: ; .+)? \\", line):
            pins[pin[1]] = pin[2]
        elif re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?", line):
            hashed.add(list(pins)[-1])
        else:
            assert not line or line.startswith("#"), line
    assert hashed == set(pins)
    return pins


def required(name: str) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    build = project["build-system"]["requires"]
    run = project["project"]["dependencies"]
    groups = {"build": build, "run": run, "dev": [*build, *run, *project["dependency-groups"]["dev"]]}
    extras = project["project"]["optional-dependencies"]
    groups["gguf"] = extras.pop("llamacpp") + extras.pop("ik")
    groups["extras"] = [text for extra in extras.values() for text in extra]
    return [Requirement(text) for text in groups[name]]


@pytest.mark.parametrize("name", LOCKS)
def test_lock_pins_every_requirement(name: str) -> None:
    pins = read_lock(name)
    for requirement in required(name):
        if requirement.name in UNPINNED:
            continue
        version = pins.get(canonicalize_name(requirement.name), "0")
        assert requirement.specifier.contains(version), f"{requirement}: run `make lock`"


def test_locks_agree() -> None:
    dev = read_lock("dev")
    for name in LOCKS:
        for package, version in read_lock(name).items():
            only_here = name == "extras" or package == "ik-llama-cpp-python"
            assert dev.get(package, version if only_here else None) == version, package


def test_no_lock_pins_a_build_of_pytorch() -> None:
    assert not [name for name in read_lock("extras") if re.match("torch|triton|nvidia|cuda", name)]
    script = (ROOT / "scripts/dependencies.sh").read_text()
    found = re.search(r"torch==([\d.]+)", script)
    assert found is not None
    asked = [requirement for requirement in required("extras") if requirement.name == "torch"]
    assert asked
    assert all(torch.specifier.contains(found[1]) for torch in asked)


@pytest.mark.parametrize("name", LOCKS)
def test_lock_names_no_address(name: str) -> None:
    assert not ADDRESS.search((ROOT / "requirements" / f"{name}.txt").read_text())


def test_address_pattern_finds_addresses() -> None:
    assert ADDRESS.search("--find-links /wheels")
    assert ADDRESS.search("a==1\n-f /wheels")
    assert ADDRESS.search("a @ file:///wheels/a.whl")


def test_page_lock_is_current_and_names_no_registry() -> None:
    asked = json.loads((ROOT / "frontend/package.json").read_text())
    packages: dict[str, dict[str, Any]] = json.loads((ROOT / "frontend/package-lock.json").read_text())["packages"]
    for field in ("dependencies", "devDependencies", "engines"):
        assert packages[""][field] == asked[field], "run `make lock`"
    for name, package in packages.items():
        assert "resolved" not in package, name
        assert not name or "integrity" in package or package.get("inBundle"), name


def run_script(name: str, *arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a copy of a script of this repository in `folder`, with `folder/bin` as the whole search path."""
    (folder / "scripts").mkdir(exist_ok=True)
    script = shutil.copy(ROOT / "scripts" / name, folder / "scripts")
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    if not (programs / "dirname").exists():
        (programs / "dirname").symlink_to(shutil.which("dirname") or "/usr/bin/dirname")
    return subprocess.run(
        ["/bin/sh", script, *arguments],
        env={"PATH": str(programs), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def add_program(folder: Path, name: str, script: str) -> None:
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["need.sh", "compiler"], "no C++ compiler was found"),
        (["need.sh", "node"], "no node command was found"),
        (["need.sh", "chromium"], "neither was found"),
        (["venv.sh"], "needs Python 3.11 or newer, and python3 is missing"),
    ],
)
def test_missing_tool_is_named_in_two_sentences(arguments: list[str], message: str, tmp_path: Path) -> None:
    ended = run_script(*arguments, folder=tmp_path)
    assert ended.returncode == 1
    what, remedy = ended.stderr.splitlines()
    assert message in what
    assert remedy.startswith("Install")


def test_old_python_is_named(tmp_path: Path) -> None:
    add_program(tmp_path, "python3", '[ "$1" = --version ] && echo Python 3.9.2; [ "$1" = --version ]')
    ended = run_script("venv.sh", folder=tmp_path)
    assert ended.returncode == 1
    assert "python3 is Python 3.9.2" in ended.stderr


def test_python_given_by_name_is_the_only_one_tried(tmp_path: Path) -> None:
    add_program(tmp_path, "python3", "exit 0")  # would pass every check
    ended = run_script("venv.sh", folder=tmp_path, PYTHON="no-such-python")
    assert ended.returncode == 1
    assert "PYTHON is no-such-python" in ended.stderr


@pytest.mark.skipif(not shutil.which("node"), reason="needs Node")
@pytest.mark.parametrize(
    ("version", "enough"),
    [
        ("18.20.8", False),
        ("20.18.3", False),
        ("20.19.0", True),
        ("21.7.0", False),
        ("22.11.0", False),
        ("24.1.0", True),
    ],
)
def test_node_versions(version: str, enough: bool, tmp_path: Path) -> None:
    # The real node runs the check; only its reported version is replaced.
    version_patch = f'Object.defineProperty(process.versions, "node", {{ value: "{version}" }});'
    (tmp_path / "version_patch.cjs").write_text(version_patch)
    node = shutil.which("node")
    replaced = f'exec "{node}" -r "{tmp_path}/version_patch.cjs" "$@"'
    add_program(tmp_path, "node", f'[ "$1" = --version ] && echo v{version} && exit\n{replaced}')
    add_program(tmp_path, "npm", "")
    ended = run_script("need.sh", "node", folder=tmp_path)
    assert ended.returncode == (0 if enough else 1)
    assert enough or f"this one is v{version}" in ended.stderr


# A Python whose pip records what it installs, unless it FAILS at it: "run", "ik" or "llamacpp".
PIP = """
case "$*" in
  *"m.version('ik_"*) [ -e installed-ik ] ;;
  *"m.version('llama_"*) [ -e installed-llamacpp ] ;;
  *"cache list"*) ;;
  *"install"*)
    case "$*" in
      *"run.txt"*) is=run ;;
      *) asked=$(cat); case "$asked" in *ik-llama-cpp-python==*) is=ik ;; *llama-cpp-python==*) is=llamacpp ;; esac ;;
    esac
    [ "$is" != "$FAILS" ] && touch "installed-$is" ;;
esac
"""


def installs(folder: Path, lock: str, fails: str, flags: str = "avx2") -> subprocess.CompletedProcess[str]:
    """Run dependencies.sh with a pip that fails at one thing, on a processor with these flags."""
    (folder / "bin").mkdir()
    for name in ("awk", "cat", "touch", "grep", "getconf"):
        (folder / "bin" / name).symlink_to(shutil.which(name) or name)
    python = folder / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh{PIP}")
    python.chmod(0o755)
    (folder / "cpuinfo").write_text(f"flags\t\t: fpu {flags} lm\n")
    (folder / "requirements").mkdir()
    shutil.copy(ROOT / "requirements/gguf.txt", folder / "requirements")
    for script in ("need.sh", "llama_cmake_args.sh"):
        (folder / "scripts").mkdir(exist_ok=True)
        shutil.copy(ROOT / "scripts" / script, folder / "scripts")
    return run_script("dependencies.sh", lock, folder=folder, FAILS=fails, CPUINFO=str(folder / "cpuinfo"), CXX="cat")


def installed_in(folder: Path) -> list[str]:
    return sorted(path.name.removeprefix("installed-") for path in folder.glob("installed-*"))


@pytest.mark.parametrize(
    ("fails", "flags", "status", "installed"),
    [
        ("nothing", "avx2", 0, ["ik", "run"]),
        ("ik", "avx2", 0, ["llamacpp", "run"]),
        ("nothing", "avx", 0, ["llamacpp", "run"]),
        ("run", "avx2", 1, []),
    ],
)
def test_a_runtime_is_compiled_only_where_none_comes_compiled(
    fails: str, flags: str, status: int, installed: list[str], tmp_path: Path
) -> None:
    ended = installs(tmp_path, "run", fails, flags)
    assert ended.returncode == status, ended.stderr
    assert installed_in(tmp_path) == installed
    assert ("GGUF models run on ik_llama.cpp" in ended.stdout) == ("ik" in installed)
    assert ("Compiling llama.cpp" in ended.stdout) == ("llamacpp" in installed)


def test_without_any_runtime_the_installation_fails(tmp_path: Path) -> None:
    (tmp_path / "installed-llamacpp").touch()  # an older one: nothing is compiled, but the pinned one is asked for
    ended = installs(tmp_path, "llamacpp", "llamacpp")
    assert ended.returncode == 1
    assert "requirements/gguf.txt could not be installed" in ended.stderr
    assert "Compiling" not in ended.stdout


def test_llamacpp_is_compiled_when_it_is_asked_for(tmp_path: Path) -> None:
    ended = installs(tmp_path, "llamacpp", "nothing")
    assert ended.returncode == 0, ended.stderr
    assert installed_in(tmp_path) == ["llamacpp"]


HEADS = {f"heads/shipped/some.{kind}.safetensors": "" for kind in ("eagle", "medusa")}
INDEX = {"server/page/index.html": '<script src="/assets/a.js">'}
PLAYER = {"lab/built/player.html": ""}
PAGE = INDEX | PLAYER | {"server/page/assets/a.js": ""}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (PAGE | HEADS, ""),
        (INDEX | PLAYER | HEADS, "lacks ['assets/a.js']"),
        ({"server/page/index.html": ""} | PLAYER | HEADS, "lacks any script"),
        (INDEX | HEADS, "does not contain the player"),
        (HEADS, "does not contain the page"),
        (PAGE, "lacks trained heads"),
    ],
)
def test_wheel_without_page_or_heads_is_refused(files: dict[str, str], message: str, tmp_path: Path) -> None:
    wheel = tmp_path / "some.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"speculatoviz/{name}", text)
    script = [sys.executable, os.fspath(ROOT / "scripts/check_wheel.py"), os.fspath(wheel)]
    ended = subprocess.run(script, capture_output=True, text=True, check=False)
    assert ended.returncode == (1 if message else 0)
    assert message in ended.stderr
