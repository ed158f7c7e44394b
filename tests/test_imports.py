"""The shape of the package: imports point one way, heavy runtimes load only when named, files stay small."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[1] / "src"
PACKAGE = SOURCES / "speculatoviz"
FILES = sorted(PACKAGE.rglob("*.py"))

# From the ground up. A room may import itself and the rooms of the rows above it; rooms of one row keep apart.
ORDER: list[set[str]] = [
    {"errors", "machine"},
    {"core"},
    {"models"},
    {"heads"},
    {"drafters", "targets", "policies"},
    {"engine"},
    {"config"},
    {"telemetry"},
    {"measure"},
    {"session"},
    {"lab", "train"},
    {"bench", "server"},
    {"cli"},
    {"__main__"},
]
# Rooms that need less than their row allows.
ONLY = {
    "core": {"errors"},
    "policies": {"core"},
    "train": {"errors", "machine", "core", "heads", "models", "targets"},
}
# Rooms within rooms: which of their own house they may import. `models` stands for the files beside the folder.
INSIDE = {
    "models.files": set[str](),
    "models.tokenizers": {"models", "models.files"},
    "models.runtimes": {"models", "models.files", "models.tokenizers"},
    "targets.verifier": {"targets"},
    "targets.hosted": {"targets"},
    "lab.endpoints": {"lab", "lab.engines"},
    "lab.watch": {"lab", "lab.engines"},
    "lab.engines": {"lab"},
    "server.api": {"server"},
    "server.classroom": {"server"},
    "server.verifier": {"server"},
    "lab.sweep": {"lab"},
    "lab.report": {"lab", "lab.sweep"},
    "bench.peers": {"bench"},
    "lab.store": set[str](),
    "lab.store.versions": set[str](),
}
RANK = {room: rank for rank, row in enumerate(ORDER) for room in row}
MOST_LINES = 400
RUNTIMES = ("llama_cpp", "ik_llama_cpp", "mlx", "mlx_lm", "torch", "transformers", "tokenizers")


def house_of(name: str) -> str:
    """The outermost room of a dotted name below the package."""
    return name.split(".", maxsplit=1)[0]


def room_of(name: str) -> str:
    """The innermost folder that a dotted name below the package is in; a root module is a room of its own."""
    parts = name.split(".")
    while len(parts) > 1 and not PACKAGE.joinpath(*parts).is_dir():
        parts.pop()
    return ".".join(parts)


def imports(file: Path, package: str = "speculatoviz") -> Iterator[str]:
    """Dotted names of this package that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == package)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively"
            if node.module == package:
                yield from (f"{package}.{alias.name}" for alias in node.names)
            elif node.module and node.module.startswith(f"{package}."):
                yield node.module


def rooms_imported(file: Path) -> set[str]:
    return {room_of(name.removeprefix("speculatoviz.")) for name in imports(file)}


def ids(file: Path) -> str:
    return str(file.relative_to(PACKAGE))


def name_of(file: Path) -> str:
    return f"speculatoviz.{ids(file).removesuffix('.py').replace('/', '.')}"


def own_room(file: Path) -> str:
    return room_of(name_of(file).removeprefix("speculatoviz."))


INNER = [file for file in FILES if file.parent != PACKAGE or file.stem != "__init__"]


def test_every_room_has_a_place_in_the_order() -> None:
    assert {house_of(own_room(file)) for file in INNER} == set(RANK)
    assert {room for room in map(own_room, INNER) if "." in room} == set(INSIDE)


@pytest.mark.parametrize("file", INNER, ids=ids)
def test_imports_point_one_way(file: Path) -> None:
    own = own_room(file)
    house = house_of(own)
    for room in rooms_imported(file) - {own}:
        if house_of(room) != house:
            assert RANK[house_of(room)] < RANK[house], f"{ids(file)} may not import {room}"
            assert house not in ONLY or house_of(room) in ONLY[house], f"{ids(file)} may not import {room}"
        elif own in INSIDE:
            assert room in INSIDE[own], f"{ids(file)} may not import {room}"


@pytest.mark.parametrize("file", [f for f in FILES if own_room(f) == "core"], ids=ids)
def test_the_core_needs_numpy_alone_and_does_no_input_or_output(file: Path) -> None:
    third_party = {"numpy"}
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in (n.split(".")[0] for n in names):
            assert name in third_party | {"speculatoviz"} or name in sys.stdlib_module_names
            assert name not in {"os", "time", "random", "socket", "pathlib", "threading", "io", "logging"}


def test_no_two_modules_of_a_part_import_each_other_in_a_circle() -> None:
    graph = {name_of(f): set(imports(f)) for f in FILES}

    def reachable(start: str) -> set[str]:
        seen: set[str] = set()
        todo = list(graph[start])
        while todo:
            name = todo.pop()
            if name not in seen and name in graph:
                seen.add(name)
                todo += graph[name]
        return seen

    assert [name for name in graph if name in reachable(name)] == []


@pytest.mark.parametrize("file", FILES, ids=ids)
def test_a_file_can_be_read_in_one_sitting(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) < MOST_LINES


PROBE = """
import importlib, json, signal, sys, threading
interrupt = signal.getsignal(signal.SIGINT)
for name in {names!r}:
    importlib.import_module(name)
import logging, os
print(json.dumps({{
    "modules": sorted(sys.modules),
    "package": sys.modules["speculatoviz"].__file__,
    "threads": threading.active_count(),
    "handlers": len(logging.getLogger().handlers),
    "environment": dict(os.environ) == {environment!r},
    "interrupt": signal.getsignal(signal.SIGINT) is interrupt,
}}))
"""


def import_alone(folder: Path, *names: str) -> dict[str, object]:
    """What a fresh process is like after importing modules, with `folder` as its home and working folder."""
    environment = {"HOME": str(folder), "PATH": os.environ["PATH"], "LC_CTYPE": "C.UTF-8", "PYTHONPATH": str(SOURCES)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROBE.format(names=names, environment=environment)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1, "an import prints something"
    state: dict[str, object] = json.loads(done.stdout)
    assert state["package"] == str(PACKAGE / "__init__.py")
    return state


def test_the_command_line_imports_no_runtime_and_no_server(tmp_path: Path) -> None:
    modules = import_alone(tmp_path, "speculatoviz.cli.app")["modules"]

    assert isinstance(modules, list)
    loaded = {name.split(".")[0] for name in modules}
    assert not loaded & {*RUNTIMES, "fastapi", "starlette", "uvicorn"}
    assert "speculatoviz.models.runtimes.llamacpp" not in modules


def loads_a_runtime(file: Path) -> bool:
    """Whether importing the file does, itself or through `models.runtimes.llamacpp`; a function of it may."""
    text = file.read_text(encoding="utf-8")
    loading = (*RUNTIMES, r"speculatoviz\.models\.runtimes\.llamacpp\w*")
    return any(re.search(rf"^(import|from) {name}\b", text, re.MULTILINE) for name in loading)


def test_importing_the_package_does_nothing_else(tmp_path: Path) -> None:
    names = [name_of(f) for f in FILES if not f.name.startswith("__") and not loads_a_runtime(f)]
    state = import_alone(tmp_path, *sorted(names))

    assert (state["threads"], state["handlers"], state["interrupt"]) == (1, 0, True)
    assert state["environment"]
    assert list(tmp_path.iterdir()) == []
