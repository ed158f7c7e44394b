"""The runtime that docs/writing-a-runtime.md builds passes the suite, first without trees and then with them."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from speculatoviz.models.base import LanguageModel
from support.conformance import CHECKS, Check, rewinding_leaves_no_trace
from support.conformance_trees import NEEDS_TREES

PAGE = (Path(__file__).parents[3] / "docs" / "writing-a-runtime.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
REWIND = "        del self.ids[length:]\n"


def block(beginning: str) -> str:
    """The block of code that begins so."""
    (found,) = [text for text in BLOCKS if text.startswith(beginning)]
    return found


def replaced(code: str, pattern: str, new: str) -> str:
    """`code` with the one place that the pattern matches replaced."""
    changed, count = re.subn(pattern, lambda _: new, code, flags=re.DOTALL)
    assert count == 1, pattern
    return changed


def first_version() -> str:
    return block('"""A byte-level model counted from a text file')


def with_trees() -> str:
    """The five changes of the section on trees."""
    imports = block("from speculatoviz.models.tree")
    code = replaced(first_version(), r"from speculatoviz.models.tree import check_keep\n", imports)
    code = replaced(code, r"class BytegramContext:.*?(?=\n\nclass )", block("class BytegramContext:"))
    code = replaced(code, r"    provides: frozenset\[Capability\] = frozenset\(\)\n", block("    provides:"))
    code = replaced(code, r"            _own\(feed\)\.ids \+= feed\.tokens\n", block("            _own(feed).take"))
    return replaced(code, r"    def _rows\(self.*?(?=\n    def _logits)", block("    def _rows"))


def model_of(code: str) -> LanguageModel:
    """The model of a module with this code, counted from this file."""
    module = types.ModuleType("bytegram_of_the_tutorial")
    sys.modules[module.__name__] = module  # dataclasses and annotations look it up
    exec(compile(code, "docs/writing-a-runtime.md", "exec"), module.__dict__)  # noqa: S102 (our own page)
    model: LanguageModel = module.__dict__["BytegramModel"](Path(__file__))
    return model


@pytest.fixture(scope="module", params=[first_version, with_trees], ids=["chains", "trees"])
def model(request: pytest.FixtureRequest) -> Iterator[LanguageModel]:
    made = model_of(request.param())
    yield made
    made.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_runtime_of_the_tutorial_keeps_the_promises(model: LanguageModel, check: Check) -> None:
    if check in NEEDS_TREES and "trees" not in model.provides:
        pytest.skip("gives no trees")
    check(model, 0.0)


def test_trees_are_what_the_second_version_adds() -> None:
    assert model_of(first_version()).provides == frozenset()
    assert model_of(with_trees()).provides == {"trees"}


def test_a_cache_that_is_not_rewound_is_caught() -> None:
    """As the tutorial says: without this line the suite fails."""
    broken = model_of(replaced(first_version(), re.escape(REWIND), ""))

    with pytest.raises(AssertionError):
        rewinding_leaves_no_trace(broken, 0.0)


def test_the_line_for_the_table_of_runtimes_opens_the_model() -> None:
    line = block('(Runtime("bytegram"')
    names = {"Runtime": dict, "BytegramModel": None, "Path": Path, "CONTEXT": 4096, "__file__": __file__}

    assert "BytegramModel(Path(__file__), CONTEXT)" in line
    compile(line, "docs/writing-a-runtime.md", "eval")
    assert names.keys() >= set(compile(line, "", "eval").co_names)
