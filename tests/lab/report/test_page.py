"""The report is one file that loads nothing, shows foreign text as text, and holds the numbers of its figures."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from speculatoviz.errors import BadRequestError
from speculatoviz.lab import drawing
from speculatoviz.lab.report import figures
from speculatoviz.lab.report.page import render, write
from speculatoviz.lab.report.texts import pieces
from speculatoviz.lab.sweep.cells import Cell
from speculatoviz.lab.sweep.records import Folder
from speculatoviz.lab.sweep.summary import Summary
from speculatoviz.telemetry import trace
from support import toy_session
from support.sweeps import AUTO, MODEL, SUFFIX, folder_of, plain, run

SERIES = re.compile(r"--series-\d")
VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Ids, references and text of a page; `open` is empty at the end of a well-formed one."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.tags: Counter[str] = Counter()
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        if tag not in VOID:
            self.open.append(tag)
        given = dict(attributes)
        self.ids += [given["id"] or ""] if "id" in given else []
        self.references += [
            given[name] or "" for name in ("href", "src", "xlink:href", "aria-labelledby") if name in given
        ]

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def swept(path: Path) -> Folder:
    cells = [(Cell("model", k=1), 0.8), (MODEL, 1.1), (SUFFIX, 1.3), (Cell("suffix", k=2), 1.2), (AUTO, 1.35)]
    runs = [
        made
        for temperature in (0.0, 0.7)
        for category in ("coding", "<writing> $5 or $x_")
        for number in range(3)
        for made in (
            plain(category, number, temperature),
            *(run(cell, ratio + 0.01 * number, category, number, temperature) for cell, ratio in cells),
        )
    ]
    return folder_of(path, runs)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return render(swept(tmp_path_factory.mktemp("sweep")))


def test_the_page_is_whole_and_loads_nothing(page: str) -> None:
    found = Page(page)

    assert found.open == []
    assert [name for name, count in Counter(found.ids).items() if count > 1] == []
    for reference in found.references:
        assert reference.removeprefix("#") in found.ids, reference
    assert not found.tags.keys() & {"script", "link", "img", "iframe", "writing"}
    outside = [url for url in re.findall(r"https?://[^\s\"'<>)]+", page) if not url.startswith("http://www.w3.org/")]
    assert outside == []
    assert "url(http" not in page
    assert "<writing>" not in page


def test_figures_take_the_colours_of_the_page_in_light_and_dark(page: str) -> None:
    styles = page.split("<style>", 1)[1].split("</style>", 1)[0]
    light, dark = styles.split("@media screen and (prefers-color-scheme: dark)")

    assert page.count("<svg ") == page.count("<title id=") == 8
    for placeholder, variable in drawing.THEME.items():
        assert placeholder not in page
        name = variable.removeprefix("var(").removesuffix(")")
        assert f"{name}:" in light
        assert f"{name}:" in dark
    used = set(re.findall(r"var\((--[\w-]+)\)", page))
    assert used <= set(re.findall(r"(--[\w-]+):", light))


def test_the_numbers_of_the_figures_are_in_tables(page: str) -> None:
    text = Page(page).text

    assert "auto, decodes 1.36 times as fast as the target alone" in text
    assert "1.31 (1.30 to 1.32)" in text
    for caption in (
        "Best choice at T=0.7",
        "Accepted of drafted by category",
        "All choices",
        "Accepted by position",
        "Milliseconds until tokens arrive",
    ):
        assert caption in text
    assert "below 0.1 nats 0.1 to 0.5" in text
    assert "50 %" in text
    assert "by the formula" in text
    for fact in ("a machine", "a-target Q4_0 on llamacpp", "a-draft", "prompts.jsonl", "top-k 0", "2: 12.0"):
        assert fact in text


def test_a_number_leads_to_the_tokens_behind_it_and_foreign_text_is_text(tmp_path: Path) -> None:
    session = toy_session.load(tmp_path / "cache")
    began, *others = toy_session.run(session, max_tokens=12, evidence=False)
    session.close()
    events = [began.model_copy(update={"prompt": "<script>alert(1)</script> & more"}), *others]
    folder = folder_of(tmp_path / "sweep", [plain(), run(SUFFIX, 1.5, trace="traces/000001.jsonl")])
    with trace.create(tmp_path / "sweep/traces/000001.jsonl", print) as writer:
        for event in events:
            writer.write(event)
    html = render(Folder(folder.path))
    found = Page(html)

    assert "#text-0-0-0" in found.references
    assert "text-0-0-0" in found.ids
    assert "script" not in found.tags
    assert "<script>alert(1)</script> & more" in found.text


def test_pieces_are_the_text_with_its_rejected_tokens(tmp_path: Path) -> None:
    session = toy_session.load(tmp_path)
    events = toy_session.run(session, max_tokens=40, ignore_eos=True)
    session.close()
    found = pieces(events)

    assert "".join(piece.text for piece in found) == events[-1].generated_text  # type: ignore[union-attr]
    assert any(piece.instead for piece in found)
    assert all(piece.status == "resampled" for piece in found if piece.instead)


def test_a_sweep_of_one_prompt_and_one_choice_has_a_report(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    old = run(SUFFIX, 1.5, tested_entropy=(None,) * 8, tested_token_class=())
    write(folder_of(tmp_path / "sweep", [plain(), old]), out)
    text = Page(out.read_text(encoding="utf-8")).text

    assert "it is not clear whether speculation pays" in text
    assert "nats" not in text
    assert "word start" not in text
    assert re.search(r"\bnan\b", text) is None


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadRequestError, match="holds no runs of a sweep"):
        render(Folder(tmp_path))
    with pytest.raises(BadRequestError, match=r"none/report\.html cannot be written"):
        write(folder_of(tmp_path / "sweep", [plain(), run(SUFFIX, 1.5)]), tmp_path / "none" / "report.html")
    monkeypatch.setattr(drawing, "find_spec", lambda _name: None)
    with pytest.raises(BadRequestError, match="matplotlib, which is not installed") as refused:
        render(Folder(tmp_path / "sweep"))
    assert "speculatoviz[lab]" in refused.value.hint


def test_a_drafter_has_the_same_colour_in_all_figures_of_a_page(tmp_path: Path) -> None:
    summary = Summary(swept(tmp_path).runs)
    models = [cell for cell in summary.cells if cell.source == "model"]
    others = [cell for cell in summary.cells if cell.source == "suffix"]

    def colours(cells: list[Cell]) -> set[str]:
        drawn = figures.by_category(summary, 0.0, cells, "a") + figures.by_position(summary, 0.0, cells[-1:], "b")
        curves = [
            curve for curve in figures.curves(summary, 0.0, {1: 10.0, 5: 20.0}) if curve.drafter == cells[0].source
        ]
        return set(SERIES.findall(drawn + figures.by_depth(summary, curves, 0.0, "c")))

    assert len(colours(models[:1])) == len(colours(others[:1])) == 1
    assert colours(models[:1]) != colours(others[:1])
    assert len({colour for colour, _ in figures.styles(summary).values()}) == 4, "model, suffix, auto, plain"
