"""A store gives back what was written, page by page, under names and within limits; on every database."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speculatoviz.errors import BadRequestError, StoreError, UnknownRunError
from speculatoviz.lab.store.runs import LAST, PROMPT_CHARACTERS, RunStore
from speculatoviz.lab.store.summary import StoredRun
from speculatoviz.lab.store.tables import LONGEST_NAME
from speculatoviz.telemetry import trace
from speculatoviz.telemetry.events import Done, Event, Started
from support.kept import keep, lines, renamed

MARK = "the prompt of a secret plan"


def all_pages(store: RunStore, limit: int, containing: str = "") -> list[str]:
    found, after = [], None
    while True:
        page = store.page(limit, after, containing)
        assert len(page.runs) <= limit
        found += [run.id for run in page.runs]
        if (after := page.after) is None:
            return found


def test_a_run_reads_back_as_it_was_written(store: RunStore, events: list[Event]) -> None:
    keep(store, events, "0123456789ab")

    found, done = store.get("0123456789ab"), events[-1]
    assert isinstance(done, Done)
    assert (found.prompt, found.name, found.header.machine) == ("once upon a time", None, "a machine")
    summary = found.summary
    assert (summary.tokens, summary.ended) == (done.total_tokens, done.finish_reason)
    assert (summary.accepted, summary.drafted) == (done.total_accepted, done.total_drafted)
    assert (summary.speedup, summary.tps) == (done.metrics.speedup, done.metrics.effective_tps)
    read = trace.parse(b"".join(store.trace("0123456789ab")), "it")
    assert read == (found.header, renamed(events, "0123456789ab"), None)
    [listed] = store.page().runs
    assert listed == StoredRun(**found.model_dump(exclude={"header"}))


def test_pages_show_every_run_once_the_newest_first(store: RunStore, events: list[Event]) -> None:
    ids = [f"run-{number:02d}" for number in range(25)]
    for number, run in enumerate(ids):
        keep(store, events, run, created_ms=1000 + number // 3, chunks=1)  # several at the same time

    assert all_pages(store, 7) == ids[::-1]
    first = store.page(7)
    keep(store, events, "run-99", created_ms=5000, chunks=1)
    assert [run.id for run in store.page(7, first.after).runs] == ids[::-1][7:14]  # a new run moves no page
    store.remove(str(first.after))
    with pytest.raises(UnknownRunError):
        store.page(7, first.after)


@pytest.mark.parametrize(
    ("containing", "found"),
    [("100%", ["a"]), ("UNDER_SCORE", ["b"]), ("_", ["b"]), ("toy", ["b", "a"]), ("nowhere", [])],
)
def test_a_search_reads_its_text_literally_and_whatever_the_case(
    store: RunStore, events: list[Event], containing: str, found: list[str]
) -> None:
    for run, prompt in {"a": "give 100% of it", "b": "an under_score"}.items():
        keep(store, renamed(events, run, prompt=prompt), run, created_ms=ord(run), chunks=1)

    assert all_pages(store, 5, containing) == found


def test_a_list_has_only_the_beginning_of_long_prompts(store: RunStore, events: list[Event]) -> None:
    keep(store, renamed(events, "long", prompt="ab" * 50_000), "long")

    assert store.page().runs[0].prompt == "ab" * (PROMPT_CHARACTERS // 2)
    assert store.get("long").prompt == "ab" * 50_000


@pytest.mark.parametrize("text", ["a\0b", "語\r\n\x1b[31m\u2028"])
def test_any_prompt_can_be_kept_and_its_trace_is_whole(store: RunStore, events: list[Event], text: str) -> None:
    started = events[0]
    assert isinstance(started, Started)
    odd = started.model_copy(update={"prompt": text})
    keep(store, [odd, *events[1:]], "odd-prompt")

    assert store.get("odd-prompt").prompt == text.replace("\0", "\ufffd")
    assert trace.parse(b"".join(store.trace("odd-prompt")), "it").events == renamed([odd, *events[1:]], "odd-prompt")


def test_a_run_is_found_by_the_beginning_of_its_id(store: RunStore, events: list[Event]) -> None:
    for number, run in enumerate(["abcd11", "abcd22", "ef01", "ef0123"]):
        keep(store, events, run, created_ms=number, chunks=1)

    assert store.get("abcd1").id == "abcd11"
    assert store.get("ef01").id == "ef01"  # a whole id, though another begins with it
    assert store.get(LAST).id == "ef0123"
    with pytest.raises(UnknownRunError, match="several"):
        store.get("abcd")
    for unknown in ("abc", "%bcd1", "____", "", "abcd111"):
        with pytest.raises(UnknownRunError, match="no run"):
            store.get(unknown)


def test_an_empty_store_has_no_last_run(store: RunStore) -> None:
    assert store.page() == ([], None)
    with pytest.raises(UnknownRunError, match="holds no run"):
        store.get(LAST)


@pytest.fixture(scope="module")
def one_run(tmp_path_factory: pytest.TempPathFactory, events: list[Event]) -> RunStore:
    store = RunStore.open(str(tmp_path_factory.mktemp("store") / "runs.db"))
    keep(store, events, "named")
    return store


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=LONGEST_NAME))
def test_every_visible_name_reads_back(one_run: RunStore, name: str) -> None:
    assert one_run.rename("named", name).name == (name.strip() or None)
    assert one_run.page().runs[0].name == (name.strip() or None)


@pytest.mark.parametrize("name", ["x" * (LONGEST_NAME + 1), "a\nb", "a\0", "\x1b[31mred", "\ud83d"])
def test_other_names_are_refused_and_the_name_stays(one_run: RunStore, name: str) -> None:
    one_run.rename("named", "before")
    with pytest.raises(BadRequestError) as error:
        one_run.rename("named", name)
    assert error.value.hint
    assert one_run.get("named").name == "before"


def test_names_are_kept_on_every_database(store: RunStore, events: list[Event]) -> None:
    keep(store, events, "named")
    for name in ("été 語 🙂", "'; DROP TABLE runs; --", "😀" * LONGEST_NAME):
        assert store.rename("named", name).name == name
    assert store.rename("named", "  ").name is None


def test_the_oldest_runs_without_a_name_make_room(store: RunStore, events: list[Event]) -> None:
    for number in range(6):
        keep(store, events, f"run-{number}", created_ms=number, chunks=1)
    store.rename("run-0", "keep me")
    each = store.get("run-1").trace_bytes

    assert store.prune(0, 0) == 0
    assert store.prune(4, 0, sparing=["run-1"]) == 2
    assert all_pages(store, 10) == ["run-5", "run-4", "run-1", "run-0"]
    assert store.prune(0, 3 * each) == 1
    assert all_pages(store, 10) == ["run-5", "run-4", "run-0"]
    assert store.prune(1, 1) == 2  # the named run stays, though it is more than the limits allow
    assert all_pages(store, 10) == ["run-0"]


def test_a_removed_run_is_gone_with_its_trace(store: RunStore, events: list[Event]) -> None:
    for run in ("first", "other"):
        keep(store, events, run)

    assert store.remove("first") == "first"
    for work in (store.get, store.remove, lambda run: next(store.trace(run)), lambda run: store.rename(run, "x")):
        with pytest.raises(UnknownRunError):
            work("first")
    assert not store.append("first", 3, b"{}\n", store.get("other").summary)
    keep(store, events, "first")  # its chunks are gone too
    assert len(b"".join(store.trace("first")).splitlines()) == 1 + len(events)
    assert store.remove_all() == 2
    assert store.page() == ([], None)


def test_a_removed_prompt_is_in_no_file_any_more(tmp_path: Path, events: list[Event]) -> None:
    store = RunStore.open(str(tmp_path / "runs.db"))
    keep(store, renamed(events, "a", prompt=MARK), "a")

    def holds_it() -> bool:
        return any(MARK.encode() in file.read_bytes() for file in tmp_path.iterdir())

    assert holds_it()
    full = sum(file.stat().st_size for file in tmp_path.iterdir())
    store.remove("a")
    assert not holds_it()
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < full


def test_only_the_user_may_read_the_file(tmp_path: Path, events: list[Event]) -> None:
    place = tmp_path / "new" / "folder" / "runs.db"
    keep(RunStore.open(str(place)), events, "private")

    assert stat.S_IMODE(place.stat().st_mode) == 0o600


WRITER = """
import sys
from speculatoviz.lab.store.runs import RunStore
store = RunStore.open(sys.argv[1])
summary = store.get("other").summary
print("ready", flush=True)
for number in range(100):
    assert store.append("other", number, b"{}\\n", summary)
"""


def test_two_processes_write_at_the_same_time(tmp_path: Path, events: list[Event]) -> None:
    place = str(tmp_path / "runs.db")
    store = RunStore.open(place)
    started = events[0]
    assert isinstance(started, Started)
    for run in ("own", "other"):
        keep(store, [started], run, chunks=0)
    summary = store.get("own").summary
    with subprocess.Popen([sys.executable, "-c", WRITER, place], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        for number in range(100):
            assert store.append("own", number, b"{}\n", summary)
        assert store.page().after is None
    assert other.returncode == 0
    assert [b"".join(store.trace(run)).count(b"{}\n") for run in ("own", "other")] == [100, 100]


def test_two_stores_can_be_made_at_the_same_place_at_once(place: str) -> None:
    program = "import sys; from speculatoviz.lab.store.runs import RunStore; RunStore.open(sys.argv[1]).page()"
    both = [subprocess.Popen([sys.executable, "-c", program, place]) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("{folder}", "is a folder"),
        ("{folder}/damaged.db", "cannot be used"),
        ("{folder}/file.txt/runs.db", "cannot be opened"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("nosuch://x/y", "no driver"),
        ("postgresql+nosuch://x/y", "no driver"),
        ("postgresql+pg8000://127.0.0.1:9/x", "cannot be used"),
        ("postgresql+pg8000://me:secret@127.0.0.1:9/x", "cannot be used"),
        ("://", "cannot be read"),
    ],
)
def test_a_store_that_cannot_be_opened_is_refused_in_words(tmp_path: Path, address: str, words: str) -> None:
    (tmp_path / "damaged.db").write_bytes(b"this is no database, and longer than its header of 100 bytes" * 4)
    (tmp_path / "file.txt").write_text("a file")
    with pytest.raises(StoreError, match=words) as error:
        RunStore.open(address.format(folder=tmp_path))
    assert error.value.hint
    assert "secret" not in str(error.value)


def test_the_lines_of_chunks_are_those_of_a_trace(events: list[Event]) -> None:
    text = (trace.header("m").model_dump_json() + "\n").encode() + lines(events)
    assert trace.parse(text, "it").events == events
