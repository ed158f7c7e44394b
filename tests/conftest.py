"""The code under test, and weights for the tests that need real ones, fetched once into the user's cache."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from speculatoviz.config import Settings
from speculatoviz.models.files import catalogue
from speculatoviz.models.requantise import requantise
from support.runtimes import CAN_CONVERT, Weights, converted

SOURCES = Path(__file__).parents[1] / "src"
_LONG_S = 7200


def pytest_configure() -> None:
    """No example has a time limit: on a busy machine any can be slow."""
    settings.register_profile("untimed", deadline=None)
    settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The limit of a test only ends what hangs. A long version computes for minutes, and longer on a busy machine."""
    for item in items:
        if item.get_closest_marker("full") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(_LONG_S))


@pytest.fixture(scope="session", autouse=True)
def _checkout() -> Iterator[None]:
    """Programs that tests start import this checkout, as the tests do, whatever is installed; no run is kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(SOURCES), prepend=os.pathsep)
        patch.setenv("SPECULATOVIZ_STORE", "none")
        yield


@pytest.fixture(scope="session", autouse=True)
def _null_files() -> Iterator[None]:
    """llama-cpp-python opens /dev/null twice when it is imported, and leaves both files open at exit."""
    yield
    if utilities := sys.modules.get("llama_cpp._utils"):
        utilities.outnull_file.close()
        utilities.errnull_file.close()


@pytest.fixture(scope="session")
def cache_dir() -> Path:
    return Path(Settings(_env_file=None).cache_dir)


@pytest.fixture(scope="session")
def smol_path(cache_dir: Path) -> Path:
    """SmolLM2-135M-Instruct, 98 MB."""
    return catalogue.resolve("smollm2-135m-instruct", cache_dir)


@pytest.fixture(scope="session")
def qwen_paths(cache_dir: Path) -> tuple[Path, Path]:
    """Target and draft of the Qwen pair, 1.6 GB."""
    target, draft = "qwen2.5-coder-1.5b-instruct", "qwen2.5-coder-0.5b-instruct"
    return catalogue.resolve(target, cache_dir), catalogue.resolve(draft, cache_dir)


@pytest.fixture(scope="session")
def smol_f32_path(smol_path: Path, cache_dir: Path) -> Path:
    """The same weights, every tensor in float32, where no rounding amplifies differences."""
    return requantise(smol_path, "F32", cache_dir, 2)


@pytest.fixture(scope="session")
def weights(smol_path: Path, smol_f32_path: Path, cache_dir: Path) -> Weights:
    """SmolLM2 in both formats; without PyTorch there is no folder, and the runtimes that need it are skipped."""
    return Weights(smol_path, smol_f32_path, converted(smol_path, cache_dir) if CAN_CONVERT else Path("missing"))
