"""Unit files, manifests and the compose file are what their programs read, and name what the server has."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from speculatoviz.config import Settings, variables
from speculatoviz.server.health import LIVE, READY
from speculatoviz.server.verifier.app import READY as VERIFIER_READY

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
MANIFESTS = [
    (file.name, document)
    for file in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    for document in yaml.safe_load_all(file.read_text())
]
KNOWN = {variable for field in Settings.model_fields for variable in variables(field)}
KUBERNETES = "1.32"


def ids(found: tuple[str, dict[str, Any]]) -> str:
    return f"{found[0]} {found[1]['kind']}"


def deployments() -> dict[str, dict[str, Any]]:
    return {file: document for file, document in MANIFESTS if document["kind"] == "Deployment"}


def container(deployment: dict[str, Any]) -> dict[str, Any]:
    [only] = deployment["spec"]["template"]["spec"]["containers"]
    found: dict[str, Any] = only
    return found


@pytest.mark.parametrize("found", MANIFESTS, ids=ids)
def test_a_manifest_follows_the_schema_of_kubernetes(found: tuple[str, dict[str, Any]]) -> None:
    kubernetes_validate.validate(found[1], KUBERNETES, strict=True)


def test_a_misspelt_field_of_a_manifest_is_found() -> None:
    broken = {**MANIFESTS[0][1], "specification": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, KUBERNETES, strict=True)


def test_services_lead_to_their_pods_and_volumes_are_there() -> None:
    for file, deployment in deployments().items():
        [service] = [d for name, d in MANIFESTS if name == file and d["kind"] == "Service"]
        pod = deployment["spec"]["template"]
        assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]
        names = {port["name"] for port in container(deployment)["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= names
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
        assert {mount["name"] for mount in container(deployment)["volumeMounts"]} == volumes


def test_probes_ask_what_is_answered_without_a_key() -> None:
    server, verifier = (container(deployments()[f"{name}.yaml"]) for name in ("server", "verifier"))
    paths = [server[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")]
    assert paths == [LIVE, LIVE, READY]
    assert {verifier[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness")} == {VERIFIER_READY}


def test_pods_have_no_rights_and_time_to_stop() -> None:
    for deployment in deployments().values():
        spec, only = deployment["spec"]["template"]["spec"], container(deployment)
        assert spec["securityContext"]["runAsNonRoot"]
        assert only["securityContext"]["readOnlyRootFilesystem"]
        assert not only["securityContext"]["allowPrivilegeEscalation"]
        stop_s = {env["name"]: env["value"] for env in only["env"]}.get("SPECULATOVIZ_STOP_S", "0")
        assert spec["terminationGracePeriodSeconds"] >= float(stop_s) + 15  # clients, and the pass in progress


def test_only_settings_that_exist_are_set() -> None:
    texts = [file.read_text() for file in DEPLOY.rglob("*") if file.is_file()]
    named = {name for text in texts for name in re.findall(r"SPECULATOVIZ_[A-Z_]+\b", text)} - {"SPECULATOVIZ_NAME"}

    assert "SPECULATOVIZ_KEYS_FILE" in named
    assert named <= KNOWN


def test_the_compose_file_follows_its_schema() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not on this machine")
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_unit_is_one_that_systemd_reads(unit: Path, tmp_path: Path) -> None:
    """The program of the unit is not installed here: another one that is there takes its place."""
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace("/opt/speculatoviz/.venv/bin/speculatoviz", shutil.which("true") or ""))
    checked = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)

    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    assert "ExecStart=/opt/speculatoviz/.venv/bin/speculatoviz " in unit.read_text()


def test_units_run_without_rights() -> None:
    assert len(UNITS) == 2
    for unit in UNITS:
        lines = unit.read_text().splitlines()
        assert {"DynamicUser=yes", "NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet="} <= set(
            lines
        )
