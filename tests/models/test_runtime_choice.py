"""The runtime of a GGUF file whose name leaves it open: from given tables, without a clock."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from speculatoviz.errors import ModelError
from speculatoviz.models import libraries, load, runtime_choice
from speculatoviz.models.base import RuntimeChoice
from speculatoviz.models.files.download import silent
from speculatoviz.models.files.gguf import GgufFile
from speculatoviz.models.files.names import Runtime
from speculatoviz.models.load import Loading, load_model
from speculatoviz.models.row_times import PassMs, RowTimes
from speculatoviz.models.runtime_choice import TO_VERIFY, Use, choose_runtime, fastest
from support.runtimes import needs_ik
from support.tiny_gguf import write_tiny

STEEP = {1: 10.0, 2: 20.0, 4: 40.0, 8: 80.0}  # rows cost what they would cost alone
FLAT = {1: 12.0, 2: 13.0, 4: 15.0, 8: 20.0}
MODULES = {"llama_cpp": "llamacpp", "ik_llama_cpp": "ik"}


def scaled(pass_ms: PassMs, by: float) -> PassMs:
    return {rows: by * ms for rows, ms in pass_ms.items()}


@pytest.mark.parametrize(
    ("llamacpp", "ik", "use", "chosen"),
    [
        (STEEP, FLAT, TO_VERIFY, "ik"),
        (FLAT, STEEP, TO_VERIFY, "llamacpp"),
        (STEEP, FLAT, Use(drafts=True), "llamacpp"),
        (FLAT, STEEP, Use(drafts=True), "ik"),
        # Four tokens of a slow draft cost more than they bring: both decode plainly, and one row decides.
        (STEEP, FLAT, Use(draft_ms=100.0), "llamacpp"),
        (STEEP, FLAT, Use(draft_ms=3.0), "ik"),
        # A little faster is not clearly faster.
        (FLAT, scaled(FLAT, 0.97), TO_VERIFY, "llamacpp"),
        (FLAT, scaled(FLAT, 0.90), TO_VERIFY, "ik"),
        (FLAT, scaled(FLAT, 0.97), Use(drafts=True), "llamacpp"),
    ],
)
def test_given_tables_decide(llamacpp: PassMs, ik: PassMs, use: Use, chosen: Runtime) -> None:
    assert fastest({"llamacpp": llamacpp, "ik": ik}, use) == chosen


def test_a_single_table_decides_alone() -> None:
    assert fastest({"ik": STEEP}, TO_VERIFY) == "ik"


class Machine:
    """The installed runtimes, and what measuring them finds: a table, or a refusal. measured: which were asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.measured: list[Runtime] = []
        self.watched: set[bool] = set()
        self._patch = monkeypatch

    def has(self, found: Mapping[Runtime, PassMs | ModelError]) -> None:
        def measure(
            file: GgufFile, runtime: Runtime, threads: int, cache_dir: Path, _source: None, *, anew: bool, watched: bool
        ) -> RowTimes:
            self.measured.append(runtime)
            self.watched.add(watched)
            table = found[runtime]
            if isinstance(table, ModelError):
                raise table
            return RowTimes(runtime, file.path, threads, table)

        self._patch.setattr(libraries, "find_spec", lambda module: MODULES.get(module) in found or None)
        self._patch.setattr(runtime_choice, "row_times", measure)
        self._patch.setattr(runtime_choice, "require_loadable", lambda *_, **__: None)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "tiny.gguf")


def choose(path: Path, use: Use = TO_VERIFY) -> tuple[Runtime, RuntimeChoice]:
    return choose_runtime(path, use, 2, path.parent, silent)


def test_the_reason_compares_what_decided(machine: Machine, path: Path) -> None:
    machine.has({"llamacpp": STEEP, "ik": FLAT})
    chosen, choice = choose(path)
    assert chosen == "ik"
    assert choice.reason == (
        "4 rows cost 1.2 single passes, 4.0 on llama.cpp; one row takes 12.0 ms, 10.0 ms on llama.cpp"
    )
    assert choice.pass_ms == {"llama.cpp": STEEP, "ik_llama.cpp": FLAT}
    chosen, choice = choose(path, Use(drafts=True))
    assert (chosen, choice.reason) == ("llamacpp", "one row takes 10.0 ms, 12.0 ms on ik_llama.cpp")


def test_a_runtime_that_is_a_little_faster_is_no_reason_to_leave_llamacpp(machine: Machine, path: Path) -> None:
    machine.has({"llamacpp": STEEP, "ik": scaled(STEEP, 0.97)})
    chosen, choice = choose(path, Use(drafts=True))
    assert chosen == "llamacpp"
    assert choice.reason == "ik_llama.cpp is not clearly faster: one row takes 10.0 ms, 9.7 ms on ik_llama.cpp"


@pytest.mark.parametrize("only", ["llamacpp", "ik"])
@pytest.mark.parametrize("use", [TO_VERIFY, Use(drafts=True)])
def test_the_only_runtime_is_not_measured(machine: Machine, path: Path, only: Runtime, use: Use) -> None:
    machine.has({only: STEEP})
    assert choose(path, use) == (only, RuntimeChoice("no other runtime for GGUF files is installed"))
    assert machine.measured == []


@pytest.mark.parametrize(("use", "watched"), [(Use(hidden_for="the drafter eagle"), True), (TO_VERIFY, False)])
def test_passes_are_timed_with_what_reading_states_costs(machine: Machine, path: Path, use: Use, watched: bool) -> None:
    machine.has({"llamacpp": STEEP, "ik": FLAT})
    assert choose(path, use)[0] == "ik"
    assert machine.watched == {watched}


def test_none_installed_names_both(machine: Machine, path: Path) -> None:
    machine.has({})
    for ask in (lambda: choose(path), lambda: load_model(str(path), Loading(64, path.parent), None, silent)):
        with pytest.raises(ModelError, match=r"Neither llama\.cpp nor ik_llama\.cpp is installed") as refusal:
            ask()
        assert "pip install 'speculatoviz[ik]'" in refusal.value.hint
        assert "pip install 'speculatoviz[llamacpp]'" in refusal.value.hint


def test_a_crash_while_it_is_measured_is_a_reason(machine: Machine, path: Path) -> None:
    machine.has({"llamacpp": STEEP, "ik": ModelError("ik_llama.cpp ended with SIGILL.", "Choose another.")})
    chosen, choice = choose(path)
    assert (chosen, choice.reason) == ("llamacpp", "ik_llama.cpp ended with SIGILL")
    assert machine.measured == ["llamacpp", "ik"]


def test_a_runtime_that_cannot_load_the_file_leaves_nothing_to_measure(
    machine: Machine, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.has({"llamacpp": STEEP, "ik": FLAT})

    def no_room(_file: GgufFile, runtime: Runtime) -> None:
        if runtime == "ik":
            raise ModelError("There is no room.", "Make some.")

    monkeypatch.setattr(runtime_choice, "require_memory", no_room)
    assert choose(path) == ("llamacpp", RuntimeChoice("There is no room"))
    assert machine.measured == []


def test_a_file_that_no_runtime_loads_is_refused(machine: Machine, path: Path) -> None:
    machine.has(
        {
            "llamacpp": ModelError("llama.cpp cannot load it.", "Choose another."),
            "ik": ModelError("Nor can ik.", "Choose another."),
        }
    )
    with pytest.raises(ModelError, match=r"llama\.cpp cannot load it\."):
        choose(path)


# --- names and settings -------------------------------------------------------------------------------


@pytest.fixture
def _no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "choose_runtime", lambda *_, **__: pytest.fail("a runtime was chosen"))


@needs_ik
@pytest.mark.usefixtures("_no_choice")
@pytest.mark.parametrize(
    ("prefix", "setting", "title"),
    [
        ("llamacpp:", "ik", "llama.cpp"),
        ("ik:", "llamacpp", "ik_llama.cpp"),
        ("ik:", None, "ik_llama.cpp"),
        ("", "ik", "ik_llama.cpp"),
        ("", "llamacpp", "llama.cpp"),
    ],
)
def test_a_prefix_goes_before_the_setting(prefix: str, setting: Runtime | None, title: str, path: Path) -> None:
    how = Loading(64, path.parent / "cache", 1, runtime=setting)
    model = load_model(f"{prefix}{path}", how, None, silent)
    assert model.description.runtime == title
    assert model.description.choice is None
    model.close()


@needs_ik
def test_a_plain_name_is_loaded_where_it_is_fastest(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choice = RuntimeChoice("it is faster", {"ik_llama.cpp": FLAT})
    monkeypatch.setattr(load, "choose_runtime", lambda *_, **__: ("ik", choice))
    model = load_model(str(path), Loading(64, path.parent / "cache", 1), None, silent)
    assert model.description.runtime == "ik_llama.cpp"
    assert model.description.choice == choice
    model.close()
