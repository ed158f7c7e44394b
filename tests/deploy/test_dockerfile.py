"""deploy/Dockerfile: what it copies is there, its program runs without rights, and its stages run without an engine."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from speculatoviz.config import Settings, variables
from speculatoviz.server.health import LIVE
from speculatoviz.server.verifier.app import READY

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "container_stages.py"
NAMES = ("page", "packages", "runtime", "verifier", "server")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("container_stages", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def text(script: ModuleType) -> str:
    found: str = script.DOCKERFILE.read_text()
    return found


def test_the_stages_and_their_instructions_are_read(script: ModuleType) -> None:
    found = script.stages(
        "# a comment\nARG V=1\nFROM base:${V} AS one\nRUN a \\\n   && b\nFROM one AS two\nARG V\nUSER 5:5\n", {"V": "2"}
    )

    assert (found["one"].base, found["two"].base) == ("base:2", "one")
    assert [(i.name, i.text) for i in found["one"].instructions] == [("RUN", "a && b")]
    assert [(i.name, i.text) for i in found["two"].instructions] == [("ARG", "V=2"), ("USER", "5:5")]


def test_all_that_is_copied_is_there(script: ModuleType, text: str) -> None:
    found = script.stages(text, {})
    assert tuple(found) == NAMES
    copied = [i.text.split() for stage in found.values() for i in stage.instructions if i.name == "COPY"]
    own = [name for words in copied if not words[0].startswith("--from=") for name in words[:-1]]
    assert {"src", "requirements", "frontend"} <= set(own)
    for name in own:
        assert (ROOT / name).exists(), name
    sent = (script.DOCKERFILE.parent / "Dockerfile.dockerignore").read_text().splitlines()
    assert {name.partition("/")[0] for name in own} <= {line[1:] for line in sent if line.startswith("!")}


def test_the_programs_run_without_rights_and_are_asked_whether_they_live(script: ModuleType, text: str) -> None:
    found = script.stages(text, {})
    users = [i.text for i in found["runtime"].instructions if i.name == "USER"]
    assert users == ["10001:10001"]
    for name, path in (("server", LIVE), ("verifier", READY)):
        assert not [i for i in found[name].instructions if i.name in {"USER", "RUN"}]
        [check] = [i.text for i in found[name].instructions if i.name == "HEALTHCHECK"]
        assert f"{path}'" in check
    known = {variable for field in Settings.model_fields for variable in variables(field)}
    assert {name for name in text.replace("=", " ").split() if name.startswith("SPECULATOVIZ_")} <= known


@pytest.mark.full
@pytest.mark.skipif(
    not sys.platform.startswith("linux") or os.geteuid() != 0, reason="stages are mounted: root on Linux"
)
@pytest.mark.parametrize("target", ["server", "verifier"])
def test_the_stages_make_an_image_whose_program_answers(target: str) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("SPECULATOVIZ_")}
    done = subprocess.run(
        ["/usr/bin/python3", str(SCRIPT), target], env=own, capture_output=True, text=True, timeout=1800, check=False
    )
    if "mount" in done.stderr and "permission denied" in done.stderr.lower():
        pytest.skip("this machine does not allow mounts")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("ok\n")
    assert "as user 10001" in done.stdout
