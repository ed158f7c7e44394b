"""schemathesis makes requests from the schema of the API, right and wrong ones; every answer is one it describes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from support.live_server import PATIENCE_S, Server, Toys

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that keeps runs."""
    folder = tmp_path_factory.mktemp("described")
    toys = Toys(folder, store=str(folder / "runs.db"))
    server = Server(toys.settings, toys.load)
    server.wait_until("ready")
    yield server
    server.stop()


def answered(case: Any) -> None:
    """Send a request, made short, and compare the answer with the schema."""
    if isinstance(case.body, dict):
        for field, most in (("max_tokens", 3), ("max_completion_tokens", 3), ("n", 2)):
            if isinstance(case.body.get(field), int):
                case.body[field] = min(case.body[field], most)
    case.call_and_validate(timeout=PATIENCE_S, checks=CHECKS)


def try_every_operation(server: Server, examples: int) -> int:
    """Some requests to every operation of the schema, right ones and wrong ones; how many operations there are."""
    url = f"http://127.0.0.1:{server.port}/api/openapi.json"
    operations = [found.ok() for found in schemathesis.openapi.from_url(url).get_all_operations()]
    for operation in operations:
        for mode in MODES:
            if mode is GenerationMode.NEGATIVE and not (operation.body or operation.query):
                continue  # nothing of it can be wrong

            @given(operation.as_strategy(generation_mode=mode))
            @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
            def ask(case: Any) -> None:
                answered(case)

            ask()
    return len(operations)


def test_every_answer_is_one_that_the_schema_describes(server: Server) -> None:
    assert try_every_operation(server, examples=6) >= 12


@pytest.mark.full
def test_every_one_of_many_answers_is_one_that_the_schema_describes(server: Server) -> None:
    assert try_every_operation(server, examples=500) >= 12
