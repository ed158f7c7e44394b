"""Every route of the servers, and every field of `/api/health`, is documented."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from speculatoviz.config import Settings
from speculatoviz.server.app import create_app
from speculatoviz.server.info import Health
from speculatoviz.server.verifier.app import VerifierOptions, create_verifier
from support.documented import ROOT
from support.live_server import Toys
from support.verifier_client import toys

PROTOCOL = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
PAGES = [
    PROTOCOL,
    *((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("api.md", "deploy.md", "remote.md")),
]


def undocumented(app: FastAPI) -> list[str]:
    """Routes, those of the page apart, that no document names: `/api/runs/{id}` may be written as `/api/runs/ID`."""
    missing = []
    for route in app.routes:
        if isinstance(route, APIRoute) and route.include_in_schema:
            path = re.escape(re.sub(r"\{[^}]*\}", "@", route.path)).replace("@", "[A-Z]+")
            if not any(re.search(rf"{path}(?![\w/])", page) for page in PAGES):
                missing.append(f"{sorted(route.methods)} {route.path}")
    return missing


def test_every_route_of_the_server_is_documented(tmp_path: Path) -> None:
    loaded = Toys(tmp_path)
    app = create_app(Settings(_env_file=None, store="none", cache_dir=str(tmp_path)), loaded.load)
    assert undocumented(app) == []

    @app.get("/api/secret")
    async def secret() -> None:
        pass

    assert undocumented(app) == ["['GET'] /api/secret"]


def test_every_route_of_the_verifier_is_documented() -> None:
    assert undocumented(create_verifier(toys()[0], VerifierOptions(context_tokens=64), time.perf_counter)) == []


@pytest.mark.parametrize("field", Health.model_fields)
def test_every_field_of_the_health_is_documented(field: str) -> None:
    table = PROTOCOL[PROTOCOL.index("### `GET /api/health`") : PROTOCOL.index("## Traces")]
    assert f"`{field}`" in table
